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
		ongoing: []ongoing{training(7, "lower MatrixLR from 0.031 to 0.025", 37)},
	}
}

// training is an experiment in the middle of its run.
func training(n int, title string, charged float64) ongoing {
	return ongoing{
		Ongoing: experiment.Ongoing{Experiment: n, Stage: experiment.Training, Title: title}, step: "train",
		progress: &activities.Progress{Step: 1240, Loss: 2.3123, ChargedSeconds: charged, BudgetSeconds: 60, TokensPerSec: 8123},
	}
}

// at is an experiment that does not train.
func at(n int, stage experiment.Stage) ongoing {
	return ongoing{Ongoing: experiment.Ongoing{Experiment: n, Stage: stage}}
}

func TestViewShowsTheRunningTraining(t *testing.T) {
	require.Equal(t, strings.TrimPrefix(`
mar5  running  6 of 100 experiments  2 kept  3 discarded  1 crashed  1h02m of 8h00m
best  2.4312 (-0.1611 since the baseline)  #6 lower Window from 256 to 128, <b>&"quoted"</b>
#7 train  ###################...........  62%  37s of 60s  step 1240  loss 2.3123  8.1k tokens/s
   lower MatrixLR from 0.031 to 0.025`, "\n"), drawn(madeView(), 120, style{}))
}

func TestViewBesideABar(t *testing.T) {
	lines := madeView().lines(120, 0, style{utf8: true})
	require.Contains(t, lines[2], "#7 train  ███████████████████░░░░░░░░░░░  62%")
}

func TestViewIsNeverWiderThanTheTerminal(t *testing.T) {
	v := madeView()
	v.trouble = []string{"train #7 failed: no space left on device (attempt 4), next try in 30s"}
	v.ongoing[0].Title = "混合 " + strings.Repeat("長い題名", 30)
	for width := 1; width < 200; width++ {
		for _, s := range []style{{}, {utf8: true}} {
			for _, line := range v.lines(width, 0, s) {
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
	v.ongoing = []ongoing{{Ongoing: experiment.Ongoing{Stage: experiment.Proposing}, step: "apply", since: v.now.Add(-7 * time.Second)}}
	require.Equal(t, strings.TrimPrefix(`
mar5  running  0 of 100 experiments  1h02m of 8h00m
best  not measured yet: the baseline comes first
#0 apply  7s`, "\n"), drawn(v, 100, style{}))
}

func TestViewCannotBeHijacked(t *testing.T) {
	v := madeView()
	v.ongoing[0].Title = "\x1b[2J\x1b]0;gone\x07 cleared\nsecond line"
	text := drawn(v, 120, style{utf8: true})
	require.NotContains(t, text, "\x1b")
	require.Contains(t, text, "[2J]0;gone cleared second line")
}

func TestColorsAreOptional(t *testing.T) {
	require.NotContains(t, drawn(madeView(), 80, style{}), "\x1b")
	require.Contains(t, drawn(madeView(), 80, style{color: true}), "\x1b[32mbest")
}

func drawn(v view, width int, s style) string { return strings.Join(v.lines(width, 0, s), "\n") }

func TestViewOfAnEvaluation(t *testing.T) {
	v := madeView()
	v.ongoing[0].step, v.ongoing[0].since = "evaluate", v.now.Add(-3*time.Second)
	require.Contains(t, drawn(v, 100, style{}), "#7 evaluate  3s\n", "the training's bar is not its own")
}

func TestViewWaitingForAWorker(t *testing.T) {
	v := madeView()
	v.ongoing[0].queued, v.ongoing[0].since = true, v.now.Add(-75*time.Second)
	require.Contains(t, drawn(v, 100, style{}), "#7 train  waiting for a free worker, 75s")
}

func TestTroubleIsReadable(t *testing.T) {
	v := madeView()
	v.trouble = []string{"train #7 failed: training in /a/long/path/to/a/run/directory: no space left on device (attempt 3), next try in 30s"}
	require.Contains(t, drawn(v, 60, style{}), "train #7 failed: training in\n  /a/long/path/to/a/run/directory: no space left on device\n  (attempt 3), next try in 30s")
}

// Plain output tells a trouble once, not at each of its attempts, whatever
// else comes and goes.
func TestTroubleIsToldOnce(t *testing.T) {
	a, out := newApp(t)
	w := newWatcher(a, nil, "mar5", 0)
	for _, round := range []struct {
		trouble []string
		want    string
	}{
		{[]string{"train #1 failed: no space in runs/0001-0-1 (attempt 1), next try in 1s"}, "train #1 failed: no space in runs/0001-0-1 (attempt 1), next try in 1s\n"},
		{[]string{"train #1 failed: no space in runs/0001-0-2 (attempt 2), trying again"}, ""},
		{[]string{"train #1 failed: no space in runs/0001-0-2 (attempt 2), next try in 2s"}, ""},
		{[]string{"the server is away", "train #1 failed: no space in runs/0001-0-2 (attempt 2), next try in 2s"}, "the server is away\n"},
		{[]string{"train #1 failed: no space in runs/0001-0-3 (attempt 3), trying again"}, ""},
		{[]string{"train #1 failed: a disk is gone (attempt 3), next try in 4s"}, "train #1 failed: a disk is gone (attempt 3), next try in 4s\n"},
		{nil, "it goes on\n"},
		{nil, ""},
		{[]string{"train #2 failed: a disk is gone (attempt 1), next try in 1s"}, "train #2 failed: a disk is gone (attempt 1), next try in 1s\n"},
	} {
		w.view.trouble = round.trouble
		w.show()
		require.Equal(t, round.want, out.String(), round.trouble)
		out.Reset()
	}
}
