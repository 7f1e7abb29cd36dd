package activities

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

const noopFile = "noop/train.go"

// moved is a campaign in which experiment 1 has become the incumbent while
// experiment 2, made from the baseline, waited.
type moved struct {
	*Research
	c         experiment.Campaign
	asked     []proposer.Request
	incumbent experiment.Incumbent
	second    ApplyResult
}

// replace is an edit of noop/train.go.
func replace(search, with string) experiment.Edit {
	return experiment.Edit{Path: noopFile, Search: search, Replace: with}
}

// move makes the change of experiment 1, and that of experiment 2. What
// experiment 2 proposes when it is asked again is another thing.
func move(t *testing.T, one, two []experiment.Edit) *moved {
	t.Helper()
	m := &moved{}
	m.Research = newResearch(t, newCheckout(t), answers(func(q proposer.Request) (proposer.Answer, error) {
		m.asked = append(m.asked, q)
		p := experiment.Proposal{Title: "one", Hypothesis: "it may help", Edits: one}
		switch {
		case q.Number == 2 && q.Revision == 0 && q.Round == 0:
			p.Title, p.Edits = "two", two
		case q.Number == 2:
			p.Title, p.Edits = "anew", []experiment.Edit{replace("const (\n", "const Anew = 7\n\nconst (\n")}
		}
		return proposer.Answer{Proposal: p, Spent: experiment.Spent{PromptTokens: 10}}, nil
	}))
	m.c = prepared(t, m.Research)
	baseline(t, m.Research, m.c)
	first := proposed(t, m.Research, m.c, 1, 0)
	m.second = proposed(t, m.Research, m.c, 2, 0)
	kept := must(t, m.Research, m.Decide, keepInput(m.c, first.Commit, 2.2))
	m.incumbent = kept.Incumbent
	if m.incumbent.Experiment != 1 {
		t.Fatalf("not kept: %s", asJSON(t, kept))
	}
	m.asked = nil
	return m
}

// onto is the input of experiment 2 on the new incumbent.
func (m *moved) onto(revision int) ProposeInput {
	return ProposeInput{Campaign: m.c, Number: 2, Revision: revision, Parent: m.incumbent}
}

// applied makes the candidate of a proposal.
func (m *moved) applied(t *testing.T, in ProposeInput) (ApplyResult, string) {
	t.Helper()
	got := must(t, m.Research, m.Apply, ApplyInput{Campaign: m.c, Number: in.Number, Revision: in.Revision, Round: in.Round, Parent: in.Parent.Commit})
	if got.Commit == "" {
		return got, ""
	}
	return got, string(mustFiles(t, m.Research, got.Commit)[noopFile])
}

func lr(value string) experiment.Edit {
	return replace("= 0.03 ", "= "+value+" ")
}

