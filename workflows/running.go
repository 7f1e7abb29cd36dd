package workflows

import (
	"cmp"
	"errors"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// running is an experiment as this run of its campaign sees it.
type running struct {
	Entry
	id     string            // workflow id
	cancel func()            // dismisses it
	child  workflow.Future   // of the workflow, when this run has started it
	result *ExperimentResult // set by its report
	ended  string            // set when it says that it ends without a decision
	wait   time.Duration     // before the next attempt to start it, while it runs unseen
}

func (run *running) settled() bool { return run.result != nil }

// enter moves the experiment to a stage.
func (run *running) enter(ctx workflow.Context, s experiment.Stage) {
	run.Stage, run.Since, run.Deadline = s, workflow.Now(ctx), time.Time{}
}

// errStillRunning says that the child lives but not as a child of this run.
var errStillRunning = errors.New("the experiment is running already")

// launch looks after an experiment from now on.
func (r *research) launch(ctx workflow.Context, run *running) {
	ctx, run.cancel = workflow.WithCancel(ctx)
	r.running = append(r.running, run)
	slices.SortFunc(r.running, func(a, b *running) int { return a.Number - b.Number })
	workflow.Go(ctx, func(ctx workflow.Context) {
		r.tend(ctx, run)
		r.running = slices.DeleteFunc(r.running, func(other *running) bool { return other == run })
		r.stirred = true
	})
}

// tend sees to it that an experiment is decided, whatever happens to its
// workflow. It returns early when the experiment is dismissed, when the campaign
// is cancelled or is stopped while in trouble, or when the proposers have
// nothing left to try.
func (r *research) tend(ctx workflow.Context, run *running) {
	for failures := 0; !run.settled(); {
		err := r.attempt(ctx, run)
		switch {
		case err == nil, run.settled(), errors.Is(err, errStillRunning):
			continue
		case ctx.Err() != nil:
			return
		case refusal(err) == activities.ErrNothingLeft:
			r.exhaust(run, reasonOf(err))
			return
		}
		if failures++; failures < maxFailures && refusal(err) == "" {
			_ = workflow.Sleep(ctx, rerunDelay) // cancelled: the next attempt sees it
			continue
		}
		if failures = 0; r.inTrouble(ctx, run, err) {
			return
		}
	}
	if run.child != nil { // whoever stops the workers when a campaign is complete leaves nothing half-closed
		_ = workflow.Await(ctx, run.child.IsReady)
	}
}

// inTrouble pauses the campaign, says why, and waits for somebody who can help.
// It returns whether the experiment is given up: when the campaign is stopped,
// and a candidate also when the search has ended.
func (r *research) inTrouble(ctx workflow.Context, run *running, err error) (over bool) {
	r.Paused, r.Trouble, r.stirred = true, run.id+": "+reasonOf(err), true
	given := func() bool { return r.StopReason != "" || r.Closing != "" && run.Check == nil }
	_ = workflow.Await(ctx, func() bool { return !r.Paused || given() })
	return given() || ctx.Err() != nil
}

// attempt starts the experiment's workflow, or finds it running, and waits
// until it is decided (nil) or has ended without a decision.
func (r *research) attempt(ctx workflow.Context, run *running) error {
	run.ended = ""
	in := ExperimentInput{
		Campaign: r.Campaign, Number: run.Number, Revision: run.Revision, Parent: run.Parent, Hints: run.Hints, Idea: run.Idea, Check: run.Check,
	}
	if run.baseline() {
		in.Width = r.Limits.Slots()
	}
	r.outgoing++
	child := workflow.ExecuteChildWorkflow(childOptions(ctx, r.Campaign.Tag(), run), Experiment, in)
	quiet, _ := workflow.NewDisconnectedContext(ctx)
	err := child.GetChildWorkflowExecution().Get(quiet, nil)
	r.outgoing--
	switch {
	case temporal.IsWorkflowExecutionAlreadyStartedError(err):
		return r.adopt(ctx, run)
	case err != nil:
		return err
	}
	run.child = child
	if err := workflow.Await(ctx, func() bool { return run.settled() || child.IsReady() }); err != nil {
		// Cancelled: the SDK forwards it to the child; wait for its end.
		return errors.Join(err, child.Get(quiet, nil))
	}
	if run.settled() {
		return nil
	}
	var result ExperimentResult
	if err := child.Get(ctx, &result); err != nil {
		return err
	}
	r.report(ctx, Report{Number: run.Number, Result: &result})
	return nil
}

// adopt waits for the messages of a child that an earlier run started. It waits
// for a while only: the caller then tries to start it again, which works when
// the child has died without a word.
func (r *research) adopt(ctx workflow.Context, run *running) error {
	r.tell(ctx, run.id, SignalAdopt, nil) // gone: the next attempt starts it
	heard := func() bool { return run.settled() || run.ended != "" }
	run.wait = min(max(2*run.wait, adoptRetry), adoptAtMost)
	_, err := workflow.AwaitWithTimeout(ctx, run.wait, heard)
	switch {
	case err != nil: // cancelled: forward it, and wait for the child's last word
		quiet, _ := workflow.NewDisconnectedContext(ctx)
		if workflow.RequestCancelExternalWorkflow(quiet, run.id, "").Get(quiet, nil) == nil {
			_, _ = workflow.AwaitWithTimeout(quiet, cancelWait, heard)
		}
		return err
	case run.ended != "":
		return errors.New(run.ended)
	case !run.settled():
		return errStillRunning
	}
	return nil
}

// ready takes in how far a child has come.
func (r *research) ready(ctx workflow.Context, m Ready) {
	run := r.find(m.Number)
	if run == nil {
		r.stray(ctx, m.Number)
		return
	}
	switch {
	case m.Training:
		run.Revision, run.Parent = m.Revision, r.parentOf(run, m)
		if run.Stage != experiment.Training {
			run.enter(ctx, experiment.Training)
		}
	case run.Stage == experiment.Training: // it did not get its order, or has begun anew
		r.tell(ctx, run.id, SignalOrder, Order{Revision: m.Revision, Rejected: run.Rejected})
	case m.Revision < run.Revision: // nor that one
		r.tell(ctx, run.id, SignalOrder, Order{Revision: m.Revision, Parent: &run.Parent, Next: run.Revision})
		return
	default:
		if m.Revision == run.Revision && run.Stage != experiment.Proposing {
			return // said twice
		}
		run.Approved = run.Approved && m.Rebased
		run.Revision, run.Parent, run.Failed = m.Revision, r.parentOf(run, m), m.Failed
		run.enter(ctx, experiment.Ready)
		r.askApproval(ctx, run)
	}
	run.Commit, run.Title, run.Failed = m.Commit, m.Title, m.Failed
}

// stray ends a child whose experiment is decided. There is one when the first
// child ended, with its report on the way, just as a new run of the campaign
// started another under its id. One that is only not begun yet may wait.
func (r *research) stray(ctx workflow.Context, number int) {
	for _, run := range r.running {
		if run.Number == number {
			run.cancel()
			return
		}
	}
	if !slices.ContainsFunc(r.Open, func(o activities.OpenExperiment) bool { return o.Number == number }) {
		workflow.RequestCancelExternalWorkflow(ctx, experiment.ExperimentID(r.Campaign.Tag(), number), "")
	}
}

// parentOf is the parent that a child names. One that a lost run of the campaign
// chose is known by its commit alone.
func (r *research) parentOf(run *running, m Ready) experiment.Incumbent {
	switch {
	case m.Parent == run.Parent.Commit:
		return run.Parent
	case m.Parent == r.incumbentCommit():
		return r.incumbent()
	}
	return experiment.Incumbent{Commit: m.Parent}
}

// report takes in a decision, once: a child says it again until it knows that
// it was heard, and its completion says it too.
func (r *research) report(ctx workflow.Context, m Report) {
	run := r.find(m.Number)
	switch {
	case run == nil:
		return
	case m.Result == nil:
		run.ended = m.Ended
		return
	}
	result := *m.Result
	run.result = &result
	r.settle(result)
	if began := run.Since.Add(-time.Duration(result.IdleSeconds * float64(time.Second))); began.Before(r.ResumedAt) {
		result.IdleSeconds = 0 // the slot was idle because the campaign was paused
	}
	r.Slots.Add(result.BusySeconds, result.IdleSeconds)
	r.last = r.Recent[len(r.Recent)-1]
	if run.baseline() && result.Brief.Verdict == experiment.Crash {
		r.Baseline, r.Incumbent = nil, nil
		r.fatal = baselineError(string(result.Brief.Reason) + ": " + result.Message)
	}
}

// refusal is the type of an error with which an activity refused for good:
// running the experiment again would end the same way until somebody has
// changed something. It is "" for all other errors.
func refusal(err error) string {
	var app *temporal.ApplicationError
	if errors.As(err, &app) && app.NonRetryable() {
		return cmp.Or(app.Type(), "refused")
	}
	return ""
}

// reasonOf is what people need to know of an error: its innermost message.
func reasonOf(err error) string {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Message()
	}
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}

const (
	// rerunDelay is between two runs of a child that failed: a terminated one
	// starts again while somebody watches, a broken one does not spin.
	rerunDelay = 2 * time.Second
	// adoptRetry is between two attempts to start a child that runs already; it
	// doubles up to adoptAtMost, since each one costs ten events. A child that
	// lives talks by itself; this finds the one that died silently.
	adoptRetry  = time.Minute
	adoptAtMost = 5 * time.Minute
	// farewell bounds the wait of a campaign that is complete for its last
	// children, which have reported and end at once unless no worker is left.
	farewell = 10 * time.Second
	// cancelWait bounds the wait for an adopted child to end: its trainer is
	// killed within seconds, and a child that is gone never answers.
	cancelWait = time.Minute
)

// abandon is why a child outlives its parent: its runs are paid for, and it
// reports to whichever run of the campaign comes next.
const abandon = enumspb.PARENT_CLOSE_POLICY_ABANDON
