package workflows

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// The messages of a campaign. People type these names: they are a contract.
// A message that changes the campaign is both a signal, which is always
// accepted and then does what it can, and an Update of the same name, which is
// answered, or refused with the reason.
const (
	QueryBest    = "best"    // experiment.Best
	QueryStatus  = "status"  // experiment.Status
	QueryHistory = "history" // the last ten experiments; all of them are in the ledger

	MessagePause      = "pause"       // the running experiment ends, no new one starts
	MessageResume     = "resume"      //
	MessageStop       = "stop"        // the running experiment ends, then the campaign completes
	MessageHint       = "hint"        // Hint, for the next proposal
	MessageSetBudget  = "set_budget"  // SetBudget; Update only
	MessageSetProgram = "set_program" // SetProgram; Update only

	MessageApprove     = "approve"      // Approve: the answer for a candidate that waits for a person
	MessageSetApproval = "set_approval" // experiment.Approval; Update only
	MessagePropose     = "propose"      // Idea: a person's own proposal; Update only
)

// Approve answers for a candidate that waits: it is trained, or discarded with
// reason rejected.
type Approve struct {
	Experiment int    `json:"experiment"`
	Accept     bool   `json:"accept"`
	Reason     string `json:"reason,omitempty"` // why it is rejected
}

// Idea is a person's own proposal. It goes the way of every other one, before
// those that are not prepared yet.
type Idea struct {
	Title      string `json:"title"`
	Hypothesis string `json:"hypothesis,omitempty"`
	Patch      string `json:"patch"` // unified diff to the incumbent's editable files
}

// Hint is a person's advice to the proposer.
type Hint struct {
	Text string `json:"text"`
}

// SetProgram replaces program.md for the proposals that are made from now on;
// with an empty text the one in the user's checkout holds again.
type SetProgram struct {
	Text string `json:"text"`
}

// SetBudget changes the campaign's limits. A field that is left out stays as it
// is; 0 means no limit. The budget of a run cannot change: results made under
// different budgets cannot be compared.
type SetBudget struct {
	Experiments *int                 `json:"experiments,omitempty"`
	WallTime    *experiment.Duration `json:"wall_time,omitempty"`
	Plateau     *int                 `json:"plateau,omitempty"`
	Parallel    *int                 `json:"parallel,omitempty"`

	// ConfirmShare: experiment.Limits; 0 is the default.
	ConfirmShare *float64 `json:"confirm_share,omitempty"`

	other []string // fields that are none of these
}

