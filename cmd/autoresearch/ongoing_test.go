package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/mocks"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers/cluster"
)

// described makes a Temporal in which workflows are as given; others are gone.
func described(t *testing.T, workflows map[string]*workflowservice.DescribeWorkflowExecutionResponse) (*cluster.Cluster, *mocks.Client) {
	m := mocks.NewClient(t)
	m.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Maybe().Return(
		func(_ context.Context, id, _ string) *workflowservice.DescribeWorkflowExecutionResponse {
			return workflows[id]
		},
		func(_ context.Context, id, _ string) error {
			if workflows[id] == nil {
				return serviceerror.NewNotFound("no such workflow")
			}
			return nil
		})
	return &cluster.Cluster{Client: m}, m
}

func doing(pending ...*workflowpb.PendingActivityInfo) *workflowservice.DescribeWorkflowExecutionResponse {
	return &workflowservice.DescribeWorkflowExecutionResponse{PendingActivities: pending}
}

func trains(t *testing.T, charged float64) *workflowpb.PendingActivityInfo {
	details, err := converter.GetDefaultDataConverter().ToPayloads(activities.Progress{
		Step: 1240, Loss: 2.3123, ChargedSeconds: charged, BudgetSeconds: 60, TokensPerSec: 8123,
	})
	require.NoError(t, err)
	return &workflowpb.PendingActivityInfo{
		ActivityType: &commonpb.ActivityType{Name: "Train"}, State: enumspb.PENDING_ACTIVITY_STATE_STARTED, Attempt: 1,
		HeartbeatDetails: details, LastStartedTime: timestamppb.New(madeAt),
	}
}

// asksInVain is a proposal whose server asks to wait.
func asksInVain(number int, next time.Time) *workflowpb.PendingActivityInfo {
	p := &workflowpb.PendingActivityInfo{
		ActivityType: &commonpb.ActivityType{Name: "Propose"}, State: enumspb.PENDING_ACTIVITY_STATE_SCHEDULED, Attempt: 3, LastStartedTime: timestamppb.New(madeAt.Add(61 * time.Minute)),
		LastFailure: &failurepb.Failure{Message: fmt.Sprintf("proposer llm: experiment %d: asking qwen3 at box:8080: 429 Too Many Requests", number)},
	}
	if !next.IsZero() {
		p.NextAttemptScheduleTime = timestamppb.New(next)
	}
	return p
}

// parallel is a campaign with two slots: two train, one waits for a person, one
// for a slot, and two for the language model.
func parallel() experiment.Status {
	st := statusOf(experiment.Campaign{StartedAt: madeAt, Settings: experiment.Settings{Tag: "mar5", Proposer: "llm:3,hpo"}.WithDefaults()}, made("mar5"))
	st.Campaign, st.Phase = "mar5", experiment.Running
	st.Limits = experiment.Limits{Experiments: 100, Parallel: 2}
	st.Approval = experiment.Approval{Approve: experiment.ApproveReject, ApproveWithin: experiment.Duration(10 * time.Minute)}
	st.Slots = experiment.SlotTime{}
	st.Slots.Add(993.4, 6.6)
	st.Spent = experiment.Spent{PromptTokens: 51234, CompletionTokens: 9876, CostUSD: 0.0421}
	st.Hints, st.Ideas = 1, 2
	now := madeAt.Add(62 * time.Minute)
	for i, o := range []experiment.Ongoing{
		{Stage: experiment.Training, Title: "lower MatrixLR from 0.031 to 0.025", Parent: 6},
		{Stage: experiment.Training, Title: "wider embeddings\x1b[2J", Parent: 2},
		{Stage: experiment.Awaiting, Title: "replace GELU by ReLU squared", Parent: 6, Deadline: now.Add(8 * time.Minute)},
		{Stage: experiment.Ready, Title: "raise Depth from 4 to 5", Parent: 6, Revision: 1},
		{Stage: experiment.Proposing, Parent: 7},
		{Stage: experiment.Proposing, Parent: 6},
	} {
		o.Experiment, o.StartedAt = 7+i, now.Add(-12*time.Second)
		o.WorkflowID = experiment.ExperimentID("mar5", o.Experiment)
		st.Running = append(st.Running, o)
	}
	return st
}

// parallelWork is what Temporal tells of it.
func parallelWork(t *testing.T) look {
	now := madeAt.Add(62 * time.Minute)
	queued := trains(t, 0)
	queued.State, queued.HeartbeatDetails, queued.LastStartedTime, queued.ScheduledTime = enumspb.PENDING_ACTIVITY_STATE_SCHEDULED, nil, nil, timestamppb.New(now.Add(-5*time.Second))
	c, m := described(t, map[string]*workflowservice.DescribeWorkflowExecutionResponse{
		"research-mar5":      doing(),
		"research-mar5-0007": doing(trains(t, 37)),
		"research-mar5-0008": doing(queued),
		"research-mar5-0011": doing(asksInVain(11, now.Add(40*time.Second))),
		"research-mar5-0012": doing(asksInVain(12, now.Add(55*time.Second))),
	})
	st := parallel()
	work := inspect(t.Context(), c, "mar5", &st, now)
	m.AssertNotCalled(t, "DescribeWorkflowExecution", mock.Anything, "research-mar5-0009", "") // its stage says it all
	return work
}

