package activities

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// named is a proposer with a name of its own.
type named struct {
	name string
	answers
}

func (n named) Name() string { return n.name }

// renewer is one whose proposals cost nothing.
type renewer struct{ answers }

func (renewer) Renews() {}

// several lets settings name any of these proposers.
func several(r *Research, c *experiment.Campaign, setting string, all ...named) {
	c.Settings.Proposer = setting
	r.Proposers = func(name string) (proposer.Proposer, error) {
		for _, p := range all {
			if p.name == name {
				return p, nil
			}
		}
		return nil, fmt.Errorf("there is no proposer %s", name)
	}
}

func onBase(c experiment.Campaign, n int) ProposeInput {
	return ProposeInput{Campaign: c, Number: n, Parent: experiment.Incumbent{Commit: c.Base, ValBpb: 2.5, Runs: 2}}
}

func TestWhoseTurn(t *testing.T) {
	r := newResearch(t, newCheckout(t), nil)
	c := prepared(t, r)
	empty := map[string]bool{}
	maker := func(name string) named {
		return named{name, func(q proposer.Request) (proposer.Answer, error) {
			if empty[name] {
				return proposer.Answer{}, fmt.Errorf("%s is through: %w", name, proposer.ErrNothingLeft)
			}
			return edited(experiment.Edit{Path: "noop/train.go", Search: `"ok"`, Replace: `"build-failed"`})(q)
		}}
	}
	several(r, &c, "a:3,b", maker("a"), maker("b"))
	shares, err := experiment.ParseProposers("a:3,b")
	if err != nil {
		t.Fatal(err)
	}
	turns := map[string]int{}
	for n := 1; n <= 8; n++ {
		got := must(t, r, r.Propose, onBase(c, n))
		if want := experiment.ProposerOf(shares, n); got.Proposer != want {
			t.Errorf("experiment %d is proposed by %s, want %s", n, got.Proposer, want)
		}
		turns[got.Proposer]++
	}
	if turns["a"] != 6 || turns["b"] != 2 {
		t.Errorf("turns are %v", turns)
	}

	// Whoever has something left stands in, and repairs what it proposed.
	n := 9
	first := experiment.ProposerOf(shares, n)
	other := map[string]string{"a": "b", "b": "a"}[first]
	empty[first] = true
	if got := proposed(t, r, c, n, 0); got.Failure == nil {
		t.Fatal("the proposal does not fail")
	}
	empty[first] = false
	in := onBase(c, n)
	if got := must(t, r, r.Propose, in); got.Proposer != other {
		t.Errorf("%s stands in for %s", got.Proposer, first)
	}
	in.Round = 1
	if got := must(t, r, r.Propose, in); got.Proposer != other {
		t.Errorf("%s repairs what %s proposed", got.Proposer, other)
	}
	empty["a"], empty["b"] = true, true
	_, err = do(t, r, r.Propose, onBase(c, 10))
	wantRefusal(t, err, ErrNothingLeft, false, "a is through", "b is through")
	c.Settings.Proposer = "a,nobody"
	_, err = do(t, r, r.Propose, onBase(c, 11))
	wantRefusal(t, err, ErrInvalidSettings, false, "nobody")
}

// Proposals that cost nothing are made one at a time, each in view of those
// before it. Others are not kept waiting by them, nor keep them.
func TestRenewersTakeTurns(t *testing.T) {
	r := newResearch(t, newCheckout(t), nil)
	var inside atomic.Int32
	started, free := make(chan bool), make(chan bool)
	r.Proposers = func(string) (proposer.Proposer, error) {
		return renewer{func(q proposer.Request) (proposer.Answer, error) {
			if inside.Add(1) > 1 {
				t.Error("two proposals are made at once")
			}
			defer inside.Add(-1)
			if len(q.Running) == 0 {
				started <- true
				<-free // until the others are waiting, or would not be
			}
			return lrAnswer(q, fmt.Sprintf("0.0%d", 11+len(q.Running))), nil
		}}, nil
	}
	c := prepared(t, r)
	c.Settings.Parallel = 3 // so many may wait for their proposals that all six are looked for
	var wg sync.WaitGroup
	var mu sync.Mutex
	var titles []string
	propose := func(n int) {
		got, err := r.propose(t.Context(), onBase(c, n))
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.Error(err)
		}
		titles = append(titles, got.Title)
	}
	wg.Go(func() { propose(1) })
	<-started
	for n := 2; n <= 6; n++ {
		wg.Go(func() { propose(n) })
	}
	close(free)
	wg.Wait()
	slices.Sort(titles)
	if got := slices.Compact(titles); len(got) != 6 {
		t.Errorf("the proposals are %q", got)
	}
}

