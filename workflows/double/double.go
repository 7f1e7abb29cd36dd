// Package double stands in for the activities: the same names, inputs and
// results, but no git, no files and no training. The workflows' tests, the
// recorder of histories and the loop benchmark run on it.
//
// One [Double] is the world of one campaign: it remembers decisions as the
// ledger does, so retries, restarts and repeated starts of a campaign are
// answered as the real activities answer them. Its fields change what happens;
// the zero value is a campaign in which nothing goes wrong. It never fails on
// its own.
package double

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Double implements the methods of activities.Research and activities.Train.
type Double struct {
	// The hooks are called without a lock, possibly at once. Nil is the default.
	OnPrepare    func(activities.PrepareInput) error
	OnPropose    func(activities.ProposeInput) error
	OnApply      func(activities.ApplyInput) *experiment.Failure
	OnTrain      func(context.Context, activities.TrainInput) (*experiment.Failure, error)
	OnEvaluate   func(activities.EvaluateInput) (*experiment.Failure, error)
	OnDecide     func(activities.DecideInput) error
	OnSetProgram func(activities.SetProgramInput) error
	OnTakeIdea   func(activities.TakeIdeaInput) error
	// Judge plays a policy that confirms: it may change what was decided before
	// that is recorded. Past is the ledger. A check finds what it measured
	// confirmed, unless Judge says otherwise.
	Judge func(in activities.DecideInput, past []activities.DecideResult, r *activities.DecideResult)

	// Score is the val_bpb of a run; default: it falls by 0.01 with each experiment.
	Score func(n, run int) float64
	// Rebases makes proposals that are carried over to another parent; otherwise
	// they are made anew, as by hpo.
	Rebases bool
	// Slot is the task queue that Train names for Evaluate; default train-cpu.
	Slot string
	// Start is the campaign's time of start.
	Start time.Time

	mu       sync.Mutex
	calls    []string // "propose 7/0"
	hints    []string // of all proposals
	recorded *experiment.Settings
	results  []activities.DecideResult
	begun    map[int]activities.OpenExperiment // proposed, by number
	spent    map[int]experiment.Spent
}

// Register makes d's activities known to a worker or a test environment.
func Register(w interface {
	RegisterActivityWithOptions(any, activity.RegisterOptions)
}, d *Double) {
	w.RegisterActivityWithOptions(d, activity.RegisterOptions{SkipInvalidStructFunctions: true}) // the others are for tests
}

// Calls lists what was called, in order: "train 0/2".
func (d *Double) Calls() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.calls...)
}

// Hints lists the hints that proposals were given, in order.
func (d *Double) Hints() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.hints...)
}

// Decided is the ledger.
func (d *Double) Decided() []activities.DecideResult {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]activities.DecideResult(nil), d.results...)
}

func (d *Double) note(step string, n, k int) { d.log(fmt.Sprintf("%s %d/%d", step, n, k)) }

// noteRevision is "propose 7/0", and "propose 7.2/0" for the second revision.
func (d *Double) noteRevision(step string, n, revision, k int) {
	if revision == 0 {
		d.note(step, n, k)
		return
	}
	d.log(fmt.Sprintf("%s %d.%d/%d", step, n, revision, k))
}

func (d *Double) log(call string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, call)
}

// Prepare answers with the campaign and what the ledger holds.
func (d *Double) Prepare(_ context.Context, in activities.PrepareInput) (activities.PrepareResult, error) {
	d.note("prepare", 0, 0)
	if d.OnPrepare != nil {
		if err := d.OnPrepare(in); err != nil {
			return activities.PrepareResult{}, err
		}
	}
	settings, err := d.settings(in.Settings)
	if err != nil {
		return activities.PrepareResult{}, err
	}
	return activities.PrepareResult{
		Campaign: experiment.Campaign{
			Settings: settings, Base: Digest("base")[:40], Data: Digest("data"), Program: Digest("program"),
			Evaluator: Digest("evaluator"), PriorStdDev: 0.02, StartedAt: d.Start,
		},
		Ledger: d.ledger(),
	}, nil
}

// settings are those that the campaign was begun with, with the limits of now.
func (d *Double) settings(given experiment.Settings) (experiment.Settings, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.recorded == nil {
		s := given.WithDefaults()
		d.recorded = &s
	}
	if conflict := d.recorded.Conflict(given); conflict != "" {
		return given, temporal.NewNonRetryableApplicationError(conflict, activities.ErrSettingsConflict, nil)
	}
	s := *d.recorded
	s.Limits = given.Limits
	return s, nil
}

