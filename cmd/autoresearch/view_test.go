package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// madeView is a campaign in the middle of a training run.
func madeView() view {
	st := statusOf(experiment.Campaign{StartedAt: madeAt, Settings: experiment.Settings{Tag: "mar5"}.WithDefaults()}, made("mar5"))
	st.Campaign, st.Phase = "mar5", experiment.Running
	st.Limits = experiment.Limits{Experiments: 100, WallTime: experiment.Duration(8 * time.Hour)}
	return view{
		tag: "mar5", status: &st, now: madeAt.Add(62 * time.Minute),
		running: &running{number: 7, step: "train", title: "lower MatrixLR from 0.031 to 0.025", progress: &activities.Progress{
			Step: 1240, Loss: 2.3123, ChargedSeconds: 37, BudgetSeconds: 60, TokensPerSec: 8123,
		}},
	}
}

func TestViewShowsTheRunningTraining(t *testing.T) {
	require.Equal(t, strings.TrimPrefix(`
mar5  running  6 of 100 experiments  2 kept  3 discarded  1 crashed  1h02m of 8h00m
best  2.4312 (-0.1611 since the baseline)  #6 lower Window from 256 to 128, <b>&"quoted"</b>
#7 train  ###################...........  62%  37s of 60s  step 1240  loss 2.3123  8.1k tokens/s
   lower MatrixLR from 0.031 to 0.025`, "\n"), drawn(madeView(), 120, style{}))
}

func TestViewBesideABar(t *testing.T) {
	lines := madeView().lines(120, style{utf8: true})
	require.Contains(t, lines[2], "#7 train  ███████████████████░░░░░░░░░░░  62%")
}

func TestViewIsNeverWiderThanTheTerminal(t *testing.T) {
	v := madeView()
	v.trouble = []string{"train #7 failed: no space left on device (attempt 4), next try in 30s"}
	v.running.title = "混合 " + strings.Repeat("長い題名", 30)
	for width := 1; width < 200; width++ {
		for _, s := range []style{{}, {utf8: true}} {
			for _, line := range v.lines(width, s) {
				require.Less(t, columns(line), max(width, 10), "%q at width %d", line, width)
			}
		}
	}
}

func TestViewOnANarrowTerminal(t *testing.T) {
	require.Equal(t, strings.TrimPrefix(`
mar5  running  6 of 100 experiments ...
best  2.4312 (-0.1611 since the base...
#7 train  #######.....  62%  37s of 60s
   lower MatrixLR from 0.031 to 0.025`, "\n"), drawn(madeView(), 40, style{}))
}

func TestViewBeforeTheFirstAnswer(t *testing.T) {
	v := view{tag: "mar5", waiting: "waiting for the campaign to answer", trouble: []string{"temporal does not answer"}}
	require.Equal(t, "mar5  waiting for the campaign to answer\ntemporal does not answer", drawn(v, 80, style{}))
}

func TestViewBeforeTheBaseline(t *testing.T) {
	v := madeView()
	v.status.ValBpb, v.status.Tally = nil, experiment.Tally{}
	v.running = &running{number: 0, step: "apply", since: v.now.Add(-7 * time.Second)}
	require.Equal(t, strings.TrimPrefix(`
mar5  running  0 of 100 experiments  1h02m of 8h00m
best  not measured yet: the baseline comes first
#0 apply  7s`, "\n"), drawn(v, 100, style{}))
}

func TestViewCannotBeHijacked(t *testing.T) {
	v := madeView()
	v.running.title = "\x1b[2J\x1b]0;gone\x07 cleared\nsecond line"
	text := drawn(v, 120, style{utf8: true})
	require.NotContains(t, text, "\x1b")
	require.Contains(t, text, "[2J]0;gone cleared second line")
}

func TestColorsAreOptional(t *testing.T) {
	require.NotContains(t, drawn(madeView(), 80, style{}), "\x1b")
	require.Contains(t, drawn(madeView(), 80, style{color: true}), "\x1b[32mbest")
}

func drawn(v view, width int, s style) string { return strings.Join(v.lines(width, s), "\n") }

func TestViewOfAnEvaluation(t *testing.T) {
	v := madeView()
	v.running.step, v.running.since = "evaluate", v.now.Add(-3*time.Second)
	require.Contains(t, drawn(v, 100, style{}), "#7 evaluate  3s\n", "the training's bar is not its own")
}

func TestViewWaitingForAWorker(t *testing.T) {
	v := madeView()
	v.running.queued, v.running.since = true, v.now.Add(-75*time.Second)
	require.Contains(t, drawn(v, 100, style{}), "#7 train  waiting for a free worker, 75s")
}

func TestTroubleIsReadable(t *testing.T) {
	v := madeView()
	v.trouble = []string{"train #7 failed: training in /a/long/path/to/a/run/directory: no space left on device (attempt 3), next try in 30s"}
	require.Contains(t, drawn(v, 60, style{}), "train #7 failed: training in\n  /a/long/path/to/a/run/directory: no space left on device\n  (attempt 3), next try in 30s")
}

// Plain output tells a trouble once, not at each of its attempts.
func TestTroubleIsToldOnce(t *testing.T) {
	var out strings.Builder
	w := &watcher{a: &app{env: env{stderr: &out}}}
	for _, told := range []struct {
		trouble string
		new     bool
	}{
		{"train #1 failed: no space in runs/0001-0-1 (attempt 1), next try in 1s", true},
		{"train #1 failed: no space in runs/0001-0-2 (attempt 2), trying again", false},
		{"train #1 failed: no space in runs/0001-0-2 (attempt 2), next try in 2s", false},
		{"train #1 failed: a disk is gone (attempt 3), next try in 4s", true},
		{"", false},
		{"train #2 failed: a disk is gone (attempt 1), next try in 1s", true},
	} {
		require.Equal(t, told.new, w.newTrouble(told.trouble), told.trouble)
	}
	require.Equal(t, "it goes on\n", out.String())
}
