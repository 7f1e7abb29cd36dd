package activities

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

func TestApply(t *testing.T) {
	dir := newCheckout(t)
	r := newResearch(t, dir, setLR("0.02"))
	c := prepared(t, r)
	baseline(t, r, c)
	got := proposed(t, r, c, 1, 0)
	if got.Failure != nil || got.Source == "" || got.GraphDigest != "noop-graph" || got.SyntaxTokens == 0 {
		t.Fatalf("ApplyResult is %+v", got)
	}
	if at, err := r.Repo.Ref(t.Context(), experiment.CandidateRef("mar5", 1)); err != nil || at != got.Commit {
		t.Errorf("the candidate's ref is at %q, %v", at, err)
	}
	files, err := r.Repo.ReadFiles(t.Context(), got.Commit, []string{"noop/train.go"})
	if err != nil || !strings.Contains(string(files["noop/train.go"]), "LR      = 0.02") { // gofmt has aligned it
		t.Errorf("the candidate is %s, %v", files["noop/train.go"], err)
	}
	if p := artifactText(t, r, c, 1, "candidate.patch"); !strings.Contains(p, "+	LR      = 0.02") || strings.Count(p, "\n+") != 2 {
		t.Errorf("candidate.patch is\n%s", p)
	}
	log := git(t, string(r.Home.Repo()), "log", "-1", "--format=%an|%at|%B", got.Commit)
	if want := "autoresearch|1772712001|set LR to 0.02\n\nit may help\n\nCampaign: mar5\nExperiment: 1\nProposer: script"; log != want {
		t.Errorf("commit is %q, want %q", log, want)
	}

	// A retry gives the same, even if nothing of the first attempt's result was stored.
	if again := must(t, r, r.Apply, ApplyInput{Campaign: c, Number: 1, Parent: c.Base}); again != got {
		t.Errorf("a retry gave %+v, not %+v", again, got)
	}
	if err := os.Remove(filepath.Join(r.Home.Artifacts(), "mar5/0001/apply-0-0.json")); err != nil {
		t.Fatal(err)
	}
	again := must(t, r, r.Apply, ApplyInput{Campaign: c, Number: 1, Parent: c.Base})
	if again.Seconds = got.Seconds; again != got {
		t.Errorf("a repetition gave %+v, not %+v", again, got)
	}
}

// edited is a proposal with any edits.
func edited(edits ...experiment.Edit) answers {
	return func(proposer.Request) (proposer.Answer, error) {
		return proposer.Answer{Proposal: experiment.Proposal{Title: "an edit", Edits: edits}}, nil
	}
}

func TestApplyRefusesBadEdits(t *testing.T) {
	r := newResearch(t, newCheckout(t), nil)
	c := prepared(t, r)
	const file = "noop/train.go"
	whole := func(text string) []experiment.Edit { return []experiment.Edit{{Path: file, Replace: text}} }
	outcome := func(o string) []experiment.Edit {
		return []experiment.Edit{{Path: file, Search: `"ok"`, Replace: `"` + o + `"`}}
	}
	n := 0
	for _, k := range []struct {
		what   string
		edits  []experiment.Edit
		reason experiment.Reason
		words  string
	}{
		{"no edits", nil, experiment.InvalidEdit, "no edits"},
		{"path escape", []experiment.Edit{{Path: "../outside.go", Replace: "x"}}, experiment.InvalidEdit, "../outside.go"},
		{"inner escape", []experiment.Edit{{Path: "noop/../go.mod", Replace: "x"}}, experiment.InvalidEdit, "plain path"},
		{"absolute path", []experiment.Edit{{Path: "/etc/passwd", Replace: "x"}}, experiment.InvalidEdit, "/etc/passwd"},
		{"git directory", []experiment.Edit{{Path: ".git/config", Replace: "x"}}, experiment.InvalidEdit, ".git/config"},
		{"not editable", []experiment.Edit{{Path: "program.md", Replace: "x"}}, experiment.InvalidEdit, "the files that may: noop/train.go"},
		{"new file", []experiment.Edit{{Path: "noop/new.go", Replace: "x"}}, experiment.InvalidEdit, "noop/new.go"},
		{"text not found", []experiment.Edit{{Path: file, Search: "nowhere", Replace: "x"}}, experiment.InvalidEdit, "does not stand in the file"},
		{"binary", whole("package noop\x00"), experiment.InvalidEdit, "NUL"},
		{"oversized", whole("package noop\n//" + strings.Repeat("x", 70<<10)), experiment.InvalidEdit, "65536"},
		{"against the target's rules", []experiment.Edit{{Path: file, Search: "= 0.03", Replace: "= -1"}}, experiment.InvalidEdit, "LR"},
		{"syntax error", whole("package noop\nconst ("), experiment.InvalidEdit, "noop/train.go"},
		{"does not build", outcome("build-failed"), experiment.BuildFailed, "playing"},
		{"not causal", outcome("not-causal"), experiment.NotCausal, "playing"},
		{"not exportable", outcome("not-exportable"), experiment.NotExportable, "playing"},
	} {
		n++
		r.Proposers = func(string) (proposer.Proposer, error) { return edited(k.edits...), nil }
		got := proposed(t, r, c, n, 0)
		if got.Failure == nil || got.Failure.Reason != k.reason || !strings.Contains(artifactText(t, r, c, n, "failure-0-0.json"), k.words) {
			t.Errorf("%s: failure is %+v, want %s and %q", k.what, got.Failure, k.reason, k.words)
			continue
		}
		if len(got.Failure.Message) > 500 || strings.Count(got.Failure.Message, "\n") > 1 {
			t.Errorf("%s: the message that goes into the history is long: %q", k.what, got.Failure.Message)
		}
		if again := must(t, r, r.Apply, ApplyInput{Campaign: c, Number: n, Parent: c.Base}); asJSON(t, again) != asJSON(t, got) {
			t.Errorf("%s: a retry gave %s, not %s", k.what, asJSON(t, again), asJSON(t, got))
		}
	}
}

