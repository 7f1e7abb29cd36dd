package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workflows"
	"github.com/autoresearch-go/autoresearch/workflows/double"
)

// confirming is a campaign of runs of a minute whose policy confirms, and in
// which the experiments named better are.
func confirming(t *testing.T, d *double.Double, p double.Confirms, better ...int) *campaign {
	t.Helper()
	d.Judge = p.Judge
	d.Score = func(n, _ int) float64 {
		if slices.Contains(better, n) {
			return 3 - float64(n)/100
		}
		return 3.5 + float64(n)/100
	}
	c := newCampaign(t, d)
	c.trainFor(time.Minute)
	return c
}

func refuted(numbers ...int) func(int) bool {
	return func(n int) bool { return slices.Contains(numbers, n) }
}

// checks lists what was measured again, in order of decision: "confirm #1".
func checks(d *double.Double) (all []string) {
	for _, r := range d.Decided() {
		if c := r.Brief.Check; c != nil {
			all = append(all, c.Title())
		}
	}
	return all
}

// The share of the checks, while candidates wait for the one slot.
func share(experiments int, share float64) experiment.Settings {
	s := oneSeed(experiments)
	s.Limits.ConfirmShare = share
	return s
}

func TestConfirms(t *testing.T) {
	d := &double.Double{}
	c := confirming(t, d, double.Confirms{}, 1)
	var seeds []uint64
	var audits []int
	d.OnTrain = func(_ context.Context, in activities.TrainInput) (*experiment.Failure, error) {
		seeds = append(seeds, in.Seed)
		return nil, nil
	}
	d.OnEvaluate = func(in activities.EvaluateInput) (*experiment.Failure, error) {
		if in.Audit {
			audits = append(audits, in.Number)
		}
		return nil, nil
	}
	best, err := c.run(share(5, 0.5))
	require.NoError(t, err)
	require.Equal(t, []string{"confirm #1"}, checks(d))
	require.Equal(t, experiment.Tally{Experiments: 5, Kept: 1, Discarded: 4, SinceKeep: 4, Checks: 1, Confirmed: 1}, best.Tally, "a check is no experiment")
	require.False(t, best.Provisional)
	require.Equal(t, 1, best.Confirmed.Experiment)
	require.InDelta(t, 2.99, *best.RawMinimum, 1e-9)
	require.InDelta(t, 0.05, best.FalseKeepRate, 1e-9)

	check := d.Decided()[slices.IndexFunc(d.Decided(), func(r activities.DecideResult) bool { return r.Brief.Check != nil })]
	n := check.Brief.Experiment
	require.Equal(t, []string{"apply", "train", "evaluate", "decide"}, steps(d, n), "it proposes nothing")
	require.Equal(t, best.Commit, check.Brief.Commit)
	require.Contains(t, seeds, experiment.Seed(experiment.Settings{Tag: "mar5"}.WithDefaults().Seed, n, 0), "a seed of its own")
	require.Equal(t, []int{0, n}, audits, "the baseline and the check see the hidden split")
	require.Equal(t, &experiment.Check{Of: 1, Commit: best.Commit, Purpose: experiment.Confirm}, c.status().Recent[slices.IndexFunc(c.status().Recent, func(b experiment.Brief) bool { return b.Experiment == n })].Check)
}

func steps(d *double.Double, n int) (names []string) {
	for _, call := range callsOf(d, n) {
		names = append(names, strings.Fields(call)[0])
	}
	return names
}

