package activities

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/policy"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// sideBySide is a campaign whose baseline is decided, and the decisions on the
// experiments that ran side by side on it: one per score. A score of 0 is a
// candidate that does not build.
func sideBySide(t *testing.T, r *Research, scores ...float64) []DecideInput {
	t.Helper()
	c := prepared(t, r)
	baseline(t, r, c)
	var inputs []DecideInput
	for i, score := range scores {
		n := i + 1
		source := strings.Replace(string(mustFiles(t, r, c.Base)["noop/train.go"]), "LR = ", fmt.Sprintf("LR = 0.0%d // was ", n), 1)
		commit, err := r.Repo.Commit(t.Context(), c.Base, map[string][]byte{"noop/train.go": []byte(source)}, fmt.Sprint(n), testClock)
		if err != nil {
			t.Fatal(err)
		}
		in := keepInput(c, commit, score)
		in.Number, in.Title = n, fmt.Sprintf("idea %d", n)
		if score == 0 {
			in.Commit, in.Measurements, in.Failure = "", nil, &experiment.Failure{Reason: experiment.BuildFailed, Message: "undefined: x"}
		}
		inputs = append(inputs, in)
	}
	return inputs
}

func mustFiles(t *testing.T, r *Research, commit string) map[string][]byte {
	t.Helper()
	files, err := r.Repo.ReadFiles(t.Context(), commit, []string{"noop/train.go"})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// wantSound checks what holds in whatever order experiments are decided: all
// are there once, each on top of the one before, with the verdict that the
// policy gives against the incumbent of that moment, and all that is derived.
func wantSound(t *testing.T, r *Research, dir string, inputs []DecideInput) []experiment.Result {
	t.Helper()
	results, err := r.Ledger.Results(t.Context(), "mar5")
	if err != nil || len(results) != len(inputs)+1 {
		t.Fatalf("%d results of %d, %v", len(results), len(inputs)+1, err)
	}
	numbers := map[int]bool{}
	replayed := policy.Replay(policy.Threshold{}, 0.01, results)
	for i, now := range results {
		numbers[now.Experiment] = true
		if now.Sequence != i || now.Verdict != replayed[i].Verdict || now.Incumbent != replayed[i].Incumbent || now.NoiseAfter != replayed[i].Noise {
			t.Errorf("decision %d is %s, the policy says %s", i, asJSON(t, now), asJSON(t, replayed[i]))
		}
		if i > 0 && (*now.Against != results[i-1].Incumbent || now.Noise != results[i-1].NoiseAfter) {
			t.Errorf("decision %d was made against %+v, not against what decision %d left", i, now.Against, i-1)
		}
	}
	if len(numbers) != len(results) {
		t.Errorf("results of the experiments %v", numbers)
	}
	best := results[len(results)-1].Incumbent.Commit
	for where, ref := range map[string]string{dir: "autoresearch/mar5", r.Home.Repo(): "refs/heads/autoresearch/mar5"} {
		if at := git(t, where, "rev-parse", ref); at != best {
			t.Errorf("%s of %s is at %s, want %s", ref, where, at, best)
		}
	}
	for _, in := range inputs {
		if in.Commit == "" {
			continue
		}
		if at := git(t, r.Home.Repo(), "rev-parse", experiment.CandidateRef("mar5", in.Number)); at != in.Commit {
			t.Errorf("the ref of candidate %d is at %s", in.Number, at)
		}
	}
	table, err := os.ReadFile(r.Home.Results("mar5"))
	if err != nil || strings.Count(string(table), "\n") != len(results)+1 {
		t.Errorf("results.tsv is\n%s, %v", table, err)
	}
	return results
}

// verdicts is the ledger in one line.
func verdicts(results []experiment.Result) string {
	var b strings.Builder
	for _, r := range results {
		fmt.Fprintf(&b, "%d:%s(%d) ", r.Experiment, r.Verdict, r.Incumbent.Experiment)
	}
	return strings.TrimSpace(b.String())
}

// A candidate that was made from an earlier incumbent is measured as it is, and
// kept only if it beats the one of the moment.
func TestDecideInAnyOrder(t *testing.T) {
	scores := []float64{2.2, 2.1, 0, 2.3}
	for order, want := range map[[4]int]string{
		{1, 2, 3, 4}: "0:keep(0) 1:keep(1) 2:keep(2) 3:crash(2) 4:discard(2)",
		{2, 1, 4, 3}: "0:keep(0) 2:keep(2) 1:discard(2) 4:discard(2) 3:crash(2)",
		{4, 3, 1, 2}: "0:keep(0) 4:keep(4) 3:crash(4) 1:keep(1) 2:keep(2)",
	} {
		dir := newCheckout(t)
		r := newResearch(t, dir, nil)
		inputs := sideBySide(t, r, scores...)
		for i, n := range order {
			got := must(t, r, r.Decide, inputs[n-1])
			if got.Sequence != i+1 || got.Brief.Experiment != n {
				t.Errorf("%v: decision %d is %s", order, i+1, asJSON(t, got))
			}
		}
		// A retry of any of them changes nothing, and tells what was decided then.
		again := must(t, r, r.Decide, inputs[order[0]-1])
		if again.Sequence != 1 || again.Incumbent.Experiment != order[0] {
			t.Errorf("%v: the first decision is now %s", order, asJSON(t, again))
		}
		results := wantSound(t, r, dir, inputs)
		if got := verdicts(results); got != want {
			t.Errorf("%v gives %s, want %s", order, got, want)
		}
		for _, result := range results[1:] {
			if result.Parent != inputs[0].Campaign.Base {
				t.Errorf("experiment %d has the parent %s", result.Experiment, result.Parent)
			}
		}
	}
}

// Several are decided at the same moment, and each write fails once.
func TestDecideAtOnce(t *testing.T) {
	for what, fault := range map[string]func(before bool) error{
		"no trouble":    func(bool) error { return nil },
		"before writes": func(before bool) error { return map[bool]error{true: syscall.EIO}[before] },
		"after writes":  func(before bool) error { return map[bool]error{false: syscall.EIO}[before] },
	} {
		dir := newCheckout(t)
		r := newResearch(t, dir, nil)
		inputs := sideBySide(t, r, 2.2, 2.1, 0, 2.3, 2.0, 2.4)
		moody := &moodyStore{Store: r.Store, fault: fault, failed: map[string]bool{}}
		r.Store, r.Ledger.Store = moody, moody
		var wg sync.WaitGroup
		for _, in := range slices.Concat(inputs, inputs) { // and each is asked for twice
			wg.Go(func() { again(r.Decide, in) })
		}
		wg.Wait()
		t.Log(what, verdicts(wantSound(t, r, dir, inputs)))
		wantSound(t, newResearch(t, dir, nil), dir, inputs)
		if len(moody.failed) != len(inputs) {
			t.Errorf("%d results were written", len(moody.failed))
		}
	}
}

// TestKillSideBySide kills a process that decides two experiments at once, at
// each git command, and decides both again in another, in one order and in the
// other.
func TestKillSideBySide(t *testing.T) {
	original := newCheckout(t)
	r := newResearch(t, original, nil)
	inputs := sideBySide(t, r, 2.2, 2.1)
	killed, seen := 0, map[string]bool{}
	for k := 1; ; k++ {
		dir := filepath.Join(t.TempDir(), "checkout")
		if err := os.CopyFS(dir, os.DirFS(original)); err != nil {
			t.Fatal(err)
		}
		// Which of the two comes first is the scheduler's choice, and on a quiet
		// machine always the same one: so they change places.
		turned := []DecideInput{inputs[k%2], inputs[1-k%2]}
		if !killedAtGit(t, "TestKilledSideBySide", dir, k, "INPUTS="+asJSON(t, turned)) {
			break // it ran fewer than k commands
		}
		killed++
		fresh := newResearch(t, dir, nil)
		for i := range inputs {
			must(t, fresh, fresh.Decide, inputs[(i+k)%2])
		}
		seen[verdicts(wantSound(t, fresh, dir, inputs))] = true
	}
	if killed < 8 {
		t.Errorf("only %d kills: is git found by its name?", killed)
	}
	for got := range seen {
		if got != "0:keep(0) 1:keep(1) 2:keep(2)" && got != "0:keep(0) 2:keep(2) 1:discard(2)" {
			t.Errorf("the verdicts are %s", got)
		}
	}
	if len(seen) != 2 {
		t.Errorf("after %d kills only the order %v was seen", killed, seen)
	}
}

// TestKilledSideBySide is the process that is killed.
func TestKilledSideBySide(t *testing.T) {
	dir := os.Getenv("KILLED_IN")
	if dir == "" {
		t.Skip("runs as a process of TestKillSideBySide")
	}
	var inputs []DecideInput
	fromJSON(t, os.Getenv("INPUTS"), &inputs)
	r := newResearch(t, dir, nil)
	var wg sync.WaitGroup
	for _, in := range inputs {
		wg.Go(func() { again(r.Decide, in) })
	}
	wg.Wait()
}

// A candidate that a person rejected is on record, and nothing else changes.
func TestDecideRejected(t *testing.T) {
	dir := newCheckout(t)
	r := newResearch(t, dir, nil)
	inputs := sideBySide(t, r, 2.1)
	inputs[0].Measurements, inputs[0].Failure = nil, &experiment.Failure{Reason: experiment.Rejected, Message: "too long"}
	got := must(t, r, r.Decide, inputs[0])
	if got.Brief.Verdict != experiment.Discard || got.Brief.Reason != experiment.Rejected || got.Brief.ValBpb != nil || got.Incumbent.Experiment != 0 {
		t.Errorf("decided %s", asJSON(t, got))
	}
	if record := wantSound(t, r, dir, inputs)[1]; record.Message != "too long" || record.LogTail != nil {
		t.Errorf("the record is %s", asJSON(t, record))
	}
}

// The baseline comes first: what was prepared while it trained waits, and has
// nothing to wait for if it crashed.
func TestBaselineIsDecidedFirst(t *testing.T) {
	r := newResearch(t, newCheckout(t), nil)
	c := prepared(t, r)
	early := keepInput(c, c.Base, 2.2)
	_, err := do(t, r, r.Decide, early)
	wantRefusal(t, err, "", true, "experiment 1 of campaign mar5", "after the baseline")
	crashed := DecideInput{Campaign: c, Parent: c.Base, Commit: c.Base, Title: "baseline", Failure: &experiment.Failure{Reason: experiment.BuildFailed, Message: "no"}}
	if got := must(t, r, r.Decide, crashed); got.Brief.Verdict != experiment.Crash || got.Incumbent.Commit != "" {
		t.Errorf("the baseline is decided as %s", asJSON(t, got))
	}
	_, err = do(t, r, r.Decide, early)
	wantRefusal(t, err, ErrInvalidInput, false, "experiment 1 of campaign mar5", "the baseline has failed")
	if results, err := r.Ledger.Results(t.Context(), "mar5"); err != nil || len(results) != 1 {
		t.Errorf("the ledger has %d results, %v", len(results), err)
	}
}
