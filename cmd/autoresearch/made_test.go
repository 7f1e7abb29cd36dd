package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// madeAt is when the made-up campaign began.
var madeAt = time.Date(2026, 3, 5, 9, 0, 0, 0, time.UTC)

// made is a campaign that never ran: a baseline, keeps, discards, a duplicate
// and a crash.
func made(tag string) []experiment.Result {
	rows := []struct {
		verdict experiment.Verdict
		reason  experiment.Reason
		score   float64
		title   string
	}{
		{experiment.Keep, experiment.Baseline, 2.5923, "baseline"},
		{experiment.Discard, experiment.WithinNoise, 2.5901, "raise WeightDecay from 0.1 to 0.12"},
		{experiment.Keep, experiment.Improved, 2.5312, "raise MatrixLR from 0.02 to 0.031"},
		{experiment.Crash, experiment.OOM, 0, "raise BatchSize from 16 to 512"},
		{experiment.Discard, experiment.Duplicate, 0, "raise MatrixLR from 0.02 to 0.031"},
		{experiment.Discard, experiment.Worse, 3.9100, "lower Depth from 4 to 1"},
		{experiment.Keep, experiment.Improved, 2.4312, "lower Window from 256 to 128, <b>&\"quoted\"</b>"},
	}
	var out []experiment.Result
	var best experiment.Incumbent
	for n, row := range rows {
		r := experiment.Result{
			Campaign: tag, Experiment: n, Sequence: n, Commit: fmt.Sprintf("%040x", 0xabc0000+n), Verdict: row.verdict, Reason: row.reason,
			Title: row.title, Proposer: "hpo", Policy: "threshold/1", Threshold: 0.03, Message: "made up for a test",
			Noise: experiment.Noise{StdDev: 0.02, DoF: 4}, NoiseAfter: experiment.Noise{StdDev: 0.012, DoF: 6},
			DecidedAt: madeAt.Add(time.Duration(n) * time.Minute),
			Measurements: []experiment.Measurement{{Seed: 7, ValBpb: row.score, ChargedSeconds: 60, WallSeconds: 64, Tokens: 480000,
				Steps: 937, Parameters: 1250000, PeakBytes: 300e6, Attempts: 1}},
		}
		if n > 0 {
			against := best
			r.Against, r.Parent = &against, best.Commit
		}
		if row.score > 0 {
			r.ValBpb = &row.score
		}
		if row.verdict == experiment.Keep {
			best = experiment.Incumbent{Experiment: n, Commit: r.Commit, ValBpb: row.score, Runs: 1, Title: row.title}
		}
		if row.reason == experiment.OOM {
			r.Measurements[0].Failure = &experiment.Failure{Reason: experiment.OOM, Message: "killed at 2.0 GB"}
			r.LogTail = []string{"step 1", "\x1b[31mout of memory\x1b[0m"}
		}
		r.Incumbent = best
		r.Sum()
		out = append(out, r)
	}
	return out
}

// madeParallel is a campaign that never ran either, with experiments that were
// side by side: they are decided in another order than they began, and #3 is
// not decided yet. #4 was made anew on #2, since its first parent was passed.
func madeParallel(tag string) []experiment.Result {
	one := made(tag)
	order := []int{0, 2, 1, 5, 4}
	var out []experiment.Result
	for sequence, n := range order {
		r := one[n]
		r.Sequence, r.Incumbent = sequence, one[2].Incumbent
		r.DecidedAt = madeAt.Add(time.Duration(sequence) * time.Minute)
		if against := one[2].Incumbent; sequence > 1 {
			r.Against = &against
		}
		switch n {
		case 0:
			r.Incumbent = one[0].Incumbent
		case 1, 2:
			r.Parent = one[0].Commit
		case 4:
			score := 2.5001
			r.Verdict, r.Reason, r.ValBpb, r.Title, r.Parent = experiment.Keep, experiment.Improved, &score, "raise WarmupShare from 0 to 0.05", one[2].Commit
			r.Incumbent = experiment.Incumbent{Experiment: 4, Commit: r.Commit, ValBpb: score, Runs: 1, Title: r.Title}
		}
		if n > 0 {
			r.Proposer, r.Program = "llm", strings.Repeat("ab12", 16)
			r.Spent = experiment.Spent{PromptTokens: 12345, CompletionTokens: 2100, CostUSD: 0.0123}
		}
		for i := range r.Measurements {
			r.Measurements[i].SlotSeconds, r.Measurements[i].IdleSeconds = 64, 0.25*float64(sequence)
		}
		out = append(out, r)
	}
	return out
}

