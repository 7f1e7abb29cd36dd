package activities

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// faultyStore calls fault once, before or after its at-th write; an error of
// fault before is the write's.
type faultyStore struct {
	artifact.Store
	at, writes int
	fault      func(before bool) error
}

func (s *faultyStore) write(do func() error) error {
	s.writes++
	if s.writes != s.at {
		return do()
	}
	if err := s.fault(true); err != nil {
		return err
	}
	err := do()
	return errors.Join(err, s.fault(false))
}

func (s *faultyStore) Put(ctx context.Context, key string, r io.Reader) error {
	return s.write(func() error { return s.Store.Put(ctx, key, r) })
}

func (s *faultyStore) PutOnce(ctx context.Context, key string, data []byte) (stored []byte, err error) {
	err = s.write(func() (err error) { stored, err = s.Store.PutOnce(ctx, key, data); return err })
	return stored, err
}

// keepInput is the decision on a candidate that is clearly better.
func keepInput(c experiment.Campaign, commit string, score float64) DecideInput {
	return DecideInput{
		Campaign: c, Number: 1, Parent: c.Base, Commit: commit, Title: "set LR to 0.02", Proposer: "script", Program: c.Program, SyntaxTokens: 20,
		Measurements: measured(score),
	}
}

// oneExperiment is a campaign whose first candidate waits for its verdict.
func oneExperiment(t *testing.T) (r *Research, dir string, in DecideInput) {
	t.Helper()
	dir = newCheckout(t)
	r = newResearch(t, dir, setLR("0.02"))
	c := prepared(t, r)
	baseline(t, r, c)
	return r, dir, keepInput(c, proposed(t, r, c, 1, 0).Commit, 2.2)
}

// wantDecided checks that the ledger holds experiment 1 once, everywhere.
func wantDecided(t *testing.T, r *Research, dir string, in DecideInput) {
	t.Helper()
	results, err := r.Ledger.Results(t.Context(), "mar5")
	if err != nil || len(results) != 2 || results[1].Verdict != experiment.Keep || results[1].Incumbent.Commit != in.Commit {
		t.Errorf("results are %s, %v", asJSON(t, results), err)
	}
	table, err := os.ReadFile(r.Home.Results("mar5"))
	if err != nil || strings.Count(string(table), "\n") != 3 || strings.Count(string(table), "set LR to 0.02") != 1 {
		t.Errorf("results.tsv is\n%s, %v", table, err)
	}
	for where, ref := range map[string]string{dir: "autoresearch/mar5", r.Home.Repo(): "refs/heads/autoresearch/mar5"} {
		if at := git(t, where, "rev-parse", ref); at != in.Commit {
			t.Errorf("%s of %s is at %s, want %s", ref, where, at, in.Commit)
		}
	}
	if at := git(t, r.Home.Repo(), "rev-parse", experiment.CandidateRef("mar5", 1)); at != in.Commit {
		t.Errorf("the candidate's ref is at %s", at)
	}
	if refs := git(t, dir, "for-each-ref", "--format=%(refname)"); refs != "refs/heads/autoresearch/mar5\nrefs/heads/main" {
		t.Errorf("the checkout has the refs %s", refs)
	}
}

