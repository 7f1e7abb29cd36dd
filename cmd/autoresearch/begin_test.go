package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/mocks"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers/cluster"
	"github.com/autoresearch-go/autoresearch/workflows"
)

// begun is the first event of a campaign's run.
func begun(t *testing.T, input ...any) *historypb.HistoryEvent {
	payloads, err := converter.GetDefaultDataConverter().ToPayloads(input...)
	require.NoError(t, err)
	return &historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{
		WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{Input: payloads},
	}}
}

// updated is an Update that was accepted.
func updated(t *testing.T, name string, arg any) *historypb.HistoryEvent {
	payloads, err := converter.GetDefaultDataConverter().ToPayloads(arg)
	require.NoError(t, err)
	return &historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_WorkflowExecutionUpdateAcceptedEventAttributes{
		WorkflowExecutionUpdateAcceptedEventAttributes: &historypb.WorkflowExecutionUpdateAcceptedEventAttributes{
			AcceptedRequest: &updatepb.Request{Input: &updatepb.Input{Name: name, Args: payloads}},
		},
	}}
}

// The slots of a campaign that runs are known before any worker answers.
func TestParallelOfAHistory(t *testing.T) {
	two, four := 2, 4
	settings := experiment.Settings{Tag: "mar5", Limits: experiment.Limits{Parallel: 3}}
	state := &workflows.State{Limits: experiment.Limits{Parallel: 5}}
	var none *workflows.State
	for name, c := range map[string]struct {
		events []*historypb.HistoryEvent
		want   int
	}{
		"nothing said":               {[]*historypb.HistoryEvent{begun(t, experiment.Settings{Tag: "mar5"})}, 1},
		"as started":                 {[]*historypb.HistoryEvent{begun(t, settings, none)}, 3},
		"as the run before left it":  {[]*historypb.HistoryEvent{begun(t, settings, state)}, 5},
		"changed":                    {[]*historypb.HistoryEvent{begun(t, settings, state), updated(t, "set_budget", workflows.SetBudget{Parallel: &two}), updated(t, "set_budget", workflows.SetBudget{Parallel: &four})}, 4},
		"another limit":              {[]*historypb.HistoryEvent{begun(t, settings), updated(t, "set_budget", workflows.SetBudget{Experiments: &four})}, 3},
		"another message":            {[]*historypb.HistoryEvent{begun(t, settings), updated(t, "hint", workflows.Hint{Text: "parallel"})}, 3},
		"what no campaign was given": {[]*historypb.HistoryEvent{begun(t, "no settings", 7)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			it := &mocks.HistoryEventIterator{}
			for _, e := range c.events {
				it.On("HasNext").Return(true).Once()
				it.On("Next").Return(e, nil).Once()
			}
			it.On("HasNext").Return(false)
			m := mocks.NewClient(t)
			m.On("GetWorkflowHistory", mock.Anything, "research-mar5", "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT).Return(it)
			got, err := parallelOf(t.Context(), &cluster.Cluster{Client: m}, "mar5")
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

// A new campaign uses the language model that the environment names.
func TestNewCampaignsAreCompleted(t *testing.T) {
	for _, c := range []struct {
		key, url, given string
		want            string
	}{
		{"", "", "", "hpo"},
		{"sk-1", "", "", "llm"},
		{"", "http://localhost:8080/v1", "", "llm"},
		{"sk-1", "", "hpo", "hpo"},
		{"sk-1", "", "llm:3,hpo", "llm:3,hpo"},
	} {
		a, _ := newApp(t)
		a.getenv = envOf(map[string]string{"OPENAI_API_KEY": c.key, "OPENAI_BASE_URL": c.url})
		s := a.complete(experiment.Settings{Tag: "mar5", Proposer: c.given})
		require.Equal(t, c.want, s.Proposer)
		require.NotZero(t, s.Seed)
		require.Equal(t, s, a.complete(s), "a campaign is completed once")
	}
}

func envOf(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestProposerNotes(t *testing.T) {
	a, _ := newApp(t)
	require.Contains(t, a.proposerNote("hpo"), "no language model is configured")
	a.getenv = envOf(map[string]string{"OPENAI_API_KEY": "sk-1"})
	require.NotContains(t, a.proposerNote("hpo"), "no language model")
	a.model = "qwen3 at localhost:8080"
	require.Equal(t, "llm, qwen3 at localhost:8080", a.proposerNote("llm"))
	require.Equal(t, "script", a.proposerNote("script"))
	a.getenv = envOf(map[string]string{"OPENAI_BASE_URL": "https://me:secret-word@gpu.example.org/v1?token=secret-word"})
	require.Equal(t, "gpu.example.org", a.modelHost())
}

// A secret is not printed, whoever quotes it: in notes, data, errors, the live
// view and the log.
func TestKeysAreHidden(t *testing.T) {
	const key = "sk-0123456789abcdef"
	a, out := newApp(t)
	a.getenv = envOf(map[string]string{"OPENAI_API_KEY": key})
	a.note("the key %s is wrong", key)
	a.line("title: " + key)
	require.NoError(t, a.object(map[string]string{"title": key}))
	a.report(failed("use "+key, "asking with %s", key))
	a.json = true
	a.note("%s", key)
	a.report(failed("use "+key, "asking with %s", key))
	v := madeView()
	v.ongoing[0].Title = key
	out.WriteString(strings.Join(v.lines(100, 0, a.styleOf(out)), "\n"))
	require.NotContains(t, drawn(v, 15, a.styleOf(out)), "sk-01", "a part of it is too much")
	_, err := hiding{out, a.hide}.Write([]byte("level=ERROR error=" + key + "\n"))
	require.NoError(t, err)
	require.Equal(t, 10, strings.Count(out.String(), "[$OPENAI_API_KEY]"), out.String())
	require.NotContains(t, out.String(), key)

	a.getenv = envOf(map[string]string{"OPENAI_API_KEY": "none"})
	require.Equal(t, "none of them", a.hide("none of them"), "no secret, and part of other words")
}

func TestSlotsAndCores(t *testing.T) {
	require.Equal(t, "8 training runs at a time, 1 CPU core each", slotsNote(8, 1))
	require.GreaterOrEqual(t, coresOf(1), coresOf(2))
	require.Equal(t, 1, coresOf(1<<20))
	require.Empty(t, crowded(1, 1))
	require.Contains(t, crowded(1000, 4), "1000 slots of 4 cores have ")
}
