package workflows_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workflows"
	"github.com/autoresearch-go/autoresearch/workflows/double"
)

func buildFailed(message string) *experiment.Failure {
	return &experiment.Failure{Reason: experiment.BuildFailed, Message: message}
}

func TestRepairRounds(t *testing.T) {
	d := &double.Double{OnApply: func(in activities.ApplyInput) *experiment.Failure {
		if in.Number == 1 && in.Round == 0 || in.Number == 2 {
			return buildFailed("train.go:12: undefined: x")
		}
		return nil
	}}
	c := newCampaign(t, d)
	c.trainFor(time.Minute)
	best, err := c.run(settings(3))
	require.NoError(t, err)
	require.Equal(t, experiment.Tally{Experiments: 3, Kept: 2, Crashed: 1, SinceKeep: 0}, best.Tally)
	calls := d.Calls()
	require.Equal(t, 2, count(calls, "propose 1/"), "repaired once")
	require.Equal(t, 3, count(calls, "propose 2/"), "sent back at most twice")
	require.Equal(t, 0, count(calls, "train 2/"), "never trained")
	require.Contains(t, reasons(c.status().Recent), experiment.BuildFailed)
}

func TestCrashVerdicts(t *testing.T) {
	d := &double.Double{
		OnTrain: func(_ context.Context, in activities.TrainInput) (*experiment.Failure, error) {
			if in.Number == 1 {
				return &experiment.Failure{Reason: experiment.OOM, Message: "out of memory"}, nil
			}
			return nil, nil
		},
		OnEvaluate: func(in activities.EvaluateInput) (*experiment.Failure, error) {
			if in.Number == 2 {
				return &experiment.Failure{Reason: experiment.NotCausal, Message: "looks ahead"}, nil
			}
			return nil, nil
		},
	}
	c := newCampaign(t, d)
	best, err := c.run(settings(3))
	require.NoError(t, err)
	require.Equal(t, 2, best.Crashed)
	require.Equal(t, 0, count(d.Calls(), "evaluate 1/"), "a run that failed has no model")
	require.Equal(t, experiment.OOM, c.status().Recent[1].Reason)
	require.Equal(t, experiment.NotCausal, c.status().Recent[2].Reason)
}

// A child that ends without a report is run again under its number.
func TestChildEndsWithoutReport(t *testing.T) {
	var terminated atomic.Int32
	d := &double.Double{}
	c := newCampaign(t, d)
	c.OnWorkflow(workflows.Experiment, anything, anything).Return(
		func(ctx workflow.Context, in workflows.ExperimentInput) (workflows.ExperimentResult, error) {
			if in.Number == 1 && terminated.Add(1) <= 2 {
				return workflows.ExperimentResult{}, errors.New("terminated by an operator")
			}
			return workflows.Experiment(ctx, in)
		})
	best, err := c.run(settings(2))
	require.NoError(t, err)
	require.Equal(t, 2, best.Experiments)
	require.EqualValues(t, 3, terminated.Load())
	require.Empty(t, c.status().Trouble)
}

// After three such ends in a row the campaign pauses and names the cause; when
// that is cured it runs the same number again, with the same hints.
func TestTrouble(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	d := &double.Double{}
	c := newCampaign(t, d)
	var runs atomic.Int32
	c.OnWorkflow(workflows.Experiment, anything, anything).Return(
		func(ctx workflow.Context, in workflows.ExperimentInput) (workflows.ExperimentResult, error) {
			if in.Number == 1 && broken.Load() {
				runs.Add(1)
				return workflows.ExperimentResult{}, errors.New("the disk is on fire")
			}
			return workflows.Experiment(ctx, in)
		})
	c.OnActivity("Prepare", anything, anything).Return(d.Prepare).After(time.Minute)
	c.at(time.Second, func() { c.SignalWorkflow(workflows.MessageHint, workflows.Hint{Text: "carefully"}) })
	c.at(time.Hour, func() {
		s := c.status()
		require.Equal(t, experiment.Paused, s.Phase)
		require.Equal(t, "research-mar5-0001: the disk is on fire", s.Trouble)
		require.EqualValues(t, 3, runs.Load())
		broken.Store(false)
		c.SignalWorkflow(workflows.MessageResume, nil)
	})
	best, err := c.run(settings(1))
	require.NoError(t, err)
	require.Equal(t, 1, best.Experiments)
	require.Equal(t, []string{"carefully"}, d.Hints())
	require.Empty(t, c.status().Trouble)
}

