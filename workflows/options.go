package workflows

import (
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Every timeout and retry policy, each with its reason. Two things hold for all:
//
//   - There is no ScheduleToClose timeout. A machine that is off, a worker that
//     is not started and a server that is down are waited for, however long.
//   - A cancelled activity is waited for, so that a workflow which has ended has
//     no trainer left running behind it.

// The task queues that every installation has. A slot has one more, named in
// the TrainResult of what it trained.
const (
	ResearchQueue = "research"   // workflows, and what owns the repository and the ledger
	TrainQueue    = "train-cpu"  // training and evaluation on a CPU
	CUDAQueue     = "train-cuda" // the same on a GPU: one slot for each
)

// trainQueue is the queue of all slots that a campaign may train on.
func trainQueue(s experiment.Settings) string {
	if s.OnGPU() {
		return CUDAQueue
	}
	return TrainQueue
}

// shared says whether a queue is served by many slots, so that a task there may
// wait for its turn however long.
func shared(queue string) bool { return queue == TrainQueue || queue == CUDAQueue }

// Only the names of their methods are taken: the activities run in workers.
var (
	onResearch *activities.Research
	onTrain    *activities.Train
)

// heartbeat is when a silent worker counts as dead. Activities beat every one or
// two seconds, from a ticker; a host that swaps still manages one in 30 seconds.
// It is the slow way: a worker that comes back fails what its dead predecessor
// left at once (package workers), so this is for hosts that do not come back.
const heartbeat = 30 * time.Second

const scheduleToStart = enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START

// forever retries what our machinery fails at until it works: a campaign waits
// through an outage. Whether an error is worth it, activities/errors.go says.
func forever() *temporal.RetryPolicy {
	return &temporal.RetryPolicy{
		InitialInterval:    time.Second, // a restarted worker or engine is back in about that
		BackoffCoefficient: 2,
		MaximumInterval:    time.Minute, // how long a cured cause may go unnoticed
		MaximumAttempts:    0,           // no limit
	}
}

func with(ctx workflow.Context, o workflow.ActivityOptions) workflow.Context {
	o.RetryPolicy = forever()
	o.WaitForCancellation = true
	return workflow.WithActivityOptions(ctx, o)
}

func prepareOptions(ctx workflow.Context) workflow.Context {
	return with(ctx, workflow.ActivityOptions{
		TaskQueue:           ResearchQueue,
		StartToCloseTimeout: 2 * time.Hour, // may import a large data set
		HeartbeatTimeout:    heartbeat,
		Summary:             "prepare: repository, data, evaluator",
	})
}

func proposeOptions(ctx workflow.Context, summary string) workflow.Context {
	return with(ctx, workflow.ActivityOptions{
		TaskQueue:           ResearchQueue,
		StartToCloseTimeout: 45 * time.Minute, // a slow model that writes a whole file, cut short and asked again; hpo takes milliseconds
		HeartbeatTimeout:    heartbeat,
		Summary:             summary,
	})
}

func applyOptions(ctx workflow.Context, summary string) workflow.Context {
	return with(ctx, workflow.ActivityOptions{
		TaskQueue:           ResearchQueue,
		StartToCloseTimeout: 15 * time.Minute, // a cold build and a smoke run on a busy machine; warm it takes seconds
		HeartbeatTimeout:    heartbeat,
		Summary:             summary,
	})
}

// trainOptions bounds one attempt. The target stops a run at 1.05 budgets of
// charged time and at 10 of wall time; what is above that is for fetching and a
// cold build, so this timeout fires only when our own machinery hangs. A run
// that a GPU spoilt is done again within the same attempt, at most twice, which
// is within it too.
func trainOptions(ctx workflow.Context, queue string, budget experiment.Duration, summary string) workflow.Context {
	o := workflow.ActivityOptions{
		TaskQueue:           queue,
		StartToCloseTimeout: 12*budget.Std() + 20*time.Minute,
		HeartbeatTimeout:    heartbeat,
		Summary:             summary,
	}
	if !shared(queue) {
		// A check of this very slot. It is picked up at once, and then waits until
		// the run that trains there is done.
		o.ScheduleToStartTimeout = slotAnswers
		o.StartToCloseTimeout *= 2
	}
	return with(ctx, o)
}

// slotAnswers is how long a host may leave an activity on its own queue alone
// before it counts as gone: it may be restarting.
const slotAnswers = 30 * time.Second

// evaluateOptions are for one queue: the slot's own, or any slot.
func evaluateOptions(ctx workflow.Context, queue, summary string) workflow.Context {
	o := workflow.ActivityOptions{
		TaskQueue:           queue,
		StartToCloseTimeout: time.Hour, // a forward pass over the validation split, and before it the rest of a training run that has the slot
		HeartbeatTimeout:    heartbeat,
		Summary:             summary,
	}
	if !shared(queue) {
		o.ScheduleToStartTimeout = slotAnswers // the model is on that slot's disk, but also in the store
	}
	return with(ctx, o)
}

func decideOptions(ctx workflow.Context, summary string) workflow.Context {
	return with(ctx, workflow.ActivityOptions{
		TaskQueue:           ResearchQueue,
		StartToCloseTimeout: 2 * time.Minute, // writes a file and some refs; a slow disk is the worst that can be
		Summary:             summary,
	})
}

func setProgramOptions(ctx workflow.Context) workflow.Context {
	return with(ctx, workflow.ActivityOptions{
		TaskQueue:           ResearchQueue,
		StartToCloseTimeout: time.Minute, // writes one small artifact
		Summary:             "set_program",
	})
}

func takeIdeaOptions(ctx workflow.Context) workflow.Context {
	return with(ctx, workflow.ActivityOptions{
		TaskQueue:           ResearchQueue,
		StartToCloseTimeout: time.Minute, // reads some files and writes a small artifact
		Summary:             "propose: a person's idea",
	})
}

// childOptions has no timeout at all: an experiment may wait for a worker for
// as long as it takes. An id may be used again because an ended child proves
// nothing: whether an experiment is decided, only the ledger says.
func childOptions(ctx workflow.Context, tag string, run *running) workflow.Context {
	summary := fmt.Sprintf("#%d: a change to #%d", run.Number, run.Parent.Experiment)
	switch {
	case run.baseline():
		summary = "#0: baseline"
	case run.Check != nil:
		summary = fmt.Sprintf("#%d: %s", run.Number, run.Title)
	}
	return workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            run.id,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		ParentClosePolicy:     abandon,
		WaitForCancellation:   true,
		StaticSummary:         summary,
		TypedSearchAttributes: temporal.NewSearchAttributes(
			attrCampaign.ValueSet(tag),
			attrExperimentNo.ValueSet(int64(run.Number)),
		),
	})
}
