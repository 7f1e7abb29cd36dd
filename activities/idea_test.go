package activities

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// userPatch is what git diff says after a person has edited the checkout, which
// is then as it was.
func userPatch(t *testing.T, dir, from, to string) string {
	t.Helper()
	file := filepath.Join(dir, noopFile)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), from) {
		t.Fatalf("the file has no %q", from)
	}
	writeFile(t, file, strings.Replace(string(text), from, to, 1))
	patch := git(t, dir, "diff") + "\n"
	writeFile(t, file, string(text))
	return patch
}

// nobody is there to be asked: a person's idea needs nobody.
var nobody = answers(func(q proposer.Request) (proposer.Answer, error) {
	return proposer.Answer{}, fmt.Errorf("experiment %d was asked for", q.Number)
})

func TestIdea(t *testing.T) {
	dir := newCheckout(t)
	r := newResearch(t, dir, nobody)
	c := prepared(t, r)
	baseline(t, r, c)
	take := TakeIdeaInput{Campaign: c, Parent: c.Base, Title: " use\nSL ", Hypothesis: " it may help\n", Patch: userPatch(t, dir, `"L" `, `"SL"`)}
	idea := must(t, r, r.TakeIdea, take)
	if again := must(t, r, r.TakeIdea, take); again != idea || idea.Title != "use SL" || checkDigest(idea.Idea) != nil {
		t.Errorf("the idea is %+v, and then %+v", idea, again)
	}
	in := onBase(c, 1)
	in.Idea = idea.Idea
	got := must(t, r, r.Propose, in)
	if got.Title != "use SL" || got.Proposer != experiment.Person || got.Rebased || got.Spent != (experiment.Spent{}) || got.Program == "" {
		t.Errorf("the proposal is %+v", got)
	}
	applied := must(t, r, r.Apply, ApplyInput{Campaign: c, Number: 1, Parent: c.Base})
	if applied.Failure != nil || !strings.Contains(string(mustFiles(t, r, applied.Commit)[noopFile]), `Window  = "SL"`) {
		t.Errorf("the candidate is %+v", applied)
	}
	if log := git(t, r.Home.Repo(), "log", "-1", "--format=%B", applied.Commit); !strings.Contains(log, "it may help\n\nCampaign: mar5\nExperiment: 1\nProposer: person") {
		t.Errorf("its message is %q", log)
	}
	in.Idea = strings.Repeat("0", 64)
	in.Number = 2
	_, err := do(t, r, r.Propose, in)
	wantRefusal(t, err, ErrInvalidInput, false, "there is no idea")
	in.Idea = "../../x"
	_, err = do(t, r, r.Propose, in)
	wantRefusal(t, err, ErrInvalidInput, false, "no sha256")
}

func TestIdeaTitles(t *testing.T) {
	dir := newCheckout(t)
	r := newResearch(t, dir, nobody)
	c := prepared(t, r)
	patch := userPatch(t, dir, `"L" `, `"SL"`)
	for _, k := range []struct{ given, patch, want string }{
		{"mine", "Subject: [PATCH] theirs\n\n" + patch, "mine"},
		{" ", "Subject: [PATCH] theirs\n\n" + patch, "theirs"},
		{"", patch, "person: edit train.go"},
		{strings.Repeat("long ", 100), patch, strings.TrimSpace(strings.Repeat("long ", 20)[:99]) + "…"},
	} {
		if got := must(t, r, r.TakeIdea, TakeIdeaInput{Campaign: c, Parent: c.Base, Title: k.given, Patch: k.patch}); got.Title != k.want {
			t.Errorf("title %q, want %q", got.Title, k.want)
		}
	}
}

