// Package proposertest holds the contract of proposer.Proposer in executable
// form. The test of a new proposer is a call of [Conformance].
package proposertest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// File is the editable file of the [Request] that the suite uses.
const File = "train.go"

// Source is its text at the baseline.
const Source = `package main

const (
	MatrixLR  = 0.02   // range 0.002..0.2 log; Muon
	Momentum  = 0.95   // range 0.8..0.99
	Depth     = 2      // range 1..6 int
	BatchSize = 8      // one of 2, 4, 8, 16, 32
	Window    = "SSSL" // one of L, SL, SSSL
)

func main() { println(MatrixLR, Momentum, Depth, BatchSize, Window) }
`

// Campaign is a small past: a baseline, a kept step, a worse one, a crash, and
// one that got no commit.
type Campaign struct {
	Files   map[string]map[string][]byte // by commit
	History []experiment.Result
	Best    experiment.Incumbent
}

// Past makes the campaign that the suite uses.
func Past() *Campaign {
	c := &Campaign{Files: map[string]map[string][]byte{"c0": {File: []byte(Source)}}}
	c.Best = experiment.Incumbent{Commit: "c0", ValBpb: 2.6, Runs: 3}
	c.add(0, "c0", "", experiment.Keep, experiment.Baseline, 2.6, "baseline")
	c.try(1, "= 0.02 ", "= 0.031 ", experiment.Keep, experiment.Improved, 2.5, "raise MatrixLR from 0.02 to 0.031")
	c.try(2, "= 8 ", "= 4 ", experiment.Discard, experiment.Worse, 2.7, "halve BatchSize from 8 to 4")
	c.try(3, "= 2 ", "= 5 ", experiment.Crash, experiment.OOM, 0, "raise Depth from 2 to 5")
	c.add(4, "", "c1", experiment.Crash, experiment.BuildFailed, 0, "switch Window from SSSL to L")
	return c
}

func (c *Campaign) try(n int, from, to string, v experiment.Verdict, r experiment.Reason, bpb float64, title string) {
	commit := fmt.Sprintf("c%d", n)
	text := strings.Replace(string(c.Files[c.Best.Commit][File]), from, to, 1)
	c.Files[commit] = map[string][]byte{File: []byte(text)}
	c.add(n, commit, c.Best.Commit, v, r, bpb, title)
}

func (c *Campaign) add(n int, commit, parent string, v experiment.Verdict, r experiment.Reason, bpb float64, title string) {
	res := experiment.Result{Experiment: n, Commit: commit, Parent: parent, Verdict: v, Reason: r, Title: title, Proposer: "hpo"}
	if v != experiment.Crash {
		res.ValBpb = &bpb
	}
	if n > 0 {
		against := c.Best
		res.Against = &against
	}
	if v == experiment.Keep {
		c.Best = experiment.Incumbent{Experiment: n, Commit: commit, ValBpb: bpb, Runs: 1, Title: title}
	}
	c.History = append(c.History, res)
}

// Request asks for the proposal of experiment n.
func (c *Campaign) Request(n int) proposer.Request {
	return proposer.Request{
		Campaign: experiment.Campaign{Settings: experiment.Settings{Tag: "mar5", Seed: 42}.WithDefaults()},
		Number:   n,
		Parent:   c.Best,
		Files:    c.Files[c.Best.Commit],
		History:  c.History,
		Source: func(commit string) (map[string][]byte, error) {
			if files, ok := c.Files[commit]; ok {
				return files, nil
			}
			return nil, fmt.Errorf("%w: no candidate %s", proposer.ErrLost, commit)
		},
		Program: "# program\n",
	}
}

// Running is what is being tried beside the [Request] for experiment n: a
// candidate with the incumbent as its parent, one that is not applied yet, and
// one that the home has lost.
func (c *Campaign) Running(n int) []proposer.Ongoing {
	commit := fmt.Sprintf("r%d", n+1)
	text := strings.Replace(string(c.Files[c.Best.Commit][File]), "= 0.95 ", "= 0.9 ", 1)
	c.Files[commit] = map[string][]byte{File: []byte(text)}
	return []proposer.Ongoing{
		{Number: n + 1, Title: "lower Momentum from 0.95 to 0.9", Proposer: "hpo", Parent: c.Best.Commit, Commit: commit},
		{Number: n + 2, Title: "raise Depth from 2 to 3", Proposer: "hpo", Parent: c.Best.Commit},
		{Number: n + 3, Title: "an idea", Proposer: "llm", Parent: c.Best.Commit, Commit: "lost"},
	}
}

