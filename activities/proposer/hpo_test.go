package proposer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/proposer/proposertest"
	"github.com/autoresearch-go/autoresearch/experiment"
)

func TestHPOConforms(t *testing.T) {
	proposertest.Conformance(t, true, func() proposer.Proposer { return proposer.NewHPO() })
}

func propose(t *testing.T, r proposer.Request) (experiment.Proposal, string) {
	t.Helper()
	a, err := proposer.NewHPO().Propose(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	files, failure := proposer.ApplyEdits(r.Files, a.Proposal.Edits)
	if failure != nil {
		t.Fatalf("%s: %s", a.Proposal.Title, failure.Message)
	}
	return a.Proposal, string(files[proposertest.File])
}

// A whole campaign in which every proposal is worse must see each file once,
// with edits that are whole unique lines, and end when nothing is left.
func TestHPONeverRepeatsItself(t *testing.T) {
	const small = "package main\n\nconst A = 2 // range 1..3 int\nconst B = \"x\" // one of x, y\n"
	c := &proposertest.Campaign{Files: map[string]map[string][]byte{"c0": {proposertest.File: []byte(small)}}}
	c.Best = experiment.Incumbent{Commit: "c0", ValBpb: 2}
	seen := map[string]bool{small: true}
	for n := 1; ; n++ {
		r := c.Request(n)
		a, err := proposer.NewHPO().Propose(context.Background(), r)
		if errors.Is(err, proposer.ErrNothingLeft) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		files, failure := proposer.ApplyEdits(r.Files, a.Proposal.Edits)
		if failure != nil {
			t.Fatal(failure.Message)
		}
		text := string(files[proposertest.File])
		if seen[text] {
			t.Fatalf("experiment %d, %q, repeats an earlier one", n, a.Proposal.Title)
		}
		seen[text] = true
		bpb := 2.5
		result := experiment.Result{Experiment: n, Commit: fmt.Sprint("c", n), Parent: "c0", Verdict: experiment.Discard, ValBpb: &bpb, Title: a.Proposal.Title, Proposer: "hpo"}
		if n%2 == 0 { // it did not build: no commit, and only the title tells
			result.Commit, result.Verdict, result.ValBpb = "", experiment.Crash, nil
		}
		c.Files[fmt.Sprint("c", n)] = files
		c.History = append(c.History, result)
	}
	if len(seen) != 6 {
		t.Errorf("%d different files were tried; want all 6", len(seen))
	}
}

func TestHPORepairsAvoidTheFailedPoint(t *testing.T) {
	for n := range 20 {
		r := proposertest.Past().Request(5 + n)
		seen := map[string]bool{}
		for round := range 3 {
			r.Round = round
			p, text := propose(t, r)
			if seen[text] {
				t.Errorf("experiment %d, round %d proposes %q again", r.Number, round, p.Title)
			}
			seen[text] = true
			r.Previous, r.Complaint = &p, &experiment.Failure{Reason: experiment.BuildFailed}
		}
	}
}

func TestHPORepairsRememberAllRounds(t *testing.T) {
	for n := range 10 {
		r := proposertest.Past().Request(1 + n)
		r.History, r.Parent = nil, experiment.Incumbent{}
		r.Files = map[string][]byte{proposertest.File: []byte("package main\n\nconst A = 2 // range 1..3 int\n")}
		first, _ := propose(t, r)
		r.Round, r.Previous, r.Complaint = 1, &first, &experiment.Failure{Reason: experiment.OOM}
		second, _ := propose(t, r)
		r.Round, r.Previous = 2, &second
		if a, err := proposer.NewHPO().Propose(context.Background(), r); !errors.Is(err, proposer.ErrNothingLeft) {
			t.Errorf("after %q and %q: %q, %v; want ErrNothingLeft", first.Title, second.Title, a.Proposal.Title, err)
		}
	}
}

func TestHPOReadsLikeAPerson(t *testing.T) {
	var all strings.Builder
	quiet := proposertest.Past() // without its one gain, which most proposals follow
	quiet.History = append(quiet.History[:1:1], quiet.History[2:]...)
	for n := range 120 {
		past := proposertest.Past()
		if n >= 20 {
			past = quiet
		}
		p, _ := propose(t, past.Request(5+n))
		fmt.Fprintf(&all, "%s | %s | %s\n", p.Title, p.Hypothesis, p.Expected)
		if len(p.Edits) > 2 || strings.Count(p.Edits[0].Search, "\n") > 0 {
			t.Errorf("%s: want one or two edits of one line each, not %+v", p.Title, p.Edits)
		}
	}
	for _, want := range []string{
		"raise MatrixLR from 0.031 to ",
		"The one try with a larger MatrixLR was better than its parent, by up to 0.1000.",
		"a larger MatrixLR has gained up to 0.1000",
		"Momentum has not been changed in this campaign yet",
		"val_bpb falls below the incumbent's 2.5000",
	} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no proposal says %q:\n%.3000s", want, all.String())
		}
	}
	if strings.Contains(all.String(), "from SSSL to L ") || strings.Contains(all.String(), "from 8 to 4 |") {
		t.Errorf("a failed or measured point is proposed again:\n%.3000s", all.String())
	}
}

