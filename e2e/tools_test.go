package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// tools are the clients and servers that the README and docker-compose.yml
// name, at the versions that were tried. They are built once per machine.
var tools = map[string]struct {
	pkg    string
	binary string // the name that `go install` gives it
	flags  []string
}{
	"tctl":              {"go.temporal.io/server/cmd/tools/cli@v1.15.2", "cli", []string{"-ldflags=-checklinkname=0"}},
	"temporal":          {"github.com/temporalio/cli/cmd/temporal@v1.5.1", "temporal", nil},
	"temporal-server":   {"go.temporal.io/server/cmd/server@v1.32.1", "server", nil},
	"temporal-sql-tool": {"go.temporal.io/server/cmd/tools/sql@v1.32.1", "sql", nil},
}

// tool returns the path of a tool, building it on first use.
func tool(t *testing.T, name string) string {
	t.Helper()
	spec := tools[name]
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	_, version, _ := strings.Cut(spec.pkg, "@")
	dir := filepath.Join(cache, "autoresearch", "tools", name+"-"+version)
	path := filepath.Join(dir, spec.binary)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	t.Logf("building %s, once, minutes on a cold machine", spec.pkg)
	cmd := exec.Command("go", append(append([]string{"install"}, spec.flags...), spec.pkg)...)
	// Outside the checkout, so that its go.mod has no say.
	cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return path
}

// TestTemporalClients runs the README's lines for tctl and for the Temporal
// CLI: start, query, signal, update, describe.
func TestTemporalClients(t *testing.T) {
	tctl, temporal := tool(t, "tctl"), tool(t, "temporal")
	u := newUser(t)
	u.start("worker")
	eventually(t, "the engine is ready", func() bool { return u.engine().Ready && u.enginePID() > 0 })
	cli := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Env = append(clean(os.Environ()), "TEMPORAL_CLI_ADDRESS="+u.engine().Address, "TEMPORAL_ADDRESS="+u.engine().Address)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s %s\n%s", filepath.Base(name), strings.Join(args, " "), out)
		return string(out)
	}

	t.Run("tctl", func(t *testing.T) {
		cli(tctl, "workflow", "start", "--taskqueue", "research", "--workflow_type", "Research",
			"--workflow_id", "research-mar5", "--execution_timeout", "0",
			"--input", `{"tag":"mar5","budget":"1s","seeds":1}`)
		eventually(t, "the baseline is measured", func() bool {
			return strings.Contains(cli(tctl, "workflow", "query", "--wid", "research-mar5", "--qt", "best"), "val_bpb") && u.decided("mar5") > 0
		})
		require.Contains(t, cli(tctl, "workflow", "query", "--wid", "research-mar5", "--qt", "best"), "commit")
		cli(tctl, "workflow", "signal", "--wid", "research-mar5", "--name", "hint", "--input", `{"text":"try a larger batch"}`)
		eventually(t, "the best score is a search attribute", func() bool {
			return strings.Contains(cli(tctl, "workflow", "describe", "--wid", "research-mar5"), "BestValBpb")
		})
		cli(tctl, "workflow", "signal", "--wid", "research-mar5", "--name", "stop")
		eventually(t, "the campaign is complete", func() bool {
			return strings.Contains(cli(tctl, "workflow", "describe", "--wid", "research-mar5"), "Completed")
		})
	})

	t.Run("temporal", func(t *testing.T) {
		cli(temporal, "workflow", "start", "--task-queue", "research", "--type", "Research",
			"--workflow-id", "research-apr1", "--input", `{"tag":"apr1","budget":"1s","seeds":1}`)
		eventually(t, "the first experiment is decided", func() bool { return u.decided("apr1") > 1 })
		require.Contains(t, cli(temporal, "workflow", "query", "--workflow-id", "research-apr1", "--type", "best"), "val_bpb")
		cli(temporal, "workflow", "signal", "--workflow-id", "research-apr1", "--name", "hint", "--input", `{"text":"try a larger batch"}`)
		require.Contains(t, cli(temporal, "workflow", "update", "execute", "--workflow-id", "research-apr1",
			"--name", "set_budget", "--input", `{"experiments":40}`), "the limits are 40 experiments")
		cli(temporal, "workflow", "signal", "--workflow-id", "research-apr1", "--name", "stop")
		eventually(t, "the campaign is complete", func() bool {
			return strings.Contains(cli(temporal, "workflow", "describe", "--workflow-id", "research-apr1"), "COMPLETED") ||
				strings.Contains(cli(temporal, "workflow", "describe", "--workflow-id", "research-apr1"), "Completed")
		})
	})

	t.Run("refused", func(t *testing.T) {
		for input, want := range map[string]string{
			`{"tag":"bad","experimnets":3}`: "unknown settings field",
			`{"tag":"bad","budget":"-2s"}`:  "budget is -2s",
			`{"tag":"bad","seeds":"three"}`: "seeds is a string: it must be a whole number",
			`["bad"]`:                       "they must be an object",
			`{"tag":"other"}`:               "research-other",
		} {
			cmd := exec.Command(temporal, "workflow", "execute", "--task-queue", "research", "--type", "Research",
				"--workflow-id", "research-bad", "--input", input)
			cmd.Env = append(clean(os.Environ()), "TEMPORAL_ADDRESS="+u.engine().Address)
			out, err := cmd.CombinedOutput()
			require.Error(t, err, "%s was accepted", input)
			require.Contains(t, string(out), want)
		}
	})
}

// decided counts the rows of results.tsv.
func (u *user) decided(tag string) int {
	b, err := os.ReadFile(experiment.Home(u.home).Results(tag))
	if err != nil {
		return 0
	}
	return strings.Count(strings.TrimSpace(string(b)), "\n")
}

// TestRecordedFields pins the names that automation relies on.
func TestRecordedFields(t *testing.T) {
	t.Parallel()
	u := newUser(t).noop()
	u.run("up", plain, "--target", "noop", "--tag", "fields", "--experiments", "1", "--exit")
	has := func(line string, names ...string) {
		t.Helper()
		var fields map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &fields), line)
		for _, name := range names {
			require.Contains(t, fields, name)
		}
	}
	has(u.run("best", "--json"), "campaign", "experiment", "commit", "val_bpb", "experiments", "kept", "discarded", "crashed")
	for line := range strings.Lines(u.run("history", "--json")) {
		has(line, "experiment", "sequence", "commit", "parent", "verdict", "reason", "val_bpb", "title", "proposer", "charged_seconds", "wall_seconds", "tokens")
	}
	u.checkLedger("fields", 1)
}

// Somebody edits the target while the machine is off: the campaign goes on from
// the commit that it started with, and a new one is refused.
func TestResumeOverUncommittedChanges(t *testing.T) {
	t.Parallel()
	u := newUser(t).noop()
	up := func(tag, experiments string) []string {
		return []string{"up", plain, "--target", "noop", "--tag", tag, "--experiments", experiments, "--exit"}
	}
	u.run(up("old", "1")...)
	edited := filepath.Join(u.clone, "noop", "train.go")
	src, err := os.ReadFile(edited)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(edited, append(src, "// an idea\n"...), 0o644))

	p := u.start(up("old", "2")...)
	p.wait()
	require.Contains(t, p.output(), "noop/train.go; the campaign goes on from the commit that it started with")
	u.fails(2, "the target has changes that are not committed: noop/train.go", up("new", "1")...)

	require.NoError(t, os.WriteFile(edited, src, 0o644))
	u.checkLedger("old", 2)
}