// Checks take a slot that a candidate waits for as often as their share allows.
func TestCheckShare(t *testing.T) {
	for _, tc := range []struct {
		share float64
		want  int // of 40 runs
	}{{0.1, 4}, {0.25, 10}, {0.5, 20}, {1, 39}} {
		d := &double.Double{}
		c := confirming(t, d, double.Confirms{Runs: 1000}, 1)
		c.at(40*time.Minute+time.Second, func() { c.SignalWorkflow(workflows.MessageStop, nil) })
		_, err := c.run(share(0, tc.share))
		require.NoError(t, err)
		made, runs := 0, 0
		for _, r := range d.Decided()[1:] {
			if runs++; r.Brief.Check != nil {
				made++
			}
			require.LessOrEqual(t, float64(made), tc.share*float64(runs), "after %d runs", runs)
		}
		require.Equal(t, 40, runs)
		require.Equal(t, tc.want, made, "of a share of %v", tc.share)
	}
}

// A check that can wait takes no run from a candidate, and is made in the end.
func TestSpareChecksWait(t *testing.T) {
	d := &double.Double{}
	c := confirming(t, d, double.Confirms{Runs: 2, Spare: true}, 1)
	_, err := c.run(share(6, 1))
	require.NoError(t, err)
	all := d.Decided()
	require.Len(t, all, 9)
	for i, r := range all {
		require.Equal(t, i >= 7, r.Brief.Check != nil, "decision %d", i)
	}
}

// A slot that no candidate waits for is a check's, whatever the share.
func TestIdleSlotIsForChecks(t *testing.T) {
	d := &double.Double{}
	c := confirming(t, d, double.Confirms{Runs: 2}, 1)
	began := map[int]time.Time{}
	d.OnTrain = func(_ context.Context, in activities.TrainInput) (*experiment.Failure, error) {
		began[in.Number] = c.Now()
		return nil, nil
	}
	c.OnActivity("Propose", anything, anything).Return(d.Propose).After(10 * time.Minute)
	s := share(4, 0.001)
	s.Parallel = 4
	_, err := c.run(s)
	require.NoError(t, err)
	require.Equal(t, []string{"confirm #1", "confirm #1"}, checks(d))
	for _, r := range d.Decided() {
		if n := r.Brief.Experiment; r.Brief.Check != nil {
			require.Equal(t, began[1].Add(time.Minute), began[n], "as soon as it is wanted: the others wait for their proposals")
		}
	}
}

// When fresh seeds refute a keep, what is prepared on it is made again on the
// incumbent before it, and nothing more is trained on it.
func TestRollback(t *testing.T) {
	d := &double.Double{}
	c := confirming(t, d, double.Confirms{Refuted: refuted(1)}, 1)
	var parents []string
	d.OnDecide = func(in activities.DecideInput) error {
		if in.Check == nil {
			parents = append(parents, in.Parent)
		} else {
			require.Equal(t, in.Commit, in.Parent)
		}
		return nil
	}
	best, err := c.run(share(6, 0.3))
	require.NoError(t, err)
	require.Equal(t, 0, best.Experiment, "rolled back to the baseline")
	require.False(t, best.Provisional)
	require.Equal(t, experiment.Tally{Experiments: 6, Kept: 1, Discarded: 5, SinceKeep: 5, Checks: 1, RolledBack: 1}, best.Tally)
	one := d.Decided()[1].Brief.Commit
	require.Contains(t, parents, one, "some trained on it before")
	require.Equal(t, best.Commit, parents[len(parents)-1])
	calls := d.Calls()
	check := d.Decided()[slices.IndexFunc(d.Decided(), func(r activities.DecideResult) bool { return r.Brief.Check != nil })].Brief.Experiment
	after := strings.Join(calls[slices.Index(calls, fmt.Sprintf("decide %d/0", check)):], "\n")
	require.Regexp(t, `propose \d+\.\d`, after, "what was prepared on it is made again")
}

// The descendants of a refuted keep are measured again, and a candidate that
// trains meanwhile is measured as it is.
func TestRollbackWithDescendants(t *testing.T) {
	d := &double.Double{}
	c := confirming(t, d, double.Confirms{Refuted: refuted(1)}, 1, 2, 3)
	best, err := c.run(share(4, 0.3))
	require.NoError(t, err)
	require.Equal(t, "confirm #1", checks(d)[0])
	require.Contains(t, checks(d), "retest #3", "the one that was made on #1 and kept")
	require.Equal(t, 3, best.Kept, "#2 was made on the baseline, and is better than what was left of the line")
	require.Equal(t, 2, best.Experiment)
	require.Equal(t, 4, best.Experiments)
}

