package activities

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/activities/policy"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Decide gives the verdict on an experiment and records it. Experiments that ran
// side by side are decided one at a time, each against what the ledger holds at
// that moment, whatever incumbent they were made from. A recorded decision is
// returned as it is, whatever the input says now; what is derived from it is made
// again where it differs.
func (r *Research) Decide(ctx context.Context, in DecideInput) (DecideResult, error) {
	result, err := r.decide(ctx, in)
	if err != nil {
		return DecideResult{}, edge(err)
	}
	return r.told(ctx, result)
}

// maxChecks is how many of the wanted checks a workflow is told of: more than it
// can begin before the next decision says what is wanted then.
const maxChecks = 8

// told is what the workflow needs of a decision.
func (r *Research) told(ctx context.Context, result experiment.Result) (DecideResult, error) {
	all, err := r.Ledger.Results(ctx, result.Campaign)
	if err != nil {
		return DecideResult{}, edge(err)
	}
	return DecideResult{
		Brief: result.Brief(), Sequence: result.Sequence, Incumbent: timed(result.Incumbent, all), Noise: result.NoiseAfter, Spent: result.Spent,
		Confirmed: confirmed(result.Line), Checks: firstChecks(result.Checks), Voids: result.Voids, FalseKeepRate: result.FalseKeepRate,
	}, nil
}

func firstChecks(all []experiment.Check) []experiment.Check { return all[:min(maxChecks, len(all))] }

// confirmed is the newest keep of a line that fresh seeds have confirmed.
func confirmed(line []experiment.Incumbent) *experiment.Incumbent {
	for _, in := range slices.Backward(line) {
		if in.Confirmed {
			return &in
		}
	}
	return nil
}

// timed adds how long an incumbent's evaluations took, on average.
func timed(in experiment.Incumbent, results []experiment.Result) experiment.Incumbent {
	at := slices.IndexFunc(results, func(r experiment.Result) bool { return r.Experiment == in.Experiment })
	if in.Commit == "" || at < 0 || len(results[at].Measurements) == 0 {
		return in
	}
	sum := 0.0
	for _, m := range results[at].Measurements {
		sum += m.EvalSeconds
	}
	in.EvalSeconds = inMillis(sum / float64(len(results[at].Measurements)))
	return in
}

func (r *Research) decide(ctx context.Context, in DecideInput) (experiment.Result, error) {
	if err := checkNumbers(in.Campaign, in.Number, 0); err != nil {
		return experiment.Result{}, err
	}
	r.deciding.Lock()
	defer r.deciding.Unlock()
	recorded, err := r.Ledger.Decided(ctx, in.Campaign.Tag(), in.Number)
	if err != nil {
		return experiment.Result{}, err
	}
	if recorded == nil {
		verdict, err := r.verdict(ctx, in)
		if err != nil {
			return verdict, err
		}
		if err := r.bind(ctx, in, &verdict); err != nil {
			return verdict, err
		}
		if verdict, err = r.Ledger.Record(ctx, verdict); err != nil {
			return verdict, err
		}
		recorded = &verdict
	}
	notices, err := r.Ledger.Follow(ctx, *recorded)
	notify(ctx, notices)
	return *recorded, err
}

// verdict asks the policy, and puts all that it was told and said on record.
func (r *Research) verdict(ctx context.Context, in DecideInput) (experiment.Result, error) {
	c := in.Campaign
	state, err := r.Ledger.State(ctx, c.Tag())
	if err != nil {
		return experiment.Result{}, err
	}
	if err := checkTurn(in, state); err != nil {
		return experiment.Result{}, err
	}
	judge, err := r.Policies(c.Settings.Policy)
	if err != nil {
		return experiment.Result{}, refuse(ErrInvalidSettings, "policy is %q: %w", c.Settings.Policy, err)
	}
	past, err := r.Ledger.Results(ctx, c.Tag())
	if err != nil {
		return experiment.Result{}, err
	}
	if in.Check != nil {
		was, err := subjectOf(*in.Check, in.Number, past)
		if err != nil {
			return experiment.Result{}, err
		}
		if in.Commit != was.Commit {
			return experiment.Result{}, refuse(ErrInvalidInput, "experiment %d measured commit %q, and its check is of %q", in.Number, experiment.ShortCommit(in.Commit), experiment.ShortCommit(was.Commit))
		}
		in.Title = checkTitle(*in.Check, was)
	}
	d := judge.Decide(policy.Input{
		Experiment: in.Number, Commit: in.Commit, Parent: in.Parent, Title: in.Title, SyntaxTokens: in.SyntaxTokens, PriorStdDev: c.PriorStdDev,
		Failure: in.Failure, Measurements: in.Measurements, Incumbent: state.Incumbent, Noise: state.Noise,
		Check: in.Check, Line: state.Line, Past: past,
	})
	if in.Check != nil && d.Incumbent.Experiment == in.Number {
		return experiment.Result{}, refuse(ErrInvalidSettings, "policy %s takes a check for a candidate: it cannot decide experiment %d (%s)", judge.Name(), in.Number, in.Title)
	}
	result := experiment.Result{
		Campaign: c.Tag(), Experiment: in.Number, Sequence: state.Decided, Commit: in.Commit, Parent: in.Parent,
		Verdict: d.Verdict, Reason: d.Reason, Message: d.Message, ValBpb: d.ValBpb,
		Title: in.Title, Proposer: in.Proposer, Measurements: in.Measurements, SyntaxTokens: in.SyntaxTokens,
		Against: state.Incumbent, Noise: state.Noise, Threshold: d.Threshold, Policy: judge.Name(), Data: c.Data, Program: in.Program,
		Incumbent: d.Incumbent, NoiseAfter: d.Noise, DecidedAt: r.now(),
		Check: in.Check, Line: d.Line, Checks: d.Checks, Voids: d.Voids, FalseKeepRate: d.FalseKeepRate,
	}
	result.Sum()
	if result.Spent, err = r.spent(ctx, in); err != nil {
		return result, err
	}
	if d.Verdict == experiment.Crash {
		result.LogTail, err = r.logTail(ctx, in)
	}
	return result, err
}

