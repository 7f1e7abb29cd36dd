package workflows_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workflows"
	"github.com/autoresearch-go/autoresearch/workflows/double"
)

const anything = mock.Anything

func startOptions(id string) client.StartWorkflowOptions { return client.StartWorkflowOptions{ID: id} }

func TestHappyLoop(t *testing.T) {
	d := &double.Double{Score: func(n, run int) float64 { return []float64{3.5, 3.4, 3.6, 3.3}[n] + float64(run)/100 }}
	c := newCampaign(t, d)
	c.trainFor(time.Minute)
	best, err := c.run(settings(3))
	require.NoError(t, err)
	require.Equal(t, "mar5", best.Campaign, "the tag comes from the workflow id")
	require.Equal(t, experiment.Complete, best.Phase)
	require.Equal(t, 3, best.Experiment)
	require.InDelta(t, 3.3, *best.ValBpb, 1e-9)
	require.Equal(t, experiment.Tally{Experiments: 3, Kept: 2, Discarded: 1, SinceKeep: 1}, best.Tally)
	for n, want := range [][]string{
		{"apply 0/0", "train 0/0", "evaluate 0/0", "train 0/1", "evaluate 0/1", "decide 0/0"},
		{"propose 1/0", "apply 1/0", "train 1/0", "evaluate 1/0", "decide 1/0"},
		{"propose 2/0", "apply 2/0", "propose 2.1/0", "apply 2.1/0", "propose 2.2/0", "apply 2.2/0", "train 2/0", "evaluate 2/0", "decide 2/0"},
		{"propose 3/0", "apply 3/0", "train 3/0", "evaluate 3/0", "decide 3/0"},
	} {
		require.Equal(t, want, callsOf(d, n), "2 is made for when 1 is discarded, 3 for when it is kept: as it is")
	}
	s := c.status()
	require.InDelta(t, 3.505, s.Baseline.ValBpb, 1e-9, "the mean over the seeds")
	require.Equal(t, "the limit of experiments is reached: 3 experiments", s.StopReason)
	require.Equal(t, []experiment.Verdict{"keep", "keep", "keep", "discard"}, verdicts(s.Recent))
	require.Empty(t, s.Running)
}

// A campaign completes after its children: whoever stops the workers then leaves
// nothing half-closed.
func TestChildrenEndFirst(t *testing.T) {
	c := newCampaign(t, &double.Double{})
	c.trainFor(time.Minute)
	ended := 0
	c.SetOnChildWorkflowCompletedListener(func(*workflow.Info, converter.EncodedValue, error) { ended++ })
	_, err := c.run(settings(3))
	require.NoError(t, err)
	require.Equal(t, 4, ended)
}

func TestRefusedInput(t *testing.T) {
	for name, tc := range map[string]struct {
		id       string
		settings experiment.Settings
		says     string
	}{
		"id without prefix": {"mar5", experiment.Settings{}, "start the campaign with the workflow id research-mar5"},
		"id of another":     {"research-mar5", experiment.Settings{Tag: "mar6"}, "start the campaign with the workflow id research-mar6"},
		"bad tag":           {"research-a b", experiment.Settings{}, `tag "a b" is not usable`},
		"negative budget":   {"research-mar5", experiment.Settings{Budget: -1}, "budget is"},
		"negative limit":    {"research-mar5", settings(-1), "experiments is -1"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCampaign(t, &double.Double{})
			c.SetStartWorkflowOptions(startOptions(tc.id))
			_, err := c.run(tc.settings)
			app := failure(t, err)
			require.Equal(t, activities.ErrInvalidSettings, app.Type())
			require.True(t, app.NonRetryable())
			require.Contains(t, app.Message(), tc.says)
			require.Empty(t, c.d.Calls(), "it is refused before anything happens")
		})
	}
}