// A search that ends by itself finishes the checks of its keeps, and says so.
func TestEndWaitsForChecks(t *testing.T) {
	for name, tc := range map[string]struct {
		limits  experiment.Limits
		propose func(activities.ProposeInput) error
		reason  string
	}{
		"limit":     {experiment.Limits{Experiments: 2}, nil, "the limit of experiments is reached: 2 experiments"},
		"plateau":   {experiment.Limits{Plateau: 1}, nil, "plateau: 1 experiment in a row without a keep"},
		"exhausted": {experiment.Limits{}, exhaustedAfter(2), "every value was tried"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &double.Double{OnPropose: tc.propose}
			c := confirming(t, d, double.Confirms{Runs: 3}, 1)
			var closing experiment.Status
			var refused *answer
			c.at(4*time.Minute+30*time.Second, func() {
				closing = c.status()
				refused = c.update(workflows.MessageSetBudget, map[string]any{"experiments": 50})
			})
			s := share(0, 0.001)
			s.Limits.Experiments, s.Limits.Plateau = tc.limits.Experiments, tc.limits.Plateau
			best, err := c.run(s)
			require.NoError(t, err)
			require.Equal(t, []string{"confirm #1", "confirm #1", "confirm #1"}, checks(d))
			require.Equal(t, 1, best.Tally.Confirmed)
			require.Equal(t, 2, best.Experiments)
			require.Equal(t, tc.reason, c.status().StopReason)
			require.Len(t, closing.Running, 1)
			require.Equal(t, experiment.Confirm, closing.Running[0].Check.Purpose)
			if name != "exhausted" { // what a check says may bring new work there
				require.Equal(t, experiment.Stopping, closing.Phase)
				require.ErrorContains(t, refused.refused, "the campaign is ending: "+tc.reason)
			}
			require.Zero(t, closing.Slots.Free, "no slot waits for a candidate any more")
		})
	}
}

func exhaustedAfter(n int) func(activities.ProposeInput) error {
	return func(in activities.ProposeInput) error {
		if in.Number > n {
			return temporal.NewNonRetryableApplicationError("every value was tried", activities.ErrNothingLeft, nil)
		}
		return nil
	}
}

// Drift is of no interest to a search that has ended.
func TestEndDoesNotWaitForDrift(t *testing.T) {
	d := &double.Double{}
	c := confirming(t, d, double.Confirms{Drift: "train-cpu@vm/0"})
	_, err := c.run(share(4, 0.001))
	require.NoError(t, err)
	require.Empty(t, checks(d))
}

func TestStopDoesNotWaitForChecks(t *testing.T) {
	for name, tc := range map[string]struct {
		stop   func(*campaign)
		limits experiment.Limits
	}{
		"stop":               {stop: func(c *campaign) { c.at(90*time.Second, func() { c.SignalWorkflow(workflows.MessageStop, nil) }) }},
		"wall time":          {limits: experiment.Limits{WallTime: experiment.Duration(90 * time.Second)}},
		"stop while closing": {limits: experiment.Limits{Experiments: 1}, stop: func(c *campaign) { c.at(150*time.Second, func() { c.update(workflows.MessageStop) }) }},
	} {
		t.Run(name, func(t *testing.T) {
			d := &double.Double{}
			c := confirming(t, d, double.Confirms{Runs: 3}, 1)
			if tc.stop != nil {
				tc.stop(c)
			}
			best, err := c.run(experiment.Settings{Seeds: 1, Limits: tc.limits})
			require.NoError(t, err)
			require.Equal(t, 1, best.Experiments)
			require.True(t, best.Provisional)
			require.LessOrEqual(t, best.Checks, 1, "what trains is finished, and nothing else begins")
		})
	}
}

