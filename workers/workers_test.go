package workers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workflows"
	"github.com/autoresearch-go/autoresearch/workflows/double"
)

func small(experiments int) experiment.Settings {
	return experiment.Settings{Tag: "mar5", Seeds: 1, Policy: "threshold/1", Limits: experiment.Limits{Experiments: experiments}}
}

// A worker is killed while it trains on two slots. The next one of the home does
// not wait for the heartbeat timeout of 30 s, also when it has one slot only.
func TestRecoversFromKill(t *testing.T) {
	for _, slots := range []int{2, 1} {
		t.Run(fmt.Sprintf("%d slots after it", slots), func(t *testing.T) { recoversFromKill(t, slots) })
	}
}

func recoversFromKill(t *testing.T, slots int) {
	c, home := engine(t)
	ctx := testContext(t)
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), doomedEnv+"="+string(home), "TEMPORAL_ADDRESS="+c.Address)
	out, err := victim.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, victim.Start())
	t.Cleanup(func() { _ = victim.Process.Kill() })
	settings := small(2)
	settings.Parallel = 2
	run, err := StartCampaign(ctx, c.Client, settings)
	require.NoError(t, err)
	lines := bufio.NewScanner(out)
	for range 2 {
		require.True(t, lines.Scan())
		require.Equal(t, "training train-cpu", lines.Text())
	}

	_, err = Start(c.Client, Config{Home: home}, Research)
	var inUse *InUseError
	require.ErrorAs(t, err, &inUse, "two workers in one home")
	require.Contains(t, err.Error(), "process "+strconv.Itoa(victim.Process.Pid))

	require.NoError(t, victim.Process.Kill())
	_ = victim.Wait()
	killed := time.Now()

	var mu sync.Mutex
	begun := map[int]time.Duration{}
	d := &double.Double{Start: time.Now(), OnTrain: func(ctx context.Context, in activities.TrainInput) (*experiment.Failure, error) {
		mu.Lock()
		defer mu.Unlock()
		if activity.GetInfo(ctx).Attempt == 2 {
			begun[in.Number] = time.Since(killed)
		}
		return nil, nil
	}}
	workOn(t, c, home, d, slots)
	var best experiment.Best
	require.NoError(t, run.Get(ctx, &best))
	require.Equal(t, 2, best.Experiments)
	t.Logf("after the kill, second attempts began: %v", begun)
	for _, n := range []int{1, 2} {
		require.Contains(t, begun, n)
		require.Less(t, begun[n], 15*time.Second, "experiment %d: it waited for the timeout", n)
	}
}

