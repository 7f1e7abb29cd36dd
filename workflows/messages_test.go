package workflows_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workflows"
	"github.com/autoresearch-go/autoresearch/workflows/double"
)

func temporalDecode(p *commonpb.Payloads, into ...any) error {
	return converter.GetDefaultDataConverter().FromPayloads(p, into...)
}

// The campaigns here train for a minute per run and have one seed: the baseline
// ends at 1m, experiment n at (n+1) minutes.
func minuteCampaign(t *testing.T) *campaign {
	c := newCampaign(t, &double.Double{})
	c.trainFor(time.Minute)
	return c
}

func oneSeed(experiments int) experiment.Settings {
	s := settings(experiments)
	s.Seeds = 1
	return s
}

func TestPauseAndResume(t *testing.T) {
	c := minuteCampaign(t)
	c.at(90*time.Second, func() { c.SignalWorkflow(workflows.MessagePause, nil) })
	c.at(100*time.Second, func() {
		s := c.status()
		require.Equal(t, experiment.Paused, s.Phase)
		require.Equal(t, []int{1}, inTraining(s), "the running experiment goes on")
	})
	c.at(time.Hour, func() {
		s := c.status()
		require.Empty(t, inTraining(s))
		require.Equal(t, 1, s.Experiments, "no new one has started")
		c.SignalWorkflow(workflows.MessageResume, nil)
	})
	best, err := c.run(oneSeed(3))
	require.NoError(t, err)
	require.Equal(t, 3, best.Experiments)
}

func TestStop(t *testing.T) {
	c := minuteCampaign(t)
	c.at(150*time.Second, func() { c.SignalWorkflow(workflows.MessageStop, nil) })
	c.at(160*time.Second, func() { require.Equal(t, experiment.Stopping, c.status().Phase) })
	best, err := c.run(oneSeed(0))
	require.NoError(t, err)
	require.Equal(t, experiment.Complete, best.Phase)
	require.Equal(t, 2, best.Experiments, "the running experiment ends and is decided")
	require.Equal(t, "stopped by request", c.status().StopReason)
}

func TestStopWhilePaused(t *testing.T) {
	c := minuteCampaign(t)
	c.at(70*time.Second, func() { c.update(workflows.MessagePause) })
	c.at(time.Hour, func() { c.update(workflows.MessageStop) })
	best, err := c.run(oneSeed(0))
	require.NoError(t, err)
	require.Equal(t, 1, best.Experiments)
}

func TestHintReachesTheNextProposalOnce(t *testing.T) {
	c := minuteCampaign(t)
	c.at(90*time.Second, func() {
		c.SignalWorkflow(workflows.MessageHint, workflows.Hint{Text: "  try a wider window "})
		c.SignalWorkflow(workflows.MessageHint, workflows.Hint{Text: " "})
		require.Zero(t, c.status().Hints, "signals are taken in by the next workflow task")
	})
	c.at(100*time.Second, func() { require.Equal(t, 1, c.status().Hints) })
	_, err := c.run(oneSeed(6))
	require.NoError(t, err)
	require.Equal(t, []string{"try a wider window"}, c.d.Hints())
}

// A hint waits for a proposer that can read.
func TestHintIsForAReader(t *testing.T) {
	c := minuteCampaign(t)
	reader := 0
	c.d.OnPropose = func(in activities.ProposeInput) error {
		if len(in.Hints) > 0 {
			reader = in.Number
		}
		return nil
	}
	c.at(90*time.Second, func() { c.SignalWorkflow(workflows.MessageHint, workflows.Hint{Text: "deeper"}) })
	s := oneSeed(12)
	s.Proposer = "hpo:3,llm:1"
	_, err := c.run(s)
	require.NoError(t, err)
	shares, err := experiment.ParseProposers(s.Proposer)
	require.NoError(t, err)
	require.Equal(t, "llm", experiment.ProposerOf(shares, reader), "experiment %d", reader)
}

// The baseline has no proposer: a hint that waits when it starts is not its.
func TestHintBeforeTheBaseline(t *testing.T) {
	c := newCampaign(t, &double.Double{})
	c.OnActivity("Prepare", anything, anything).Return(c.d.Prepare).After(time.Minute)
	c.at(time.Second, func() { c.SignalWorkflow(workflows.MessageHint, workflows.Hint{Text: "early"}) })
	_, err := c.run(oneSeed(1))
	require.NoError(t, err)
	require.Equal(t, []string{"early"}, c.d.Hints())
}