func TestRunning(t *testing.T) {
	var seen []proposer.Ongoing
	r := newResearch(t, newCheckout(t), answers(func(q proposer.Request) (proposer.Answer, error) {
		seen = q.Running
		switch q.Number {
		case 5:
			return proposer.Answer{Failure: &experiment.Failure{Reason: experiment.InvalidEdit, Message: "prose"}}, nil
		}
		return lrAnswer(q, fmt.Sprintf("0.0%d%d", q.Number, 1+q.Revision)), nil
	}))
	c := prepared(t, r)
	baseline(t, r, c)
	one := proposed(t, r, c, 1, 0) // decided
	must(t, r, r.Decide, DecideInput{Campaign: c, Number: 1, Parent: c.Base, Commit: one.Commit, Title: "x", Measurements: measured(2.9)})
	two := proposed(t, r, c, 2, 0)             // trains
	must(t, r, r.Propose, onBase(c, 3))        // is not applied yet
	proposed(t, r, c, 4, 0)                    // has another revision since
	must(t, r, r.Propose, onBase(c, 5))        // could not be read
	far := must(t, r, r.Propose, onBase(c, 9)) // begun, while 6 to 8 wait for their proposals
	on2 := onBase(c, 4)
	on2.Revision, on2.Parent = 1, experiment.Incumbent{Experiment: 2, Commit: two.Commit}
	again := must(t, r, r.Propose, on2)
	must(t, r, r.Propose, onBase(c, 14)) // begun, while 10 to 13 wait
	must(t, r, r.Propose, onBase(c, 22)) // too far away to be running
	want := []proposer.Ongoing{
		{Number: 2, Title: "set LR to 0.021", Proposer: "script", Parent: c.Base, Commit: two.Commit},
		{Number: 3, Title: "set LR to 0.031", Proposer: "script", Parent: c.Base},
		{Number: 4, Title: again.Title, Proposer: "script", Parent: two.Commit},
		{Number: 9, Title: far.Title, Proposer: "script", Parent: c.Base},
		{Number: 14, Title: "set LR to 0.0141", Proposer: "script", Parent: c.Base},
	}
	c.Settings.Parallel = 2 // five may be waiting, and two be checks
	must(t, r, r.Propose, onBase(c, 6))
	if !reflect.DeepEqual(seen, want) {
		t.Errorf("running are\n%s, want\n%s", asJSON(t, seen), asJSON(t, want))
	}
}

