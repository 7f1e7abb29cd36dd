package workers

import (
	"context"
	"errors"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workflows"
)

// AlreadyRunningError says that the campaign has a running workflow.
type AlreadyRunningError struct{ Tag string }

func (e *AlreadyRunningError) Error() string { return fmt.Sprintf("campaign %s is running", e.Tag) }

// StartCampaign starts a campaign's workflow. A campaign that has ended starts
// again and goes on from its ledger; one that runs is an [*AlreadyRunningError].
// It has no timeouts: a campaign ends by its limits, or when somebody ends it.
func StartCampaign(ctx context.Context, c client.Client, s experiment.Settings) (client.WorkflowRun, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       experiment.ResearchID(s.Tag),
		TaskQueue:                workflows.ResearchQueue,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		StaticSummary:            "campaign " + s.Tag,

		WorkflowExecutionErrorWhenAlreadyStarted: true,
	}, "Research", s) // by name: the second argument belongs to continue-as-new
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &started) {
		return nil, &AlreadyRunningError{s.Tag}
	}
	if err != nil {
		return nil, fmt.Errorf("start campaign %s: %w", s.Tag, err)
	}
	return run, nil
}
