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
	// sayAgain is the first pause before a prepared child that got no order says
	// again that it is ready; it doubles up to sayAtMost. To wait is normal: all
	// slots are taken. Nothing is lost on the way either, and a parent that
	// restarts asks (adopt), so this is for an order that went to a run of the
	// child which then failed.
	sayAgain  = 10 * time.Minute
	sayAtMost = 2 * time.Hour
	// knockAgain is the pause while there is no parent at all.
	knockAgain = time.Minute
	// orphanAfter is how long a child waits for a campaign that does not exist.
	// What it has paid for is stored by then: a later start of the campaign runs
	// the experiment again and is given it at once.
	orphanAfter = time.Hour
	// reportAgain is between two tries to deliver a decision; it doubles up to
	// reportAtMost.
	reportAgain  = 15 * time.Second
	reportAtMost = 5 * time.Minute
)

// errOrphan ends a child whose campaign is gone.
var errOrphan = errors.New("the campaign is not running: start it again and this experiment goes on")

func (t *trial) parent() string { return experiment.ResearchID(t.in.Campaign.Tag()) }

// announce tells the parent how far this child has come.
func (t *trial) announce(ctx workflow.Context) error {
	m := Ready{
		Number: t.in.Number, Revision: t.in.Revision, Parent: t.in.Parent.Commit,
		Commit: t.candidate.Commit, Title: t.title, Failed: t.candidate.Failure != nil, Rebased: t.rebased, Training: t.training,
	}
	return workflow.SignalExternalWorkflow(ctx, t.parent(), "", SignalReady, m).Get(ctx, nil)
}

// awaitOrder says that the candidate is ready until the parent has an order for
// it: this may take as long as other candidates train.
func (t *trial) awaitOrder(ctx workflow.Context) (Order, error) {
	orders := workflow.GetSignalChannel(ctx, SignalOrder)
	heard := workflow.Now(ctx) // of the parent
	for wait := sayAgain; ; wait = min(2*wait, sayAtMost) {
		gone := parentGone(t.announce(ctx))
		if ctx.Err() != nil {
			return Order{}, ctx.Err()
		}
		switch {
		case !gone:
			heard = workflow.Now(ctx)
		case workflow.Now(ctx).Sub(heard) >= orphanAfter:
			return Order{}, errOrphan
		default:
			wait = knockAgain
		}
		if order, ok, err := t.receive(ctx, orders, wait); ok || err != nil {
			return order, err
		}
	}
}

// receive waits for an order for this revision (true), or until it is time to
// ask again. Orders for other revisions are answers to an earlier question.
func (t *trial) receive(ctx workflow.Context, orders workflow.ReceiveChannel, wait time.Duration) (order Order, ok bool, err error) {
	take := func() bool {
		for orders.ReceiveAsync(&order) {
			if order.Revision == t.in.Revision {
				return true
			}
			order = Order{}
		}
		return false
	}
	if take() { // it came with the delivery of the question
		return order, true, nil
	}
	timerCtx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	over := false
	s := workflow.NewSelector(ctx)
	s.AddReceive(orders, func(workflow.ReceiveChannel, bool) { ok = take() })
	s.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) { err = ctx.Err() })
	s.AddFuture(workflow.NewTimer(timerCtx, wait), func(workflow.Future) { over = true })
	for !ok && !over && err == nil {
		s.Select(ctx)
	}
	return order, ok, err
}

// answerAdopt tells a parent that has restarted how far this child is. While the
// candidate is being made there is nothing to say: it will be said.
func (t *trial) answerAdopt(ctx workflow.Context) {
	adopted := workflow.GetSignalChannel(ctx, SignalAdopt)
	for {
		adopted.Receive(ctx, nil)
		if ctx.Err() != nil {
			return
		}
		if t.training || t.waiting {
			_ = t.announce(ctx)
		}
	}
}

// report tells the parent, again and again until it is delivered or there is no
// parent: then the ledger has the decision, and the next start reads it there.
func (t *trial) report(ctx workflow.Context, m Report) {
	for orders := workflow.GetSignalChannel(ctx, SignalOrder); orders.ReceiveAsync(nil); { // said twice
	}
	for wait := reportAgain; ; wait = min(2*wait, reportAtMost) {
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