func TestStatusOfAParallelCampaign(t *testing.T) {
	t.Setenv("TZ", "UTC")
	a, out := newApp(t)
	a.now = func() time.Time { return madeAt.Add(62 * time.Minute) }
	a.printStatus(parallel(), parallelWork(t), 410*time.Millisecond)
	lines, _, _ := strings.Cut(out.String(), "\n  #")
	require.Equal(t, strings.TrimPrefix(`
mar5  running  6 of 100 experiments
best      2.4312  #6 lower Window from 256 to 128, <b>&"quoted"</b>
baseline  2.5923  (-0.1611, -6.2 %; noise 0.0120)
commit    000000000000000000000000000000000abc0006  (branch autoresearch/mar5)
verdicts  2 kept  3 discarded  1 crashed
`+provisionalNote+`
budget    60s charged training time per run
limits    100 experiments
proposer  llm:3,hpo
started   `+madeAt.Local().Format("2006-01-02 15:04")+` (1h02m ago)
slots     2, busy 99.3 % (idle 0.41 s per training, median)
spent     51k tokens read, 9.9k written, $0.0421
approval  each candidate waits 10m00s for your answer, then it is rejected
running   #7 train   62%  37s of 60s  step 1240  loss 2.3123  8.1k tokens/s: lower MatrixLR from 0.031 to 0.025
running   #8 train  waiting for a free worker, 5s: wider embeddings[2J
running   #9 awaits approval until `+madeAt.Add(70*time.Minute).Local().Format("15:04")+`, then it is rejected: autoresearch approve 9 --tag mar5 (or reject)  replace GELU by ReLU squared
running   #10 ready  12s: raise Depth from 4 to 5 (revision 1, a change to #6)
running   #11 propose  60s
running   #12 propose  60s
hints     1 hint not yet read by a proposer
ideas     2 ideas of yours not yet in an experiment
trouble   waiting for the language model: asking qwen3 at box:8080: 429 Too Many Requests (#11 #12), next try in 40s`, "\n"), lines)
}

// Without Temporal's details the stages are there all the same.
func TestStatusWithoutTheWork(t *testing.T) {
	a, out := newApp(t)
	a.now = func() time.Time { return madeAt.Add(62 * time.Minute) }
	a.printStatus(parallel(), look{}, 0)
	for _, line := range []string{"#7 training  12s: lower MatrixLR", "#10 ready  12s", "#12 proposing  12s\n", "slots     2, busy 99.3 %\n"} {
		require.Contains(t, out.String(), line)
	}
}

// A campaign whose worker is away shows what its workflow has for children.
func TestInspectWithoutAStatus(t *testing.T) {
	parent := doing()
	for _, id := range []string{"research-mar5-0008", "research-mar5-0007"} {
		parent.PendingChildren = append(parent.PendingChildren, &workflowpb.PendingChildExecutionInfo{WorkflowId: id})
	}
	c, _ := described(t, map[string]*workflowservice.DescribeWorkflowExecutionResponse{
		"research-mar5": parent, "research-mar5-0007": doing(trains(t, 12)), "research-mar5-0008": doing(asksInVain(8, time.Time{})),
	})
	got := inspect(t.Context(), c, "mar5", nil, madeAt)
	require.Len(t, got.ongoing, 2)
	require.Equal(t, "#7 train", got.ongoing[0].head())
	require.Equal(t, experiment.Training, got.ongoing[0].Stage)
	require.Equal(t, experiment.Proposing, got.ongoing[1].Stage)
	require.Equal(t, []string{"waiting for the language model: asking qwen3 at box:8080: 429 Too Many Requests (#8), trying again"}, got.trouble)
}

// The campaign's own activities are shown too, and a baseline has a line for
// each of the seeds that train at once.
func TestInspectTheBaseline(t *testing.T) {
	prepare := &workflowpb.PendingActivityInfo{
		ActivityType: &commonpb.ActivityType{Name: "Prepare"}, State: enumspb.PENDING_ACTIVITY_STATE_STARTED, Attempt: 3,
		LastStartedTime: timestamppb.New(madeAt), LastFailure: &failurepb.Failure{Message: "no space left on device"},
	}
	c, _ := described(t, map[string]*workflowservice.DescribeWorkflowExecutionResponse{
		"research-mar5": doing(prepare), "research-mar5-0000": doing(trains(t, 1), trains(t, 2)),
	})
	st := experiment.Status{Running: []experiment.Ongoing{{Stage: experiment.Training, WorkflowID: "research-mar5-0000"}}}
	got := inspect(t.Context(), c, "mar5", &st, madeAt)
	var heads []string
	for _, o := range got.ongoing {
		heads = append(heads, o.head())
	}
	require.Equal(t, []string{"prepare", "#0 train", "#0 train"}, heads)
	require.Equal(t, []string{"prepare failed: no space left on device (attempt 2), trying again"}, got.trouble)
}

// However many experiments there are, a round asks a bounded number of
// questions, about those that train first.
func TestInspectIsBounded(t *testing.T) {
	var all []experiment.Ongoing
	for n := range 200 {
		stage := experiment.Proposing
		if n >= 190 {
			stage = experiment.Training
		}
		all = append(all, experiment.Ongoing{Experiment: n, Stage: stage})
	}
	picked := toLookAt(all)
	require.Len(t, picked, maxLooked)
	for n := 190; n < 200; n++ {
		require.Contains(t, picked, n)
	}
}
