package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers/cluster"
)

// execution is what Temporal knows of a campaign without asking a worker.
type execution struct {
	tag     string
	open    bool
	state   string // for messages: running, completed, failed, ...
	started time.Time
}

func newExecution(tag string, s enumspb.WorkflowExecutionStatus, started time.Time) execution {
	open := s == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING || s == enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW
	return execution{tag: tag, open: open, state: strings.ToLower(s.String()), started: started}
}

// describe looks a campaign's workflow up. A campaign without one is a
// *serviceerror.NotFound.
func describe(ctx context.Context, c *cluster.Cluster, tag string) (execution, error) {
	d, err := c.Client.DescribeWorkflowExecution(ctx, experiment.ResearchID(tag), "")
	if err != nil {
		return execution{}, fmt.Errorf("look up campaign %s at %s: %w", tag, c.Address, err)
	}
	info := d.GetWorkflowExecutionInfo()
	return newExecution(tag, info.GetStatus(), info.GetStartTime().AsTime()), nil
}

// openCampaigns lists the campaigns that run, by tag. On a shared cluster those
// of other homes are among them.
func openCampaigns(ctx context.Context, c *cluster.Cluster) ([]execution, error) {
	r, err := c.Client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Query: "WorkflowType = 'Research' AND ExecutionStatus = 'Running'", PageSize: 1000,
	})
	if err != nil {
		return nil, fmt.Errorf("list the campaigns at %s: %w", c.Address, err)
	}
	var out []execution
	for _, e := range r.GetExecutions() {
		if tag, ok := experiment.TagOf(e.GetExecution().GetWorkflowId()); ok {
			out = append(out, newExecution(tag, e.GetStatus(), e.GetStartTime().AsTime()))
		}
	}
	slices.SortFunc(out, func(a, b execution) int { return strings.Compare(a.tag, b.tag) })
	return out, nil
}

// chooseTag finds the running campaign that a message is meant for.
func (a *app) chooseTag(ctx context.Context, c *cluster.Cluster, tag string) (string, error) {
	if tag != "" {
		return tag, checkTag(tag)
	}
	open, err := openCampaigns(ctx, c)
	if err != nil {
		return "", err
	}
	switch len(open) {
	case 0:
		return "", notFound("'autoresearch up' starts one", "no campaign runs at %s", c.Address)
	case 1:
		return open[0].tag, nil
	}
	return "", conflict("name one with --tag", "several campaigns run: %s", strings.Join(tagsOf(open), ", "))
}

func tagsOf(all []execution) []string {
	tags := make([]string, len(all))
	for i, e := range all {
		tags[i] = e.tag
	}
	return tags
}

// checkTag refuses a tag that cannot name a campaign.
func checkTag(tag string) error {
	if err := experiment.ValidateTag(tag); err != nil {
		return usage("for example: --tag "+strings.ToLower(time.Now().Format("Jan2")), "%w", err)
	}
	return nil
}

// unfinished finds the campaigns of this home that have more to do: those that
// run, and those of the ledger that Temporal has lost with its database.
func (a *app) unfinished(ctx context.Context, c *cluster.Cluster) ([]string, error) {
	var tags []string
	if c.Embedded { // a shared cluster has campaigns of other homes too
		open, err := openCampaigns(ctx, c)
		if err != nil {
			return nil, err
		}
		tags = tagsOf(open)
	}
	recorded, err := a.recorded(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range recorded {
		more, err := a.hasMore(ctx, c, r)
		if err != nil {
			return nil, err
		}
		if more {
			tags = append(tags, r.Tag())
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags), nil
}

// hasMore tells whether a campaign of the ledger is unfinished.
func (a *app) hasMore(ctx context.Context, c *cluster.Cluster, r experiment.Campaign) (bool, error) {
	e, err := describe(ctx, c, r.Tag())
	var missing *serviceerror.NotFound
	if errors.As(err, &missing) {
		results, err := a.ledgerOf().Results(ctx, r.Tag())
		return err == nil && (!reached(r.Settings.Limits, tally(results)) || checksLeft(results)), err
	}
	return e.open, err
}

// reached tells whether a tally ends a campaign. Time is not judged: a
// campaign that was lost may go on.
func reached(l experiment.Limits, t experiment.Tally) bool {
	return l.Experiments > 0 && t.Experiments >= l.Experiments || l.Plateau > 0 && t.SinceKeep >= l.Plateau
}

// checksLeft tells whether a search that has ended has keeps to measure again.
func checksLeft(results []experiment.Result) bool {
	return len(results) > 0 && slices.ContainsFunc(results[len(results)-1].Checks, func(c experiment.Check) bool { return c.Purpose != experiment.Drift })
}

// tally counts results, the baseline apart.
func tally(results []experiment.Result) experiment.Tally {
	var t experiment.Tally
	for _, r := range results {
		if r.Experiment > 0 {
			t.Count(r.Brief())
		}
	}
	return t
}
