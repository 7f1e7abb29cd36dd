package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/converter"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers/cluster"
	"github.com/autoresearch-go/autoresearch/workflows"
)

// find tells which campaign settings mean, and what there is of it. Without a
// tag it is the only unfinished one, or a new one named after today.
func (a *app) find(ctx context.Context, c *cluster.Cluster, s experiment.Settings) (experiment.Settings, known, error) {
	if s.Tag == "" {
		tag, err := a.onlyUnfinished(ctx, c)
		if err != nil {
			return s, known{}, err
		}
		if tag == "" {
			tag, err = dateTag(a.now(), func(tag string) (bool, error) { return a.taken(ctx, c, tag) })
		}
		if err != nil {
			return s, known{}, err
		}
		s.Tag = tag
	}
	k, err := a.knownOf(ctx, c, s.Tag)
	return s, k, err
}

// onlyUnfinished is "" when there is none.
func (a *app) onlyUnfinished(ctx context.Context, c *cluster.Cluster) (string, error) {
	tags, err := a.unfinished(ctx, c)
	switch {
	case err != nil || len(tags) == 0:
		return "", err
	case len(tags) == 1:
		return tags[0], nil
	}
	return "", conflict("name one with --tag, or a new one", "several campaigns are unfinished: %s", strings.Join(tags, ", "))
}

// taken tells whether a tag names a campaign already.
func (a *app) taken(ctx context.Context, c *cluster.Cluster, tag string) (bool, error) {
	k, err := a.knownOf(ctx, c, tag)
	return k.recorded != nil || k.workflow != nil, err
}

// knownOf collects what ledger and Temporal have of a campaign.
func (a *app) knownOf(ctx context.Context, c *cluster.Cluster, tag string) (known, error) {
	var k known
	recorded, ok, err := a.campaign(ctx, tag)
	if err != nil {
		return k, err
	}
	if ok {
		k.recorded = &recorded.Settings
	}
	results, err := a.ledgerOf().Results(ctx, tag)
	if err != nil {
		return k, err
	}
	k.tally, k.decided, k.checks = tally(results), len(results), checksLeft(results)
	e, err := describe(ctx, c, tag)
	var missing *serviceerror.NotFound
	if errors.As(err, &missing) {
		return k, nil
	}
	if err != nil {
		return k, err
	}
	k.workflow = &e
	if k.recorded == nil && e.open {
		k.recorded, err = startedWith(ctx, c, tag)
	}
	return k, err
}

// startedWith reads the settings of a campaign that runs but has not come to
// its ledger yet, from the workflow's input.
func startedWith(ctx context.Context, c *cluster.Cluster, tag string) (*experiment.Settings, error) {
	events := c.Client.GetWorkflowHistory(ctx, experiment.ResearchID(tag), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	first, err := events.Next()
	if err != nil {
		return nil, fmt.Errorf("read what campaign %s was started with: %w", tag, err)
	}
	s := experiment.Settings{}
	input := first.GetWorkflowExecutionStartedEventAttributes().GetInput()
	if converter.GetDefaultDataConverter().FromPayloads(input, &s) != nil || s.Validate() != nil {
		return nil, nil // the workflow itself refuses it
	}
	s = s.WithDefaults()
	return &s, nil
}

// carryOut does what was planned, and says so.
func (a *app) carryOut(ctx context.Context, c *cluster.Cluster, what action, s experiment.Settings, k known, g given) error {
	a.note("proposer  %s", a.proposerNote(s.WithDefaults().Proposer))
	a.note("budget    %s", settingsNote(s.WithDefaults()))
	if !s.OnDefaultData() && a.provided == "" {
		a.note("data      %s", dataNote(s))
	}
	if what == begin || what == goOn { // others may have other limits by now
		a.note("limits    %s", limits(s.Limits))
		if s.Approval.On() {
			a.note("approval  %s", approvalNote(s.Approval))
		}
	}
	switch what {
	case begin:
		a.note("campaign  %s, new", s.Tag)
		return a.startWorkflow(ctx, c, s)
	case goOn:
		a.note("campaign  %s, resumed over its ledger, %s decided", s.Tag, plural(k.decided, "experiment"))
		return a.startWorkflow(ctx, c, s)
	case attach:
		a.note("campaign  %s, resumed, %s decided", s.Tag, plural(k.decided, "experiment"))
		return a.changeSettings(ctx, c, s, g)
	}
	a.note("campaign  %s, complete", s.Tag)
	return nil
}

// changeSettings sends what may change of the command line's settings to a
// campaign that runs.
func (a *app) changeSettings(ctx context.Context, c *cluster.Cluster, s experiment.Settings, g given) error {
	if !g.any() && !g.approve && !g.within {
		return nil
	}
	st, err := patiently(ctx, c, s.Tag)
	if err != nil {
		return err
	}
	var changes []message // none: it is the same command again
	if g.merge(st.Limits, s.Limits) != st.Limits {
		changes = append(changes, message{name: workflows.MessageSetBudget, arg: g.change(s.Limits)})
	}
	switch to := g.approval(st.Approval, s.Approval); {
	case to == st.Approval:
	case to.Approve == "": // the campaign has never been told
		return withinAlone()
	default:
		changes = append(changes, message{name: workflows.MessageSetApproval, arg: to})
	}
	for _, m := range changes {
		answer, err := update(ctx, c, s.Tag, m)
		if err != nil {
			return err
		}
		a.note("changed   %s", answerText(answer))
	}
	return nil
}

// parallelOf is how many training runs a campaign that runs has at a time. It
// is read from the history, because workers, whose slots it decides, may not
// be there to be asked.
func parallelOf(ctx context.Context, c *cluster.Cluster, tag string) (int, error) {
	n := 0
	events := c.Client.GetWorkflowHistory(ctx, experiment.ResearchID(tag), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return 0, fmt.Errorf("read how many training runs campaign %s has at a time: %w", tag, err)
		}
		n = parallelAfter(n, e)
	}
	return max(n, 1), nil
}

// parallelAfter is what holds after an event: a run begins with its settings,
// and with the state of the run before it; then set_budget may change it.
func parallelAfter(n int, e *historypb.HistoryEvent) int {
	dc := converter.GetDefaultDataConverter()
	if started := e.GetWorkflowExecutionStartedEventAttributes(); started != nil {
		var settings experiment.Settings
		if payloads := started.GetInput().GetPayloads(); len(payloads) > 0 && dc.FromPayload(payloads[0], &settings) == nil {
			n = settings.Parallel
		}
		var state *workflows.State
		if payloads := started.GetInput().GetPayloads(); len(payloads) > 1 && dc.FromPayload(payloads[1], &state) == nil && state != nil {
			n = state.Limits.Parallel
		}
	}
	request := e.GetWorkflowExecutionUpdateAcceptedEventAttributes().GetAcceptedRequest().GetInput()
	if request.GetName() != workflows.MessageSetBudget {
		return n
	}
	var b workflows.SetBudget
	if payloads := request.GetArgs().GetPayloads(); len(payloads) > 0 && dc.FromPayload(payloads[0], &b) == nil && b.Parallel != nil {
		n = *b.Parallel
	}
	return n
}
