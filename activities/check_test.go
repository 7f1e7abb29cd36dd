package activities

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/policy"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// doubting is a policy that keeps what is lower, and wants each keep measured
// again: a fresh score that is no lower than the baseline's refutes it.
type doubting struct{}

func (doubting) Name() string { return "doubting/1" }

func (doubting) Decide(in policy.Input) policy.Decision {
	if in.Incumbent == nil || in.Check == nil {
		d := policy.Threshold{}.Decide(in)
		d.Line, d.FalseKeepRate = in.Line, 0.05
		if d.Verdict == experiment.Keep {
			d.Incumbent.Confirmed = in.Incumbent == nil
			d.Line = append(slices.Clone(in.Line), d.Incumbent)
			for range 10 {
				d.Checks = append(d.Checks, experiment.Check{Of: in.Experiment, Commit: in.Commit, Purpose: experiment.Confirm, Runs: 2})
			}
		}
		return d
	}
	score := in.Measurements[0].ValBpb
	d := policy.Decision{ValBpb: &score, Noise: in.Noise, Incumbent: *in.Incumbent, Line: in.Line, Verdict: experiment.Keep, Reason: experiment.Confirmed}
	if score >= *in.Past[0].ValBpb {
		d.Verdict, d.Reason, d.Message = experiment.Discard, experiment.Refuted, "it was luck"
		d.Line = in.Line[:1]
		d.Incumbent = d.Line[0]
	}
	return d
}

func doubters(string) (policy.Policy, error) { return doubting{}, nil }

// kept is a campaign in which experiment 1 was kept, and the check that it wants.
func kept(t *testing.T, r *Research) (experiment.Campaign, ApplyResult, *experiment.Check) {
	t.Helper()
	r.Policies = doubters
	c := prepared(t, r)
	baseline(t, r, c)
	applied := proposed(t, r, c, 1, 0)
	runs := measured(2.2)
	runs[0].EvalSeconds = 3.25
	d := must(t, r, r.Decide, DecideInput{Campaign: c, Number: 1, Parent: c.Base, Commit: applied.Commit, Title: "set LR", SyntaxTokens: applied.SyntaxTokens, Measurements: runs})
	if d.Brief.Verdict != experiment.Keep || len(d.Checks) != maxChecks || d.Incumbent.EvalSeconds != 3.25 || d.Confirmed.Experiment != 0 {
		t.Fatalf("decided: %s", asJSON(t, d))
	}
	check := d.Checks[0]
	check.Runs = 0
	return c, applied, &check
}

func checkInput(c experiment.Campaign, n int, check *experiment.Check, score float64) DecideInput {
	return DecideInput{Campaign: c, Number: n, Parent: check.Commit, Commit: check.Commit, Title: check.Title(), Measurements: measured(score), Check: check}
}

// A check trains the sources of its candidate without a build, a smoke run, or
// being taken for a duplicate. Refuted, it moves the incumbent back, and with it
// the branches.
func TestCheckRollsBack(t *testing.T) {
	dir := newCheckout(t)
	r := newResearch(t, dir, setLR("0.02"))
	c, applied, check := kept(t, r)
	if at := git(t, dir, "rev-parse", "autoresearch/mar5"); at != applied.Commit {
		t.Fatalf("the branch is at %s", at)
	}
	in := ApplyInput{Campaign: c, Number: 2, Parent: check.Commit, Check: check}
	again := must(t, r, r.Apply, in)
	if again.Commit != applied.Commit || again.Source != applied.Source || again.GraphDigest != applied.GraphDigest || again.SyntaxTokens != applied.SyntaxTokens || again.Failure != nil {
		t.Errorf("the check trains %s, not %s", asJSON(t, again), asJSON(t, applied))
	}
	if keys, _ := r.Store.List(t.Context(), "mar5/0002/"); len(keys) != 2 {
		t.Errorf("it leaves %v, not only apply-0-0.json and check.json", keys)
	}
	if at := git(t, r.Home.Repo(), "rev-parse", experiment.CandidateRef("mar5", 2)); at != applied.Commit {
		t.Errorf("its ref is at %s", at)
	}

	open := must(t, r, r.Prepare, PrepareInput{testSettings()}).Ledger
	if len(open.Open) != 1 || open.Open[0].Number != 2 || *open.Open[0].Check != *check || open.Open[0].Parent.Commit != check.Commit || open.Next != 3 || len(open.Checks) != maxChecks || open.Incumbent.EvalSeconds != 3.25 || *open.RawMinimum != 2.2 {
		t.Errorf("the ledger is %s", asJSON(t, open))
	}

	d := must(t, r, r.Decide, checkInput(c, 2, check, 2.6))
	if d.Brief.Title != "confirm #1: set LR" || d.Brief.Reason != experiment.Refuted || d.Incumbent.Commit != c.Base || *d.Brief.Check != *check || d.Checks != nil {
		t.Errorf("decided: %s", asJSON(t, d))
	}
	if again := must(t, r, r.Decide, checkInput(c, 2, check, 1.0)); asJSON(t, again) != asJSON(t, d) {
		t.Errorf("decided again: %s, and before %s", asJSON(t, again), asJSON(t, d))
	}
	for where, ref := range map[string]string{dir: "autoresearch/mar5", r.Home.Repo(): "refs/heads/autoresearch/mar5"} {
		if at := git(t, where, "rev-parse", ref); at != c.Base {
			t.Errorf("%s of %s is at %s, want the baseline's %s", ref, where, at, c.Base)
		}
	}
	table, err := os.ReadFile(r.Home.Results("mar5"))
	if err != nil || !strings.Contains(string(table), "check\tconfirm #1: set LR\t2\t") {
		t.Errorf("the table is %s, %v", table, err)
	}
	s := must(t, r, r.Prepare, PrepareInput{testSettings()}).Ledger
	if tally := (experiment.Tally{Experiments: 1, Kept: 1, Checks: 1, RolledBack: 1}); s.Tally != tally || s.Incumbent.Commit != c.Base || len(s.Line) != 1 || s.Open != nil {
		t.Errorf("the ledger is %s", asJSON(t, s))
	}
}