// Conformance checks a proposer that has at least five proposals for [Source].
// fresh makes one. deterministic says that equal requests get equal answers.
func Conformance(t *testing.T, deterministic bool, fresh func() proposer.Proposer) {
	t.Run("answers apply to the parent", func(t *testing.T) {
		p, past := fresh(), Past()
		for n := 1; n <= 5; n++ {
			r := past.Request(n)
			answer, err := p.Propose(context.Background(), r)
			if err != nil {
				t.Fatalf("experiment %d: %v", n, err)
			}
			check(t, p, r, answer.Proposal)
		}
	})
	t.Run("a repair applies too", func(t *testing.T) {
		p, r := fresh(), Past().Request(5)
		first := propose(t, p, r)
		r.Round, r.Previous = 1, &first
		r.Complaint = &experiment.Failure{Reason: experiment.BuildFailed, Message: "train.go:3: no"}
		check(t, p, r, propose(t, p, r))
	})
	t.Run("the audit split is out of sight", func(t *testing.T) {
		if !deterministic {
			t.Skip("answers differ anyway: its own tests must show it")
		}
		for n := 1; n <= 5; n++ {
			r := Past().Request(n)
			for i := range r.History {
				if bpb := r.History[i].ValBpb; bpb != nil {
					r.History[i].Measurements = []experiment.Measurement{{ValBpb: *bpb}}
				}
			}
			plain := propose(t, fresh(), r)
			for _, gap := range []float64{3, -2} {
				if got := propose(t, fresh(), Audited(r, gap)); !reflect.DeepEqual(got, plain) {
					t.Errorf("experiment %d: with %v on the audit split it proposes %+v, without %+v", n, gap, got, plain)
				}
			}
		}
	})
	t.Run("beside what is running", func(t *testing.T) {
		p, past := fresh(), Past()
		r := past.Request(5)
		r.Running = past.Running(5)
		check(t, p, r, propose(t, p, r))
	})
	if _, renews := fresh().(proposer.Renewer); renews {
		t.Run("never what is running", func(t *testing.T) { neverTwice(t, fresh()) })
	}
	t.Run("on a parent without a score", func(t *testing.T) {
		p, past := fresh(), Past()
		r := past.Request(5)
		r.Parent.ValBpb, r.Parent.Runs = 0, 0
		got := propose(t, p, r)
		check(t, p, r, got)
		if text := got.Hypothesis + got.Expected; strings.Contains(text, "0.0000") {
			t.Errorf("%q names a score that nobody knows", text)
		}
	})
	t.Run("again on another parent", func(t *testing.T) {
		p, past := fresh(), Past()
		r := past.Request(5)
		check(t, p, r, propose(t, p, r))
		past.try(6, "= 0.95 ", "= 0.9 ", experiment.Keep, experiment.Improved, 2.4, "lower Momentum from 0.95 to 0.9")
		r = past.Request(5)
		r.Revision = 1
		check(t, p, r, propose(t, p, r))
	})
	t.Run("a cancelled context ends it", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := fresh().Propose(ctx, Past().Request(5)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v; want context.Canceled", err)
		}
	})
	t.Run("concurrent calls", func(t *testing.T) {
		p, r := fresh(), Past().Request(5)
		want := propose(t, p, r)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				got, err := p.Propose(context.Background(), r)
				if err != nil || deterministic && !reflect.DeepEqual(got.Proposal, want) {
					t.Errorf("got %+v, %v\nwant %+v", got.Proposal, err, want)
				}
			})
		}
		wg.Wait()
		if again := propose(t, fresh(), r); deterministic && !reflect.DeepEqual(again, want) {
			t.Errorf("a fresh proposer answers %+v\nwant %+v", again, want)
		}
	})
}

// neverTwice asks for one experiment after the other while none is decided.
func neverTwice(t *testing.T, p proposer.Proposer) {
	past := Past()
	var running []proposer.Ongoing
	seen := map[string]string{}
	for n := 5; n < 25; n++ {
		r := past.Request(n)
		r.Running = running
		got := propose(t, p, r)
		check(t, p, r, got)
		files, failure := proposer.ApplyEdits(r.Files, got.Edits)
		if failure != nil {
			t.Fatal(failure.Message)
		}
		text := string(files[File])
		if twin := seen[text]; twin != "" {
			t.Errorf("%q is proposed while %q is running, which is the same", got.Title, twin)
		}
		seen[text] = got.Title
		o := proposer.Ongoing{Number: n, Title: got.Title, Proposer: got.Proposer, Parent: r.Parent.Commit}
		if n%3 > 0 { // the others are not applied yet: only their titles are known
			o.Commit = fmt.Sprintf("n%d", n)
			past.Files[o.Commit] = files
		}
		running = append(running, o)
	}
}

func propose(t *testing.T, p proposer.Proposer, r proposer.Request) experiment.Proposal {
	t.Helper()
	answer, err := p.Propose(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Proposal
}

func check(t *testing.T, p proposer.Proposer, r proposer.Request, got experiment.Proposal) {
	t.Helper()
	before := string(r.Files[File])
	if _, failure := proposer.ApplyEdits(r.Files, got.Edits); failure != nil {
		t.Errorf("%q does not apply: %s", got.Title, failure.Message)
	}
	if string(r.Files[File]) != before {
		t.Error("the parent's files were changed")
	}
	if got.Title == "" || len(got.Title) > 100 || strings.ContainsAny(got.Title, "\r\n") {
		t.Errorf("title %q: want one line of at most 100 bytes", got.Title)
	}
	if got.Proposer != p.Name() || got.Parent != r.Parent.Commit {
		t.Errorf("proposer %q and parent %q; want %q and %q", got.Proposer, got.Parent, p.Name(), r.Parent.Commit)
	}
}

// Audited is the request as it is if the audit split was measured in all runs:
// with gap on it between the two splits. No proposal may depend on it, or the
// audit split would be one that candidates are selected by.
func Audited(r proposer.Request, gap float64) proposer.Request {
	mark := func(i experiment.Incumbent) experiment.Incumbent {
		i.Audit = &experiment.Audit{ValBpb: i.ValBpb + gap, Runs: 3, Gap: gap, StdErr: gap / 10, Overfit: true}
		return i
	}
	r.Parent = mark(r.Parent)
	r.History = slices.Clone(r.History)
	for n := range r.History {
		past := &r.History[n]
		past.Measurements = slices.Clone(past.Measurements)
		for i := range past.Measurements {
			past.Measurements[i].AuditBpb = past.Measurements[i].ValBpb + gap
		}
		if past.Against != nil {
			against := mark(*past.Against)
			past.Against = &against
		}
		past.Incumbent = mark(past.Incumbent)
		past.Line = slices.Clone(past.Line)
		for i := range past.Line {
			past.Line[i] = mark(past.Line[i])
		}
	}
	return r
}
