package main

import (
	"context"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"github.com/autoresearch-go/autoresearch/bench/bed"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// histories prints what the campaign and its experiments have cost in history.
func histories(ctx context.Context, c *bed.Bed, experiments int) error {
	events, bytes, runs, err := parent(ctx, c)
	if err != nil {
		return err
	}
	fmt.Printf("parent: %d runs, %.1f events and %d bytes per experiment\n", runs, float64(events)/float64(experiments+1), bytes/(experiments+1))
	for _, n := range []int{0, 1, experiments / 2, experiments} {
		events, bytes, err := history(ctx, c, experiment.ExperimentID(tag, n), "")
		if err != nil {
			return err
		}
		fmt.Printf("experiment %d: %d events, %d bytes\n", n, events, bytes)
	}
	return nil
}

// parent sums over the runs of the campaign's workflow.
func parent(ctx context.Context, c *bed.Bed) (events, bytes, runs int, err error) {
	query := fmt.Sprintf("WorkflowId = %q", experiment.ResearchID(tag))
	list, err := c.Client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query})
	if err != nil {
		return 0, 0, 0, err
	}
	for _, e := range list.GetExecutions() {
		n, b, err := history(ctx, c, e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId())
		if err != nil {
			return 0, 0, 0, err
		}
		events, bytes, runs = events+n, bytes+b, runs+1
	}
	return events, bytes, runs, nil
}

func history(ctx context.Context, c *bed.Bed, id, run string) (events, bytes int, err error) {
	iter := c.Client.GetWorkflowHistory(ctx, id, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for iter.HasNext() {
		e, err := iter.Next()
		if err != nil {
			return 0, 0, fmt.Errorf("read the history of %s: %w", id, err)
		}
		events, bytes = events+1, bytes+proto.Size(e)
	}
	return events, bytes, nil
}