// What Apply found is gone: the candidate is built and tried once more.
func TestCheckBuildsAgain(t *testing.T) {
	r := newResearch(t, newCheckout(t), setLR("0.02"))
	c, applied, check := kept(t, r)
	if err := os.Remove(filepath.Join(r.Home.Artifacts(), applyKey("mar5", 1, 0, 0))); err != nil {
		t.Fatal(err)
	}
	again := must(t, r, r.Apply, ApplyInput{Campaign: c, Number: 2, Parent: check.Commit, Check: check})
	again.Seconds, applied.Seconds = 0, 0
	if asJSON(t, again) != asJSON(t, applied) {
		t.Errorf("the check trains %s, not %s", asJSON(t, again), asJSON(t, applied))
	}
	artifactText(t, r, c, 2, "smoke.log")
}

// The home has lost its repository: the store has what training needs.
func TestCheckWithoutItsCommit(t *testing.T) {
	dir := newCheckout(t)
	r := newResearch(t, dir, setLR("0.02"))
	c, applied, check := kept(t, r)
	if err := os.RemoveAll(r.Home.Repo()); err != nil {
		t.Fatal(err)
	}
	r = newResearch(t, dir, nil)
	again := must(t, r, r.Apply, ApplyInput{Campaign: c, Number: 2, Parent: check.Commit, Check: check})
	if again.Commit != applied.Commit || again.Source != applied.Source {
		t.Errorf("the check trains %s, not %s", asJSON(t, again), asJSON(t, applied))
	}
}

func TestChecksThatMakeNoSense(t *testing.T) {
	r := newResearch(t, newCheckout(t), setLR("0.02"))
	c, applied, check := kept(t, r)
	must(t, r, r.Apply, ApplyInput{Campaign: c, Number: 2, Parent: check.Commit, Check: check})
	must(t, r, r.Decide, checkInput(c, 2, check, 2.2))
	for name, tc := range map[string]struct {
		check experiment.Check
		says  string
	}{
		"unknown experiment": {experiment.Check{Of: 7, Commit: applied.Commit, Purpose: experiment.Confirm}, "experiment 7 again, which is not decided"},
		"itself":             {experiment.Check{Of: 3, Commit: applied.Commit, Purpose: experiment.Confirm}, "which is not decided"},
		"another commit":     {experiment.Check{Of: 1, Commit: c.Base, Purpose: experiment.Confirm}, "as that of experiment 1, whose commit is"},
		"no commit":          {experiment.Check{Of: 1, Purpose: experiment.Confirm}, `measure commit ""`},
		"a check":            {experiment.Check{Of: 2, Commit: applied.Commit, Purpose: experiment.Confirm}, "name the one it measured, 1"},
	} {
		_, err := do(t, r, r.Decide, checkInput(c, 3, &tc.check, 2.2))
		wantRefusal(t, err, ErrInvalidInput, false, tc.says)
		_, err = do(t, r, r.Apply, ApplyInput{Campaign: c, Number: 4 + len(name), Parent: tc.check.Commit, Check: &tc.check})
		wantRefusal(t, err, ErrInvalidInput, false, "is to measure")
	}
	other := checkInput(c, 3, check, 2.2)
	other.Commit = c.Base
	_, err := do(t, r, r.Decide, other)
	wantRefusal(t, err, ErrInvalidInput, false, "and its check is of")

	drift := experiment.Check{Of: 1, Commit: applied.Commit, Purpose: experiment.Drift, Slot: "train-cpu@vm/1"}
	must(t, r, r.Apply, ApplyInput{Campaign: c, Number: 3, Parent: check.Commit, Check: check})
	_, err = do(t, r, r.Apply, ApplyInput{Campaign: c, Number: 3, Revision: 1, Parent: check.Commit, Check: &drift})
	wantRefusal(t, err, ErrInvalidInput, false, "experiment 3 is confirm #1 already, says mar5/0003/check.json, and not drift #1")

	r.Policies = policy.ByName
	_, err = do(t, r, r.Decide, checkInput(c, 3, check, 1))
	wantRefusal(t, err, ErrInvalidSettings, false, "policy threshold/1 takes a check for a candidate")
}

// A number that was begun for a check is never run as anything else.
func TestOpenChecks(t *testing.T) {
	r := newResearch(t, newCheckout(t), setLR("0.02"))
	c, _, check := kept(t, r)
	for n, more := range map[int][]string{2: nil, 3: {"run-0.json", "train.log"}} {
		must(t, r, r.Apply, ApplyInput{Campaign: c, Number: n, Parent: check.Commit, Check: check})
		stored{n: n, more: more}.put(t, r)
	}
	open := must(t, r, r.Prepare, PrepareInput{testSettings()}).Ledger.Open
	if len(open) != 2 || *open[0].Check != *check || open[0].Trained || *open[1].Check != *check || !open[1].Trained {
		t.Errorf("open are %s", asJSON(t, open))
	}
}