// An activity that refuses for good is not asked three times.
func TestTroubleAtOnce(t *testing.T) {
	d := &double.Double{OnPropose: func(activities.ProposeInput) error {
		return temporal.NewNonRetryableApplicationError("train.go has no tunable constants", "NoConstants", nil)
	}}
	c := newCampaign(t, d)
	c.at(time.Hour, func() {
		require.Equal(t, "research-mar5-0001: train.go has no tunable constants", c.status().Trouble)
		require.Equal(t, 1, count(d.Calls(), "propose"))
		c.SignalWorkflow(workflows.MessageStop, nil)
	})
	best, err := c.run(settings(1))
	require.NoError(t, err)
	require.Equal(t, experiment.Complete, best.Phase)
	require.Zero(t, best.Experiments, "stop leaves the experiment undecided")
}

// A proposer that has tried everything completes the campaign.
func TestNothingLeft(t *testing.T) {
	d := &double.Double{OnPropose: func(in activities.ProposeInput) error {
		if in.Number >= 3 {
			return temporal.NewNonRetryableApplicationError("every value was tried", activities.ErrNothingLeft, nil)
		}
		return nil
	}}
	c := newCampaign(t, d)
	best, err := c.run(settings(0))
	require.NoError(t, err)
	require.Equal(t, experiment.Complete, best.Phase)
	require.Equal(t, 2, best.Experiments)
	require.Equal(t, "every value was tried", c.status().StopReason)
}

// A model that is lost between training and evaluation is trained again. A
// store that loses every model is trouble.
func TestModelLost(t *testing.T) {
	lose := func(lost int) *double.Double {
		return &double.Double{OnEvaluate: func(in activities.EvaluateInput) (*experiment.Failure, error) {
			if in.Number == 1 && lost > 0 {
				lost--
				return nil, temporal.NewNonRetryableApplicationError("train the run again", activities.ErrModelLost, nil)
			}
			return nil, nil
		}}
	}
	d := lose(1)
	best, err := newCampaign(t, d).run(settings(2))
	require.NoError(t, err)
	require.Equal(t, 2, best.Kept)
	require.Equal(t, 1, count(d.Calls(), "train again 1/0"))
	require.Equal(t, 1, count(d.Calls(), "propose 1/"))

	d = lose(99)
	c := newCampaign(t, d)
	c.at(time.Hour, func() {
		require.Equal(t, "research-mar5-0001: train the run again", c.status().Trouble)
		require.Equal(t, 3, count(d.Calls(), "train 1/0"))
		c.SignalWorkflow(workflows.MessageStop, nil)
	})
	_, err = c.run(settings(2))
	require.NoError(t, err)
}

// A ledger that is damaged is a person's matter: nothing is decided meanwhile,
// and afterwards nothing is trained again but what its activity still has.
func TestDamagedLedger(t *testing.T) {
	var damaged atomic.Bool
	damaged.Store(true)
	d := &double.Double{OnDecide: func(in activities.DecideInput) error {
		if in.Number == 1 && damaged.Load() {
			return temporal.NewNonRetryableApplicationError("the ledger is damaged: mar5/0000/result.json is missing", activities.ErrLedger, nil)
		}
		return nil
	}}
	c := newCampaign(t, d)
	c.at(time.Hour, func() {
		s := c.status()
		require.Equal(t, experiment.Paused, s.Phase)
		require.Equal(t, "research-mar5-0001: the ledger is damaged: mar5/0000/result.json is missing", s.Trouble)
		require.Equal(t, 1, count(d.Calls(), "decide 1/"))
		damaged.Store(false)
		c.SignalWorkflow(workflows.MessageResume, nil)
	})
	best, err := c.run(settings(2))
	require.NoError(t, err)
	require.Equal(t, 2, best.Kept)
}

