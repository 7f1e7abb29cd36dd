package main

import (
	"testing"
	"time"
)

func TestBetween(t *testing.T) {
	start := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	before := marks{number: 1, left: at(20), decideScheduled: at(30), decideBegan: at(31), decided: at(61), reported: at(81)}
	next := marks{number: 2, applied: at(-500), ordered: at(121), scheduled: at(141), began: at(150), idle: 150 * time.Millisecond}
	g := between(before, next)
	if !g.prepared {
		t.Error("the candidate stood before the slot became idle")
	}
	var sum time.Duration
	for i, want := range []int{20, 10, 1, 30, 20, 40, 20, 9} {
		if sum += g.parts[i]; g.parts[i] != time.Duration(want)*time.Millisecond {
			t.Errorf("%s: got %v, want %d ms", partNames[i], g.parts[i], want)
		}
	}
	if sum != g.idle {
		t.Errorf("the parts are %v of %v", sum, g.idle)
	}
	next.applied = at(1)
	if between(before, next).prepared {
		t.Error("the slot waited for the candidate")
	}
}

func TestQuantiles(t *testing.T) {
	var all []time.Duration
	for i := 200; i > 0; i-- {
		all = append(all, time.Duration(i)*time.Millisecond)
	}
	if got, want := sorted(all).row(), "200 | 0.10 | 0.18 | 0.20 | 0.20"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := sorted(nil).row(), "0 | | | |"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestShow(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0.000", 42 * time.Millisecond: "0.042", 99600 * time.Microsecond: "0.10", 5300 * time.Millisecond: "5.30", 41 * time.Second: "41"} {
		if got := show(d); got != want {
			t.Errorf("%v is shown as %s, want %s", d, got, want)
		}
	}
}
