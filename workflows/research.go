package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
)

type ledgerState = activities.LedgerState

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
	running   *running            // the experiment that is not decided yet
	child     workflow.Future     // of the last experiment that this run started
	deciding  *running            // the one that holds the turn
	last      experiment.Brief    // the last decided, for the search attributes
	published map[string]any      // search attributes as last set
	started   time.Time           // of running
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
		r.Limits = settings.Limits
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
	for !r.over(ctx) {
		if err := r.experiment(ctx); err != nil {
			return r.fail(ctx, err)
		}
		if r.shouldContinue(ctx) {
			return experiment.Best{}, r.continueAsNew(ctx)
		}
	}
	return r.finish(ctx)
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
	if r.Next > 0 && r.Baseline == nil {
		return baselineError("see: autoresearch show 0")
	}
	return nil
}

// over says whether no further experiment is to start, and why. While the
// campaign is paused it waits here.
func (r *research) over(ctx workflow.Context) bool {
	for {
		if r.StopReason != "" || ctx.Err() != nil {
			break
		}
		if r.Next > 0 || r.Paused { // whoever goes on gets a baseline at least
			if r.StopReason = r.limit(workflow.Now(ctx)); r.StopReason != "" {
				break
			}
		}
		if !r.Paused {
			break
		}
		r.waitPaused(ctx)
	}
	return r.StopReason != "" || ctx.Err() != nil
}

// waitPaused waits until somebody resumes or stops the campaign, or until a
// limit may have been reached.
func (r *research) waitPaused(ctx workflow.Context) {
	r.publish(ctx)
	limits := r.Limits
	changed := func() bool { return !r.Paused || r.StopReason != "" || r.Limits != limits }
	if limits.WallTime == 0 {
		_ = workflow.Await(ctx, changed) // cancelled: the caller looks at ctx
		return
	}
	left := limits.WallTime.Std() - workflow.Now(ctx).Sub(r.StartedAt)
	_, _ = workflow.AwaitWithTimeout(ctx, left, changed)
}

// shouldContinue says whether this run's history is long enough. It asks
// between experiments only, so a run ends with no child that could be missed.
func (r *research) shouldContinue(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	if r.ContinueAfter > 0 {
		return info.GetCurrentHistoryLength() >= r.ContinueAfter
	}
	return info.GetContinueAsNewSuggested()
}

// continueAsNew hands the state to a new run, after the running updates have
// answered and every signal that has arrived is taken in.
func (r *research) continueAsNew(ctx workflow.Context) error {
	if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return err
	}
	r.drain(ctx)
	return workflow.NewContinueAsNewError(ctx, Research, r.given, &r.State)
}

// finish completes the campaign. Its last child is let go first: whoever stops
// the workers when a campaign is complete leaves nothing half-closed.
func (r *research) finish(ctx workflow.Context) (experiment.Best, error) {
	if r.StopReason == "" { // cancelled
		return r.fail(ctx, ctx.Err())
	}
	if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return r.fail(ctx, err)
	}
	if r.child != nil {
		if _, err := workflow.AwaitWithTimeout(ctx, farewell, r.child.IsReady); err != nil {
			return r.fail(ctx, err)
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