func (d *Double) ledger() activities.LedgerState {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := activities.LedgerState{Decided: len(d.results)}
	for _, r := range d.results {
		l.Next = max(l.Next, r.Brief.Experiment+1)
		l.Noise = r.Noise
		if r.Incumbent.Commit != "" {
			incumbent := r.Incumbent
			l.Incumbent = &incumbent
		}
		if r.Brief.Experiment == 0 {
			l.Baseline = l.Incumbent
		} else {
			l.Tally.Count(r.Brief)
		}
		l.Recent = append(l.Recent, r.Brief)
		l.Checks, l.FalseKeepRate = r.Checks, r.FalseKeepRate
		if l.Line = nil; r.Confirmed != nil {
			l.Line = []experiment.Incumbent{*r.Confirmed}
		}
	}
	l.Recent = l.Recent[max(0, len(l.Recent)-10):]
	for _, n := range slices.Sorted(maps.Keys(d.begun)) {
		if !slices.ContainsFunc(d.results, func(r activities.DecideResult) bool { return r.Brief.Experiment == n }) {
			l.Open = append(l.Open, d.begun[n])
			l.Next = max(l.Next, n+1)
		}
	}
	return l
}

// Propose names a change after its number and revision.
func (d *Double) Propose(_ context.Context, in activities.ProposeInput) (activities.ProposeResult, error) {
	d.noteRevision("propose", in.Number, in.Revision, in.Round)
	d.mu.Lock()
	d.hints = append(d.hints, in.Hints...)
	d.mu.Unlock()
	if d.OnPropose != nil {
		if err := d.OnPropose(in); err != nil {
			return activities.ProposeResult{}, err
		}
	}
	d.begin(activities.OpenExperiment{Number: in.Number, Revision: in.Revision, Parent: in.Parent})
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.spent == nil {
		d.spent = map[int]experiment.Spent{}
	}
	out := activities.ProposeResult{Title: fmt.Sprintf("raise MatrixLR from 0.02 to %.4f", 0.02+float64(in.Number)/1000), Proposer: "double", Program: Digest("program")}
	switch {
	case in.Idea != "":
		out.Proposer, out.Title = experiment.Person, "a person's idea"
		out.Rebased = in.Revision > 0
	case d.Rebases:
		out.Rebased = in.Revision > 0
		out.Spent = experiment.Spent{PromptTokens: 9000, CompletionTokens: 700, CostUSD: 0.01}
		if out.Rebased {
			out.Spent = experiment.Spent{}
		}
		sum := d.spent[in.Number]
		sum.Add(out.Spent)
		d.spent[in.Number] = sum
	}
	return out, nil
}

// begin remembers what a number is for.
func (d *Double) begin(o activities.OpenExperiment) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.begun == nil {
		d.begun = map[int]activities.OpenExperiment{}
	}
	d.begun[o.Number] = o
}

// Apply makes a commit out of the number and round.
func (d *Double) Apply(_ context.Context, in activities.ApplyInput) (activities.ApplyResult, error) {
	d.noteRevision("apply", in.Number, in.Revision, in.Round)
	if d.OnApply != nil {
		if f := d.OnApply(in); f != nil {
			return activities.ApplyResult{Failure: f}, nil
		}
	}
	if in.Check != nil {
		d.begin(activities.OpenExperiment{Number: in.Number, Check: in.Check})
	}
	return activities.ApplyResult{
		Commit: commit(in), Source: Digest("source", in.Number, in.Revision, in.Round),
		GraphDigest: Digest("graph", in.Number), SyntaxTokens: 4000, Seconds: 2.5,
	}, nil
}

// commit is the candidate's, and the parent itself for the baseline and checks.
func commit(in activities.ApplyInput) string {
	if in.Baseline || in.Check != nil {
		return in.Parent
	}
	return Digest("commit", in.Number, in.Revision, in.Round)[:40]
}

// Train trains nothing.
func (d *Double) Train(ctx context.Context, in activities.TrainInput) (activities.TrainResult, error) {
	d.note("train", in.Number, in.Run)
	if in.Again > 0 {
		d.note("train again", in.Number, in.Run)
	}
	m := experiment.Measurement{
		Seed: in.Seed, ChargedSeconds: 60.02, WallSeconds: 61.4, Tokens: 4_915_200, Steps: 1200,
		Parameters: 1_234_567, PeakBytes: 345_678_901, Attempts: 1, SlotSeconds: 64.5, IdleSeconds: 0.25,
	}
	if d.OnTrain != nil {
		failure, err := d.OnTrain(ctx, in)
		if err != nil {
			return activities.TrainResult{}, err
		}
		m.Failure = failure
	}
	slot := d.Slot
	if slot == "" {
		slot = "train-cpu"
	}
	return activities.TrainResult{Measurement: m, Slot: slot, Model: Digest("model", in.Number, in.Run)}, nil
}