func TestDuplicates(t *testing.T) {
	r := newResearch(t, newCheckout(t), setLR("0.02"))
	c := prepared(t, r)
	baseline(t, r, c)
	first := proposed(t, r, c, 1, 0)
	must(t, r, r.Decide, DecideInput{Campaign: c, Number: 1, Parent: c.Base, Commit: first.Commit, Title: "x", Measurements: measured(2.2)})
	for n, k := range map[int]struct {
		p     proposer.Proposer
		words string
	}{
		2: {setLR("0.02"), "experiment 1 (keep, improved, val_bpb 2.2000)"},
		3: {edited(experiment.Edit{Path: "noop/train.go", Search: "const (", Replace: "// a comment is no idea\nconst   ("}), "experiment 0"},
		4: {edited(experiment.Edit{Path: "noop/train.go", Search: "0.03 // range", Replace: "0.02 // a range"}), "experiment 1"},
	} {
		r.Proposers = func(string) (proposer.Proposer, error) { return k.p, nil }
		got := proposed(t, r, c, n, 0)
		if got.Failure == nil || got.Failure.Reason != experiment.Duplicate || !strings.Contains(got.Failure.Message, k.words) || got.Commit != "" {
			t.Errorf("experiment %d: %+v, %+v; want a duplicate of %s", n, got, got.Failure, k.words)
		}
	}
	// A proposal that failed is not the program that its experiment ended with.
	r.Proposers = func(string) (proposer.Proposer, error) {
		return edited(experiment.Edit{Path: "noop/train.go", Search: `"ok"`, Replace: `"build-failed"`}), nil
	}
	proposed(t, r, c, 5, 0)
	if got := proposed(t, r, c, 8, 0); got.Failure == nil || !strings.Contains(got.Failure.Message, "a proposal of experiment 5 that failed (build-failed)") {
		t.Errorf("the twin of a failed proposal: %+v", got.Failure)
	}
	// What our machinery failed says nothing about the program.
	if _, err := r.Ledger.Record(t.Context(), experiment.Result{Campaign: "mar5", Experiment: 6, Sequence: 2, Verdict: experiment.Crash, Reason: experiment.Infra}); err != nil {
		t.Fatal(err)
	}
	r.Proposers = func(string) (proposer.Proposer, error) { return setLR("0.04"), nil }
	proposed(t, r, c, 6, 0)
	if got := proposed(t, r, c, 7, 0); got.Failure != nil {
		t.Errorf("a program that our machinery failed is refused: %+v", got.Failure)
	}
}

func TestRepairRounds(t *testing.T) {
	var seen []proposer.Request
	r := newResearch(t, newCheckout(t), answers(func(q proposer.Request) (proposer.Answer, error) {
		seen = append(seen, q)
		if files, err := q.Source(q.Campaign.Base); err != nil || len(files["noop/train.go"]) == 0 {
			t.Errorf("Source = %q, %v", files, err)
		}
		if q.Round == 0 {
			return edited(experiment.Edit{Path: "noop/train.go", Search: `"ok"`, Replace: `"build-failed"`})(q)
		}
		return lrAnswer(q, "0.02"), nil
	}))
	c := prepared(t, r)
	baseline(t, r, c)
	if got := proposed(t, r, c, 1, 0); got.Failure == nil || got.Failure.Reason != experiment.BuildFailed {
		t.Fatalf("round 0: %+v", got.Failure)
	}
	if got := proposed(t, r, c, 1, 1); got.Failure != nil {
		t.Fatalf("round 1: %+v", got.Failure)
	}
	q := seen[1]
	if q.Complaint == nil || q.Complaint.Reason != experiment.BuildFailed || q.Previous == nil || q.Previous.Title != "an edit" || q.Program != "Lower val_bpb.\n" || len(q.History) != 1 {
		t.Errorf("the repair's request is %+v", q)
	}
	if log := artifactText(t, r, c, 1, "smoke.log"); log != "" {
		t.Errorf("smoke.log is %q", log)
	}
	_, err := do(t, r, r.Propose, ProposeInput{Campaign: c, Number: 2, Round: 1, Parent: experiment.Incumbent{Commit: c.Base}})
	wantRefusal(t, err, ErrInvalidInput, false, "round 1")
	_, err = do(t, r, r.Apply, ApplyInput{Campaign: c, Number: 9, Parent: c.Base})
	wantRefusal(t, err, ErrInvalidInput, false, "mar5/0009/proposal-0-0.json")
}

