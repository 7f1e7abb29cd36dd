package workflows

import (
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// The signals between a campaign and its experiments: see the package comment.
const (
	SignalReady  = "ready"  // child to parent: Ready
	SignalOrder  = "order"  // parent to child: Order
	SignalReport = "report" // child to parent: Report
	SignalAdopt  = "adopt"  // parent to child, without content
)

// SignalSlot comes from the worker of a training slot whose health has changed:
// experiment.SlotHealth. It changes nothing but what people are shown; the slot
// itself takes no work.
const SignalSlot = "slot"

// Ready says how far a child has come: its candidate is prepared, or has a slot
// already.
type Ready struct {
	Number   int    `json:"number"`
	Revision int    `json:"revision,omitempty"`
	Parent   string `json:"parent"` // commit that the candidate changes
	Commit   string `json:"commit,omitempty"`
	Title    string `json:"title,omitempty"`
	Failed   bool   `json:"failed,omitempty"`   // there is nothing to train: it only has to be decided
	Rebased  bool   `json:"rebased,omitempty"`  // the change of the revision before, on another parent
	Training bool   `json:"training,omitempty"` // it has had its order
}

// Order answers Ready: go on, or start over on another parent.
type Order struct {
	Revision int                   `json:"revision,omitempty"` // that it answers; an order for another one is stale
	Parent   *experiment.Incumbent `json:"parent,omitempty"`   // make the candidate again as a change to this; nil: train and decide it
	Next     int                   `json:"next,omitempty"`     // its revision then
	Rejected string                `json:"rejected,omitempty"` // do not train it: why
}

// Report is a child's last word: its decision, or why it ends without one.
type Report struct {
	Number int               `json:"number"`
	Result *ExperimentResult `json:"result,omitempty"`
	Ended  string            `json:"ended,omitempty"`
}

// inlet takes the signals of one name, one at a time.
type inlet struct {
	channel workflow.ReceiveChannel
	take    func() bool // false: none is waiting
}

func on[T any](ctx workflow.Context, name string, do func(T)) inlet {
	channel := workflow.GetSignalChannel(ctx, name)
	return inlet{channel, func() bool {
		var v T
		if !channel.ReceiveAsync(&v) {
			return false
		}
		do(v)
		return true
	}}
}

// inlets are all signals of a campaign. Unlike an Update a signal cannot be
// refused: what makes no sense is left undone.
func (r *research) inlets(ctx workflow.Context) []inlet {
	type nothing = any // people send all kinds of it
	return []inlet{
		on(ctx, SignalReady, func(m Ready) { r.ready(ctx, m) }),
		on(ctx, SignalReport, func(m Report) { r.report(ctx, m) }),
		on(ctx, SignalSlot, func(h experiment.SlotHealth) {
			if r.settings().OnGPU() { // others have no use for it
				r.slot(h)
			}
		}),
		on(ctx, MessagePause, func(nothing) { _, _ = r.onPause(ctx) }),
		on(ctx, MessageResume, func(nothing) { _, _ = r.onResume(ctx) }),
		on(ctx, MessageStop, func(nothing) { _, _ = r.onStop(ctx) }),
		on(ctx, MessageHint, func(h Hint) {
			if text := strings.TrimSpace(h.Text); text != "" {
				r.addHint(strings.ToValidUTF8(text[:min(len(text), maxHint)], ""))
			}
		}),
		on(ctx, MessageApprove, func(a Approve) {
			if r.mayApprove(a) == nil {
				_, _ = r.onApprove(ctx, a)
			}
		}),
	}
}

// listen takes in signals for as long as the workflow runs.
func (r *research) listen(ctx workflow.Context) {
	s := workflow.NewSelector(ctx)
	for _, in := range r.inlets(ctx) {
		s.AddReceive(in.channel, func(workflow.ReceiveChannel, bool) { in.take(); r.stirred = true })
	}
	for {
		s.Select(ctx)
	}
}

// drain takes in what has arrived but was not looked at yet.
func (r *research) drain(ctx workflow.Context) {
	for _, in := range r.inlets(ctx) {
		for in.take() {
		}
	}
}

// tell sends a signal to a child. It is counted until the server has it: a run
// that continues as new before that would take it along into its grave. A child
// that is gone is no error here; whoever waits for its end hears of it.
func (r *research) tell(ctx workflow.Context, id, name string, arg any) {
	sent := workflow.SignalExternalWorkflow(ctx, id, "", name, arg)
	r.outgoing++
	quiet, _ := workflow.NewDisconnectedContext(ctx)
	workflow.Go(quiet, func(ctx workflow.Context) {
		_ = sent.Get(ctx, nil)
		r.outgoing--
	})
}
