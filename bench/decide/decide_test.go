package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/policy"
)

// A small version of the tables, with fixed seeds: what docs/decisions.md
// promises must not be lost by a change of the policy or of the schedule.
func TestConfirmKeepsItsPromises(t *testing.T) {
	o := options{campaigns: 60, budget: 126, seed: 5}
	for _, c := range []struct {
		noise, atLeast float64 // of greedy's gain
	}{{0.0002, 0.95}, {0.001, 0.98}, {0.005, 1.0}} {
		w := o.world(c.noise)
		w.half = -1
		g := study(w, byGreedy, o.campaigns, o.budget, 1, o.seed)
		s := study(w, byConfirm, o.campaigns, o.budget, 1, o.seed)
		ratio := s.line.mean() / g.line.mean()
		t.Logf("noise %g: %.2f of greedy's gain, %d of %d claims false, intervals cover %s, %.0f %% of the runs are checks",
			c.noise, ratio, s.false, s.claimed, percent(s.covered, s.intervals), 100*s.share.mean())
		if ratio < c.atLeast {
			t.Errorf("noise %g: %.2f of greedy's gain, want %.2f", c.noise, ratio, c.atLeast)
		}
		if s.rate.mean() > policy.ConfirmRules.FalseKeepRate {
			t.Errorf("noise %g: %.3f of a campaign's claims are false, stated is %.3f", c.noise, s.rate.mean(), policy.ConfirmRules.FalseKeepRate)
		}
		if s.runs.mean() != g.runs.mean() {
			t.Errorf("noise %g: %.1f runs, greedy had %.1f", c.noise, s.runs.mean(), g.runs.mean())
		}
		if f := float64(g.false) / float64(g.claimed); f < 0.02 {
			t.Errorf("noise %g: only %.3f of greedy's keeps are false: the simulation is too easy", c.noise, f)
		}
	}
}

// Where nothing has an effect, whatever is claimed is false: few campaigns may
// claim anything.
func TestNothingIsClaimedOfNothing(t *testing.T) {
	o := options{campaigns: 150, budget: 126, seed: 6}
	w := o.world(0.001)
	w.kind = "null"
	if s := study(w, byConfirm, o.campaigns, o.budget, 1, o.seed); s.rate.mean() > 0.05 {
		t.Errorf("%.3f of the campaigns claim a gain where there is none", s.rate.mean())
	}
	if s := study(w, byThreshold, o.campaigns, o.budget, 1, o.seed); s.rate.mean() < 0.5 {
		t.Errorf("threshold/1 claims something in %.3f of the campaigns only: the simulation is too easy", s.rate.mean())
	}
}

func TestDriftIsSeen(t *testing.T) {
	o := options{campaigns: 40, budget: 126, seed: 7}
	w := o.world(0.001)
	if s := study(w, byConfirm, o.campaigns, o.budget, 1, o.seed); s.drifted.mean() > 0.05 {
		t.Errorf("%.2f drifts seen where there is none", s.drifted.mean())
	}
	w.drifts, w.shift = 60, 0.017
	if s := study(w, byConfirm, o.campaigns, o.budget, 1, o.seed); s.drifted.mean() < 0.9 || s.drifted.mean() > 1.2 {
		t.Errorf("%.2f drifts seen of one", s.drifted.mean())
	}
}

func TestTablesAreDeterministic(t *testing.T) {
	var a, b bytes.Buffer
	o := options{table: "slots", campaigns: 4, budget: 60, seed: 1}
	if err := o.run(&a); err != nil {
		t.Fatal(err)
	}
	_ = o.run(&b)
	if a.String() != b.String() || strings.Count(a.String(), "confirm/1") != 8 {
		t.Errorf("two runs differ, or rows are missing:\n%s\n%s", &a, &b)
	}
	o.table = "nonsense"
	if err := o.run(&a); err == nil {
		t.Error("an unknown table is no error")
	}
}
