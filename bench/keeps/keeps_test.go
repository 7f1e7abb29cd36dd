package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/experiment"
)

func at(v float64) *float64 { return &v }

// evening has a confirmed keep, one that was rolled back, and a provisional one.
func evening() []experiment.Result {
	base := experiment.Incumbent{Experiment: 0, Commit: "c0", ValBpb: 2.5, Confirmed: true}
	one := experiment.Incumbent{Experiment: 1, Commit: "c1", ValBpb: 2.4}
	kept := func(n int, against experiment.Incumbent, val float64) experiment.Result {
		return experiment.Result{Experiment: n, Sequence: n, Reason: experiment.Improved, Verdict: experiment.Keep, Against: &against, ValBpb: at(val), Line: []experiment.Incumbent{base, one}, Title: "idea"}
	}
	confirm := kept(2, one, 2.41)
	confirm.Reason, confirm.Check = experiment.Confirmed, &experiment.Check{Of: 1, Purpose: experiment.Confirm}
	refute := kept(4, one, 2.45)
	refute.Reason, refute.Check = experiment.Refuted, &experiment.Check{Of: 3, Purpose: experiment.Confirm}
	return []experiment.Result{
		{Experiment: 0, Reason: experiment.Baseline, Line: []experiment.Incumbent{base}},
		kept(1, base, 2.4), confirm, kept(3, one, 2.38), refute, kept(5, one, 2.39), {FalseKeepRate: 0.05, Experiment: 6, Reason: experiment.Worse},
	}
}

// fake has a truth, and fails after so many runs.
type fake struct {
	truth map[int]float64
	left  int
	made  int
}

func (f *fake) run(_ context.Context, r experiment.Result, k int, seed uint64) (run, error) {
	if f.left--; f.left < 0 {
		return run{}, errors.New("killed")
	}
	f.made++
	return run{Experiment: r.Experiment, Seed: seed, ValBpb: f.truth[r.Experiment] + 0.001*float64(k%3)}, nil
}

func TestClaims(t *testing.T) {
	got := claimsOf(evening(), false)
	if len(got) != 1 || got[0].of != 1 || got[0].over != 0 || got[0].state != "confirmed" {
		t.Errorf("claims %+v; want #1 over #0", got)
	}
	var states []string
	for _, c := range claimsOf(evening(), true) {
		states = append(states, c.state)
	}
	if s := strings.Join(states, ", "); s != "confirmed, rolled back, provisional" {
		t.Errorf("states %s", s)
	}
}

func TestAKilledRunGoesOn(t *testing.T) {
	o := options{tag: "mar5", seeds: 4, out: filepath.Join(t.TempDir(), "out.jsonl")}
	claims := claimsOf(evening(), true)
	f := &fake{truth: map[int]float64{0: 2.5, 1: 2.4, 3: 2.41, 5: 2.39}, left: 6}
	if _, err := measure(t.Context(), o, f, evening(), claims); err == nil {
		t.Fatal("a run that fails is no error")
	}
	if err := appendTo(o.out, `{"experiment":1,"seed":`); err != nil { // cut off by the kill
		t.Fatal(err)
	}
	f.left = 1000
	scores, err := measure(t.Context(), o, f, evening(), claims)
	if err != nil || f.made != 16 {
		t.Fatalf("%d runs made for 4 candidates with 4 seeds, %v", f.made, err)
	}
	if _, err := measure(t.Context(), o, f, evening(), claims); err != nil || f.made != 16 {
		t.Fatalf("a third run makes %d runs, %v", f.made-16, err)
	}
	var out bytes.Buffer
	report(&out, experiment.Campaign{Settings: experiment.Settings{Tag: "mar5"}}, evening(), claims, scores)
	for _, want := range []string{
		"| #1 | #0 | confirmed | +0.1000 | +0.1000 |", "| true |", "| #3 | #1 | rolled back |", "| false |",
		"of 1 keeps that are claimed, 0 are no better by fresh seeds: 0.0 %; stated: at most 5 %",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, &out)
		}
	}
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

func TestFreshSeedsAreFresh(t *testing.T) {
	seen := map[uint64]bool{}
	c := experiment.Settings{Tag: "mar5"}.WithDefaults()
	for n := range 200 {
		seen[experiment.Seed(c.Seed, n, 0)] = true
	}
	for n := range 20 {
		for k := range 10 {
			if s := freshSeed("mar5", n, k); seen[s] {
				t.Fatalf("seed %d is used twice", s)
			} else {
				seen[s] = true
			}
		}
	}
}