func TestRebase(t *testing.T) {
	window := replace(`= "L" `, `= "SL"`)
	top := replace("package noop\n", "package noop\n\nconst Top = 7\n")
	whole := experiment.Edit{Path: noopFile, Replace: strings.Replace(strings.Replace(noopText(t), `= "L" `, `= "SL"`, 1), "package noop", "package noop // whole", 1)}
	for _, k := range []struct {
		name     string
		one, two []experiment.Edit
		has      []string // the rebased candidate; without any the proposer is asked anew
	}{
		{"apart", []experiment.Edit{lr("0.02")}, []experiment.Edit{window}, []string{"0.02 ", `"SL"`}},
		{"a whole file", []experiment.Edit{lr("0.02")}, []experiment.Edit{whole}, []string{"0.02 ", `"SL"`, "// whole"}},
		{"two places", []experiment.Edit{replace("= 3 ", "= 4 ")}, []experiment.Edit{top, replace("Outcome = \"ok\"\n", "Outcome = \"ok\"\n\tBottom = 7\n")}, []string{"= 4 ", "Top = 7", "Bottom  = 7"}},
		{"neighbours", []experiment.Edit{lr("0.02")}, []experiment.Edit{replace("= 3 ", "= 4 ")}, []string{"0.02 ", "= 4 "}},
		{"neighbours that were realigned", []experiment.Edit{lr("0.0123456")}, []experiment.Edit{replace("\tDepth   = 3    // range 1..12 int\n", "\tDepth   = 4    // range 1..12 int\n")}, []string{"0.0123456 ", "= 4 "}},
		{"more than the parent has", []experiment.Edit{lr("0.02")}, []experiment.Edit{lr("0.02"), window}, []string{"0.02 ", `"SL"`}},
		{"the same line", []experiment.Edit{lr("0.02")}, []experiment.Edit{lr("0.01")}, nil},
		{"partly the same line", []experiment.Edit{lr("0.02")}, []experiment.Edit{lr("0.01"), window}, nil},
		{"neighbours, by a whole file", []experiment.Edit{replace("= 3 ", "= 4 ")}, []experiment.Edit{whole}, nil},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			m := move(t, k.one, k.two)
			in := m.onto(1)
			got := must(t, m.Research, m.Propose, in)
			candidate, text := m.applied(t, in)
			if candidate.Failure != nil {
				t.Fatalf("the candidate fails: %+v", candidate.Failure)
			}
			if again := must(t, m.Research, m.Propose, in); again != got {
				t.Errorf("a retry gives %+v, not %+v", again, got)
			}
			if k.has == nil {
				if len(m.asked) != 1 || got.Title != "anew" || got.Rebased || got.Spent.PromptTokens != 10 || m.asked[0].Revision != 1 || m.asked[0].Parent != m.incumbent {
					t.Errorf("asked %d times, proposal %+v; want it to be asked anew", len(m.asked), got)
				}
				return
			}
			if len(m.asked) > 0 || got.Title != "two" || got.Proposer != "script" || !got.Rebased || got.Spent != (experiment.Spent{}) {
				t.Errorf("asked %d times, proposal %+v; want the old one, for nothing", len(m.asked), got)
			}
			for _, words := range k.has {
				if !strings.Contains(text, words) {
					t.Errorf("the candidate does not have %q:\n%s", words, text)
				}
			}
			if parent := git(t, m.Home.Repo(), "rev-parse", candidate.Commit+"^"); parent != m.incumbent.Commit {
				t.Errorf("its parent is %s, not the incumbent %s", parent, m.incumbent.Commit)
			}
			if at, err := m.Repo.Ref(t.Context(), experiment.CandidateRef("mar5", 2)); err != nil || at != candidate.Commit {
				t.Errorf("its ref is at %s, %v", at, err)
			}
			var stored storedProposal
			if _, err := readJSON(t.Context(), m.Store, proposalKey("mar5", 2, 1, 0), &stored); err != nil || stored.Of != 1 || stored.Parent != m.incumbent.Commit || stored.Program == "" {
				t.Errorf("stored is %s, %v", asJSON(t, stored), err)
			}
		})
	}
}

