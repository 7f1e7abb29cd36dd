package workflows_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workflows"
)

// histories are recorded on the real engine: go run ./workflows/record
func histories(t *testing.T, pattern string) map[string]*historypb.History {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", "histories", "*", pattern))
	require.NoError(t, err)
	require.NotEmpty(t, names, "there are no recorded histories %s; record some: go run ./workflows/record", pattern)
	all := map[string]*historypb.History{}
	for _, name := range names {
		f, err := os.Open(name)
		require.NoError(t, err)
		all[name], err = client.HistoryFromJSON(f, client.HistoryJSONOptions{})
		require.NoError(t, err, name)
		require.NoError(t, f.Close())
	}
	return all
}

// TestReplay fails when a change of workflow code would break campaigns that
// are running now; versions.go says what to do about it.
func TestReplay(t *testing.T) {
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflow(workflows.Research)
	replayer.RegisterWorkflow(workflows.Experiment)
	for name, history := range histories(t, "*.json") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			began := history.Events[0].GetWorkflowExecutionStartedEventAttributes()
			err := replayer.ReplayWorkflowHistoryWithOptions(quiet{}, history, worker.ReplayWorkflowHistoryOptions{
				OriginalExecution: workflow.Execution{ID: began.GetWorkflowId(), RunID: began.GetOriginalExecutionRunId()},
			})
			require.NoError(t, err, "running campaigns would fail like this one: see versions.go")
		})
	}
}

// The recorded scenarios must keep covering these.
func TestReplayCoversEveryPath(t *testing.T) {
	seen := map[enumspb.EventType]bool{}
	for _, h := range histories(t, "*.json") {
		for _, e := range h.Events {
			seen[e.EventType] = true
		}
	}
	for _, want := range []enumspb.EventType{
		enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
		enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
		enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
		enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED,
		enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED,
		enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED,
		enumspb.EVENT_TYPE_TIMER_FIRED,
		enumspb.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT, // of a slot that nobody serves
	} {
		require.True(t, seen[want], "no recorded history has %v", want)
	}
}

// Histories are bounded: the database grows with them, and a parent's decides
// how long it lasts before it continues as new. What was prepared for a verdict
// that did not come is made again, which costs a little more each time.
func TestHistoryBudget(t *testing.T) {
	const (
		childEvents, childBytes       = 60, 16 << 10
		parentEvents, parentBytes     = 30, 6 << 10 // per experiment
		revisionEvents, revisionBytes = 24, 5 << 10 // of the child, and half of it of the parent
		experiments                   = 4           // of the scenario "loop", baseline included
	)
	all := 0 // revisions
	found := histories(t, "research-loop*.json")
	for name, h := range found {
		revisions := 0
		for _, e := range h.Events {
			if e.GetSignalExternalWorkflowExecutionInitiatedEventAttributes().GetSignalName() == workflows.SignalReady {
				revisions++ // but for the first
			}
		}
		revisions = max(0, revisions-1)
		all += revisions
		t.Logf("%-28s %d events, %d bytes, %d revisions", filepath.Base(name), len(h.Events), proto.Size(h), revisions)
		if !isParent(name) {
			require.LessOrEqual(t, len(h.Events), childEvents+revisions*revisionEvents, name)
			require.LessOrEqual(t, proto.Size(h), childBytes+revisions*revisionBytes, name)
		}
	}
	for name, h := range found {
		if isParent(name) {
			require.LessOrEqual(t, len(h.Events), parentEvents*experiments+all*revisionEvents/2, name)
			require.LessOrEqual(t, proto.Size(h), parentBytes*experiments+all*revisionBytes/2, name)
		}
	}
}

// A check costs less than a candidate: nothing is proposed, and no order is
// waited for.
func TestCheckBudget(t *testing.T) {
	const (
		childEvents, childBytes   = 40, 12 << 10
		parentEvents, parentBytes = 24, 6 << 10 // for each experiment or check
	)
	found := histories(t, "research-confirmed*.json")
	checks, all := 0, 0
	for name, h := range found {
		if isRun(name, "confirmed") {
			continue
		}
		all++
		var in workflows.ExperimentInput
		require.NoError(t, temporalDecode(h.Events[0].GetWorkflowExecutionStartedEventAttributes().Input, &in))
		if in.Check == nil {
			continue
		}
		checks++
		t.Logf("%-28s %s: %d events, %d bytes", filepath.Base(name), in.Check.Title(), len(h.Events), proto.Size(h))
		require.LessOrEqual(t, len(h.Events), childEvents, name)
		require.LessOrEqual(t, proto.Size(h), childBytes, name)
	}
	require.NotZero(t, checks)
	for name, h := range found {
		if isRun(name, "confirmed") {
			t.Logf("%-28s %d experiments, %d checks among them: %d events, %d bytes", filepath.Base(name), all, checks, len(h.Events), proto.Size(h))
			require.LessOrEqual(t, len(h.Events), parentEvents*all, name)
			require.LessOrEqual(t, proto.Size(h), parentBytes*all, name)
		}
	}
}

// A campaign continues as new while a check trains and others are wanted.
func TestRecordedContinueAsNewWithChecks(t *testing.T) {
	training, wanted := 0, 0
	for _, h := range histories(t, "research-rechecked-run*.json") {
		var s experiment.Settings
		var state workflows.State
		require.NoError(t, temporalDecode(h.Events[0].GetWorkflowExecutionStartedEventAttributes().Input, &s, &state))
		wanted += len(state.Checks)
		for _, e := range state.Entries {
			if e.Check != nil {
				training++
			}
		}
	}
	require.NotZero(t, training)
	require.NotZero(t, wanted)
}

// isRun tells a campaign's history from those of its experiments.
func isRun(name, tag string) bool {
	return strings.HasPrefix(filepath.Base(name), "research-"+tag+"-run")
}

func isParent(name string) bool { return isRun(name, "loop") }

// A campaign on GPUs trains on their queue, and takes along into its next run
// what it has heard of them.
func TestRecordedCUDA(t *testing.T) {
	carried, trained := 0, 0
	for name, h := range histories(t, "research-cuda-*.json") {
		if isRun(name, "cuda") {
			var s experiment.Settings
			var state *workflows.State
			require.NoError(t, temporalDecode(h.Events[0].GetWorkflowExecutionStartedEventAttributes().Input, &s, &state))
			require.True(t, s.OnGPU())
			if state != nil && len(state.Unwell) == 1 && state.Unwell[0].State == experiment.SlotQuarantined {
				carried++
			}
		}
		for _, e := range h.Events {
			if a := e.GetActivityTaskScheduledEventAttributes(); a.GetActivityType().GetName() == "Train" {
				require.Equal(t, workflows.CUDAQueue, a.GetTaskQueue().GetName())
				trained++
			}
		}
	}
	require.NotZero(t, carried)
	require.GreaterOrEqual(t, trained, 7)
}
