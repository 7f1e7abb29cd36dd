package workflows

import (
	"cmp"
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// running is an experiment as its parent sees it.
type running struct {
	in     ExperimentInput
	id     string            // workflow id
	result *ExperimentResult // set by its report
	ended  string            // set when it says that it ends without a decision
	wait   time.Duration     // before the next attempt to start it, while it runs unseen
}

// errStillRunning says that the child lives but not as a child of this run.
var errStillRunning = errors.New("the experiment is running already")

// experiment runs the next experiment until it is decided, whatever happens to
// its workflow. It returns early when the campaign is cancelled, when it is
// stopped while in trouble, or when the proposer has nothing left to try.
func (r *research) experiment(ctx workflow.Context) error {
	r.begin(ctx)
	for failures := 0; r.running.result == nil; {
		err := r.attempt(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil || errors.Is(err, errStillRunning):
			continue
		case refusal(err) == activities.ErrNothingLeft:
			r.StopReason, r.running = reasonOf(err), nil
			return nil
		}
		r.releaseTurn(r.running)
		if failures++; failures < maxFailures && refusal(err) == "" {
			if err := workflow.Sleep(ctx, rerunDelay); err != nil {
				return err
			}
			continue
		}
		if failures = 0; r.inTrouble(ctx, err) {
			r.running = nil
			return ctx.Err()
		}
	}
	return r.conclude(ctx)
}

// inTrouble pauses the campaign, says why, and waits for somebody who can help.
// It returns whether the experiment is given up.
func (r *research) inTrouble(ctx workflow.Context, err error) (over bool) {
	r.Paused, r.Trouble = true, r.running.id+": "+reasonOf(err)
	for r.Paused && r.StopReason == "" && ctx.Err() == nil {
		r.waitPaused(ctx)
		if r.StopReason == "" {
			r.StopReason = r.limit(workflow.Now(ctx))
		}
	}
	if ctx.Err() == nil {
		r.Trouble = ""
	}
	return r.StopReason != "" || ctx.Err() != nil
}

// begin fixes the input of the next experiment. Every attempt at it gets the
// same, hints included.
func (r *research) begin(ctx workflow.Context) {
	parent := experiment.Incumbent{Commit: r.Campaign.Base}
	if r.Incumbent != nil {
		parent = *r.Incumbent
	}
	r.running = &running{
		in: ExperimentInput{Campaign: r.Campaign, Number: r.Next, Parent: parent, Program: r.Program},
		id: experiment.ExperimentID(r.Campaign.Tag(), r.Next),
	}
	if r.Next > 0 { // the baseline has no proposer
		r.running.in.Hints, r.Hints = r.Hints, nil
	}
	r.started = workflow.Now(ctx)
	r.publish(ctx)
}

// attempt starts the experiment's workflow, or finds it running, and waits
// until it is decided (nil) or has ended without a decision.
func (r *research) attempt(ctx workflow.Context) error {
	run := r.running
	run.ended = ""
	child := workflow.ExecuteChildWorkflow(childOptions(ctx, run), Experiment, run.in)
	r.child = child
	err := child.GetChildWorkflowExecution().Get(ctx, nil)
	switch {
	case temporal.IsWorkflowExecutionAlreadyStartedError(err):
		return r.adopt(ctx)
	case err != nil:
		return err
	}
	err = workflow.Await(ctx, func() bool { return run.result != nil || child.IsReady() })
	if err != nil { // cancelled: the SDK forwards it to the child; wait for its end
		quiet, _ := workflow.NewDisconnectedContext(ctx)
		return errors.Join(err, child.Get(quiet, nil))
	}
	if run.result != nil {
		return nil
	}
	var result ExperimentResult
	if err := child.Get(ctx, &result); err != nil {
		return err
	}
	r.report(Report{Number: run.in.Number, Result: &result})
	return nil
}

// adopt waits for the messages of a child that an earlier run started. It waits
// for a while only: the caller then tries to start it again, which works when
// the child has died without a word.
func (r *research) adopt(ctx workflow.Context) error {
	run := r.running
	workflow.SignalExternalWorkflow(ctx, run.id, "", SignalAdopt, nil) // gone: the next attempt starts it
	heard := func() bool { return run.result != nil || run.ended != "" }
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
	case run.result == nil:
		return errStillRunning
	}
	return nil
}

// conclude takes the decided experiment into the state.
func (r *research) conclude(ctx workflow.Context) error {
	result := *r.running.result
	r.settle(result)
	r.last, r.running = result.Brief, nil
	if result.Brief.Experiment == 0 && result.Brief.Verdict == experiment.Crash {
		r.Baseline, r.Incumbent = nil, nil
		return baselineError(string(result.Brief.Reason) + ": " + result.Message)
	}
	return nil
}

// report takes in a decision, once: a child says it again until it knows that
// it was heard, and its completion says it too.
func (r *research) report(m Report) {
	if r.running == nil || m.Number != r.running.in.Number || r.running.result != nil {
		return
	}
	if m.Result == nil {
		r.running.ended = m.Ended
		return
	}
	r.running.result = m.Result
	r.releaseTurn(r.running)
}

// turn answers a child that asks to decide: at once when no other decision is
// in progress, and again when the same child asks again.
func (r *research) turn(ctx workflow.Context, m Turn) {
	run := r.running
	if run == nil || m.Number != run.in.Number || r.deciding != nil && r.deciding != run {
		return // stale; or it asks again when the other decision is done
	}
	r.deciding = run
	workflow.SignalExternalWorkflow(ctx, run.id, "", SignalDecide, Grant{Incumbent: r.Incumbent, Noise: r.Noise})
}

func (r *research) releaseTurn(run *running) {
	if r.deciding == run {
		r.deciding = nil
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
	// farewell bounds the wait of a campaign that is complete for its last child,
	// which has reported and ends at once unless no worker is left.
	farewell = 10 * time.Second
	// cancelWait bounds the wait for an adopted child to end: its trainer is
	// killed within seconds, and a child that is gone never answers.
	cancelWait = time.Minute
)

// abandon is why a child outlives its parent: its runs are paid for, and it
// reports to whichever run of the campaign comes next.
const abandon = enumspb.PARENT_CLOSE_POLICY_ABANDON
