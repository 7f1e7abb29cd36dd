package workers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
)

// recovery fails the activities that dead workers of this role, home and host
// seem to run. We hold the locks of our slots, so nobody else has any of them. An
// earlier process may have had others; whether one of those is dead, its lock
// tells.
type recovery struct {
	client    client.Client
	namespace string
	place     place
	role      Role
	mine      []seat
	logger    log.Logger
	clear     func(ctx context.Context, s seat) error // ends what is left on a slot that nobody serves; nil if there is nothing to end
}

// recoveryPasses are the pauses before each look. The first is at once. Later
// ones find what the first could not see: visibility lags a little, and a task
// may have been handed to the dead worker's last poll after it died.
var recoveryPasses = []time.Duration{0, time.Second, 3 * time.Second, 10 * time.Second}

// running finds every workflow of ours that may have an activity.
const running = `WorkflowType IN ("Research", "Experiment") AND ExecutionStatus = "Running"`

func (r recovery) run(ctx context.Context) {
	for _, pause := range recoveryPasses {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if err := r.pass(ctx); err != nil && ctx.Err() == nil {
			// The heartbeat timeouts do the same, later.
			r.logger.Warn("looking for activities of an earlier worker", "error", err)
		}
	}
}

// pass looks at all running workflows once.
func (r recovery) pass(ctx context.Context) error {
	var page []byte
	var errs []error
	for {
		list, err := r.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: running, NextPageToken: page})
		if err != nil {
			return err
		}
		for _, e := range list.GetExecutions() {
			if id := e.GetExecution().GetWorkflowId(); strings.HasPrefix(id, "research-") {
				errs = append(errs, r.recover(ctx, id, e.GetExecution().GetRunId()))
			}
		}
		if page = list.GetNextPageToken(); len(page) == 0 {
			return errors.Join(errs...)
		}
	}
}

// recover fails what a dead worker holds of one workflow.
func (r recovery) recover(ctx context.Context, id, run string) error {
	described, err := r.client.DescribeWorkflowExecution(ctx, id, run)
	var gone *serviceerror.NotFound
	if errors.As(err, &gone) {
		return nil // ended meanwhile
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range described.GetPendingActivities() {
		if slot, ok := r.foreign(a); ok {
			errs = append(errs, r.giveBack(ctx, slot, id, run, a))
		}
	}
	return errors.Join(errs...)
}

// foreign says whether an activity is held by a worker of this role, home and
// host that is not us, and on which slot.
func (r recovery) foreign(a *workflowpb.PendingActivityInfo) (s seat, ok bool) {
	switch a.GetState() {
	case enumspb.PENDING_ACTIVITY_STATE_STARTED, enumspb.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED:
		who := a.GetLastWorkerIdentity()
		s, ok = r.place.slotOf(r.role, who)
		return s, ok && who != r.place.identity(r.role, s)
	}
	return "", false
}

// giveBack fails an activity in the name of the worker that holds it, if that is
// dead: if the lock of its slot is ours, or free.
func (r recovery) giveBack(ctx context.Context, slot seat, id, run string, a *workflowpb.PendingActivityInfo) error {
	if !slices.Contains(r.mine, slot) {
		release, err := r.place.lock(r.role, slot)
		var alive *InUseError
		var elsewhere *GPUInUseError
		if errors.As(err, &alive) || errors.As(err, &elsewhere) {
			return nil // it is stopping, or starting
		}
		if err != nil {
			return err
		}
		defer release()
		if r.clear != nil {
			if err := r.clear(ctx, slot); err != nil {
				return err
			}
		}
	}
	r.logger.Info("an earlier worker of this home died in an activity; it is tried again",
		"workflow", id, "activity", a.GetActivityType().GetName(), "attempt", a.GetAttempt(), "worker", a.GetLastWorkerIdentity())
	err := r.client.CompleteActivityByID(ctx, r.namespace, id, run, a.GetActivityId(), nil, lastWord(a))
	if gone := new(serviceerror.NotFound); errors.As(err, &gone) {
		return nil
	}
	return err
}

// lastWord is what the dead worker would have said: that the activity is
// cancelled if that was asked of it, or that it is to be tried again, now.
func lastWord(a *workflowpb.PendingActivityInfo) error {
	if a.GetState() == enumspb.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED {
		return temporal.NewCanceledError()
	}
	return temporal.NewApplicationErrorWithOptions("worker died: "+a.GetLastWorkerIdentity(), "WorkerDied",
		temporal.ApplicationErrorOptions{NextRetryDelay: time.Millisecond}) // 0 would be the policy's second
}