func TestPausedStartsNoCheck(t *testing.T) {
	d := &double.Double{}
	c := confirming(t, d, double.Confirms{}, 1)
	c.at(90*time.Second, func() { c.SignalWorkflow(workflows.MessagePause, nil) })
	var paused experiment.Status
	c.at(10*time.Minute, func() { paused = c.status(); c.SignalWorkflow(workflows.MessageResume, nil) })
	_, err := c.run(share(1, 0.5))
	require.NoError(t, err)
	require.Equal(t, experiment.Paused, paused.Phase, "the limit is reached, and a check is to be made")
	require.Empty(t, paused.Running)
	require.Equal(t, []string{"confirm #1"}, checks(d))
}

// A check of one slot goes to that slot's queue, and to any slot when nobody
// serves it.
func TestDriftCheckGoesToItsSlot(t *testing.T) {
	for _, gone := range []bool{false, true} {
		d := &double.Double{}
		d.Judge, d.Score = double.Confirms{Drift: "train-cpu@vm/1"}.Judge, func(n, _ int) float64 { return 3 + float64(n) }
		c := newCampaign(t, d)
		var queues []string
		c.OnActivity("Train", anything, anything).Return(func(ctx context.Context, in activities.TrainInput) (activities.TrainResult, error) {
			if queue := activity.GetInfo(ctx).TaskQueue; queue != workflows.TrainQueue || len(queues) == 1 {
				queues = append(queues, queue)
				if gone && queue != workflows.TrainQueue {
					return activities.TrainResult{}, temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
				}
			}
			return d.Train(ctx, in)
		})
		best, err := c.run(share(5, 0.25))
		require.NoError(t, err)
		require.Equal(t, []string{"drift #0"}, checks(d))
		require.Equal(t, 1, best.Checks)
		require.Equal(t, []string{"train-cpu@vm/1", "train-cpu"}, queues, "gone: %v; the second is the same run, or the next one", gone)
	}
}

// Checks travel through continue-as-new: the one that trains, those that are
// wanted, and what counts their share.
func TestContinueAsNewKeepsChecks(t *testing.T) {
	d := &double.Double{}
	c := confirming(t, d, double.Confirms{Runs: 2}, 1)
	c.at(150*time.Second, func() {
		c.SetCurrentHistoryLength(100)
		c.SignalWorkflow(workflows.MessageHint, workflows.Hint{Text: "now"})
	})
	_, err := c.runState(share(3, 0.5), &workflows.State{ContinueAfter: 60})
	var again *workflow.ContinueAsNewError
	require.True(t, errors.As(err, &again), "%v", err)
	var given experiment.Settings
	var state workflows.State
	require.NoError(t, temporalDecode(again.Input, &given, &state))
	require.Equal(t, "confirm #1", state.Entries[len(state.Entries)-1].Check.Title())
	require.Equal(t, 2, state.Checks[0].Runs, "in all")
	require.Equal(t, []int{2, 1}, []int{state.Runs, state.CheckRuns})

	next := newCampaign(t, d)
	next.trainFor(time.Minute)
	state.ContinueAfter = 0
	best, err := next.runState(given, &state)
	require.NoError(t, err)
	require.Equal(t, []string{"confirm #1", "confirm #1"}, checks(d), "and no more than that")
	require.Equal(t, 3, best.Experiments)
	require.Equal(t, 1, best.Tally.Confirmed)
}

