package workflows

import (
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// The child's side of the conversation with its parent.

const (
	// askAgain is the first pause before a question that got no answer is asked
	// again; it doubles up to askAtMost. A parent that restarts asks for it
	// (adopt), so this is for the rest: a grant that went to a run that failed.
	askAgain  = 15 * time.Second
	askAtMost = 5 * time.Minute
	// orphanAfter is how long a child waits for a campaign that does not exist.
	// Its measurements are stored by then: a later start of the campaign runs
	// the experiment again and is given them at once.
	orphanAfter = time.Hour
)

// errOrphan ends a child whose campaign is gone.
var errOrphan = errors.New("the campaign is not running: start it again and this experiment goes on")

func (t *trial) parent() string { return experiment.ResearchID(t.in.Campaign.Tag()) }

// awaitTurn asks the parent for this child's turn to decide until it is
// granted. The baseline has nothing to be compared with and nobody beside it:
// it need not ask.
func (t *trial) awaitTurn(ctx workflow.Context) (Grant, error) {
	if t.baseline() {
		return Grant{}, nil
	}
	granted := workflow.GetSignalChannel(ctx, SignalDecide)
	adopted := workflow.GetSignalChannel(ctx, SignalAdopt)
	asked := workflow.Now(ctx)
	for wait := askAgain; ; wait = min(2*wait, askAtMost) {
		for adopted.ReceiveAsync(nil) { // what follows answers it
		}
		gone := parentGone(workflow.SignalExternalWorkflow(ctx, t.parent(), "", SignalTurn, Turn{Number: t.in.Number}).Get(ctx, nil))
		if ctx.Err() != nil {
			return Grant{}, ctx.Err()
		}
		if !gone {
			asked = workflow.Now(ctx)
		} else if workflow.Now(ctx).Sub(asked) >= orphanAfter {
			return Grant{}, errOrphan
		}
		var grant Grant
		if ok, err := receive(ctx, wait, granted, adopted, &grant); ok || err != nil {
			return grant, err
		}
	}
}

// receive waits for a grant (true), or until it is time to ask again.
func receive(ctx workflow.Context, wait time.Duration, granted, adopted workflow.ReceiveChannel, grant *Grant) (ok bool, err error) {
	if granted.ReceiveAsync(grant) { // it came with the delivery of the question
		return true, nil
	}
	timerCtx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	s := workflow.NewSelector(ctx)
	s.AddReceive(granted, func(c workflow.ReceiveChannel, _ bool) { ok = c.Receive(ctx, grant) })
	s.AddReceive(adopted, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) })
	s.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) { err = ctx.Err() })
	s.AddFuture(workflow.NewTimer(timerCtx, wait), func(workflow.Future) {})
	s.Select(ctx)
	return ok, err
}

// report tells the parent, again and again until it is delivered or there is no
// parent: then the ledger has the decision, and the next start reads it there.
func (t *trial) report(ctx workflow.Context, m Report) {
	for wait := askAgain; ; wait = min(2*wait, askAtMost) {
		err := workflow.SignalExternalWorkflow(ctx, t.parent(), "", SignalReport, m).Get(ctx, nil)
		if err == nil || parentGone(err) {
			return
		}
		if workflow.Sleep(ctx, wait) != nil {
			return
		}
	}
}

// giveUp says that this child ends without a decision. A parent that started it
// sees that anyway; one that adopted it sees nothing else.
func (t *trial) giveUp(ctx workflow.Context, err error) {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	ended := reasonOf(err)
	if temporal.IsCanceledError(err) {
		ended = "cancelled"
	}
	m := Report{Number: t.in.Number, Ended: ended}
	_ = workflow.SignalExternalWorkflow(ctx, t.parent(), "", SignalReport, m).Get(ctx, nil) // nobody there: nobody to tell
}

func parentGone(err error) bool {
	var unknown *temporal.UnknownExternalWorkflowExecutionError
	return errors.As(err, &unknown)
}
