package workflows

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// ErrBaselineFailed is the type of the error that ends a campaign whose target,
// as it stands, cannot be trained or scored.
const ErrBaselineFailed = "BaselineFailed"

// Research runs a campaign. Its input is {"tag":"mar5"} or more; the workflow id
// is research-<tag>, and without a tag in the input the id gives it. carried is
// set by continue-as-new alone.
func Research(ctx workflow.Context, settings experiment.Settings, carried *State) (experiment.Best, error) {
	r, err := newResearch(ctx, settings, carried)
	if err != nil {
		return experiment.Best{}, err
	}
	if err := r.setup(ctx); err != nil {
		return experiment.Best{}, err
	}
	return r.run(ctx)
}

// research is one run of a campaign's workflow.
type research struct {
	State
	given     experiment.Settings // by the user, and the tag; without defaults
	end       experiment.Phase    // complete or failed, once it is
	running   []*running          // by number: what is not decided, and what has only just been
	stirred   bool                // something has happened since the scheduler looked
	outgoing  int                 // signals and starts that the server has not taken yet
	fatal     error               // ends the campaign
	last      experiment.Brief    // the last decided, for the search attributes
	published map[string]any      // search attributes as last set
}

func newResearch(ctx workflow.Context, settings experiment.Settings, carried *State) (*research, error) {
	id := workflow.GetInfo(ctx).WorkflowExecution.ID
	if settings.Tag == "" {
		settings.Tag, _ = experiment.TagOf(id)
	}
	if err := settings.Validate(); err != nil {
		return nil, temporal.NewNonRetryableApplicationError(err.Error(), activities.ErrInvalidSettings, nil)
	}
	if want := experiment.ResearchID(settings.Tag); id != want {
		message := fmt.Sprintf("tag is %q but the workflow id is %q: start the campaign with the workflow id %s", settings.Tag, id, want)
		return nil, temporal.NewNonRetryableApplicationError(message, activities.ErrInvalidSettings, nil)
	}
	r := &research{given: settings, published: map[string]any{}}
	if carried != nil {
		r.State = *carried
	}
	if r.StartedAt.IsZero() {
		r.StartedAt = workflow.Now(ctx)
		r.Limits, r.Approval = settings.Limits, settings.Approval
	}
	if len(r.Recent) > 0 {
		r.last = r.Recent[len(r.Recent)-1]
	}
	return r, nil
}

// settings are what the campaign runs with: as recorded, once that is known.
func (r *research) settings() experiment.Settings {
	if r.prepared() {
		return r.Campaign.Settings
	}
	return r.given.WithDefaults()
}

// run is the campaign.
func (r *research) run(ctx workflow.Context) (experiment.Best, error) {
	if err := r.prepare(ctx); err != nil {
		return r.fail(ctx, err)
	}
	r.carryOn(ctx)
	for {
		r.stirred = false
		r.enforce(ctx)
		r.schedule(ctx)
		r.publish(ctx)
		if r.over() {
			return r.finish(ctx)
		}
		if r.shouldContinue(ctx) {
			return experiment.Best{}, r.continueAsNew(ctx)
		}
		if err := workflow.Await(ctx, func() bool { return r.stirred }); err != nil {
			return r.cancelled(ctx, err)
		}
	}
}

// carryOn looks after what an earlier run of this campaign has begun.
func (r *research) carryOn(ctx workflow.Context) {
	for _, e := range r.Entries {
		run := &running{Entry: e, id: experiment.ExperimentID(r.Campaign.Tag(), e.Number)}
		r.launch(ctx, run)
		if e.Stage == experiment.Awaiting {
			r.awaitDeadline(ctx, run)
		}
	}
	r.Entries = nil
	r.watchClock(ctx)
}

// watchClock has the limits looked at when the wall time is over.
func (r *research) watchClock(ctx workflow.Context) {
	limit := r.Limits.WallTime
	if limit <= 0 {
		return
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		_ = sleep(ctx, limit.Std()-workflow.Now(ctx).Sub(r.StartedAt), "wall time of the campaign")
		r.stirred = true
	})
}

// undecided counts the experiments that are under way.
func (r *research) undecided() (n int) {
	for _, run := range r.running {
		if !run.settled() {
			n++
		}
	}
	return n
}