func TestHPOLearnsFromConstantsAlone(t *testing.T) {
	past := proposertest.Past()
	// Another proposer widened the code and doubled Depth at once: the crash
	// must not count against Depth, and the old points are open again.
	text := strings.Replace(string(past.Files["c1"][proposertest.File]), "func main() {", "func main() { println(1);", 1)
	past.Files["c9"] = map[string][]byte{proposertest.File: []byte(text)}
	past.Best = experiment.Incumbent{Experiment: 9, Commit: "c9", ValBpb: 2.4}
	bpb := 2.4
	past.History = append(past.History, experiment.Result{Experiment: 9, Commit: "c9", Parent: "c1", Verdict: experiment.Keep, ValBpb: &bpb, Proposer: "llm"})
	titles := ""
	for n := range 200 {
		p, _ := propose(t, past.Request(10+n))
		titles += p.Title + "\n"
	}
	if !strings.Contains(titles, "halve BatchSize from 8 to 4\n") {
		t.Errorf("with other code, a batch of 4 was not tried again:\n%.1000s", titles)
	}
}

func TestHPOErrors(t *testing.T) {
	past := proposertest.Past()
	for _, c := range []struct {
		name, file string
		experiment int
		want       string
	}{
		{"no constants", "package main\n", 0, "no tunable constants in train.go: one looks like"},
		{"not Go", "print(1)\n", 1, "train.go:1:1"},
		{"malformed baseline", proposertest.Source + "\nconst X = 9 // range 1..4 int\n", 0, "X is 9: outside of its range 1..4"},
		{"malformed later", proposertest.Source + "\nconst X = 9 // range 1..4 int\n", 3, ""},
	} {
		r := past.Request(5)
		r.Files = map[string][]byte{proposertest.File: []byte(c.file)}
		r.Parent.Experiment = c.experiment
		_, err := proposer.NewHPO().Propose(context.Background(), r)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v; want %q", c.name, err, c.want)
		}
	}
	r := past.Request(5)
	r.Source = func(string) (map[string][]byte, error) { return nil, errors.New("disk is gone") }
	if _, err := proposer.NewHPO().Propose(context.Background(), r); err == nil || !strings.Contains(err.Error(), "disk is gone") {
		t.Errorf("a broken source gives %v", err)
	}
}

// A candidate that the home has lost is known by its title, and is not repeated.
func TestHPOLostCandidates(t *testing.T) {
	past := proposertest.Past()
	whole := past.Request(5)
	files := whole.Source
	whole.Source = func(commit string) (map[string][]byte, error) {
		if commit != whole.Parent.Commit {
			return nil, fmt.Errorf("%w: it was deleted", proposer.ErrLost)
		}
		return files(commit)
	}
	again := map[string]bool{}
	for _, r := range past.History {
		again[r.Title] = true
	}
	if p, _ := propose(t, whole); again[p.Title] {
		t.Errorf("proposes %q again", p.Title)
	}
}

// A try against a parent that has no score yet is a point that was tried, and
// says nothing of what is better.
func TestHPOOnAnUnscoredParent(t *testing.T) {
	past := proposertest.Past()
	parent := experiment.Incumbent{Experiment: 9, Commit: "c9"}
	past.Files["c9"] = map[string][]byte{proposertest.File: []byte(strings.Replace(proposertest.Source, "= 2 ", "= 3 ", 1))}
	past.Files["c10"] = map[string][]byte{proposertest.File: []byte(strings.Replace(string(past.Files["c9"][proposertest.File]), "= 0.95 ", "= 0.96 ", 1))}
	bpb := 2.45
	past.History = append(past.History, experiment.Result{Experiment: 10, Commit: "c10", Parent: "c9", Verdict: experiment.Discard, ValBpb: &bpb, Proposer: "llm"})
	named := 0
	for n := range 60 {
		r := past.Request(11 + n)
		r.Parent, r.Files = parent, past.Files["c9"]
		p, text := propose(t, r)
		if strings.Contains(p.Hypothesis, "Momentum was") {
			t.Errorf("%s: %s", p.Title, p.Hypothesis)
		}
		if text == string(past.Files["c10"][proposertest.File]) {
			t.Errorf("%s was tried", p.Title)
		}
		if strings.Contains(p.Title, "Momentum") {
			named++
		}
		if !strings.HasPrefix(p.Expected, "val_bpb falls below that of #9, which is still being measured") {
			t.Errorf("expected: %s", p.Expected)
		}
	}
	if named == 0 {
		t.Error("Momentum is never changed, so that nothing was tested")
	}
}