func TestUpdatesAnswer(t *testing.T) {
	c := minuteCampaign(t)
	var pause, resume, hint, budget, program, stop *answer
	c.at(90*time.Second, func() { pause = c.update(workflows.MessagePause) })
	c.at(91*time.Second, func() { resume = c.update(workflows.MessageResume) })
	c.at(92*time.Second, func() { hint = c.update(workflows.MessageHint, workflows.Hint{Text: "deeper"}) })
	c.at(93*time.Second, func() {
		budget = c.update(workflows.MessageSetBudget, map[string]any{"experiments": 7, "wall_time": "2h"})
	})
	c.at(94*time.Second, func() { program = c.update(workflows.MessageSetProgram, workflows.SetProgram{Text: "# new"}) })
	c.at(210*time.Second, func() { stop = c.update(workflows.MessageStop) })
	best, err := c.run(oneSeed(3))
	require.NoError(t, err)
	for _, a := range []*answer{pause, resume, hint, budget, program, stop} {
		require.NoError(t, a.refused)
		require.NoError(t, a.failed)
		require.True(t, a.done)
	}
	require.Equal(t, experiment.Paused, pause.Phase)
	require.Equal(t, "no new experiment starts after experiment 1, which is still decided", pause.Message)
	require.Equal(t, experiment.Running, resume.Phase)
	require.Equal(t, experiment.Limits{Experiments: 7, WallTime: experiment.Duration(2 * time.Hour)}, *budget.Limits)
	require.Equal(t, double.Digest("# new"), program.Program)
	require.Equal(t, experiment.Stopping, stop.Phase)
	require.Equal(t, 3, best.Experiments)
	require.Equal(t, []string{"deeper"}, c.d.Hints())
}

func TestUpdatesRefuse(t *testing.T) {
	c := minuteCampaign(t)
	got := map[string]*answer{}
	ask := func(key, name string, args ...any) { got[key] = c.update(name, args...) }
	c.at(150*time.Second, func() { // experiment 2 runs, 1 is kept
		ask("resume", workflows.MessageResume)
		ask("empty hint", workflows.MessageHint, workflows.Hint{Text: " \n"})
		ask("long hint", workflows.MessageHint, workflows.Hint{Text: strings.Repeat("x", 2001)})
		ask("budget of a run", workflows.MessageSetBudget, map[string]any{"budget": "2m"})
		ask("unknown field", workflows.MessageSetBudget, map[string]any{"experiment": 5})
		ask("negative", workflows.MessageSetBudget, map[string]any{"plateau": -1})
		ask("passed", workflows.MessageSetBudget, map[string]any{"experiments": 1})
		ask("time passed", workflows.MessageSetBudget, map[string]any{"wall_time": "1m"})
		ask("no change", workflows.MessageSetBudget, map[string]any{})
		ask("long program", workflows.MessageSetProgram, workflows.SetProgram{Text: strings.Repeat("x", 64<<10+1)})
		c.update(workflows.MessagePause)
	})
	c.at(151*time.Second, func() {
		ask("pause", workflows.MessagePause)
		c.update(workflows.MessageStop)
	})
	c.at(152*time.Second, func() {
		ask("stop", workflows.MessageStop)
		ask("pause after stop", workflows.MessagePause)
		ask("hint after stop", workflows.MessageHint, workflows.Hint{Text: "x"})
		ask("budget after stop", workflows.MessageSetBudget, map[string]any{"plateau": 9})
	})
	_, err := c.run(oneSeed(0))
	require.NoError(t, err)
	for key, says := range map[string]string{
		"resume":            "is not paused",
		"empty hint":        "is empty",
		"long hint":         "2001 bytes: at most 2000",
		"budget of a run":   `"budget" cannot change while a campaign runs, its results could not be compared`,
		"unknown field":     `"experiment" cannot change`,
		"negative":          "plateau is -1",
		"passed":            "experiments is 1 but 1 are done: use stop",
		"time passed":       "wall_time is 1m0s but 2m30s have passed: use stop",
		"no change":         "nothing to change: the limits are none",
		"long program":      "65537 bytes: at most 65536",
		"pause":             "is paused already",
		"stop":              "the campaign is ending: stopped by request",
		"pause after stop":  "the campaign is ending",
		"hint after stop":   "the campaign is ending",
		"budget after stop": "the campaign is ending",
	} {
		require.Error(t, got[key].refused, key)
		require.Contains(t, got[key].refused.Error(), says, key)
	}
}

