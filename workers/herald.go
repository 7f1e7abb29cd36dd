package workers

import (
	"context"
	"errors"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workflows"
)

// herald tells campaigns how this process's slots are: each one that runs, each
// change once, and one that begins later what is not well by then. It never holds
// a slot up. What cannot be told now is told when Temporal is back.
type herald struct {
	signal  func(ctx context.Context, tag string, h experiment.SlotHealth) error
	running func(ctx context.Context) (tags map[string]time.Time, err error) // and since when
	logger  log.Logger
	begun   time.Time
	every   time.Duration
	wake    chan struct{}

	mu     sync.Mutex
	latest map[string]experiment.SlotHealth            // by queue
	told   map[string]map[string]experiment.SlotHealth // by tag and queue
}

// heraldEvery is how soon a campaign that has just begun hears of slots that
// are not well, and how soon a signal that failed is sent again.
const heraldEvery = 10 * time.Second

func newHerald(c client.Client, logger log.Logger) *herald {
	return &herald{
		signal: func(ctx context.Context, tag string, h experiment.SlotHealth) error {
			return c.SignalWorkflow(ctx, experiment.ResearchID(tag), "", workflows.SignalSlot, h)
		},
		running: func(ctx context.Context) (map[string]time.Time, error) { return runningCampaigns(ctx, c) },
		logger:  logger, begun: time.Now(), every: heraldEvery, wake: make(chan struct{}, 1),
		latest: map[string]experiment.SlotHealth{}, told: map[string]map[string]experiment.SlotHealth{},
	}
}

// tell is activities.GPU.Tell.
func (n *herald) tell(h experiment.SlotHealth) {
	n.mu.Lock()
	n.latest[h.Queue] = h
	n.mu.Unlock()
	switch {
	case h.Well():
		n.logger.Info("the slot is healthy", "slot", h.Queue)
	default:
		n.logger.Warn("the slot is "+string(h.State), "slot", h.Queue, "reason", h.Reason)
	}
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// run tells until ctx ends.
func (n *herald) run(ctx context.Context) {
	tick := time.NewTicker(n.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		case <-tick.C:
		}
		if err := n.round(ctx); err != nil && ctx.Err() == nil {
			n.logger.Warn("telling campaigns how the GPUs are", "error", err)
		}
	}
}

// round tells every running campaign what it does not know.
func (n *herald) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, n.every)
	defer cancel()
	tags, err := n.running(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for tag, since := range tags {
		for _, h := range n.news(tag, since) {
			err := n.signal(ctx, tag, h)
			var gone *serviceerror.NotFound
			if err != nil && !errors.As(err, &gone) {
				errs = append(errs, err)
				continue
			}
			n.mu.Lock()
			if n.told[tag] == nil {
				n.told[tag] = map[string]experiment.SlotHealth{}
			}
			n.told[tag][h.Queue] = h
			n.mu.Unlock()
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for tag := range n.told {
		if _, runs := tags[tag]; !runs {
			delete(n.told, tag) // if it runs again it knows nothing
		}
	}
	return errors.Join(errs...)
}

// news is what a campaign that runs since then does not know. That a slot is well
// is news for one that ran before this worker, or was told otherwise.
func (n *herald) news(tag string, since time.Time) (all []experiment.SlotHealth) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for queue, h := range n.latest {
		told, heard := n.told[tag][queue]
		same := told.State == h.State && told.Reason == h.Reason
		if heard && same || !heard && h.Well() && since.After(n.begun) {
			continue
		}
		all = append(all, h)
	}
	return all
}

// runningCampaigns are those that Temporal lists.
func runningCampaigns(ctx context.Context, c client.Client) (map[string]time.Time, error) {
	tags := map[string]time.Time{}
	var page []byte
	for {
		list, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: `WorkflowType = "Research" AND ExecutionStatus = "Running"`, NextPageToken: page})
		if err != nil {
			return nil, err
		}
		for _, e := range list.GetExecutions() {
			if tag, ok := experiment.TagOf(e.GetExecution().GetWorkflowId()); ok && e.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
				tags[tag] = e.GetStartTime().AsTime()
			}
		}
		if page = list.GetNextPageToken(); len(page) == 0 {
			return tags, nil
		}
	}
}
