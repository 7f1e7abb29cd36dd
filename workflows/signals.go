package workflows

import (
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// The signals between a campaign and its experiments: see the package comment.
const (
	SignalTurn   = "turn"   // child to parent: Turn
	SignalDecide = "decide" // parent to child: Grant
	SignalReport = "report" // child to parent: Report
	SignalAdopt  = "adopt"  // parent to child, without content
)

// Turn asks to decide.
type Turn struct {
	Number int `json:"number"`
}

// Grant is the turn: what to decide against.
type Grant struct {
	Incumbent *experiment.Incumbent `json:"incumbent,omitempty"`
	Noise     experiment.Noise      `json:"noise"`
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
		on(ctx, SignalTurn, func(m Turn) { r.turn(ctx, m) }),
		on(ctx, SignalReport, func(m Report) { r.report(m) }),
		on(ctx, MessagePause, func(nothing) { _, _ = r.onPause(ctx) }),
		on(ctx, MessageResume, func(nothing) { _, _ = r.onResume(ctx) }),
		on(ctx, MessageStop, func(nothing) { _, _ = r.onStop(ctx) }),
		on(ctx, MessageHint, func(h Hint) {
			if text := strings.TrimSpace(h.Text); text != "" {
				r.addHint(strings.ToValidUTF8(text[:min(len(text), maxHint)], ""))
			}
		}),
	}
}

// listen takes in signals for as long as the workflow runs.
func (r *research) listen(ctx workflow.Context) {
	s := workflow.NewSelector(ctx)
	for _, in := range r.inlets(ctx) {
		s.AddReceive(in.channel, func(workflow.ReceiveChannel, bool) { in.take() })
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