// checkTurn sees to it that the baseline is decided first. Without an incumbent
// any score would be the best one, so nothing else may come without.
func checkTurn(in DecideInput, state ledger.State) error {
	switch n, tag := in.Number, in.Campaign.Tag(); {
	case n == 0 && state.Decided > 0:
		return refuse(ErrInvalidInput, "the baseline of campaign %s is to be decided after %d other experiments", tag, state.Decided)
	case n > 0 && state.Decided == 0:
		return fmt.Errorf("experiment %d of campaign %s is decided after the baseline, which is not decided yet", n, tag) // worth another try
	case n > 0 && state.Incumbent == nil:
		return refuse(ErrInvalidInput, "experiment %d of campaign %s has nothing to be compared with: the baseline has failed", n, tag)
	}
	return nil
}

// checkTitle is a check in one line of a table: "confirm #9: a wider MLP".
func checkTitle(c experiment.Check, of experiment.Result) string {
	title := []rune(c.Title() + ": " + of.Title)
	return string(title[:min(maxTitle, len(title))])
}

// spent adds up what all proposals of an experiment cost, those that were
// repaired or made again included. The workflow could not know: one that was
// started anew has not seen them all.
func (r *Research) spent(ctx context.Context, in DecideInput) (sum experiment.Spent, err error) {
	names, err := r.artifacts(ctx, in)
	if err != nil {
		return sum, err
	}
	for _, name := range names {
		var p storedProposal
		if _, _, ok := parseRound(proposalKind, name); !ok {
			continue
		}
		if _, err := readJSON(ctx, r.Store, experiment.Key(in.Campaign.Tag(), in.Number, name), &p); err != nil {
			return sum, err
		}
		sum.Add(p.Spent)
	}
	return sum, nil
}

// artifacts lists what is stored of an experiment.
func (r *Research) artifacts(ctx context.Context, in DecideInput) (names []string, err error) {
	dir := experiment.Key(in.Campaign.Tag(), in.Number, "")
	keys, err := r.Store.List(ctx, dir)
	for _, key := range keys {
		names = append(names, strings.TrimPrefix(key, dir))
	}
	return names, err
}

// logTail finds the last lines of what crashed: the log of the first run that
// failed, or the complaint about the last proposal.
func (r *Research) logTail(ctx context.Context, in DecideInput) ([]string, error) {
	dir := experiment.Key(in.Campaign.Tag(), in.Number, "")
	names, err := r.artifacts(ctx, in)
	if err != nil {
		return nil, err
	}
	if in.Failure != nil {
		var f experiment.Failure
		if name := newestRound(failureKind, names); name != "" {
			_, err = readJSON(ctx, r.Store, dir+name, &f)
		}
		return lastLines([]byte(f.Message)), err
	}
	name := logOf(names, in.Measurements)
	if name == "" {
		return nil, nil
	}
	log, err := readArtifact(ctx, r.Store, dir+name)
	return lastLines(log), err
}

// newestRound picks the artifact of the last round of the last revision.
func newestRound(k kind, names []string) string {
	newest, at := "", [2]int{-1, -1}
	for _, name := range names {
		revision, round, ok := parseRound(k, name)
		if place := [2]int{revision, round}; ok && slices.Compare(place[:], at[:]) > 0 {
			newest, at = name, place
		}
	}
	return newest
}

var trainLog = regexp.MustCompile(`^train(?:-(\d+))?(?:-rev-(\d+))?\.log$`)

// logOf picks the log of the first run that failed, of the last revision.
func logOf(names []string, runs []experiment.Measurement) string {
	failed := max(0, slices.IndexFunc(runs, func(m experiment.Measurement) bool { return m.Failure != nil }))
	newest, at := "", [2]int{-1, -1}
	for _, name := range names {
		m := trainLog.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		run, _ := strconv.Atoi(m[1]) // run 0 and revision 0 have no number
		revision, _ := strconv.Atoi(m[2])
		// Of a revision the run that failed comes last, whatever its number.
		place := [2]int{revision, 0}
		if run == failed {
			place[1] = 1
		}
		if slices.Compare(place[:], at[:]) > 0 {
			newest, at = name, place
		}
	}
	return newest
}
