package verify

import (
	"context"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/policy"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// redecide asks the policy again, with what is recorded: each decision on top of
// what the one before it has left.
func (c *check) redecide(context.Context) error {
	var past []experiment.Result
	for i, d := range c.decisions {
		if d.Sequence != i {
			c.note("decisions are not made again from %s on: what they were made on is missing", c.resultFile(d.Experiment))
			return nil
		}
		judge, err := c.Policies(d.Policy)
		if err != nil {
			c.note("decisions are not made again: %v", err)
			return nil
		}
		in := inputOf(d.Result, past, c.campaign.PriorStdDev)
		c.compare(d, in, judge.Decide(in))
		past = append(past, d.Result)
		if i == 0 && d.Incumbent.Commit == "" {
			return nil // the baseline has crashed, and nothing is decided after it
		}
	}
	return nil
}

// inputOf is what the policy was told.
func inputOf(r experiment.Result, past []experiment.Result, prior float64) policy.Input {
	in := policy.Input{
		Experiment: r.Experiment, Commit: r.Commit, Parent: r.Parent, Title: r.Title, SyntaxTokens: r.SyntaxTokens,
		PriorStdDev: prior, Measurements: r.Measurements, Check: r.Check, Past: past,
	}
	if len(r.Measurements) == 0 { // no candidate: its reason and message are the failure's
		in.Failure = &experiment.Failure{Reason: r.Reason, Message: r.Message}
	}
	if len(past) > 0 {
		last := past[len(past)-1]
		in.Incumbent, in.Noise, in.Line = &last.Incumbent, last.NoiseAfter, last.Line
	}
	return in
}

// decided is what a decision consists of, by the names in result.json.
type decided struct {
	Verdict       experiment.Verdict     `json:"verdict"`
	Reason        experiment.Reason      `json:"reason"`
	ValBpb        *float64               `json:"val_bpb"`
	Threshold     float64                `json:"threshold"`
	Against       *experiment.Incumbent  `json:"against"`
	Noise         experiment.Noise       `json:"noise"`
	Incumbent     experiment.Incumbent   `json:"incumbent"`
	NoiseAfter    experiment.Noise       `json:"noise_after"`
	Line          []experiment.Incumbent `json:"line,omitempty"`
	Checks        []experiment.Check     `json:"checks,omitempty"`
	Voids         []int                  `json:"voids,omitempty"`
	FalseKeepRate float64                `json:"false_keep_rate,omitempty"`
}

func (c *check) compare(d decision, in policy.Input, again policy.Decision) {
	recorded := decided{d.Verdict, d.Reason, d.ValBpb, d.Threshold, d.Against, d.Noise, d.Incumbent, d.NoiseAfter, d.Line, d.Checks, d.Voids, d.FalseKeepRate}
	expected := decided{again.Verdict, again.Reason, again.ValBpb, again.Threshold, in.Incumbent, in.Noise, again.Incumbent, again.Noise, again.Line, again.Checks, again.Voids, again.FalseKeepRate}
	if all := differences(recorded, expected); len(all) > 0 {
		const most = 4
		text := strings.Join(all[:min(most, len(all))], ", ")
		c.found(c.resultFile(d.Experiment), restore, "%s decides otherwise from what is recorded: %s", d.Policy, text)
	}
}
