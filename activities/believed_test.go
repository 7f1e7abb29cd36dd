package activities

import (
	"testing"

	"github.com/autoresearch-go/autoresearch/experiment"
)

func result(n int, v experiment.Verdict, reason experiment.Reason, score float64, against *experiment.Incumbent) experiment.Result {
	r := experiment.Result{Experiment: n, Commit: string(rune('a' + n)), Verdict: v, Reason: reason, Against: against, Measurements: measured(score)}
	if score > 0 {
		r.ValBpb = &score
	}
	return r
}

func checkOf(of int, reason experiment.Reason, score float64) experiment.Result {
	r := result(20+of, experiment.Keep, reason, score, nil)
	r.Check = &experiment.Check{Of: of, Purpose: experiment.Confirm}
	return r
}

func TestBelieved(t *testing.T) {
	base := &experiment.Incumbent{Commit: "a", ValBpb: 3}
	lucky := &experiment.Incumbent{Experiment: 1, Commit: "b", ValBpb: 2}
	drifted := result(4, experiment.Discard, experiment.Worse, 3.3, base)
	voiding := checkOf(0, experiment.Drifted, 3.5)
	voiding.Voids = []int{3, 4, 24}
	void := checkOf(4, experiment.Confirmed, 9)
	past := []experiment.Result{
		result(0, experiment.Keep, experiment.Baseline, 3, nil),
		result(1, experiment.Keep, experiment.Improved, 2, base),
		result(2, experiment.Discard, experiment.Worse, 2.5, lucky),
		checkOf(1, experiment.Unresolved, 2.6),
		checkOf(1, experiment.Refuted, 3.0),
		result(3, experiment.Keep, experiment.Improved, 2.9, base),
		void, drifted, voiding,
	}
	before := asJSON(t, past)
	got := believed(past)
	if asJSON(t, past) != before {
		t.Error("it changes the past")
	}
	if len(got) != 5 {
		t.Fatalf("%d results: %s", len(got), asJSON(t, got))
	}
	one, two, three, four := got[1], got[2], got[3], got[4]
	if *one.ValBpb != 2.8 || one.Verdict != experiment.Discard || one.Reason != experiment.Refuted || one.Message != "kept, then refuted by fresh seeds (#21): " {
		t.Errorf("the refuted keep is %s", asJSON(t, one))
	}
	if *two.ValBpb != 2.5 || two.Against.ValBpb != 2.8 {
		t.Errorf("what was compared with it is %s", asJSON(t, two))
	}
	if three.ValBpb != nil || three.Verdict != experiment.Keep || four.ValBpb != nil || four.Reason != experiment.Drifted {
		t.Errorf("of a slot that had drifted: %s and %s", asJSON(t, three), asJSON(t, four))
	}
	if *got[0].ValBpb != 3 {
		t.Errorf("the baseline is %v", *got[0].ValBpb)
	}
}