// A check's workflow that dies is started again under its number.
func TestCheckDies(t *testing.T) {
	d := &double.Double{}
	c := confirming(t, d, double.Confirms{}, 1)
	died := 0
	c.OnWorkflow(workflows.Experiment, anything, anything).Return(
		func(ctx workflow.Context, in workflows.ExperimentInput) (workflows.ExperimentResult, error) {
			if in.Check != nil && died == 0 {
				died++
				return workflows.ExperimentResult{}, errors.New("terminated by an operator")
			}
			return workflows.Experiment(ctx, in)
		})
	best, err := c.run(share(2, 0.5))
	require.NoError(t, err)
	require.Equal(t, 1, died)
	require.Equal(t, 1, best.Tally.Confirmed)
	require.Len(t, checks(d), 1)
	require.Equal(t, 1, best.Checks)
}

// A campaign that starts over its ledger goes on with the checks that it wants:
// the number of one that was begun and never decided is used for that alone.
func TestChecksFromTheLedger(t *testing.T) {
	d := &double.Double{}
	c := confirming(t, d, double.Confirms{Runs: 2, Refuted: refuted(1)}, 1)
	c.at(150*time.Second, c.CancelWorkflow)
	_, err := c.run(share(2, 0.5))
	require.Error(t, err)
	require.Empty(t, checks(d))
	require.Len(t, d.Decided(), 2)
	require.Equal(t, 1, count(d.Calls(), "apply 3/"), "the check had begun: %v", d.Calls())

	next := newCampaign(t, d)
	next.trainFor(time.Minute)
	best, err := next.run(share(2, 0.5))
	require.NoError(t, err)
	require.Equal(t, []string{"confirm #1", "confirm #1"}, checks(d))
	require.Equal(t, 0, best.Experiment)
	require.Equal(t, 1, best.RolledBack)
	require.Equal(t, 1, count(d.Calls(), "decide 3/"))
	require.Zero(t, count(d.Calls(), "propose 3"))
	require.Equal(t, 2, best.Experiments)
}

// The search is over by the ledger, and a keep is not confirmed yet: that is all
// that the next start does.
func TestChecksOfASearchThatHasEnded(t *testing.T) {
	d := &double.Double{}
	c := confirming(t, d, double.Confirms{}, 1)
	c.at(90*time.Second, func() { c.SignalWorkflow(workflows.MessageStop, nil) })
	_, err := c.run(oneSeed(1))
	require.NoError(t, err)
	require.Empty(t, checks(d))
	best, err := newCampaign(t, d).run(oneSeed(1))
	require.NoError(t, err)
	require.Equal(t, []string{"confirm #1"}, checks(d))
	require.Equal(t, experiment.Tally{Experiments: 1, Kept: 1, Checks: 1, Confirmed: 1}, best.Tally)
	require.Equal(t, 1, best.Confirmed.Experiment)
}

// An open check that is paid for is decided, though nobody wants it any more; of
// the others the numbers stay unused.
func TestOpenChecks(t *testing.T) {
	d := &double.Double{}
	_, err := newCampaign(t, d).run(oneSeed(1))
	require.NoError(t, err)
	paid, unpaid := experiment.Check{Of: 1, Commit: d.Decided()[1].Brief.Commit, Purpose: experiment.Confirm}, experiment.Check{Of: 0, Purpose: experiment.Drift, Slot: "x"}
	c := newCampaign(t, d)
	c.OnActivity("Prepare", anything, anything).Return(func(ctx context.Context, in activities.PrepareInput) (activities.PrepareResult, error) {
		p, err := d.Prepare(ctx, in)
		p.Ledger.Open = []activities.OpenExperiment{{Number: 2, Check: &unpaid}, {Number: 3, Check: &paid, Trained: true}}
		p.Ledger.Next = 4
		return p, err
	})
	_, err = c.run(oneSeed(2))
	require.NoError(t, err)
	require.Equal(t, []string{"confirm #1"}, checks(d))
	require.Empty(t, callsOf(d, 2))
	require.Equal(t, []string{"apply", "train", "evaluate", "decide"}, steps(d, 3))
	require.NotEmpty(t, callsOf(d, 4), "the next proposal")
}