// madeConfirmed is a campaign of a policy that confirms: #1 is confirmed, #2,
// which was made from it, is refuted and rolled back, #5 is void since its slot
// has drifted, and #7 is a provisional keep.
func madeConfirmed(tag string) []experiment.Result {
	rows := []struct {
		reason experiment.Reason
		score  float64
		title  string
		check  *experiment.Check
		line   []int
	}{
		{experiment.Baseline, 2.5923, "baseline", nil, []int{0}},
		{experiment.Improved, 2.5312, "raise MatrixLR from 0.02 to 0.031", nil, []int{0, 1}},
		{experiment.Improved, 2.5102, "raise WeightDecay from 0.1 to 0.12", nil, []int{0, 1, 2}},
		{experiment.Confirmed, 2.5345, "", &experiment.Check{Of: 1, Purpose: experiment.Confirm}, []int{0, 1, 2}},
		{experiment.Refuted, 2.5402, "", &experiment.Check{Of: 2, Purpose: experiment.Confirm}, []int{0, 1}},
		{experiment.Worse, 2.7012, "lower Depth from 4 to 3", nil, []int{0, 1}},
		{experiment.Drifted, 2.6001, "", &experiment.Check{Of: 1, Purpose: experiment.Drift, Slot: "train-b-0"}, []int{0, 1}},
		{experiment.Improved, 2.5011, "lower Window from 256 to 128", nil, []int{1, 7}},
	}
	known := map[int]experiment.Incumbent{}
	var out []experiment.Result
	for n, row := range rows {
		r := made(tag)[0]
		r.Experiment, r.Sequence, r.Commit = n, n, fmt.Sprintf("%040x", 0xabc0000+n)
		r.Verdict, r.Reason, r.Title, r.Check, r.Policy, r.FalseKeepRate = experiment.Keep, row.reason, row.title, row.check, "confirm/1", 0.05
		r.ValBpb, r.DecidedAt = &row.score, madeAt.Add(time.Duration(n)*time.Minute)
		r.Measurements[0].ValBpb, r.Measurements[0].Slot, r.Measurements[0].Class, r.Measurements[0].Sandbox = row.score, "train-b-0", "2 x Xeon", "namespaces, landlock"
		switch row.reason {
		case experiment.Worse, experiment.Refuted, experiment.Drifted:
			r.Verdict = experiment.Discard
		}
		if n > 0 {
			against := out[n-1].Incumbent
			r.Against, r.Parent = &against, against.Commit
		}
		if row.check != nil {
			row.check.Commit, r.Proposer, r.Measurements[0].AuditBpb = known[row.check.Of].Commit, "", row.score+0.04
			r.Commit, r.Parent, r.Title = row.check.Commit, row.check.Commit, row.check.Title()
		}
		if row.reason == experiment.Drifted {
			r.Voids = []int{5}
		}
		known[n] = experiment.Incumbent{Experiment: n, Commit: r.Commit, ValBpb: row.score, Runs: 1, Title: row.title, Confirmed: n == 0}
		if n == 3 {
			one := known[1]
			one.Confirmed, one.Fresh = true, &experiment.Estimate{ValBpb: 2.5345, Runs: 4, Low: 2.5304, High: 2.5386}
			one.Audit = &experiment.Audit{ValBpb: 2.5745, Runs: 4, Gap: 0.0012, StdErr: 0.002}
			known[1] = one
		}
		for _, m := range row.line {
			r.Line = append(r.Line, known[m])
		}
		r.Incumbent = r.Line[len(r.Line)-1]
		r.Sum()
		out = append(out, r)
	}
	return out
}

// writeMade puts a made-up campaign into a home, by the real ledger.
func writeMade(home experiment.Home, tag string, limit int, results []experiment.Result) error {
	ctx := context.Background()
	store := artifact.NewFile(home.Artifacts())
	put := func(key string, text string) error { return store.Put(ctx, key, bytes.NewReader([]byte(text))) }
	settings := experiment.Settings{Tag: tag, Budget: experiment.Duration(2 * time.Second), Limits: experiment.Limits{Experiments: limit}}.WithDefaults()
	campaign, err := json.Marshal(experiment.Campaign{Settings: settings, StartedAt: madeAt})
	if err != nil {
		return err
	}
	if err := put(experiment.CampaignKey(tag, "campaign.json"), string(campaign)); err != nil {
		return err
	}
	l := &ledger.Ledger{Home: home, Store: store}
	for _, r := range results {
		if _, err := l.Record(ctx, r); err != nil {
			return err
		}
		patch := fmt.Sprintf("--- a/train.go\n+++ b/train.go\n-\tRate = 0.02\n+\tRate = 0.031 // #%d\n", r.Experiment)
		for name, text := range map[string]string{"candidate.patch": patch, "metrics-rev-1.jsonl": madeCurve(200), "metrics.jsonl": "{}", "proposal-1-0.json": "{}", "proposal-0-1.json": "{}", "proposal.md": "# " + r.Title + "\n\n**Hypothesis.** It may help.\n"} {
			if err := put(experiment.Key(tag, r.Experiment, name), text); err != nil {
				return err
			}
		}
	}
	return nil
}

// madeCurve is the metrics of a run whose loss falls.
func madeCurve(n int) string {
	var b bytes.Buffer
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "{\"step\":%d,\"charged_seconds\":%.3f,\"loss\":%.4f}\n", i, float64(i)*60/float64(n), 1.6+4/float64(i))
	}
	return b.String()
}