func noopText(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(newCheckout(t), noopFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A change is carried on from parent to parent in its own words: what it looks
// like beside one parent must not stand in its way to the next.
func TestRebaseAgainAndAgain(t *testing.T) {
	m := move(t, []experiment.Edit{lr("0.0123456")}, []experiment.Edit{replace("\tDepth   = 3    // range 1..12 int\n", "\tDepth   = 4    // range 1..12 int\n")})
	for revision, value := range []string{"", "0.02", "0.0312345", "0.015"} {
		if revision == 0 {
			continue
		}
		in := m.onto(revision)
		if got := must(t, m.Research, m.Propose, in); !got.Rebased || len(m.asked) > 0 {
			t.Fatalf("revision %d: asked %d times, proposal %+v", revision, len(m.asked), got)
		}
		if candidate, text := m.applied(t, in); candidate.Failure != nil || !strings.Contains(text, "= 4 ") {
			t.Fatalf("revision %d: %+v\n%s", revision, candidate.Failure, text)
		}
		files := mustFiles(t, m.Research, m.incumbent.Commit)
		_, rest, _ := strings.Cut(string(files[noopFile]), "= ")
		old, _, _ := strings.Cut(rest, " ")
		files[noopFile] = []byte(strings.Replace(string(files[noopFile]), old, value, 1))
		commit, err := m.Repo.Commit(t.Context(), m.incumbent.Commit, files, "next\n", m.c.StartedAt)
		if err != nil {
			t.Fatal(err)
		}
		m.incumbent.Commit = commit
	}
}

// A rebased candidate that fails goes back to its proposer, in rounds.
func TestRebasedCandidateIsRepaired(t *testing.T) {
	m := move(t, []experiment.Edit{lr("0.02")}, []experiment.Edit{replace(`"ok"`, `"not-causal"`)})
	if m.second.Failure == nil {
		t.Fatal("experiment 2 does not fail")
	}
	// It failed, so that there is nothing to carry over; asked anew it fails again.
	in := m.onto(1)
	if got := must(t, m.Research, m.Propose, in); got.Title != "anew" || got.Rebased {
		t.Errorf("a candidate that failed is carried over: %+v", got)
	}

	m = move(t, []experiment.Edit{lr("0.02")}, []experiment.Edit{replace(`= "L" `, `= "SL"`)})
	in = m.onto(1)
	if got := must(t, m.Research, m.Propose, in); !got.Rebased {
		t.Fatalf("not rebased: %+v", got)
	}
	broken := &experiment.Failure{Reason: experiment.BuildFailed, Message: "undefined: x"}
	if err := putOnceJSON(t.Context(), m.Store, failureKey("mar5", 2, 1, 0), broken); err != nil {
		t.Fatal(err)
	}
	in.Round = 1
	got := must(t, m.Research, m.Propose, in)
	if len(m.asked) != 1 || got.Rebased || m.asked[0].Previous.Title != "two" || m.asked[0].Complaint.Message != "undefined: x" {
		t.Errorf("the repair %+v was asked for %d times: %+v", got, len(m.asked), m.asked)
	}
}

// A proposal that was paid for is carried over before it was ever applied, also
// past a revision that proposed nothing.
func TestRebaseOfWhatWasNotApplied(t *testing.T) {
	m := move(t, []experiment.Edit{lr("0.02")}, []experiment.Edit{replace(`= "L" `, `= "SL"`)})
	if err := os.Remove(filepath.Join(m.Home.Artifacts(), "mar5/0002/apply-0-0.json")); err != nil {
		t.Fatal(err)
	}
	in := m.onto(3)
	if got := must(t, m.Research, m.Propose, in); !got.Rebased || got.Title != "two" || len(m.asked) > 0 {
		t.Errorf("proposal %+v, asked %d times", got, len(m.asked))
	}
	if got, text := m.applied(t, in); got.Failure != nil || !strings.Contains(text, "= 0.02 ") || !strings.Contains(text, `"SL"`) {
		t.Errorf("%+v: %s", got.Failure, text)
	}
	in = m.onto(1)
	in.Number = 7
	if got := must(t, m.Research, m.Propose, in); got.Rebased {
		t.Errorf("an experiment without a proposal is rebased: %+v", got)
	}
}

// The home lost its repository, and with it the candidate.
func TestRebaseOfALostCandidate(t *testing.T) {
	m := move(t, []experiment.Edit{lr("0.02")}, []experiment.Edit{replace(`= "L" `, `= "SL"`)})
	dir := m.Checkout
	if err := os.RemoveAll(m.Home.Repo()); err != nil {
		t.Fatal(err)
	}
	proposers := m.Proposers
	m.Research = newResearch(t, dir, nil)
	m.Proposers = proposers
	must(t, m.Research, m.Prepare, PrepareInput{testSettings()})
	if got := must(t, m.Research, m.Propose, m.onto(1)); got.Title != "anew" || got.Rebased {
		t.Errorf("the proposal is %+v", got)
	}
}

// A proposer that costs nothing is asked again, and sees the new incumbent.
func TestRenewerIsAskedAnew(t *testing.T) {
	m := move(t, []experiment.Edit{lr("0.02")}, []experiment.Edit{replace(`= "L" `, `= "SL"`)})
	script := m.Proposers
	m.Proposers = func(name string) (proposer.Proposer, error) {
		p, err := script(name)
		return renewer{p.(answers)}, err
	}
	if got := must(t, m.Research, m.Propose, m.onto(1)); got.Title != "anew" || got.Rebased || len(m.asked) != 1 || m.asked[0].Parent != m.incumbent {
		t.Errorf("the proposal is %+v", got)
	}
}

// TestKillRebase kills a process that rebases a candidate, with SIGKILL at each
// git command that it runs, and does the same again in another.
func TestKillRebase(t *testing.T) {
	m := move(t, []experiment.Edit{lr("0.02")}, []experiment.Edit{replace(`= "L" `, `= "SL"`)})
	in := m.onto(1)
	copied := func() string {
		dir := filepath.Join(t.TempDir(), "checkout")
		if err := os.CopyFS(dir, os.DirFS(m.Checkout)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	want := rebaseAndApply(t, copied(), in)
	killed := 0
	for k := 1; ; k++ {
		dir := copied()
		if !killedAtGit(t, "TestKilledRebase", dir, k, "INPUT="+asJSON(t, in)) {
			break // it ran fewer than k commands
		}
		killed++
		if got := rebaseAndApply(t, dir, in); got != want {
			t.Errorf("after a kill at command %d the result is %s, not %s", k, got, want)
		}
	}
	if killed < 12 {
		t.Errorf("only %d kills: is git found by its name?", killed)
	}
	t.Log("killed at", killed, "commands")
}

// TestKilledRebase is the process that is killed.
func TestKilledRebase(t *testing.T) {
	dir := os.Getenv("KILLED_IN")
	if dir == "" || os.Getenv("INPUT") == "" {
		t.Skip("runs as a process of TestKillRebase")
	}
	var in ProposeInput
	fromJSON(t, os.Getenv("INPUT"), &in)
	rebaseAndApply(t, dir, in)
}

// rebaseAndApply does so in a process that knows only its home, and has nobody
// to ask. It returns all that is to be the same each time.
func rebaseAndApply(t *testing.T, dir string, in ProposeInput) string {
	t.Helper()
	r := newResearch(t, dir, troubled(errors.New("it was asked")))
	proposal := must(t, r, r.Propose, in)
	got := must(t, r, r.Apply, ApplyInput{Campaign: in.Campaign, Number: in.Number, Revision: in.Revision, Parent: in.Parent.Commit})
	got.Seconds = 0
	ref, err := r.Repo.Ref(t.Context(), experiment.CandidateRef("mar5", in.Number))
	if err != nil || ref != got.Commit {
		t.Errorf("the ref is at %s, %v", ref, err)
	}
	left, err := filepath.Glob(filepath.Join(r.Home.Artifacts(), "mar5/0002/*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range left {
		left[i] = filepath.Base(left[i])
	}
	return asJSON(t, proposal) + asJSON(t, got) + strings.Join(left, " ")
}

// Each write of a rebase fails once, before or after it took place, and the
// activity is tried again as Temporal does.
func TestRebaseSurvivesFailedWrites(t *testing.T) {
	run := func(fault func(before bool) error) (result string, failed int) {
		m := move(t, []experiment.Edit{lr("0.02")}, []experiment.Edit{replace(`= "L" `, `= "SL"`)})
		moody := &moodyStore{Store: m.Store, fault: fault, failed: map[string]bool{}}
		m.Store, m.Ledger.Store = moody, moody
		in := m.onto(1)
		proposal := again(m.Propose, in)
		got := again(m.Apply, ApplyInput{Campaign: in.Campaign, Number: 2, Revision: 1, Parent: in.Parent.Commit})
		got.Seconds = 0
		if len(m.asked) > 0 {
			t.Error("the proposer was asked")
		}
		return asJSON(t, proposal) + asJSON(t, got), len(moody.failed)
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
			t.Errorf("with failing writes the result is\n%s\nand without\n%s", got, want)
		}
		if failed < 5 {
			t.Errorf("only %d writes failed", failed)
		}
	}
}