// Two slots of one process train at the same time, and evaluate where they have
// trained.
func TestTwoSlots(t *testing.T) {
	c, home := engine(t)
	ctx := testContext(t)
	both := make(chan struct{})
	var training atomic.Int32
	d := &double.Double{Start: time.Now(), OnTrain: func(ctx context.Context, in activities.TrainInput) (*experiment.Failure, error) {
		if in.Number == 0 {
			return nil, nil
		}
		if training.Add(1) == 2 {
			close(both)
		}
		select {
		case <-both: // nobody gets here alone
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	workOn(t, c, home, d, 2)
	settings := small(2)
	settings.Parallel = 2
	run, err := StartCampaign(ctx, c.Client, settings)
	require.NoError(t, err)
	var best experiment.Best
	require.NoError(t, run.Get(ctx, &best))
	require.Equal(t, 2, best.Experiments)
}

// A campaign of the real activities on two slots: each slot does one thing at a
// time, and its time sheet says no more than the clock.
func TestSlotsKeepTime(t *testing.T) {
	c, home := engine(t)
	ctx := testContext(t)
	begin := time.Now()
	w, err := Start(c.Client, Config{Home: home, Checkout: noopCheckout(t), Namespace: c.Namespace, Slots: 2}, Research, Train)
	require.NoError(t, err)
	t.Cleanup(w.Stop)
	settings := small(6)
	settings.Target, settings.Proposer, settings.Parallel = "noop", "hpo", 2
	run, err := StartCampaign(ctx, c.Client, settings)
	require.NoError(t, err)
	require.NoError(t, run.Get(ctx, nil))
	most := 2 * time.Since(begin).Seconds()

	store := artifact.NewFile(home.Artifacts())
	results, err := (&ledger.Ledger{Home: home, Store: store}).Results(ctx, settings.Tag)
	require.NoError(t, err)
	require.Len(t, results, 7)
	var sum experiment.SlotTime
	runs, idle := 0, 0
	for _, r := range results {
		for _, m := range r.Measurements {
			runs++
			require.Positive(t, m.SlotSeconds, "experiment %d", r.Experiment)
			require.GreaterOrEqual(t, m.SlotSeconds, m.EvalSeconds, "experiment %d", r.Experiment)
			if sum.Add(m.SlotSeconds, m.IdleSeconds); m.IdleSeconds > 0 {
				idle++
			}
		}
	}
	require.Less(t, sum.BusySeconds+sum.IdleSeconds, most)
	require.GreaterOrEqual(t, idle, runs-2, "only the first run of a slot knows nothing of the one before")
}

// A cancelled campaign ends when its trainer has ended; the same tag goes on.
func TestCancelWaitsForTheTrainer(t *testing.T) {
	c, home := engine(t)
	ctx := testContext(t)
	var stopped, again atomic.Bool
	d := &double.Double{Start: time.Now(), OnTrain: func(ctx context.Context, in activities.TrainInput) (*experiment.Failure, error) {
		if in.Number == 0 || again.Load() {
			return nil, nil
		}
		err := untilDone(ctx)
		stopped.Store(true)
		return nil, err
	}}
	work(t, c, home, d)
	run, err := StartCampaign(ctx, c.Client, small(2))
	require.NoError(t, err)
	_, err = StartCampaign(ctx, c.Client, small(2))
	var running *AlreadyRunningError
	require.ErrorAs(t, err, &running)
	called(t, d, "train 1/0")
	require.NoError(t, c.Client.CancelWorkflow(ctx, run.GetID(), ""))
	err = run.Get(ctx, nil)
	require.True(t, temporal.IsCanceledError(err), "%v", err)
	require.True(t, stopped.Load(), "the campaign ended before its trainer")

	again.Store(true)
	run, err = StartCampaign(ctx, c.Client, small(2))
	require.NoError(t, err)
	var best experiment.Best
	require.NoError(t, run.Get(ctx, &best))
	require.Equal(t, 2, best.Experiments)
	require.Len(t, d.Decided(), 3)
}

// A campaign whose workflow is terminated while an experiment trains is started
// again: the running experiment is adopted, not killed and not paid for twice.
func TestAdoptsAfterTermination(t *testing.T) {
	c, home := engine(t)
	ctx := testContext(t)
	release := make(chan struct{})
	d := &double.Double{Start: time.Now(), OnTrain: func(ctx context.Context, in activities.TrainInput) (*experiment.Failure, error) {
		if in.Number == 1 {
			<-release
		}
		return nil, nil
	}}
	work(t, c, home, d)
	_, err := StartCampaign(ctx, c.Client, small(2))
	require.NoError(t, err)
	called(t, d, "train 1/0")
	require.NoError(t, c.Client.TerminateWorkflow(ctx, "research-mar5", "", "a test"))
	run, err := StartCampaign(ctx, c.Client, small(2))
	require.NoError(t, err)
	eventually(t, "the campaign to find its experiment", func() bool {
		return len(d.Calls()) > 0 && strings.HasPrefix(d.Calls()[len(d.Calls())-1], "prepare")
	})
	close(release)
	var best experiment.Best
	require.NoError(t, run.Get(ctx, &best))
	require.Equal(t, 2, best.Experiments)
	trained := 0
	for _, call := range d.Calls() {
		if call == "train 1/0" {
			trained++
		}
	}
	require.Equal(t, 1, trained)
}

// A campaign that has adopted an experiment stops it when it is cancelled.
func TestCancelReachesTheAdopted(t *testing.T) {
	c, home := engine(t)
	ctx := testContext(t)
	var stopped atomic.Bool
	d := &double.Double{Start: time.Now(), OnTrain: func(ctx context.Context, in activities.TrainInput) (*experiment.Failure, error) {
		if in.Number == 0 {
			return nil, nil
		}
		err := untilDone(ctx)
		stopped.Store(true)
		return nil, err
	}}
	work(t, c, home, d)
	_, err := StartCampaign(ctx, c.Client, small(2))
	require.NoError(t, err)
	called(t, d, "train 1/0")
	require.NoError(t, c.Client.TerminateWorkflow(ctx, "research-mar5", "", "a test"))
	run, err := StartCampaign(ctx, c.Client, small(2))
	require.NoError(t, err)
	eventually(t, "the campaign to adopt its experiment", func() bool {
		var s experiment.Status
		v, err := c.Client.QueryWorkflow(ctx, "research-mar5", run.GetRunID(), workflows.QueryStatus)
		return err == nil && v.Get(&s) == nil && len(s.Running) == 1 && s.Running[0].Experiment == 1
	})
	require.NoError(t, c.Client.CancelWorkflow(ctx, "research-mar5", ""))
	err = run.Get(ctx, nil)
	require.True(t, temporal.IsCanceledError(err), "%v", err)
	require.True(t, stopped.Load(), "the campaign ended before its trainer")
	eventually(t, "the experiment to end", func() bool {
		var gone *serviceerror.NotFound
		return errors.As(c.Client.SignalWorkflow(ctx, "research-mar5-0001", "", workflows.SignalAdopt, nil), &gone)
	})
}

// What users type: JSON input alone, and answers to bad input.
func TestStartByHand(t *testing.T) {
	c, home := engine(t)
	ctx := testContext(t)
	d := &double.Double{Start: time.Now()}
	work(t, c, home, d)
	start := func(id string, input any) client.WorkflowRun {
		run, err := c.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: workflows.ResearchQueue}, "Research", input)
		require.NoError(t, err)
		return run
	}
	var best experiment.Best
	require.NoError(t, start("research-mar5", map[string]any{"tag": "mar5", "experiments": 1, "budget": "2s"}).Get(ctx, &best))
	require.Equal(t, 1, best.Experiments)
	for id, tc := range map[string]struct {
		input map[string]any
		says  string
	}{
		"research-a": {map[string]any{"tag": "a", "experimnts": 3}, `unknown settings field "experimnts"`},
		"research-b": {map[string]any{"tag": "b", "budget": "-2s"}, "budget is -2s"},
		"research-c": {map[string]any{"tag": "c", "budget": "soon"}, "a duration is text such as"},
		"mar7":       {map[string]any{"tag": "mar7"}, "start the campaign with the workflow id research-mar7"},
	} {
		err := start(id, tc.input).Get(ctx, nil)
		require.ErrorContains(t, err, tc.says)
	}
	describe, err := c.Client.DescribeWorkflowExecution(ctx, "research-mar5", "")
	require.NoError(t, err)
	fields := describe.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields()
	require.Equal(t, `"complete"`, string(fields["Phase"].GetData()))
	require.Equal(t, "3.49", string(fields["BestValBpb"].GetData()))
	require.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, describe.GetWorkflowExecutionInfo().GetStatus())
}

// The slot's own queue is served, so Evaluate finds the model on disk.
func TestEvaluateGoesToTheSlot(t *testing.T) {
	c, home := engine(t)
	ctx := testContext(t)
	where, err := findPlace(home, hostname())
	require.NoError(t, err)
	d := &double.Double{Start: time.Now(), Slot: where.slotQueue(Train, "")}
	work(t, c, home, d)
	begin := time.Now()
	run, err := StartCampaign(ctx, c.Client, small(1))
	require.NoError(t, err)
	require.NoError(t, run.Get(ctx, nil))
	require.Less(t, time.Since(begin), 20*time.Second, "nobody serves the slot's queue: it was picked again after 30 s")
}
