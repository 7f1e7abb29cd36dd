package workers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workflows"
	"github.com/autoresearch-go/autoresearch/workflows/double"
)

// A campaign continues as new every few events, with experiments in training
// and others prepared: nothing is killed, lost or run twice, and nothing is left
// running. Scores go up and down, so candidates are kept, made again and dropped
// all the while.
func TestContinueAsNewWithWorkUnderway(t *testing.T) {
	const experiments = 12
	c, home := engine(t)
	ctx := testContext(t)
	d := &double.Double{
		Start: time.Now(), Rebases: true,
		Score: func(n, _ int) float64 { return 3.5 - 0.01*float64(n*n%7) },
		OnTrain: func(ctx context.Context, in activities.TrainInput) (*experiment.Failure, error) {
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond): // how long a run takes
			}
			return nil, ctx.Err()
		},
	}
	workOn(t, c, home, d, 2)
	settings := small(experiments)
	settings.Parallel = 2
	run, err := c.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: experiment.ResearchID(settings.Tag), TaskQueue: workflows.ResearchQueue,
	}, workflows.Research, settings, &workflows.State{ContinueAfter: 70})
	require.NoError(t, err)
	var best experiment.Best
	require.NoError(t, run.Get(ctx, &best))
	require.Equal(t, experiments, best.Experiments)

	var numbers []int
	for i, r := range d.Decided() {
		require.Equal(t, i, r.Sequence)
		numbers = append(numbers, r.Brief.Experiment)
	}
	slices.Sort(numbers)
	require.Len(t, slices.Compact(numbers), experiments+1, "each number once: %v", numbers)
	trained := map[string]int{}
	for _, call := range d.Calls() {
		if strings.HasPrefix(call, "train ") {
			trained[call]++
		}
	}
	for n := range experiments + 1 {
		require.Equal(t, 1, trained[fmt.Sprintf("train %d/0", n)], "experiment %d is trained once", n)
	}

	runs := 0
	require.Eventually(t, func() bool {
		runs = 0
		list, err := c.Client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: `Campaign = "mar5"`})
		if err != nil {
			return false
		}
		for _, e := range list.Executions {
			if e.Status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
				return false
			}
			if e.Execution.WorkflowId == run.GetID() {
				runs++
			}
		}
		return runs > 0
	}, time.Minute, 100*time.Millisecond, "every workflow of the campaign ends with it")
	require.Greater(t, runs, 3, "it has continued as new, several times")
}