func TestDecide(t *testing.T) {
	r, dir, in := oneExperiment(t)
	first := must(t, r, r.Decide, in)
	wantDecided(t, r, dir, in)
	if first.Sequence != 1 || first.Brief.Sequence != 1 || first.Incumbent.Experiment != 1 || first.Brief.Verdict != experiment.Keep || *first.Brief.ValBpb != 2.2 {
		t.Errorf("DecideResult is %s", asJSON(t, first))
	}
	// A retry returns what is recorded, whatever it is told now, and repairs.
	git(t, dir, "branch", "-D", "autoresearch/mar5")
	if err := os.Remove(r.Home.Results("mar5")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Repo.MoveRef(t.Context(), "refs/heads/autoresearch/mar5", in.Campaign.Base); err != nil {
		t.Fatal(err)
	}
	late := in
	late.Measurements = measured(9)
	if again := must(t, r, r.Decide, late); asJSON(t, again) != asJSON(t, first) {
		t.Errorf("the second decision is %s, the first %s", asJSON(t, again), asJSON(t, first))
	}
	wantDecided(t, r, dir, in)
	record, err := r.Ledger.Decided(t.Context(), "mar5", 1)
	if err != nil || record.Data != in.Campaign.Data || record.Program != in.Campaign.Program || record.ChargedSeconds != 2 || record.Against.ValBpb != 2.505 || record.Policy != "threshold/1" || record.Sequence != 1 {
		t.Errorf("the record is %s, %v", asJSON(t, record), err)
	}
}

func TestCrashKeepsTheLogsEnd(t *testing.T) {
	r, _, in := oneExperiment(t)
	var log strings.Builder
	for i := range 100 {
		fmt.Fprintln(&log, "line", i)
	}
	for name, text := range map[string]string{"train.log": log.String(), "train-1.log": "the second run\n"} {
		if err := putText(t.Context(), r.Store, experiment.Key("mar5", 1, name), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	in.Measurements = []experiment.Measurement{{Failure: &experiment.Failure{Reason: experiment.NaN, Message: "loss is NaN at step 7"}}}
	got := must(t, r, r.Decide, in)
	if got.Brief.Verdict != experiment.Crash || got.Brief.Reason != experiment.NaN || got.Incumbent.Commit != in.Campaign.Base {
		t.Errorf("DecideResult is %s", asJSON(t, got))
	}
	record, err := r.Ledger.Decided(t.Context(), "mar5", 1)
	if err != nil || len(record.LogTail) != 40 || record.LogTail[39] != "line 99" {
		t.Errorf("log tail is %q, %v", record.LogTail, err)
	}
}

func TestWhichLogIsKept(t *testing.T) {
	none, failed := experiment.Measurement{}, experiment.Measurement{Failure: &experiment.Failure{}}
	for what, c := range map[string]struct {
		names []string
		runs  []experiment.Measurement
		want  string
	}{
		"one run":           {[]string{"build.log", "train.log"}, []experiment.Measurement{failed}, "train.log"},
		"second of three":   {[]string{"train-1.log", "train-2.log", "train.log"}, []experiment.Measurement{none, failed, failed}, "train-1.log"},
		"newest revision":   {[]string{"train-rev-10.log", "train-rev-9.log", "train.log"}, []experiment.Measurement{failed}, "train-rev-10.log"},
		"of that the run":   {[]string{"train-1-rev-2.log", "train-1.log", "train-rev-2.log"}, []experiment.Measurement{none, failed}, "train-1-rev-2.log"},
		"its log is lost":   {[]string{"train.log"}, []experiment.Measurement{none, failed}, "train.log"},
		"no score, no fail": {[]string{"train-1.log", "train.log"}, []experiment.Measurement{none, none}, "train.log"},
		"none":              {[]string{"build.log", "trainer.log", "train-x.log"}, []experiment.Measurement{failed}, ""},
	} {
		if got := logOf(c.names, c.runs); got != c.want {
			t.Errorf("%s: logOf = %q, want %q", what, got, c.want)
		}
	}
	if got := newestRound(failureKind, []string{"failure-0-2.json", "failure-10-0.json", "failure-2-1.json", "proposal-11-0.json"}); got != "failure-10-0.json" {
		t.Errorf("newestRound = %q", got)
	}
}

func TestFailedApplyIsDecided(t *testing.T) {
	r := newResearch(t, newCheckout(t), edited(experiment.Edit{Path: "noop/train.go", Search: `"ok"`, Replace: `"build-failed"`}))
	c := prepared(t, r)
	baseline(t, r, c)
	applied := proposed(t, r, c, 1, 0)
	in := keepInput(c, applied.Commit, 0)
	in.Failure, in.Measurements = applied.Failure, nil
	got := must(t, r, r.Decide, in)
	record, err := r.Ledger.Decided(t.Context(), "mar5", 1)
	if err != nil || got.Brief.Reason != experiment.BuildFailed || len(record.LogTail) == 0 || record.ValBpb != nil {
		t.Errorf("decided %s, record %s, %v", asJSON(t, got), asJSON(t, record), err)
	}
}

// TestKill kills a process that applies and decides with SIGKILL at each git
// command that it runs, and does both again in another. The git on its path is
// a script that counts, and kills its parent instead of the k-th command.
func TestKill(t *testing.T) {
	original := newCheckout(t)
	r := newResearch(t, original, setLR("0.02"))
	c := prepared(t, r)
	baseline(t, r, c)
	must(t, r, r.Propose, ProposeInput{Campaign: c, Number: 1, Parent: experiment.Incumbent{Commit: c.Base}})
	copied := func() string {
		dir := filepath.Join(t.TempDir(), "checkout")
		if err := os.CopyFS(dir, os.DirFS(original)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	want := applyAndDecide(t, copied())
	killed := 0
	for k := 1; ; k++ {
		dir := copied()
		if !killedAtGit(t, "TestKilledProcess", dir, k) {
			break // it ran fewer than k commands
		}
		killed++
		in := applyAndDecide(t, dir)
		if in.Commit != want.Commit {
			t.Errorf("after a kill at command %d the candidate is %s, not %s", k, in.Commit, want.Commit)
		}
		wantDecided(t, newResearch(t, dir, nil), dir, in)
	}
	if killed < 20 {
		t.Errorf("only %d kills: is git found by its name?", killed)
	}
	t.Log("killed at", killed, "commands")
}

// TestKilledProcess is the process that is killed.
func TestKilledProcess(t *testing.T) {
	dir := os.Getenv("KILLED_IN")
	if dir == "" {
		t.Skip("runs as a process of TestKill")
	}
	applyAndDecide(t, dir)
}

// applyAndDecide ends experiment 1 in a process that knows only its home.
func applyAndDecide(t *testing.T, dir string) DecideInput {
	t.Helper()
	r := newResearch(t, dir, nil)
	var c experiment.Campaign
	if _, err := readJSON(t.Context(), r.Store, experiment.CampaignKey("mar5", campaignFile), &c); err != nil {
		t.Fatal(err)
	}
	applied := must(t, r, r.Apply, ApplyInput{Campaign: c, Number: 1, Parent: c.Base})
	if applied.Failure != nil {
		t.Fatal(applied.Failure)
	}
	in := keepInput(c, applied.Commit, 2.2)
	must(t, r, r.Decide, in)
	return in
}

// TestEachActivitySurvivesFailedWrites fails every write of a campaign's first
// two experiments once, before or after it took place, and repeats the activity
// as Temporal does: the table is that of a campaign without trouble.
func TestEachActivitySurvivesFailedWrites(t *testing.T) {
	run := func(fault func(before bool) error) (table string, failed int) {
		r := newResearch(t, newCheckout(t), setLR("0.02"))
		moody := &moodyStore{Store: r.Store, fault: fault, failed: map[string]bool{}}
		r.Store, r.Ledger.Store = moody, moody
		c := again(r.Prepare, PrepareInput{testSettings()}).Campaign
		base := again(r.Apply, ApplyInput{Campaign: c, Parent: c.Base, Baseline: true})
		again(r.Decide, DecideInput{Campaign: c, Parent: c.Base, Commit: base.Commit, Title: "baseline", Measurements: measured(2.5, 2.51)})
		again(r.Propose, ProposeInput{Campaign: c, Number: 1, Parent: experiment.Incumbent{Commit: c.Base}})
		one := again(r.Apply, ApplyInput{Campaign: c, Number: 1, Parent: c.Base})
		again(r.Decide, keepInput(c, one.Commit, 2.2))
		b, err := os.ReadFile(r.Home.Results("mar5"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b), len(moody.failed)
	}
	want, _ := run(func(bool) error { return nil })
	for _, before := range []bool{true, false} {
		got, failed := run(func(b bool) error {
			if b == before {
				return syscall.EIO
			}
			return nil
		})
		if got != want {
			t.Errorf("with failing writes the table is\n%s\nand without\n%s", got, want)
		}
		if failed < 20 {
			t.Errorf("only %d writes failed", failed)
		}
	}
}

// moodyStore has its fault at the first write of each key.
type moodyStore struct {
	artifact.Store
	fault  func(before bool) error
	failed map[string]bool
}

func (s *moodyStore) write(key string, do func() error) error {
	if s.failed[key] {
		return do()
	}
	s.failed[key] = true
	if err := s.fault(true); err != nil {
		return err
	}
	return errors.Join(do(), s.fault(false))
}

func (s *moodyStore) Put(ctx context.Context, key string, r io.Reader) error {
	return s.write(key, func() error { return s.Store.Put(ctx, key, r) })
}

func (s *moodyStore) PutOnce(ctx context.Context, key string, data []byte) (stored []byte, err error) {
	err = s.write(key, func() (err error) { stored, err = s.Store.PutOnce(ctx, key, data); return err })
	return stored, err
}

// again calls an activity until it succeeds.
func again[I, O any](method func(context.Context, I) (O, error), in I) O {
	for try := 0; ; try++ {
		out, err := method(context.Background(), in)
		if err == nil {
			return out
		}
		if try == 30 {
			panic(err)
		}
	}
}

// What all revisions and repairs of a proposal cost is added up from what is
// stored of them.
func TestDecideAddsUpWhatWasSpent(t *testing.T) {
	r := newResearch(t, newCheckout(t), nil)
	c := prepared(t, r)
	baseline(t, r, c)
	for key, cost := range map[string]experiment.Spent{
		proposalKey("mar5", 1, 0, 0): {PromptTokens: 1000, CompletionTokens: 200, CostUSD: 0.25},
		proposalKey("mar5", 1, 0, 1): {PromptTokens: 500, CostUSD: 0.125},
		proposalKey("mar5", 1, 1, 0): {},
		proposalKey("mar5", 2, 0, 0): {PromptTokens: 7},
	} {
		if err := putOnceJSON(t.Context(), r.Store, key, &storedProposal{Spent: cost}); err != nil {
			t.Fatal(err)
		}
	}
	want := experiment.Spent{PromptTokens: 1500, CompletionTokens: 200, CostUSD: 0.375}
	if got := must(t, r, r.Decide, keepInput(c, c.Base, 2.2)); got.Spent != want {
		t.Errorf("spent %+v, want %+v", got.Spent, want)
	}
	results, err := r.Ledger.Results(t.Context(), "mar5")
	if err != nil || results[1].Spent != want {
		t.Errorf("recorded %+v, %v", results[1].Spent, err)
	}
}
