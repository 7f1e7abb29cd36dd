package workers

import (
	"context"
	"fmt"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/autoresearch-go/autoresearch/workflows"
)

// The task queues are the namespace's, while a campaign lives in one home. A
// worker of another home would be given every second step of it, and find
// nothing there: an experiment decided in one ledger would be missing in the
// other. So the first home has the namespace, for as long as it has workers.

// NamespaceInUseError says that workers of another home serve the namespace.
type NamespaceInUseError struct {
	Namespace string
	Worker    string // identity of one of them
}

func (e *NamespaceInUseError) Error() string {
	return fmt.Sprintf("the namespace %s has workers of another home already, such as %s", e.Namespace, e.Worker)
}

// Hint says what the user can do.
func (e *NamespaceInUseError) Hint() string {
	return fmt.Sprintf("give this home a namespace of its own with TEMPORAL_NAMESPACE; one that was stopped is forgotten after %v", neighbourGone)
}

// neighbourGone is when a worker that does not poll is no neighbour any more. A
// poll lasts for a minute.
const neighbourGone = 75 * time.Second

// checkNeighbours looks for workers of other homes. Two that start in the same
// moment do not see each other.
func (p place) checkNeighbours(ctx context.Context, c client.Client, namespace string) error {
	for _, queue := range []string{workflows.ResearchQueue, workflows.TrainQueue, workflows.CUDAQueue} {
		described, err := c.DescribeTaskQueue(ctx, queue, enumspb.TASK_QUEUE_TYPE_ACTIVITY)
		if err != nil {
			return fmt.Errorf("look for other workers of the queue %s: %w", queue, err)
		}
		for _, poller := range described.GetPollers() {
			who := poller.GetIdentity()
			if p.neighbour(who) && time.Since(poller.GetLastAccessTime().AsTime()) < neighbourGone {
				return &NamespaceInUseError{namespace, who}
			}
		}
	}
	return nil
}

// neighbour says whether an identity is that of a worker of another home.
func (p place) neighbour(identity string) bool {
	parts := strings.Split(identity, "/") // role@host/home-seat/process
	if len(parts) != 3 {
		return false
	}
	home, _, _ := strings.Cut(parts[1], "-")
	return home != p.hash
}
