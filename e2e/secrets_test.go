package e2e

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"github.com/autoresearch-go/autoresearch/activities/proposer/llm/llmtest"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// A campaign whose proposals come from a language model, by default. Its server
// repeats the key wherever it can: in errors, in answers, in the edit itself.
// Afterwards the key is nowhere, and the price of each answer is in each account.
func TestLanguageModelCampaign(t *testing.T) {
	m := newModel(t, llmtest.Options{}, llmtest.Researcher, llmtest.EchoKey(500), llmtest.EchoKeyInAnswer)
	u := newUser(t)
	u.env = m.env(apiKey)
	const tag = "model"
	const experiments = 3
	p := u.start("up", plain, "--tag", tag, "--experiments", "3", "--budget", "1s", "--seeds", "1")
	u.cleanEnvironment()
	eventually(t, "the campaign is complete", func() bool { return strings.Contains(p.output(), "stay until Ctrl-C") })
	require.Contains(t, p.output(), "proposer  llm, researcher at 127.0.0.1:")

	rows := u.history(tag)
	var all experiment.Spent
	for _, r := range rows[1:] {
		require.Equal(t, "llm", r.Proposer)
		calls := int64(u.notes(tag)[r.Experiment])
		require.Positive(t, calls)
		require.Equal(t, []int64{1000 * calls, 100 * calls}, []int64{r.Spent.PromptTokens, r.Spent.CompletionTokens}, "#%d", r.Experiment)
		require.InDelta(t, 0.002*float64(calls), r.Spent.CostUSD, 1e-9)
		all.Add(r.Spent)
	}
	var stored experiment.Result
	readJSON(t, filepath.Join(experiment.Home(u.home).Artifacts(), experiment.Key(tag, 1, "result.json")), &stored)
	require.Equal(t, row(t, rows, 1).Spent, stored.Spent)
	told := u.status(tag).Spent
	require.Equal(t, []int64{all.PromptTokens, all.CompletionTokens}, []int64{told.PromptTokens, told.CompletionTokens})
	require.InDelta(t, all.CostUSD, told.CostUSD, 1e-9)
	require.Regexp(t, `spent     [\d.]+k tokens read, \d+ written, \$0\.0`, u.run("status", "--tag", tag))

	u.checkLedger(tag, experiments)
	u.checkSecret(p, tag, row(t, rows, 1).Title)
}

// cleanEnvironment waits for a trainer and looks at what it was given.
func (u *user) cleanEnvironment() {
	u.t.Helper()
	var environ []byte
	eventually(u.t, "a trainer runs", func() bool {
		for _, pid := range u.trainers() {
			b, err := os.ReadFile("/proc/" + pid + "/environ")
			if err == nil && len(b) > 0 {
				environ = b
			}
		}
		return len(environ) > 0
	})
	require.Contains(u.t, string(environ), "HOME=", "it was read")
	require.NotContains(u.t, string(environ), "OPENAI_")
	require.NotContains(u.t, string(environ), apiKey)
}

// checkSecret looks for the key in all that the campaign has left: each file of
// the home as it lies there, what git has packed away, the histories of all
// workflows, and the terminal. A title must be found in each of these places, or
// the search would prove nothing.
func (u *user) checkSecret(p *process, tag, title string) {
	t := u.t
	t.Helper()
	require.Contains(t, p.output(), title)
	free(t, "the terminal", []byte(p.output()))
	note, err := os.ReadFile(u.noteOf(tag, 1))
	require.NoError(t, err)
	require.Contains(t, string(note), "[$OPENAI_API_KEY]", "the server has repeated the key")
	histories := u.histories()
	require.Contains(t, string(histories), "[$OPENAI_API_KEY]", "in an error, too")
	require.Contains(t, string(histories), title)
	free(t, "the histories", histories)
	objects, err := exec.Command("git", "-C", experiment.Home(u.home).Repo(), "cat-file", "--batch-all-objects", "--batch").Output()
	require.NoError(t, err)
	require.Contains(t, string(objects), title)
	free(t, "the repository's objects", objects)

	found := map[string]bool{} // where the title stands
	err = filepath.WalkDir(u.home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // a directory, a socket, or gone
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil // gone
		}
		free(t, path, b)
		if bytes.Contains(b, []byte(title)) {
			found[strings.TrimSuffix(filepath.Base(path), "-wal")] = true
		}
		return nil
	})
	require.NoError(t, err)
	for _, name := range []string{"temporal.db", "result.json", "proposal-0-0.json", "note-0-0-call-0.json", "model.tsv"} {
		require.True(t, found[name], "the title is in %s: %v", name, found)
	}
}

func free(t *testing.T, what string, b []byte) {
	t.Helper()
	for _, form := range keyForms() {
		if at := bytes.Index(b, []byte(form)); at >= 0 {
			require.Failf(t, "the key got out", "it is in %s: %q", what, b[max(0, at-200):min(len(b), at+len(form)+20)])
		}
	}
}

// histories are those of all workflows of the engine, with their payloads as they are.
func (u *user) histories() []byte {
	t := u.t
	t.Helper()
	c := u.temporal()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{PageSize: 1000})
	require.NoError(t, err)
	require.Greater(t, len(list.GetExecutions()), 3)
	var all []byte
	for _, e := range list.GetExecutions() {
		events := c.GetWorkflowHistory(ctx, e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			event, err := events.Next()
			require.NoError(t, err)
			all, err = proto.MarshalOptions{}.MarshalAppend(all, event)
			require.NoError(t, err)
		}
	}
	return all
}
