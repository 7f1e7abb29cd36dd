package workflows

import (
	"errors"
	"fmt"
	"strings"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// What people say of candidates: approval, and ideas of their own.

// askApproval makes a prepared candidate wait for a person, if the campaign is
// run that way. What is rebased stays approved: it is the same change.
func (r *research) askApproval(ctx workflow.Context, run *running) {
	if !r.Approval.On() || run.needsNoSlot() || run.Approved || run.Trained {
		return
	}
	run.enter(ctx, experiment.Awaiting)
	run.Deadline = run.Since.Add(r.Approval.Within())
	r.awaitDeadline(ctx, run)
}

// awaitDeadline gives the default answer when nobody has answered in time.
func (r *research) awaitDeadline(ctx workflow.Context, run *running) {
	deadline := run.Deadline
	workflow.Go(ctx, func(ctx workflow.Context) {
		if sleep(ctx, deadline.Sub(workflow.Now(ctx)), fmt.Sprintf("#%d waits for approval", run.Number)) != nil || run.settled() || run.Stage != experiment.Awaiting || run.Deadline != deadline {
			return
		}
		r.answerFor(ctx, run, r.Approval.Approve != experiment.ApproveReject, "nobody approved it in time")
		r.stirred = true
	})
}

func (r *research) answerFor(ctx workflow.Context, run *running, accept bool, reason string) {
	run.enter(ctx, experiment.Ready)
	run.Approved = accept
	if !accept {
		run.Rejected = reason
	}
}

// mayApprove takes an answer before it is asked for, too: somebody who has read
// a proposal need not wait until it is built.
func (r *research) mayApprove(a Approve) error {
	run := r.find(a.Experiment)
	switch {
	case run == nil:
		return fmt.Errorf("experiment %d is not under way", a.Experiment)
	case run.Stage == experiment.Training:
		return fmt.Errorf("experiment %d is in training already", a.Experiment)
	case a.Accept && !r.Approval.On():
		return fmt.Errorf("experiment %d needs no approval: set_approval turns it on", a.Experiment)
	case a.Accept && run.Approved:
		return fmt.Errorf("experiment %d is approved already", a.Experiment)
	case run.needsNoSlot():
		return fmt.Errorf("experiment %d will not be trained anyway", a.Experiment)
	case len(a.Reason) > maxHint:
		return fmt.Errorf("the reason has %d bytes: at most %d", len(a.Reason), maxHint)
	}
	return nil
}

func (r *research) onApprove(ctx workflow.Context, a Approve) (Answer, error) {
	run := r.find(a.Experiment)
	if run == nil {
		return Answer{}, fmt.Errorf("experiment %d is not under way", a.Experiment)
	}
	reason := "rejected by a person"
	if text := strings.TrimSpace(a.Reason); text != "" {
		reason += ": " + text
	}
	if run.Stage == experiment.Awaiting || run.Stage == experiment.Ready {
		r.answerFor(ctx, run, a.Accept, reason)
	} else if run.Approved = a.Accept; !a.Accept {
		run.Rejected = reason // decided when it is prepared
	}
	r.stirred = true
	if !a.Accept {
		return r.answer("experiment %d is discarded without training", a.Experiment), nil
	}
	return r.answer("experiment %d is trained when a slot is free", a.Experiment), nil
}

func (r *research) maySetApproval(a experiment.Approval) error {
	if r.ending() != "" {
		return r.stopping()
	}
	if a.Approve == "" {
		return errors.New("set_approval needs approve: off, accept or reject, which is what happens to a candidate that nobody answers for")
	}
	return a.Validate()
}

// onSetApproval also lets candidates go on that waited under the old rule.
func (r *research) onSetApproval(ctx workflow.Context, a experiment.Approval) (Answer, error) {
	r.Approval, r.stirred = a, true
	for _, run := range r.running {
		switch {
		case run.settled():
		case run.Stage == experiment.Awaiting && !a.On():
			run.enter(ctx, experiment.Ready)
		case run.Stage == experiment.Awaiting:
			run.Deadline = run.Since.Add(a.Within())
			r.awaitDeadline(ctx, run)
		case run.Stage == experiment.Ready:
			r.askApproval(ctx, run)
		}
	}
	if !a.On() {
		return r.answer("candidates are trained without approval"), nil
	}
	return r.answer("a candidate waits up to %v for approval; without an answer: %s", a.Within(), a.Approve), nil
}

func (r *research) mayPropose(i Idea) error {
	switch {
	case r.ending() != "":
		return r.stopping()
	case !r.prepared():
		return errors.New("the campaign is still being prepared: try again in a moment")
	case strings.TrimSpace(i.Patch) == "":
		return errors.New(`the patch is empty: send {"title":"...","patch":"--- a/trainer/train.go\n+++ ..."}`)
	case len(i.Patch)+len(i.Title)+len(i.Hypothesis) > maxPatch:
		return fmt.Errorf("the proposal has %d bytes: at most %d", len(i.Patch)+len(i.Title)+len(i.Hypothesis), maxPatch)
	case len(r.Ideas) >= maxIdeas:
		return fmt.Errorf("%d proposals wait already", len(r.Ideas))
	}
	return nil
}

// onPropose checks and stores a person's proposal; the next experiment takes it.
func (r *research) onPropose(ctx workflow.Context, i Idea) (Answer, error) {
	in := activities.TakeIdeaInput{Campaign: r.Campaign, Parent: r.incumbentCommit(), Title: i.Title, Hypothesis: i.Hypothesis, Patch: i.Patch}
	var out activities.TakeIdeaResult
	if err := workflow.ExecuteActivity(takeIdeaOptions(ctx), onResearch.TakeIdea, in).Get(ctx, &out); err != nil {
		var app *temporal.ApplicationError
		if errors.As(err, &app) {
			return Answer{}, temporal.NewNonRetryableApplicationError(app.Message(), app.Type(), nil)
		}
		return Answer{}, err
	}
	r.Ideas, r.stirred = append(r.Ideas, out), true
	return r.answer("the next experiment is: %s", out.Title), nil
}