func TestCurve(t *testing.T) {
	var curve []proposer.Point
	var err error
	r := newResearch(t, newCheckout(t), answers(func(q proposer.Request) (proposer.Answer, error) {
		curve, err = q.Curve(7)
		return lrAnswer(q, "0.02"), nil
	}))
	c := prepared(t, r)
	n := 10
	ask := func() []proposer.Point {
		n++
		if must(t, r, r.Propose, onBase(c, n)); err != nil {
			t.Fatal(err)
		}
		return curve
	}
	put := func(name, text string) {
		if err := putText(t.Context(), r.Store, experiment.Key("mar5", 7, name), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if got := ask(); len(got) != 0 {
		t.Errorf("without a run: %v", got)
	}
	put("metrics.jsonl", `{"step":20,"charged_seconds":0.5,"tokens":9,"loss":3.25}`+"\n"+`{"step":40,"charged_seconds":1,"loss":3}`+"\n"+`{"step":60,"char`)
	put("metrics-1.jsonl", `{"step":99}`+"\n")
	if got := ask(); !reflect.DeepEqual(got, []proposer.Point{{Step: 20, ChargedSeconds: 0.5, Loss: 3.25}, {Step: 40, ChargedSeconds: 1, Loss: 3}}) {
		t.Errorf("the curve is %v", got)
	}
	for _, revision := range []int{2, 10} {
		text := ""
		for step := 1; step <= 1000; step++ {
			text += fmt.Sprintf(`{"step":%d,"loss":%d}`+"\n", step*revision, revision)
		}
		put(fmt.Sprintf("metrics-rev-%d.jsonl", revision), text)
	}
	got := ask()
	if len(got) != maxPoints || got[0].Step != 10 || got[maxPoints-1].Step != 10000 || got[1].Step < 100 || got[1].Step > 200 {
		t.Errorf("of a long curve: %d points, %v", len(got), got[:2])
	}
}

func TestNotes(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-0123456789")
	r := newResearch(t, newCheckout(t), nil)
	ctx := context.Background()
	at := func(n, revision, round int) proposer.Notes {
		return notes{r.Store, ProposeInput{Campaign: experiment.Campaign{Settings: testSettings()}, Number: n, Revision: revision, Round: round}}
	}
	first, err := at(7, 0, 0).Write(ctx, "call-0.json", []byte(`{"header":"Bearer sk-0123456789"}`))
	if err != nil || string(first) != `{"header":"Bearer [$OPENAI_API_KEY]"}` {
		t.Errorf("wrote %s, %v", first, err)
	}
	second, err := at(7, 0, 0).Write(ctx, "call-0.json", []byte("another"))
	if err != nil || string(second) != string(first) {
		t.Errorf("a second write gives %s, %v", second, err)
	}
	if got, err := at(7, 0, 0).Read(ctx, "call-0.json"); err != nil || string(got) != string(first) {
		t.Errorf("read %s, %v", got, err)
	}
	for what, other := range map[string]proposer.Notes{"experiment": at(8, 0, 0), "revision": at(7, 1, 0), "round": at(7, 0, 1)} {
		if got, err := other.Read(ctx, "call-0.json"); err != nil || got != nil {
			t.Errorf("another %s has %s, %v", what, got, err)
		}
	}
	if text := artifactText(t, r, experiment.Campaign{Settings: testSettings()}, 7, "note-0-0-call-0.json"); text != string(first) {
		t.Errorf("the artifact is %s", text)
	}
	for _, name := range []string{"", "../x", "a/b", `a\b`, "a\nb"} {
		if _, err := at(7, 0, 0).Write(ctx, name, nil); err == nil {
			t.Errorf("a note named %q is written", name)
		}
		if _, err := at(7, 0, 0).Read(ctx, name); err == nil {
			t.Errorf("a note named %q is read", name)
		}
	}
}

// An answer that is no usable edit is stored, fails without being tried, and
// goes back with its complaint.
func TestAnswerThatCannotBeRead(t *testing.T) {
	complaint := &experiment.Failure{Reason: experiment.InvalidEdit, Message: "the second block has no end\nline 2\nline 3"}
	var seen []proposer.Request
	r := newResearch(t, newCheckout(t), answers(func(q proposer.Request) (proposer.Answer, error) {
		seen = append(seen, q)
		if q.Round == 0 {
			return proposer.Answer{Failure: complaint, Spent: experiment.Spent{CompletionTokens: 7}}, nil
		}
		return lrAnswer(q, "0.02"), nil
	}))
	c := prepared(t, r)
	baseline(t, r, c)
	if got := must(t, r, r.Propose, onBase(c, 1)); got.Title != "an answer that could not be read" || got.Spent.CompletionTokens != 7 {
		t.Errorf("the proposal is %+v", got)
	}
	got := must(t, r, r.Apply, ApplyInput{Campaign: c, Number: 1, Parent: c.Base})
	if got.Failure == nil || got.Failure.Reason != experiment.InvalidEdit || got.Failure.Message != "the second block has no end\nline 2" || got.Commit != "" {
		t.Errorf("Apply gives %+v, %+v", got, got.Failure)
	}
	if got := proposed(t, r, c, 1, 1); got.Failure != nil {
		t.Errorf("the repair fails: %+v", got.Failure)
	}
	if q := seen[1]; len(seen) != 2 || *q.Complaint != *complaint || q.Previous.Title != "an answer that could not be read" {
		t.Errorf("asked %d times; the complaint is %+v about %+v", len(seen), q.Complaint, q.Previous)
	}
}

func TestTitles(t *testing.T) {
	failure := &experiment.Failure{Reason: experiment.InvalidEdit, Message: "x"}
	for want, p := range map[string]storedProposal{
		"an answer that could not be read": {Failure: failure},
		"an answer without edits":          {},
		"edit a.go, b.go":                  {Proposal: experiment.Proposal{Edits: []experiment.Edit{{Path: "x/a.go"}, {Path: "x/a.go"}, {Path: "b.go"}}}},
	} {
		if got := titleOf(p); got != want {
			t.Errorf("title %q, want %q", got, want)
		}
	}
}

// A server may repeat the key that it was called with.
func TestSecretsStayOutOfProposals(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-0123456789")
	t.Setenv("SITE_PASSWORD", "Outcome = ") // a word that the file has is no secret
	add := ""
	r := newResearch(t, newCheckout(t), answers(func(q proposer.Request) (proposer.Answer, error) {
		a := lrAnswer(q, "0.02")
		a.Proposal.Hypothesis, a.Proposal.Expected = "Bearer sk-0123456789", "sk-0123456789"
		a.Proposal.Edits[0].Replace += add
		a.Proposal.Edits = append(a.Proposal.Edits, experiment.Edit{Path: "noop/train.go", Search: `Outcome = "ok"`, Replace: `Outcome = "ok" // fine`})
		return a, nil
	}))
	c := prepared(t, r)
	for n, text := range []string{1: "", 2: " // sk-0123456789"} {
		if n == 0 {
			continue
		}
		add = text
		got := proposed(t, r, c, n, 0)
		if (got.Failure != nil) != (n == 2) || n == 2 && !strings.Contains(got.Failure.Message, "OPENAI_API_KEY") {
			t.Errorf("experiment %d: %+v", n, got.Failure)
		}
		keys, err := r.Store.List(t.Context(), experiment.Key("mar5", n, ""))
		if err != nil || len(keys) < 3 {
			t.Fatal(keys, err)
		}
		for _, key := range keys {
			if text, err := readArtifact(t.Context(), r.Store, key); err != nil || strings.Contains(string(text), "sk-0123456789") {
				t.Errorf("%s has the key, %v:\n%s", key, err, text)
			}
		}
	}
}
