package activities

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/policy"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Decide gives the verdict on an experiment and records it. A recorded decision
// is returned as it is, whatever the input says now; what is derived from it is
// made again where it differs.
func (r *Research) Decide(ctx context.Context, in DecideInput) (DecideResult, error) {
	result, err := r.decide(ctx, in)
	if err != nil {
		return DecideResult{}, edge(err)
	}
	return DecideResult{Brief: result.Brief(), Incumbent: result.Incumbent, Noise: result.NoiseAfter}, nil
}

func (r *Research) decide(ctx context.Context, in DecideInput) (experiment.Result, error) {
	if err := checkNumbers(in.Campaign, in.Number, 0); err != nil {
		return experiment.Result{}, err
	}
	recorded, err := r.Ledger.Decided(ctx, in.Campaign.Tag(), in.Number)
	if err != nil {
		return experiment.Result{}, err
	}
	if recorded == nil {
		verdict, err := r.verdict(ctx, in)
		if err != nil {
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
	// Without an incumbent any score would be the best one, so only the
	// baseline may come without.
	if (state.Incumbent == nil) != (in.Number == 0) {
		return experiment.Result{}, refuse(ErrInvalidInput, "experiment %d of campaign %s is to be decided with incumbent %v: the baseline has none, every other experiment has one", in.Number, in.Campaign.Tag(), state.Incumbent)
	}
	judge, err := r.Policies(c.Settings.Policy)
	if err != nil {
		return experiment.Result{}, refuse(ErrInvalidSettings, "policy is %q: %w", c.Settings.Policy, err)
	}
	d := judge.Decide(policy.Input{
		Experiment: in.Number, Commit: in.Commit, Title: in.Title, SyntaxTokens: in.SyntaxTokens, PriorStdDev: c.PriorStdDev,
		Failure: in.Failure, Measurements: in.Measurements, Incumbent: state.Incumbent, Noise: state.Noise,
	})
	result := experiment.Result{
		Campaign: c.Tag(), Experiment: in.Number, Commit: in.Commit, Parent: in.Parent,
		Verdict: d.Verdict, Reason: d.Reason, Message: d.Message, ValBpb: d.ValBpb,
		Title: in.Title, Proposer: in.Proposer, Measurements: in.Measurements, SyntaxTokens: in.SyntaxTokens,
		Against: state.Incumbent, Noise: state.Noise, Threshold: d.Threshold, Policy: judge.Name(), Data: c.Data, Program: in.Program,
		Incumbent: d.Incumbent, NoiseAfter: d.Noise, DecidedAt: r.now(),
	}
	result.Sum()
	if d.Verdict == experiment.Crash {
		result.LogTail, err = r.logTail(ctx, in)
	}
	return result, err
}

// logTail finds the last lines of what crashed: the log of the first run that
// failed, or the complaint about the last proposal.
func (r *Research) logTail(ctx context.Context, in DecideInput) ([]string, error) {
	dir := experiment.Key(in.Campaign.Tag(), in.Number, "")
	keys, err := r.Store.List(ctx, dir)
	if err != nil {
		return nil, err
	}
	prefix, suffix := "failure-", ".json"
	if in.Failure == nil {
		prefix, suffix = "train", ".log"
	}
	var found []string
	for _, key := range keys {
		if name := path.Base(key); path.Dir(key)+"/" == dir && strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) {
			found = append(found, key)
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	if in.Failure != nil {
		var f experiment.Failure
		_, err := readJSON(ctx, r.Store, found[len(found)-1], &f)
		return lastLines([]byte(f.Message)), err
	}
	log, err := readArtifact(ctx, r.Store, logOf(found, in.Measurements))
	return lastLines(log), err
}

// logOf picks the log of the first run that failed: train-<run>.log, or the
// only one.
func logOf(keys []string, runs []experiment.Measurement) string {
	for run, m := range runs {
		for _, key := range keys {
			if m.Failure != nil && strings.HasSuffix(key, fmt.Sprintf("-%d.log", run)) {
				return key
			}
		}
	}
	return keys[len(keys)-1]
}
