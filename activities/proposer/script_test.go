package proposer_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/proposer/proposertest"
	"github.com/autoresearch-go/autoresearch/experiment"
)

const script = `{"title": "wait", "edits": [{"path": "train.go", "search": "package main", "replace": "package main // a"}]}
{"set": {"BatchSize": 16, "Window": "SL"}}
{"set": {"Depth": 3}, "title": "go deeper", "hypothesis": "depth helps", "expected_effect": "less bpb"}

{"title": "whole file", "edits": [{"path": "train.go", "replace": "package main\n"}]}
{"set": {"MatrixLR": 0.05}, "repairs": [{"set": {"MatrixLR": "0.06"}}]}
`

func scripted(t *testing.T, text string) (*proposer.Script, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return proposer.NewScript(path)
}

func TestScriptConforms(t *testing.T) {
	proposertest.Conformance(t, true, func() proposer.Proposer {
		s, err := scripted(t, script)
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestScriptFollowsItsLines(t *testing.T) {
	s, err := scripted(t, script)
	if err != nil {
		t.Fatal(err)
	}
	past := proposertest.Past()
	title := func(n, round int) string {
		r := past.Request(n)
		r.Round = round
		if round > 0 {
			r.Complaint = &experiment.Failure{Reason: experiment.BuildFailed}
		}
		a, err := s.Propose(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		return a.Proposal.Title
	}
	for _, c := range []struct {
		n, round int
		want     string
	}{
		{1, 0, "wait"}, {1, 2, "wait"}, {2, 0, "double BatchSize from 8 to 16 and switch Window from SSSL to SL"},
		{3, 0, "go deeper"}, {5, 0, "raise MatrixLR from 0.031 to 0.05"}, {5, 1, "raise MatrixLR from 0.031 to 0.06"}, {5, 2, "raise MatrixLR from 0.031 to 0.06"},
	} {
		if got := title(c.n, c.round); got != c.want {
			t.Errorf("experiment %d, round %d: %q; want %q", c.n, c.round, got, c.want)
		}
	}
	if _, err := s.Propose(context.Background(), past.Request(6)); !errors.Is(err, proposer.ErrNothingLeft) {
		t.Errorf("after the last line: %v; want ErrNothingLeft", err)
	}
}

func TestScriptErrors(t *testing.T) {
	for text, want := range map[string]string{
		"{\n":                      "script.jsonl:1",
		"\n{\"titel\": \"x\"}\n":   `unknown field "titel"`,
		`{"set": {"Nope": 1}}`:     "no tunable constant named Nope",
		`{"set": {"Depth": 7}}`:    "outside of its range 1..6",
		`{"set": {"Window": "S"}}`: "not one of L, SL, SSSL",
	} {
		s, err := scripted(t, text)
		if err == nil {
			_, err = s.Propose(context.Background(), proposertest.Past().Request(1))
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v; want %q", text, err, want)
		}
	}
	if _, err := proposer.NewScript(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing script gives %v", err)
	}
}
