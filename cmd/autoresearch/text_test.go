package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/experiment"
)

func TestClip(t *testing.T) {
	for _, c := range []struct {
		text string
		max  int
		s    style
		want string
	}{
		{"short", 5, style{}, "short"},
		{"longer", 5, style{}, "lo..."},
		{"longer", 5, style{utf8: true}, "long…"},
		{"longer", 2, style{}, "lo"},
		{"日本語", 4, style{utf8: true}, "日…"},
		{"日本語", 6, style{utf8: true}, "日本語"},
	} {
		require.Equal(t, c.want, c.s.clip(c.text, c.max), "%q in %d", c.text, c.max)
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 1500 * time.Millisecond: "1.5s", 2 * time.Second: "2s", 42 * time.Second: "42s",
		60 * time.Second: "60s", 61 * time.Second: "61s", 185 * time.Second: "3m05s", 8*time.Hour + 2*time.Minute: "8h02m",
	} {
		require.Equal(t, want, span(d), "%v", d)
	}
}

func TestEventLines(t *testing.T) {
	var lines []string
	for _, r := range made("mar5") {
		lines = append(lines, eventLine(r, style{}))
	}
	require.Equal(t, strings.TrimPrefix(`
#0 keep 2.5923 (baseline, noise +/-0.0120)
#1 discard 2.5901 (-0.0022 within-noise) raise WeightDecay from 0.1 to 0.12
#2 keep 2.5312 (-0.0611) raise MatrixLR from 0.02 to 0.031
#3 crash (oom) raise BatchSize from 16 to 512
#4 discard (duplicate) raise MatrixLR from 0.02 to 0.031
#5 discard 3.9100 (+1.3788 worse) lower Depth from 4 to 1
#6 keep 2.4312 (-0.1000) lower Window from 256 to 128, <b>&"quoted"</b>`, "\n"), strings.Join(lines, "\n"))
}

func TestCurve(t *testing.T) {
	points := []point{{1, 1, 5}, {2, 2, 4}, {3, 3, 3}, {4, 4, 2}, {5, 5, 2}, {6, 6, 1}}
	require.Equal(t, strings.TrimPrefix(`
  5.0000 |  *
         |    *
         |      *
         |        * *
  1.0000 |           *
         +------------
         0          6s  loss over charged time`, "\n"), strings.Join(curve(points, 12, 5, style{}), "\n"))
	require.Empty(t, curve(nil, 12, 5, style{}))
	require.NotEmpty(t, curve(points[:1], 12, 5, style{utf8: true}), "one point is a curve too")
}

// The live lines stand at the bottom, whatever is written above them.
func TestRegionKeepsItsLinesBelow(t *testing.T) {
	var screen bytes.Buffer
	var r region
	r.print(&screen, "before")
	r.open(&screen)
	r.draw([]string{"one", "two"})
	r.print(&screen, "event")
	r.draw(nil)
	erase := "\x1b[A\x1b[A\r\x1b[J"
	require.Equal(t, "before\none\ntwo\n"+erase+"event\none\ntwo\n"+erase, screen.String())
}

func TestTroubleNamesCauseAndNextTry(t *testing.T) {
	now := madeAt
	s := step{name: "train", attempt: 4, cause: "no space left on device", next: now.Add(30 * time.Second)}
	require.Equal(t, "train #3 failed: no space left on device (attempt 3), next try in 30s", s.trouble("#3", now))
	s.next = time.Time{}
	require.Equal(t, "train #3 failed: no space left on device (attempt 3), trying again", s.trouble("#3", now))
	s.cause = ""
	require.Empty(t, s.trouble("#3", now))
}

func TestStatusOfTheLedger(t *testing.T) {
	st := statusOf(experiment.Campaign{}, made("mar5"))
	require.Equal(t, experiment.Tally{Experiments: 6, Kept: 2, Discarded: 3, Crashed: 1}, st.Tally)
	require.Equal(t, 6, st.Experiment)
	require.InDelta(t, 2.4312, *st.ValBpb, 1e-9)
	require.InDelta(t, 2.5923, st.Baseline.ValBpb, 1e-9)
	require.Len(t, st.Recent, 7)
	require.Nil(t, statusOf(experiment.Campaign{}, nil).ValBpb)

	st = statusOf(experiment.Campaign{}, madeParallel("mar5"))
	require.Equal(t, 4, st.Experiment, "the incumbent of the last decision")
	require.Equal(t, experiment.Tally{Experiments: 4, Kept: 2, Discarded: 2}, st.Tally)
	require.Equal(t, int64(4*12345), st.Spent.PromptTokens)
	require.InDelta(t, 320/322.5, *st.Slots.BusyShare, 1e-9)
}

// The line of the slots also tells of those that stand still now.
func TestSlotsLine(t *testing.T) {
	now := time.Date(2026, 3, 5, 14, 0, 0, 0, time.UTC)
	st := experiment.Status{Limits: experiment.Limits{Parallel: 4}}
	require.Equal(t, "4", slotsLine(st, 0, now))
	st.Slots.Add(995, 5)
	require.Equal(t, "4, busy 99.5 % (idle 0.27 s per training, median)", slotsLine(st, 270*time.Millisecond, now))
	st.Slots.Free, st.Slots.FreeSince = 1, now.Add(-125*time.Second)
	require.Contains(t, slotsLine(st, 0, now), "; 1 waits for a candidate, 2m05s")
	st.Slots.Free = 2
	require.Contains(t, slotsLine(st, 0, now), "; 2 wait for a candidate, 2m05s")
}

// An error may quote a file, and a file may be anything.
func TestErrorsThatQuote(t *testing.T) {
	a, out := newApp(t)
	a.report(failed("", "these lines do not fit:\nLR = 1\x1b[2J\n\tDepth"))
	require.Equal(t, "error: these lines do not fit:\n    LR = 1[2J\n     Depth\n", out.String())
}
