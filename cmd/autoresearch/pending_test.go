package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/autoresearch-go/autoresearch/activities"
)

func TestStepsOfARunningTraining(t *testing.T) {
	details, err := converter.GetDefaultDataConverter().ToPayloads(activities.Progress{Step: 12, BudgetSeconds: 60})
	require.NoError(t, err)
	got := steps([]*workflowpb.PendingActivityInfo{{
		ActivityType: &commonpb.ActivityType{Name: "Train"}, State: enumspb.PENDING_ACTIVITY_STATE_STARTED,
		Attempt: 1, HeartbeatDetails: details, LastStartedTime: timestamppb.New(madeAt),
	}})
	require.Equal(t, []step{{name: "train", since: madeAt, attempt: 1, progress: &activities.Progress{Step: 12, BudgetSeconds: 60}}}, got)
	require.Empty(t, got[0].trouble("#3", madeAt))
}

func TestStepsThatNobodyHasTaken(t *testing.T) {
	got := steps([]*workflowpb.PendingActivityInfo{{
		ActivityType: &commonpb.ActivityType{Name: "Train"}, State: enumspb.PENDING_ACTIVITY_STATE_SCHEDULED,
		Attempt: 1, ScheduledTime: timestamppb.New(madeAt),
	}})
	require.True(t, got[0].queued)
}

// Details that are not ours (an older version, another language) are left out.
func TestStepsWithForeignDetails(t *testing.T) {
	details, err := converter.GetDefaultDataConverter().ToPayloads("half way")
	require.NoError(t, err)
	got := steps([]*workflowpb.PendingActivityInfo{{ActivityType: &commonpb.ActivityType{Name: "Train"}, State: enumspb.PENDING_ACTIVITY_STATE_STARTED, HeartbeatDetails: details}})
	require.Nil(t, got[0].progress)
}

func TestTroubleOfAStep(t *testing.T) {
	failed := &workflowpb.PendingActivityInfo{
		ActivityType: &commonpb.ActivityType{Name: "Apply"}, State: enumspb.PENDING_ACTIVITY_STATE_SCHEDULED, Attempt: 2,
		NextAttemptScheduleTime: timestamppb.New(madeAt.Add(30 * time.Second)),
		LastFailure: &failurepb.Failure{
			Message: "building the candidate", Cause: &failurepb.Failure{Message: "no space left on device\nsecond line"},
		},
	}
	s := steps([]*workflowpb.PendingActivityInfo{failed})[0]
	require.Equal(t, "apply #3 failed: building the candidate: no space left on device (attempt 1), next try in 30s", s.trouble("#3", madeAt))

	failed.NextAttemptScheduleTime = nil
	s = steps([]*workflowpb.PendingActivityInfo{failed})[0]
	require.Empty(t, s.trouble("#3", madeAt), "a second attempt that runs is no trouble")
	s.attempt = 4
	require.Contains(t, s.trouble("#3", madeAt), "(attempt 3), trying again")
}