func TestSetBudgetEndsAPausedCampaignInTime(t *testing.T) {
	c := minuteCampaign(t)
	c.at(70*time.Second, func() { c.update(workflows.MessagePause) })
	c.at(time.Hour, func() { c.update(workflows.MessageSetBudget, map[string]any{"wall_time": "3h"}) })
	start := c.Now()
	_, err := c.run(oneSeed(0))
	require.NoError(t, err)
	require.Equal(t, 3*time.Hour, c.Now().Sub(start).Round(time.Minute))
}

// A campaign that is paused before its baseline waits; its wall time ends it.
func TestPausedBeforeTheBaseline(t *testing.T) {
	for name, tc := range map[string]struct {
		resume time.Duration
		want   int
	}{"resumed": {30 * time.Minute, 1}, "over": {2 * time.Hour, 0}} {
		t.Run(name, func(t *testing.T) {
			c := newCampaign(t, &double.Double{})
			c.OnActivity("Prepare", anything, anything).Return(c.d.Prepare).After(time.Minute)
			c.at(time.Second, func() { c.SignalWorkflow(workflows.MessagePause, "anything") })
			c.at(tc.resume, func() { c.SignalWorkflow(workflows.MessageResume, nil) })
			start := c.Now()
			s := oneSeed(1)
			s.WallTime = experiment.Duration(time.Hour)
			best, err := c.run(s)
			require.NoError(t, err)
			require.Equal(t, tc.want, best.Experiments)
			require.LessOrEqual(t, c.Now().Sub(start), time.Hour)
		})
	}
}

// Preparing takes longer than the campaign may: paused or not, that ends it.
func TestPausedBeyondTheWallTime(t *testing.T) {
	c := newCampaign(t, &double.Double{})
	c.OnActivity("Prepare", anything, anything).Return(c.d.Prepare).After(time.Hour)
	c.at(time.Second, func() { c.SignalWorkflow(workflows.MessagePause, nil) })
	s := oneSeed(1)
	s.WallTime = experiment.Duration(time.Minute)
	best, err := c.run(s)
	require.NoError(t, err)
	require.Zero(t, best.Experiments)
	require.Contains(t, c.status().StopReason, "wall time")
}

func TestStopDuringTheBaseline(t *testing.T) {
	for name, when := range map[string]time.Duration{"prepare": time.Second, "baseline": 90 * time.Second} {
		t.Run(name, func(t *testing.T) {
			c := minuteCampaign(t)
			c.OnActivity("Prepare", anything, anything).Return(c.d.Prepare).After(time.Minute)
			c.at(when, func() { c.SignalWorkflow(workflows.MessageStop, nil) })
			best, err := c.run(oneSeed(0))
			require.NoError(t, err)
			require.Equal(t, experiment.Complete, best.Phase)
			require.Zero(t, best.Experiments)
			require.Len(t, c.d.Decided(), count(c.d.Calls(), "train"), "a baseline that runs is finished")
		})
	}
}

func TestCancelWhilePaused(t *testing.T) {
	c := minuteCampaign(t)
	c.at(70*time.Second, func() { c.SignalWorkflow(workflows.MessagePause, nil) })
	c.at(time.Hour, c.CancelWorkflow)
	_, err := c.run(oneSeed(0))
	require.True(t, temporal.IsCanceledError(err), "%v", err)
	require.Equal(t, "cancelled", c.status().StopReason)
	require.Empty(t, c.status().Running, "nothing is begun any more")
}

// A slot that finds no candidate is shown, and counts as idle; but not while the
// campaign is paused.
func TestFreeSlots(t *testing.T) {
	c := minuteCampaign(t)
	c.OnActivity("Propose", anything, anything).Return(c.d.Propose).After(10 * time.Minute)
	start := c.Now()
	c.at(30*time.Second, func() { require.Zero(t, c.status().Slots.Free, "the baseline trains") })
	c.at(5*time.Minute, func() {
		slots := c.status().Slots
		require.Equal(t, 1, slots.Free)
		require.Equal(t, time.Minute, slots.FreeSince.Sub(start).Round(time.Second))
		c.SignalWorkflow(workflows.MessagePause, nil)
	})
	c.at(6*time.Minute, func() {
		require.Zero(t, c.status().Slots.Free)
		c.SignalWorkflow(workflows.MessageResume, nil)
	})
	c.at(10*time.Minute+30*time.Second, func() { require.Zero(t, c.status().Slots.Free, "experiment 1 trains") })
	_, err := c.run(oneSeed(1))
	require.NoError(t, err)
	require.Zero(t, c.status().Slots.Free)
}