// Evaluate scores by Score.
func (d *Double) Evaluate(_ context.Context, in activities.EvaluateInput) (activities.EvaluateResult, error) {
	d.note("evaluate", in.Number, in.Run)
	m := in.Measurement
	m.EvalSeconds, m.GraphDigest = 3.1, in.GraphDigest
	if d.OnEvaluate != nil {
		failure, err := d.OnEvaluate(in)
		if err != nil {
			return activities.EvaluateResult{}, err
		}
		m.Failure = failure
	}
	if m.ValBpb = 3.5 - 0.01*float64(in.Number); d.Score != nil {
		m.ValBpb = d.Score(in.Number, in.Run)
	}
	return activities.EvaluateResult{Measurement: m}, nil
}

// Decide keeps what is better than the incumbent. The first answer for a number
// stands, as in the ledger.
func (d *Double) Decide(_ context.Context, in activities.DecideInput) (activities.DecideResult, error) {
	d.note("decide", in.Number, 0)
	if d.OnDecide != nil {
		if err := d.OnDecide(in); err != nil {
			return activities.DecideResult{}, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.results {
		if r.Brief.Experiment == in.Number {
			return r, nil
		}
	}
	var incumbent *experiment.Incumbent
	if last := len(d.results); last > 0 && d.results[last-1].Incumbent.Commit != "" {
		incumbent = &d.results[last-1].Incumbent
	}
	r := decide(in, incumbent, d.spent[in.Number])
	r.Sequence = len(d.results)
	r.Brief.Sequence, r.Brief.Check = r.Sequence, in.Check
	if d.Judge != nil {
		d.Judge(in, d.results, &r)
	}
	d.results = append(d.results, r)
	return r, nil
}

func decide(in activities.DecideInput, incumbent *experiment.Incumbent, spent experiment.Spent) activities.DecideResult {
	r := activities.DecideResult{
		Brief: experiment.Brief{Experiment: in.Number, Title: in.Title, Commit: in.Commit},
		Noise: experiment.Noise{StdDev: 0.012345678, DoF: 6}, Spent: spent,
	}
	if incumbent != nil {
		r.Incumbent = *incumbent
	}
	failure, score := in.Failure, 0.0
	for _, m := range in.Measurements {
		score += m.ValBpb / float64(len(in.Measurements))
		if m.Failure != nil {
			failure = m.Failure
		}
	}
	switch {
	case failure != nil && failure.Reason == experiment.Rejected:
		r.Brief.Verdict, r.Brief.Reason = experiment.Discard, failure.Reason
		return r
	case failure != nil:
		r.Brief.Verdict, r.Brief.Reason = experiment.Crash, failure.Reason
		return r
	case in.Check != nil:
		r.Brief.Verdict, r.Brief.Reason, r.Brief.ValBpb = experiment.Keep, experiment.Confirmed, &score
		return r
	case incumbent == nil:
		r.Brief.Verdict, r.Brief.Reason = experiment.Keep, experiment.Baseline
	case score < incumbent.ValBpb:
		r.Brief.Verdict, r.Brief.Reason = experiment.Keep, experiment.Improved
	default:
		r.Brief.Verdict, r.Brief.Reason = experiment.Discard, experiment.Worse
	}
	r.Brief.ValBpb = &score
	if r.Brief.Verdict == experiment.Keep {
		r.Incumbent = experiment.Incumbent{
			Experiment: in.Number, Commit: in.Commit, ValBpb: score, Runs: len(in.Measurements),
			SyntaxTokens: in.SyntaxTokens, Title: in.Title,
		}
	}
	return r
}

// SetProgram gives the digest of the text.
func (d *Double) SetProgram(_ context.Context, in activities.SetProgramInput) (activities.SetProgramResult, error) {
	d.note("set_program", 0, 0)
	if d.OnSetProgram != nil {
		if err := d.OnSetProgram(in); err != nil {
			return activities.SetProgramResult{}, err
		}
	}
	if in.Text == "" {
		return activities.SetProgramResult{}, nil
	}
	return activities.SetProgramResult{Program: Digest(in.Text)}, nil
}

// TakeIdea takes every patch.
func (d *Double) TakeIdea(_ context.Context, in activities.TakeIdeaInput) (activities.TakeIdeaResult, error) {
	d.note("idea", 0, 0)
	if d.OnTakeIdea != nil {
		if err := d.OnTakeIdea(in); err != nil {
			return activities.TakeIdeaResult{}, err
		}
	}
	return activities.TakeIdeaResult{Idea: Digest(in.Patch), Title: in.Title}, nil
}

// Digest is a stand-in for any digest, of its real length.
func Digest(parts ...any) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(fmt.Sprint(parts...))))
}

// Refusal is the error of an activity that no retry can help.
func Refusal(message string) error {
	return temporal.NewNonRetryableApplicationError(message, "Refused", nil)
}
