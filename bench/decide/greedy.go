package main

import (
	"github.com/autoresearch-go/autoresearch/activities/policy"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// greedy keeps whatever is lower once: what the agents of other systems do.
type greedy struct{}

func (greedy) Name() string { return "greedy" }

func (greedy) Decide(in policy.Input) policy.Decision {
	d := policy.Decision{Noise: in.Noise, Verdict: experiment.Discard, Reason: experiment.Worse}
	if in.Incumbent != nil {
		d.Incumbent = *in.Incumbent
	}
	sum := 0.0
	for _, m := range in.Measurements {
		if m.Failure != nil {
			d.Verdict, d.Reason = experiment.Crash, m.Failure.Reason
			return d
		}
		sum += m.ValBpb
	}
	val := sum / float64(len(in.Measurements))
	d.ValBpb = &val
	if in.Incumbent == nil || val < in.Incumbent.ValBpb {
		d.Verdict, d.Reason = experiment.Keep, experiment.Improved
		d.Incumbent = experiment.Incumbent{Experiment: in.Experiment, Commit: in.Commit, ValBpb: val, Runs: len(in.Measurements)}
	}
	return d
}
