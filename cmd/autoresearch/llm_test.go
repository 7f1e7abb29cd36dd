package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/activities/proposer/llm/llmtest"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// A campaign that is resumed waits for its server, as it does while it runs;
// what only a person can change stops it all the same.
func TestModelOfACampaign(t *testing.T) {
	right := llmtest.Options{Models: []string{"qwen3"}, Key: "sk-right-0123456789"}
	for name, c := range map[string]struct {
		env      map[string]string // OPENAI_BASE_URL is the server's, if there is none
		proposer string
		resumed  bool
		away     bool
		code     exitCode // exitOK: it may begin
		note     string   // what is said
	}{
		"no model is asked":           {env: map[string]string{"OPENAI_BASE_URL": "http://127.0.0.1:1"}, proposer: "hpo"},
		"it answers":                  {env: map[string]string{"OPENAI_API_KEY": right.Key}, proposer: "hpo,llm"},
		"nobody listens":              {env: map[string]string{"OPENAI_BASE_URL": "http://127.0.0.1:1"}, proposer: "llm", code: exitUnreachable},
		"nobody listens, but resumed": {env: map[string]string{"OPENAI_BASE_URL": "http://127.0.0.1:1"}, proposer: "llm", resumed: true, note: "the campaign waits for it"},
		"wrong key, resumed":          {env: map[string]string{"OPENAI_API_KEY": "sk-wrong-0123456789"}, proposer: "llm", resumed: true, code: exitUsage},
		"unknown model, resumed":      {env: map[string]string{"OPENAI_API_KEY": right.Key, "OPENAI_MODEL": "moon"}, proposer: "llm", resumed: true},
		"nothing configured":          {env: map[string]string{"OPENAI_BASE_URL": ""}, proposer: "llm", resumed: true, code: exitUsage},
		"the workers have it":         {env: map[string]string{"OPENAI_BASE_URL": ""}, proposer: "llm", away: true, note: "the worker with --research needs OPENAI_API_KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			server, err := llmtest.Start(right)
			require.NoError(t, err)
			t.Cleanup(server.Close)
			if _, given := c.env["OPENAI_BASE_URL"]; !given {
				c.env["OPENAI_BASE_URL"] = server.URL()
			}
			if c.env["OPENAI_MODEL"] == "moon" {
				server.Then(llmtest.Fail(404, "The model `moon` does not exist", "model_not_found"))
				c.code = exitUsage
			}
			a, out := newApp(t)
			a.getenv, a.away = envOf(c.env), c.away
			err = a.checkModel(t.Context(), experiment.Settings{Proposer: c.proposer}, c.resumed)
			require.Contains(t, out.String(), c.note)
			if c.code == exitOK {
				require.NoError(t, err)
				calls := server.Calls()
				require.NoError(t, a.checkModel(t.Context(), experiment.Settings{Proposer: c.proposer}, c.resumed))
				require.Equal(t, calls, server.Calls(), "it is asked once")
				return
			}
			require.Error(t, err)
			require.Equal(t, c.code, classify(err).code, "%v", err)
			require.NotEmpty(t, classify(err).hint)
		})
	}
}

// The newest revision counts, by number.
func TestRevisionOfAnExperiment(t *testing.T) {
	a, _ := newApp(t)
	dir := filepath.Join(a.home().Artifacts(), "mar5", "0004")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for _, name := range []string{"proposal-9-0.json", "proposal-10-2.json", "proposal-2-1.json", "proposal.md", "failure-11-0.json"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("{}"), 0o644))
	}
	n, err := a.revision(t.Context(), "mar5", 4)
	require.NoError(t, err)
	require.Equal(t, 10, n)
	n, err = a.revision(t.Context(), "mar5", 5)
	require.NoError(t, err)
	require.Zero(t, n)
}
