package activities

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
)

// beatEvery is the pace of heartbeats. The SDK passes on fewer of them; what
// counts is that one is always at hand, whatever the activity is busy with.
const beatEvery = time.Second

// heartbeat tells Temporal from a ticker that an activity is alive, and how far
// it is. It is a hint for people: nothing is resumed from it.
type heartbeat struct {
	mu       sync.Mutex
	progress Progress
	done     chan struct{}
	once     sync.Once
}

// beat starts the heartbeat of an activity; it ends with ctx or with stop.
func beat(ctx context.Context, first Progress) *heartbeat {
	h := &heartbeat{progress: first, done: make(chan struct{})}
	if !activity.IsActivity(ctx) {
		return h
	}
	go func() {
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for {
			activity.RecordHeartbeat(ctx, h.now())
			select {
			case <-tick.C:
			case <-h.done:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return h
}

func (h *heartbeat) now() Progress {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.progress
}

func (h *heartbeat) set(p Progress) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.progress = p
}

func (h *heartbeat) stop() { h.once.Do(func() { close(h.done) }) }

// errWorkerStops ends what an activity is doing when its worker is asked to
// stop. It is no cancellation: Temporal tries again, on this worker when it is
// back or on another.
var errWorkerStops = errors.New("the worker stops; the next attempt goes on from here")

// untilWorkerStops returns a context that ends, with errWorkerStops for a
// cause, as soon as the worker is asked to stop. The activity's own context
// ends only when the worker's patience does, too late to write a checkpoint.
func untilWorkerStops(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if activity.IsActivity(ctx) {
		stopping := activity.GetWorkerStopChannel(ctx)
		go func() {
			select {
			case <-stopping:
				cancel(errWorkerStops)
			case <-ctx.Done():
			}
		}()
	}
	return ctx, func() { cancel(nil) }
}

// stopped makes sure that an error which came of the worker's stopping does not
// look like a cancellation, which Temporal would not try again.
func stopped(running context.Context, err error) error {
	if errors.Is(context.Cause(running), errWorkerStops) && errors.Is(err, context.Canceled) {
		return fmt.Errorf("%v: %w", err, errWorkerStops)
	}
	return err
}
