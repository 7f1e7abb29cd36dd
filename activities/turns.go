package activities

import (
	"context"
	"fmt"
	"sync"
)

// turns lets the slots of one process take turns at a run. Temporal starts a
// second attempt when it has not heard of the first for too long, and then it
// may come to another slot while the first one still trains. It would find the
// other's checkpoints half written and remove directories in use; so it waits,
// for the moment that the first needs to hear that it is not wanted any more.
//
// Between processes the slot's lock and a directory for each attempt have to do:
// a process that stands still would keep the others waiting.
type turns struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when the turn is over
}

// underWay are the runs that this process works on.
var underWay turns

func (t *turns) take(ctx context.Context, run string) (release func(), err error) {
	for {
		t.mu.Lock()
		other, taken := t.held[run]
		if !taken {
			break
		}
		t.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another attempt at the same run: %w", context.Cause(ctx))
		}
	}
	defer t.mu.Unlock()
	over := make(chan struct{})
	if t.held == nil {
		t.held = map[string]chan struct{}{}
	}
	t.held[run] = over
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.held, run)
		close(over)
	}, nil
}