func TestInfraErrorsAreRetried(t *testing.T) {
	var tries atomic.Int32
	d := &double.Double{OnTrain: func(_ context.Context, in activities.TrainInput) (*experiment.Failure, error) {
		if in.Number == 1 && tries.Add(1) < 8 {
			return nil, errors.New("no space left on device")
		}
		return nil, nil
	}}
	c := newCampaign(t, d)
	best, err := c.run(settings(1))
	require.NoError(t, err)
	require.Equal(t, 1, best.Kept, "it never counts against the candidate")
}

// A slot whose host is gone is not waited for: any slot evaluates.
func TestEvaluateIsPickedAgain(t *testing.T) {
	d := &double.Double{Slot: "train-cpu@gone/0"}
	c := newCampaign(t, d)
	queues := []string{}
	c.OnActivity("Evaluate", anything, anything).Return(
		func(ctx context.Context, in activities.EvaluateInput) (activities.EvaluateResult, error) {
			queue := activity.GetInfo(ctx).TaskQueue
			queues = append(queues, queue)
			if queue != workflows.TrainQueue {
				return activities.EvaluateResult{}, temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
			}
			return d.Evaluate(ctx, in)
		})
	best, err := c.run(oneSeed(1))
	require.NoError(t, err)
	require.Equal(t, 1, best.Experiments)
	require.Equal(t, []string{"train-cpu@gone/0", "train-cpu", "train-cpu@gone/0", "train-cpu"}, queues)
}

// A campaign on GPUs trains and evaluates on their queue, and falls back on it;
// its activities know the device.
func TestCUDAQueue(t *testing.T) {
	const gone = "train-cuda@gone/GPU-1"
	d := &double.Double{Slot: gone}
	c := newCampaign(t, d)
	var trained, evaluated []string
	c.OnActivity("Train", anything, anything).Return(
		func(ctx context.Context, in activities.TrainInput) (activities.TrainResult, error) {
			trained = append(trained, activity.GetInfo(ctx).TaskQueue+" "+in.Campaign.Settings.Device)
			return d.Train(ctx, in)
		})
	c.OnActivity("Evaluate", anything, anything).Return(
		func(ctx context.Context, in activities.EvaluateInput) (activities.EvaluateResult, error) {
			queue := activity.GetInfo(ctx).TaskQueue
			evaluated = append(evaluated, queue+" "+in.Campaign.Settings.Device)
			if queue == gone {
				return activities.EvaluateResult{}, temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
			}
			return d.Evaluate(ctx, in)
		})
	s := oneSeed(1)
	s.Device = experiment.CUDA
	broken := experiment.SlotHealth{Queue: gone, State: experiment.SlotQuarantined, Reason: "ECC", At: c.Now()}
	c.at(time.Millisecond, func() { c.SignalWorkflow(workflows.SignalSlot, broken) })
	best, err := c.run(s)
	require.NoError(t, err)
	require.Equal(t, 1, best.Experiments)
	require.Equal(t, []string{"train-cuda cuda", "train-cuda cuda"}, trained)
	require.Equal(t, []string{gone + " cuda", "train-cuda cuda", gone + " cuda", "train-cuda cuda"}, evaluated)
	require.Equal(t, experiment.CUDABudget, c.status().Budget)
	require.Len(t, c.status().Unwell, 1)
	require.Equal(t, broken.Reason, c.status().Unwell[0].Reason)
}