func TestLimits(t *testing.T) {
	worse := func(n, _ int) float64 { return 3.5 + float64(n) }
	t.Run("plateau", func(t *testing.T) {
		c := newCampaign(t, &double.Double{Score: worse})
		best, err := c.run(experiment.Settings{Limits: experiment.Limits{Plateau: 4}})
		require.NoError(t, err)
		require.Equal(t, 4, best.Discarded)
		require.Equal(t, "plateau: 4 experiments in a row without a keep", c.status().StopReason)
	})
	t.Run("wall time", func(t *testing.T) {
		c := newCampaign(t, &double.Double{})
		c.trainFor(10 * time.Minute)
		best, err := c.run(experiment.Settings{Seeds: 1, Limits: experiment.Limits{WallTime: experiment.Duration(35 * time.Minute)}})
		require.NoError(t, err)
		require.Equal(t, 3, best.Experiments, "10 minutes of baseline, then three until 35 are over; the last one is finished")
		require.Contains(t, c.status().StopReason, "wall time of 35m0s")
	})
	t.Run("wall time while paused", func(t *testing.T) {
		c := newCampaign(t, &double.Double{})
		c.at(time.Second, func() { c.SignalWorkflow(workflows.MessagePause, nil) })
		c.trainFor(time.Minute)
		_, err := c.run(experiment.Settings{Seeds: 1, Limits: experiment.Limits{WallTime: experiment.Duration(time.Hour)}})
		require.NoError(t, err)
		require.Zero(t, c.status().Experiments)
	})
}

func TestFollowsTheLedger(t *testing.T) {
	d := &double.Double{}
	_, err := newCampaign(t, d).run(settings(2))
	require.NoError(t, err)
	best, err := newCampaign(t, d).run(settings(5))
	require.NoError(t, err)
	require.Equal(t, 5, best.Experiments)
	require.Len(t, d.Decided(), 6)
	require.Equal(t, 1, count(d.Calls(), "decide 2/"), "what was decided is not run again")
	best, err = newCampaign(t, d).run(settings(5))
	require.NoError(t, err)
	require.Equal(t, 5, best.Experiments, "a limit that is reached already ends it at once")
}

// What the user leaves out agrees with what is recorded, and is not a default
// that differs from it.
func TestGoesOnWithRecordedSettings(t *testing.T) {
	d := &double.Double{}
	first := settings(1)
	first.Budget, first.Seeds, first.Proposer = experiment.Duration(2*time.Second), 1, "script"
	_, err := newCampaign(t, d).run(first)
	require.NoError(t, err)
	c := newCampaign(t, d)
	best, err := c.run(experiment.Settings{Tag: "mar5", Limits: experiment.Limits{Experiments: 2}})
	require.NoError(t, err)
	require.Equal(t, 2, best.Experiments)
	require.Equal(t, first.Budget, c.status().Budget)
	require.Equal(t, "script", c.status().Proposer)
	_, err = newCampaign(t, d).run(experiment.Settings{Tag: "mar5", Seeds: 3})
	require.Equal(t, activities.ErrSettingsConflict, failure(t, err).Type())
}

// A campaign that starts again over its ledger has its wall time anew; what is
// counted in experiments counts over all of it.
func TestLimitsOfASecondRun(t *testing.T) {
	d := &double.Double{Score: func(n, _ int) float64 { return 3.5 + float64(n) }}
	hour := experiment.Settings{Seeds: 1, Limits: experiment.Limits{WallTime: experiment.Duration(time.Hour)}}
	for run, want := range []int{3, 7} { // 20 minutes each, the baseline first
		c := newCampaign(t, d)
		c.trainFor(20 * time.Minute)
		best, err := c.run(hour)
		require.NoError(t, err)
		require.Equal(t, want-1, best.Experiments+run, "%v", d.Calls())
	}
	best, err := newCampaign(t, d).run(experiment.Settings{Limits: experiment.Limits{Plateau: 3}})
	require.NoError(t, err)
	require.Equal(t, 5, best.Experiments, "five are without a keep already")
}

// Wall time counts through continue-as-new.
func TestWallTimeThroughContinueAsNew(t *testing.T) {
	d := &double.Double{}
	c := newCampaign(t, d)
	c.SetCurrentHistoryLength(100)
	c.trainFor(40 * time.Minute)
	start := c.Now()
	hour := experiment.Settings{Seeds: 1, Limits: experiment.Limits{WallTime: experiment.Duration(time.Hour)}}
	_, err := c.runState(hour, &workflows.State{ContinueAfter: 60})
	var again *workflow.ContinueAsNewError
	require.True(t, errors.As(err, &again), "%v", err)
	var state workflows.State
	require.NoError(t, temporalDecode(again.Input, &hour, &state))
	require.Equal(t, start, state.StartedAt.In(start.Location()))

	next := newCampaign(t, d)
	next.SetStartTime(start.Add(61 * time.Minute))
	state.ContinueAfter = 0
	best, err := next.runState(hour, &state)
	require.NoError(t, err)
	require.Zero(t, best.Experiments)
	require.Contains(t, next.status().StopReason, "wall time")
}