// UnmarshalJSON remembers other fields, for a refusal that names them.
func (b *SetBudget) UnmarshalJSON(text []byte) error {
	type plain SetBudget
	if err := json.Unmarshal(text, (*plain)(b)); err != nil {
		return fmt.Errorf("set_budget: %w", err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return fmt.Errorf("set_budget: %w", err)
	}
	for _, known := range []string{"experiments", "wall_time", "plateau", "parallel", "confirm_share"} {
		delete(fields, known)
	}
	b.other = slices.Sorted(maps.Keys(fields))
	return nil
}

// apply gives the limits after the change.
func (b SetBudget) apply(l experiment.Limits) experiment.Limits {
	if b.Experiments != nil {
		l.Experiments = *b.Experiments
	}
	if b.WallTime != nil {
		l.WallTime = *b.WallTime
	}
	if b.Plateau != nil {
		l.Plateau = *b.Plateau
	}
	if b.Parallel != nil {
		l.Parallel = *b.Parallel
	}
	if b.ConfirmShare != nil {
		l.ConfirmShare = *b.ConfirmShare
	}
	return l
}

// Answer is what an Update returns.
type Answer struct {
	Phase   experiment.Phase   `json:"phase"`
	Message string             `json:"message"`           // what happens now, for people
	Limits  *experiment.Limits `json:"limits,omitempty"`  // set_budget
	Program string             `json:"program,omitempty"` // set_program: digest
}

// setup registers queries and Updates and starts to listen to signals. It runs
// before anything that waits, so no message finds the campaign deaf.
func (r *research) setup(ctx workflow.Context) error {
	steps := []error{
		workflow.SetQueryHandler(ctx, QueryBest, func() (experiment.Best, error) { return r.best(), nil }),
		workflow.SetQueryHandler(ctx, QueryStatus, func() (experiment.Status, error) { return r.status(), nil }),
		workflow.SetQueryHandler(ctx, QueryHistory, func() ([]experiment.Brief, error) { return lastBriefs(r.Recent), nil }),

		handle(ctx, MessagePause, r.onPause, r.mayPause),
		handle(ctx, MessageResume, r.onResume, r.mayResume),
		handle(ctx, MessageStop, r.onStop, r.mayStop),
		handle(ctx, MessageHint, r.onHint, r.mayHint),
		handle(ctx, MessageSetBudget, r.onSetBudget, r.maySetBudget),
		handle(ctx, MessageSetProgram, r.onSetProgram, r.maySetProgram),
		handle(ctx, MessageApprove, r.onApprove, r.mayApprove),
		handle(ctx, MessageSetApproval, r.onSetApproval, r.maySetApproval),
		handle(ctx, MessagePropose, r.onPropose, r.mayPropose),
	}
	for _, err := range steps {
		if err != nil {
			return err
		}
	}
	workflow.Go(ctx, r.listen)
	return nil
}

// handle registers an Update with its validator.
func handle[H, V any](ctx workflow.Context, name string, handler H, validator V) error {
	return workflow.SetUpdateHandlerWithOptions(ctx, name, handler, workflow.UpdateHandlerOptions{Validator: validator})
}

func (r *research) mayPause() error {
	switch {
	case r.StopReason != "":
		return r.stopping()
	case r.Paused:
		return fmt.Errorf("the campaign is paused already")
	}
	return nil
}

func (r *research) onPause(ctx workflow.Context) (Answer, error) {
	r.Paused, r.stirred = true, true
	r.publish(ctx)
	return r.answer("no new experiment starts%s", r.afterCurrent()), nil
}

func (r *research) mayResume() error {
	switch {
	case r.StopReason != "":
		return r.stopping()
	case !r.Paused:
		return fmt.Errorf("the campaign is not paused")
	}
	return nil
}

func (r *research) onResume(ctx workflow.Context) (Answer, error) {
	if r.Paused {
		r.ResumedAt = workflow.Now(ctx)
	}
	r.Paused, r.Trouble, r.stirred = false, "", true
	r.publish(ctx)
	return r.answer("the campaign goes on"), nil
}

func (r *research) mayStop() error {
	if r.StopReason != "" {
		return r.stopping()
	}
	return nil
}

func (r *research) onStop(ctx workflow.Context) (Answer, error) {
	if r.StopReason == "" { // a signal may repeat it
		r.StopReason = "stopped by request"
	}
	r.stirred = true
	r.publish(ctx)
	return r.answer("the campaign completes%s", r.afterCurrent()), nil
}

func (r *research) mayHint(h Hint) error {
	switch {
	case r.ending() != "":
		return r.stopping()
	case strings.TrimSpace(h.Text) == "":
		return fmt.Errorf("the hint is empty: send {\"text\":\"try a smaller batch\"}")
	case len(h.Text) > maxHint:
		return fmt.Errorf("the hint has %d bytes: at most %d", len(h.Text), maxHint)
	case len(r.Hints) >= maxHints:
		return fmt.Errorf("%d hints wait for the next proposal already", len(r.Hints))
	}
	return nil
}

func (r *research) onHint(ctx workflow.Context, h Hint) (Answer, error) {
	r.addHint(strings.TrimSpace(h.Text))
	return r.answer("the next proposal reads it"), nil
}

// maySetBudget refuses a limit that is passed already: it would end the
// campaign, and for that there is stop.
func (r *research) maySetBudget(ctx workflow.Context, b SetBudget) error {
	limits := b.apply(r.Limits)
	elapsed := workflow.Now(ctx).Sub(r.StartedAt).Round(time.Second)
	switch {
	case r.ending() != "":
		return r.stopping()
	case len(b.other) > 0:
		return fmt.Errorf("%q cannot change while a campaign runs, its results could not be compared: set_budget takes experiments, wall_time, plateau, parallel and confirm_share; for the rest start a new campaign", b.other[0])
	case limits == r.Limits:
		return fmt.Errorf("nothing to change: the limits are %s", limitsText(limits))
	}
	if err := limits.Validate(); err != nil {
		return err
	}
	switch {
	case limits.Experiments != r.Limits.Experiments && limits.Experiments > 0 && limits.Experiments <= r.Tally.Experiments:
		return fmt.Errorf("experiments is %d but %d are done: use stop to end the campaign", limits.Experiments, r.Tally.Experiments)
	case limits.Plateau != r.Limits.Plateau && limits.Plateau > 0 && limits.Plateau <= r.Tally.SinceKeep:
		return fmt.Errorf("plateau is %d but %d in a row are without a keep: use stop to end the campaign", limits.Plateau, r.Tally.SinceKeep)
	case limits.WallTime != r.Limits.WallTime && limits.WallTime > 0 && limits.WallTime.Std() <= elapsed:
		return fmt.Errorf("wall_time is %v but %v have passed: use stop to end the campaign", limits.WallTime, elapsed)
	}
	return nil
}

func (r *research) onSetBudget(ctx workflow.Context, b SetBudget) (Answer, error) {
	wall := r.Limits.WallTime
	r.Limits, r.stirred = b.apply(r.Limits), true
	if r.Limits.WallTime != wall {
		r.watchClock(ctx)
	}
	r.publish(ctx)
	a := r.answer("the limits are %s", limitsText(r.Limits))
	a.Limits = &r.Limits
	return a, nil
}

func (r *research) maySetProgram(p SetProgram) error {
	switch {
	case r.ending() != "":
		return r.stopping()
	case len(p.Text) > maxProgram:
		return fmt.Errorf("the program has %d bytes: at most %d", len(p.Text), maxProgram)
	}
	return nil
}

func (r *research) onSetProgram(ctx workflow.Context, p SetProgram) (Answer, error) {
	in := activities.SetProgramInput{Tag: r.given.Tag, Text: p.Text}
	var out activities.SetProgramResult
	if err := workflow.ExecuteActivity(setProgramOptions(ctx), onResearch.SetProgram, in).Get(ctx, &out); err != nil {
		return Answer{}, err
	}
	a := r.answer("the next proposal reads it")
	if out.Program == "" {
		a = r.answer("program.md of the checkout holds again")
	}
	a.Program = out.Program
	return a, nil
}

func (r *research) answer(format string, args ...any) Answer {
	return Answer{Phase: r.phase(), Message: fmt.Sprintf(format, args...)}
}

func (r *research) stopping() error {
	return fmt.Errorf("the campaign is ending: %s", r.ending())
}

// afterCurrent names what is still decided.
func (r *research) afterCurrent() string {
	var numbers []string
	for _, run := range r.running {
		if run.Stage == experiment.Training && !run.settled() {
			numbers = append(numbers, fmt.Sprint(run.Number))
		}
	}
	switch len(numbers) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf(" after experiment %s, which is still decided", numbers[0])
	}
	return fmt.Sprintf(" after experiments %s, which are still decided", strings.Join(numbers, ", "))
}