func TestTakeIdeaRefuses(t *testing.T) {
	t.Setenv("MY_TOKEN", "tok-0123456789")
	dir := newCheckout(t)
	r := newResearch(t, dir, nobody)
	c := prepared(t, r)
	good := userPatch(t, dir, `"L" `, `"SL"`)
	for what, k := range map[string]struct {
		in    TakeIdeaInput
		words []string
	}{
		"no patch":              {TakeIdeaInput{Patch: "hello\n"}, []string{"no hunks", "unified diff", noopFile, "autoresearch/mar5"}},
		"another file":          {TakeIdeaInput{Patch: strings.ReplaceAll(good, noopFile, "program.md")}, []string{"program.md", "only changes " + noopFile}},
		"another state":         {TakeIdeaInput{Patch: strings.ReplaceAll(good, `"L" `, `"M" `)}, []string{"do not stand in the file", "nearest lines", c.Base[:7]}},
		"no change":             {TakeIdeaInput{Patch: strings.ReplaceAll(good, `"SL"`, `"L" `)}, []string{"changes nothing"}},
		"against the rules":     {TakeIdeaInput{Patch: userPatch(t, dir, "= 0.03 ", "= -1   ")}, []string{"cannot be tried (invalid-edit)", "LR"}},
		"syntax":                {TakeIdeaInput{Patch: userPatch(t, dir, "const (", "const ((")}, []string{"cannot be tried", noopFile}},
		"a secret":              {TakeIdeaInput{Patch: userPatch(t, dir, `"ok"`, `"ok" // tok-0123456789`)}, []string{"MY_TOKEN"}},
		"a secret in the words": {TakeIdeaInput{Patch: good, Hypothesis: "as tok-0123456789 says"}, []string{"MY_TOKEN"}},
		"huge":                  {TakeIdeaInput{Patch: good + strings.Repeat("\n", maxIdea)}, []string{"bytes"}},
		"an unknown parent":     {TakeIdeaInput{Patch: good, Parent: strings.Repeat("0", 40)}, []string{"no commit"}},
	} {
		k.in.Campaign = c
		if k.in.Parent == "" {
			k.in.Parent = c.Base
		}
		_, err := do(t, r, r.TakeIdea, k.in)
		t.Log(what, err)
		wantRefusal(t, err, ErrInvalidInput, false, k.words...)
	}
	if keys, err := r.Store.List(t.Context(), "mar5/ideas/"); err != nil || len(keys) > 0 {
		t.Errorf("refused ideas are stored: %q, %v", keys, err)
	}
}

// The incumbent moves between the moment in which an idea is taken and the one
// in which it is tried, and once more before it is trained.
func TestIdeaOnAnotherParent(t *testing.T) {
	m := move(t, []experiment.Edit{lr("0.02")}, []experiment.Edit{replace(`= "L" `, `= "SL"`)})
	window, same, equal := userPatch(t, m.Checkout, `"L" `, `"SSSL"`), userPatch(t, m.Checkout, "0.03 ", "0.01 "), userPatch(t, m.Checkout, "0.03 ", "0.02 ")
	for n, k := range []struct {
		patch  string
		reason experiment.Reason
		words  string
	}{
		{window, "", ""},
		{same, experiment.InvalidEdit, "the change conflicts with experiment 1, which was kept meanwhile, at line 4 of noop/train.go"},
		{equal, experiment.Duplicate, "nothing is left of the change: it is the same as experiment 1, which was kept meanwhile"},
	} {
		idea := must(t, m.Research, m.TakeIdea, TakeIdeaInput{Campaign: m.c, Parent: m.c.Base, Patch: k.patch})
		for revision := range 2 {
			in := m.onto(revision)
			in.Number, in.Idea = 11+n, idea.Idea
			got := must(t, m.Research, m.Propose, in)
			if got.Proposer != experiment.Person || !got.Rebased && k.reason == "" {
				t.Errorf("the proposal is %+v", got)
			}
			applied, text := m.applied(t, in)
			if k.reason == "" {
				if applied.Failure != nil || !strings.Contains(text, `"SSSL"`) || !strings.Contains(text, "= 0.02 ") {
					t.Errorf("revision %d: %+v\n%s", revision, applied.Failure, text)
				}
				continue
			}
			if applied.Failure == nil || applied.Failure.Reason != k.reason || !strings.Contains(applied.Failure.Message, k.words) {
				t.Errorf("revision %d: %+v; want %s: %s", revision, applied.Failure, k.reason, k.words)
			}
			// There is nobody who could repair it.
			in.Round = 1
			if again := must(t, m.Research, m.Propose, in); again.Proposer != experiment.Person || again.Title != got.Title {
				t.Errorf("round 1 is %+v", again)
			}
			if again, _ := m.applied(t, in); asJSON(t, again.Failure) != asJSON(t, applied.Failure) {
				t.Errorf("round 1 fails with %+v, round 0 with %+v", again.Failure, applied.Failure)
			}
		}
	}
	// A campaign that no longer names the idea goes on with what is stored of it.
	for n, reason := range []experiment.Reason{"", experiment.InvalidEdit} {
		in := m.onto(2)
		in.Number = 11 + n
		got := must(t, m.Research, m.Propose, in)
		applied, text := m.applied(t, in)
		failed := applied.Failure != nil && applied.Failure.Reason == reason
		if got.Proposer != experiment.Person || !got.Rebased || failed != (reason != "") || !failed && !strings.Contains(text, `"SSSL"`) {
			t.Errorf("experiment %d without its idea: %+v, %+v\n%s", in.Number, got, applied.Failure, text)
		}
	}
	if full := artifactText(t, m.Research, m.c, 12, "failure-1-0.json"); !strings.Contains(full, `LR      = 0.02`) || !strings.Contains(full, `LR      = 0.01`) {
		t.Errorf("the failure does not show both sides: %s", full)
	}
	if len(m.asked) > 0 {
		t.Errorf("a proposer was asked for an idea: %+v", m.asked)
	}
}