// That a cancelled campaign waits for its trainer to end is tested on the engine
// (workers): the test environment completes a cancelled activity at once.
func TestCancel(t *testing.T) {
	d := &double.Double{}
	c := newCampaign(t, d)
	c.OnActivity("Train", anything, anything).Return(
		func(ctx context.Context, in activities.TrainInput) (activities.TrainResult, error) {
			if in.Number < 2 {
				return d.Train(ctx, in)
			}
			for ctx.Err() == nil {
				activity.RecordHeartbeat(ctx) // the test environment delivers a cancellation with it
				time.Sleep(time.Millisecond)
			}
			return activities.TrainResult{}, ctx.Err()
		})
	c.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, args converter.EncodedValues) {
		var in activities.TrainInput
		if info.ActivityType.Name == "Train" && args.Get(&in) == nil && in.Number >= 2 {
			c.CancelWorkflow()
		}
	})
	_, err := c.run(settings(0))
	require.True(t, temporal.IsCanceledError(err), "%v", err)
	require.Len(t, d.Decided(), 2)

	best, err := newCampaign(t, d).run(settings(3))
	require.NoError(t, err)
	require.Equal(t, 3, best.Experiments, "the same tag goes on from the ledger")
}

// A campaign whose workflow is started anew while an experiment of it still
// runs adopts that experiment: it is neither killed nor paid for twice.
func TestAdoptsARunningExperiment(t *testing.T) {
	d := &double.Double{}
	_, err := newCampaign(t, d).run(settings(1)) // baseline and experiment 1 are in the ledger
	require.NoError(t, err)
	prepared, err := d.Prepare(context.Background(), activities.PrepareInput{Settings: experiment.Settings{Tag: "mar5"}})
	require.NoError(t, err)

	c := newCampaign(t, d)
	c.SetStartWorkflowOptions(startOptions("driver"))
	c.OnActivity("Propose", anything, anything).Return(d.Propose).After(10 * time.Minute)
	child := func(ctx workflow.Context, id string) workflow.Context {
		return workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: id})
	}
	c.ExecuteWorkflow(func(ctx workflow.Context) (best experiment.Best, err error) {
		orphan := workflow.ExecuteChildWorkflow(child(ctx, "research-mar5-0002"), workflows.Experiment, workflows.ExperimentInput{
			Campaign: prepared.Campaign, Number: 2, Parent: *prepared.Ledger.Incumbent,
		})
		if err := workflow.Sleep(ctx, time.Minute); err != nil {
			return best, err
		}
		research := workflow.ExecuteChildWorkflow(child(ctx, "research-mar5"), workflows.Research, settings(3))
		if err := research.Get(ctx, &best); err != nil {
			return best, err
		}
		return best, orphan.Get(ctx, nil)
	})
	var best experiment.Best
	require.NoError(t, c.GetWorkflowError())
	require.NoError(t, c.GetWorkflowResult(&best))
	require.Equal(t, 3, best.Experiments)
	require.Equal(t, 1, count(d.Calls(), "train 2/"))
	require.Equal(t, 1, count(d.Calls(), "decide 2/"))
}

// A child without a campaign waits for an hour with its measurement, then ends.
func TestOrphan(t *testing.T) {
	d := &double.Double{}
	c := newCampaign(t, d)
	c.SetStartWorkflowOptions(startOptions("research-mar5-0001"))
	c.OnSignalExternalWorkflow(anything, "research-mar5", "", anything, anything).Return(&temporal.UnknownExternalWorkflowExecutionError{})
	start := c.Now()
	c.ExecuteWorkflow(workflows.Experiment, workflows.ExperimentInput{
		Campaign: experiment.Campaign{Settings: experiment.Settings{Tag: "mar5"}.WithDefaults()}, Number: 1,
	})
	require.ErrorContains(t, c.GetWorkflowError(), "the campaign is not running")
	require.Zero(t, count(d.Calls(), "decide"))
	require.InDelta(t, time.Hour.Minutes(), c.Now().Sub(start).Minutes(), 10)
}