func TestProposalIsAskedForOnce(t *testing.T) {
	asked := 0
	r := newResearch(t, newCheckout(t), answers(func(q proposer.Request) (proposer.Answer, error) {
		asked++
		a := lrAnswer(q, "0.02")
		a.Proposal.Title = "  a title\nin two lines " + strings.Repeat("é", 200)
		a.Spent.CostUSD = 0.25
		return a, nil
	}))
	c := prepared(t, r)
	in := ProposeInput{Campaign: c, Number: 1, Parent: experiment.Incumbent{Commit: c.Base}}
	first := must(t, r, r.Propose, in)
	second := must(t, r, r.Propose, in)
	if asked != 1 || first != second || first.Spent != (experiment.Spent{PromptTokens: 10, CostUSD: 0.25}) {
		t.Errorf("asked %d times; answers %+v and %+v", asked, first, second)
	}
	if n := len([]rune(first.Title)); n > 100 || !strings.HasPrefix(first.Title, "a title in two lines é") {
		t.Errorf("title has %d characters: %q", n, first.Title)
	}
	if md := artifactText(t, r, c, 1, "proposal.md"); !strings.HasPrefix(md, "# a title") {
		t.Errorf("proposal.md is %s", md)
	}
}

// troubled is a proposer that has no answer.
func troubled(err error) answers {
	return func(proposer.Request) (proposer.Answer, error) { return proposer.Answer{}, err }
}

func TestProposerTrouble(t *testing.T) {
	for what, k := range map[string]struct {
		p         answers
		kind      string
		retryable bool
		words     string
	}{
		"down":         {troubled(errors.New("server down")), "", true, "server down"},
		"nothing left": {troubled(proposer.ErrNothingLeft), ErrNothingLeft, false, "script"},
		"refused":      {troubled(fmt.Errorf("no such model: %w", proposer.ErrRefused)), ErrProposer, false, "no such model"},
		"busy":         {troubled(&proposer.WaitError{After: time.Minute, Err: errors.New("429")}), ErrProposerBusy, true, "429"},
		"other parent": {func(proposer.Request) (proposer.Answer, error) {
			return proposer.Answer{Proposal: experiment.Proposal{Title: "x", Parent: "c0ffee"}}, nil
		}, "", true, "c0ffee"},
	} {
		r := newResearch(t, newCheckout(t), k.p)
		c := prepared(t, r)
		t.Log(what)
		_, err := do(t, r, r.Propose, ProposeInput{Campaign: c, Number: 1, Parent: experiment.Incumbent{Commit: c.Base}})
		wantRefusal(t, err, k.kind, k.retryable, k.words)
	}
}

// A full disk is our trouble: the activity is tried again, and the candidate is
// none the worse for it.
func TestFullDiskIsNoVerdict(t *testing.T) {
	r := newResearch(t, newCheckout(t), setLR("0.02"))
	c := prepared(t, r)
	must(t, r, r.Propose, ProposeInput{Campaign: c, Number: 1, Parent: experiment.Incumbent{Commit: c.Base}})
	in := ApplyInput{Campaign: c, Number: 1, Parent: c.Base}
	r.free = func(string) (uint64, error) { return 1 << 20, nil }
	_, err := do(t, r, r.Apply, in)
	wantRefusal(t, err, ErrDiskFull, true, "1 MiB", "free some disk space")
	r.free = nil

	store := r.Store
	r.Store = &faultyStore{Store: store, at: 3, fault: func(before bool) error { return syscall.ENOSPC }}
	_, err = do(t, r, r.Apply, in)
	wantRefusal(t, err, ErrDiskFull, true)
	r.Store = store

	a := &application{Research: r, in: in}
	err = a.judge("building", &experiment.Failure{Reason: experiment.BuildFailed, Message: "exit 1"}, []byte("link: write: no space left on device"))
	if !isDiskFull(err) {
		t.Errorf("a linker without space gave %v", err)
	}
	if got := must(t, r, r.Apply, in); got.Failure != nil {
		t.Errorf("afterwards the candidate fails: %+v", got.Failure)
	}
}

func TestPruneBuilds(t *testing.T) {
	root := t.TempDir()
	for i := range keptBuilds + 5 {
		dir := filepath.Join(root, string(rune('a'+i/26))+string(rune('a'+i%26)))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		when := testClock.Add(time.Duration(i) * time.Second)
		if err := os.Chtimes(dir, when, when); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(root, ".lock-ab"), "")
	pruneBuilds(root)
	left, err := os.ReadDir(root)
	if err != nil || len(left) != keptBuilds+1 || left[1].Name() != "af" {
		t.Errorf("%d entries are left, the first %s: %v", len(left), left[1].Name(), err)
	}
}