func (r *research) over() bool {
	return (r.StopReason != "" || r.fatal != nil) && r.undecided() == 0
}

// cancelled waits for the end of every child, to which the SDK forwards it.
func (r *research) cancelled(ctx workflow.Context, err error) (experiment.Best, error) {
	quiet, _ := workflow.NewDisconnectedContext(ctx)
	_ = workflow.Await(quiet, func() bool { return len(r.running) == 0 })
	r.sweep(quiet)
	return r.fail(ctx, err)
}

// sweep ends the children of an earlier campaign workflow that this one did not
// come to: nobody would ever give them an order.
func (r *research) sweep(ctx workflow.Context) {
	for _, open := range r.Open {
		id := experiment.ExperimentID(r.Campaign.Tag(), open.Number)
		_ = workflow.RequestCancelExternalWorkflow(ctx, id, "").Get(ctx, nil) // gone already: as it should be
	}
	r.Open = nil
}

// prepare resolves the campaign and takes over what its ledger holds already:
// a campaign that was cancelled, or whose Temporal database is lost, goes on.
func (r *research) prepare(ctx workflow.Context) error {
	if r.prepared() {
		return nil
	}
	r.publish(ctx)
	var prepared activities.PrepareResult
	in := activities.PrepareInput{Settings: r.given}
	if err := workflow.ExecuteActivity(prepareOptions(ctx), onResearch.Prepare, in).Get(ctx, &prepared); err != nil {
		return err
	}
	r.Campaign = prepared.Campaign
	r.resume(prepared.Ledger)
	if len(r.Recent) > 0 {
		r.last = r.Recent[len(r.Recent)-1]
	}
	if r.Decided > 0 && r.Baseline == nil {
		return baselineError("see: autoresearch show 0")
	}
	return nil
}

// shouldContinue says whether this run's history is long enough.
func (r *research) shouldContinue(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	if r.ContinueAfter > 0 {
		return info.GetCurrentHistoryLength() >= r.ContinueAfter
	}
	return info.GetContinueAsNewSuggested()
}

// continueAsNew hands the state to a new run, with all that is under way: after
// the running updates have answered, every message is on its way, and every
// signal that has arrived is taken in.
func (r *research) continueAsNew(ctx workflow.Context) error {
	quiet := func() bool { return r.outgoing == 0 && workflow.AllHandlersFinished(ctx) }
	for first := true; first || !quiet(); first = false {
		if err := workflow.Await(ctx, quiet); err != nil {
			_, err = r.cancelled(ctx, err)
			return err
		}
		r.drain(ctx) // which may have to answer
	}
	for _, run := range r.running {
		if !run.settled() {
			r.Entries = append(r.Entries, run.Entry)
		}
	}
	return workflow.NewContinueAsNewError(ctx, Research, r.given, &r.State)
}

// finish ends the campaign. Its last children are let go first.
func (r *research) finish(ctx workflow.Context) (experiment.Best, error) {
	if r.fatal != nil {
		return r.fail(ctx, r.fatal)
	}
	if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return r.fail(ctx, err)
	}
	r.sweep(ctx)
	for range 2 {
		gone := func() bool { return len(r.running) == 0 }
		if gone() {
			break
		}
		if _, err := workflow.AwaitWithTimeout(ctx, farewell, gone); err != nil {
			return r.fail(ctx, err)
		}
		for _, run := range r.running { // decided, but another run of its workflow was started
			run.cancel()
		}
	}
	r.end = experiment.Complete
	r.publish(ctx)
	return r.best(), nil
}

// fail ends the campaign with err; cancellation is such an end too, and a later
// start of the same tag goes on from the ledger.
func (r *research) fail(ctx workflow.Context, err error) (experiment.Best, error) {
	if ctx.Err() != nil {
		r.StopReason = "cancelled"
		r.publish(ctx)
		return experiment.Best{}, ctx.Err()
	}
	r.end, r.StopReason = experiment.Failed, reasonOf(err)
	r.publish(ctx)
	return experiment.Best{}, err
}

func baselineError(message string) error {
	text := "the baseline crashed: the target as it stands cannot be trained and scored"
	if message = strings.TrimSpace(message); message != "" {
		text += ": " + message
	}
	return temporal.NewNonRetryableApplicationError(text, ErrBaselineFailed, nil)
}
