package workers

import (
	"context"

	"go.temporal.io/sdk/worker"
)

// vacancy decides when a slot asks the shared queue for a training run: one at a
// time, and only while the slot is vacant and, if it has one, its GPU is fit. A slot that evaluates, or is about
// to, would take a run that another slot could start at once, and let it wait.
//
// It is the SDK's slot supplier, whose slots are something else: they count what
// a worker may have in hand, polls included.
type vacancy struct {
	hand   chan struct{}          // holds one while a poll or a run is in hand
	vacant func() <-chan struct{} // closed as soon as the slot is vacant; nil is always
	// ready returns when the slot's GPU is fit to work; nil is at once.
	ready func(context.Context) error
}

var _ worker.SlotSupplier = (*vacancy)(nil)

// tuner is how a worker is told.
func (v *vacancy) tuner() (worker.WorkerTuner, error) {
	v.hand = make(chan struct{}, 1)
	fixed, err := worker.NewFixedSizeTuner(worker.FixedSizeTunerOptions{})
	return &vacancyTuner{fixed, v}, err
}

type vacancyTuner struct {
	worker.WorkerTuner // for what such a worker does not do
	vacancy            *vacancy
}

// GetActivityTaskSlotSupplier is the one supplier that counts.
func (t *vacancyTuner) GetActivityTaskSlotSupplier() worker.SlotSupplier { return t.vacancy }

// ReserveSlot is called before each poll.
func (v *vacancy) ReserveSlot(ctx context.Context, _ worker.SlotReservationInfo) (*worker.SlotPermit, error) {
	select {
	case v.hand <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := v.wait(ctx); err != nil {
		<-v.hand
		return nil, err
	}
	return &worker.SlotPermit{}, nil
}

// wait waits until the slot is vacant and its GPU fit. That may take a while, in
// which somebody comes; so the first is asked again after the second.
func (v *vacancy) wait(ctx context.Context) error {
	for {
		if v.vacant != nil {
			select {
			case <-v.vacant():
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if v.ready == nil {
			return nil
		}
		if err := v.ready(ctx); err != nil {
			return err
		}
		if v.vacant == nil {
			return nil
		}
		select {
		case <-v.vacant():
			return nil
		default:
		}
	}
}

// TryReserveSlot is for tasks without a poll, of workflows on the same queue.
func (v *vacancy) TryReserveSlot(worker.SlotReservationInfo) *worker.SlotPermit { return nil }

// MarkSlotUsed is called when a poll has brought a task.
func (v *vacancy) MarkSlotUsed(worker.SlotMarkUsedInfo) {}

// ReleaseSlot is called when a poll has brought nothing, or its task is done.
func (v *vacancy) ReleaseSlot(worker.SlotReleaseInfo) { <-v.hand }

// MaxSlots is for metrics.
func (v *vacancy) MaxSlots() int { return 1 }