func TestBaselineCrash(t *testing.T) {
	d := &double.Double{OnTrain: func(context.Context, activities.TrainInput) (*experiment.Failure, error) {
		return &experiment.Failure{Reason: experiment.NaN, Message: "loss is NaN at step 12"}, nil
	}}
	c := newCampaign(t, d)
	_, err := c.run(settings(3))
	app := failure(t, err)
	require.Equal(t, workflows.ErrBaselineFailed, app.Type())
	require.Contains(t, app.Message(), "nan: loss is NaN at step 12")
	require.Equal(t, 1, count(d.Calls(), "train"), "the first failed run settles it")
	require.Equal(t, experiment.Failed, c.status().Phase)

	_, err = newCampaign(t, d).run(settings(3))
	require.Equal(t, workflows.ErrBaselineFailed, failure(t, err).Type(), "the same tag started again")
}

func TestPrepareRefuses(t *testing.T) {
	d := &double.Double{OnPrepare: func(activities.PrepareInput) error {
		return temporal.NewNonRetryableApplicationError("not a git repository", activities.ErrRepository, nil)
	}}
	c := newCampaign(t, d)
	_, err := c.run(settings(1))
	require.Equal(t, activities.ErrRepository, failure(t, err).Type())
	require.Equal(t, experiment.Failed, c.status().Phase)
}

// A run continues as new with an experiment in training and others prepared.
// The next run takes it from there: nothing is proposed or trained again.
func TestContinueAsNew(t *testing.T) {
	d := &double.Double{}
	c := newCampaign(t, d)
	c.at(time.Millisecond, func() { c.SignalWorkflow(workflows.MessageHint, workflows.Hint{Text: "seen"}) })
	c.at(89*time.Second, func() { c.SignalWorkflow(workflows.MessagePause, nil) })
	c.at(90*time.Second, func() {
		c.SignalWorkflow(workflows.MessageHint, workflows.Hint{Text: "think of the window"})
		c.SetCurrentHistoryLength(100)
	})
	c.trainFor(time.Minute)
	_, err := c.runState(oneSeed(4), &workflows.State{ContinueAfter: 60})
	var again *workflow.ContinueAsNewError
	require.True(t, errors.As(err, &again), "%v", err)
	var given experiment.Settings
	var state workflows.State
	require.NoError(t, temporalDecode(again.Input, &given, &state))
	require.Equal(t, "mar5", given.Tag)
	require.True(t, state.Paused)
	require.Equal(t, []string{"think of the window"}, state.Hints)
	var stages []experiment.Stage
	for _, e := range state.Entries {
		stages = append(stages, e.Stage)
	}
	require.Equal(t, []experiment.Stage{experiment.Training, experiment.Ready, experiment.Ready}, stages)

	next := newCampaign(t, d)
	next.at(time.Minute, func() { next.SignalWorkflow(workflows.MessageResume, nil) })
	next.trainFor(time.Minute)
	state.ContinueAfter = 0
	best, err := next.runState(given, &state)
	require.NoError(t, err)
	require.Equal(t, 4, best.Experiments)
	require.Equal(t, []string{"seen", "think of the window"}, unique(d.Hints()))
	require.Equal(t, 1, count(d.Calls(), "prepare"))
}

// unique drops repetitions: a proposal that is made again reads its hints again.
func unique(hints []string) []string {
	var out []string
	for _, h := range hints {
		if !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return out
}

func TestStateIsSmall(t *testing.T) {
	d := &double.Double{}
	size := func(experiments int) int {
		c := newCampaign(t, d)
		c.SetContinueAsNewSuggested(false)
		c.at(time.Hour, func() {
			for range 100 {
				c.SignalWorkflow(workflows.MessageHint, workflows.Hint{Text: strings.Repeat("x", 3000)})
			}
			c.SetContinueAsNewSuggested(true)
		})
		c.trainFor(time.Hour / time.Duration(experiments))
		_, err := c.run(experiment.Settings{Seeds: 1, Limits: experiment.Limits{Experiments: 10 * experiments}})
		var again *workflow.ContinueAsNewError
		require.True(t, errors.As(err, &again), "%v", err)
		return len(again.Input.Payloads[1].Data)
	}
	few, many := size(12), size(60)
	require.Less(t, many, 64<<10)
	require.Less(t, many-few, 200, "it grows with the digits of its counters only")
}
