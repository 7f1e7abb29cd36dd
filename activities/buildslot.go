package activities

import (
	"context"
	"fmt"
)

// buildSlot waits until a candidate may be built and tried. Many experiments
// are prepared at once, and most of them wait for a proposer; those that build
// and train a few steps would take the processors from each other and from the
// trainers, and all be late. It heartbeats nothing: the activity does.
func (r *Research) buildSlot(ctx context.Context) (release func(), err error) {
	if r.Builds == nil {
		return func() {}, nil
	}
	select {
	case r.Builds <- struct{}{}:
		return func() { <-r.Builds }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for other candidates to be built: %w", context.Cause(ctx))
	}
}
