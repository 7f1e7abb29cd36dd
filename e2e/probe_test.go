package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/activities/probe"
)

// TestProbe plants every cheat of the corpus on this machine, as a person would:
// all are caught, layer by layer, all that is honest passes, and a run beside
// them gives the same bits as ever. It needs no Temporal.
func TestProbe(t *testing.T) {
	u := newUser(t)
	var stderr bytes.Buffer
	c := u.command("probe", "--json")
	c.Stderr = &stderr
	out, err := c.Output()
	require.NoError(t, err, "%s\n%s", out, stderr.String())

	cheats, err := probe.Corpus()
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(cheats), 40)
	verdicts, twins := map[string]probe.Verdict{}, map[string]probe.Verdict{}
	var report probe.Report
	for line := range bytes.Lines(out) {
		var f probe.Finding
		require.NoError(t, json.Unmarshal(line, &f), "%s", line)
		switch {
		case f.Name == "":
			require.NoError(t, json.Unmarshal(line, &report))
		case f.Twin || f.Null:
			twins[f.Name] = f.Verdict
		default:
			verdicts[f.Name] = f.Verdict
		}
	}
	for _, c := range cheats {
		if v := verdicts[c.Name]; v != probe.Caught && v != probe.Unenforced {
			t.Errorf("%s: %q, want it caught", c.Name, v)
		}
		if strings.Contains(report.Isolation, "namespaces") && verdicts[c.Name] != probe.Caught {
			t.Errorf("%s: %q, though the sandbox is %q", c.Name, verdicts[c.Name], report.Isolation)
		}
		if twins[c.Name] != probe.Passed {
			t.Errorf("the twin of %s: %q, want it to pass", c.Name, twins[c.Name])
		}
	}
	require.Equal(t, probe.Passed, twins["null-comments"])
	require.NotNil(t, report.Neighbour)
	require.Empty(t, report.Neighbour.Wrong)
	require.Positive(t, report.Neighbour.Runs)
	left, err := filepath.Glob(filepath.Join(u.home, "cache", "probe-*"))
	require.NoError(t, err)
	require.Empty(t, left, "the probe leaves nothing lying about")
}

// TestNoCampaignWhereCheatsAreBelieved: where an evaluation proves nothing, looks
// ahead are believed, the probe finds that before a campaign begins, and none
// does. Whatever else is in order is not blamed.
func TestNoCampaignWhereCheatsAreBelieved(t *testing.T) {
	u := newUser(t)
	broken := filepath.Join(u.clone, "trainer", "evaluate", "causal.go")
	src, err := os.ReadFile(broken)
	require.NoError(t, err)
	proof := regexp.MustCompile(`(?m)^func tryCausal\(.*{$`)
	require.Regexp(t, proof, string(src))
	require.NoError(t, os.WriteFile(broken, proof.ReplaceAll(src, []byte("$0\n\tif text != nil {\n\t\treturn nil\n\t}")), 0o644))
	git(t, u.clone, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qam", "an evaluator that proves nothing")

	out := u.fails(1, "the defences of this machine do not hold: ", "up", "--probe", "quick", "--tag", "trusting", "--dataset", filepath.Join(u.clone, "docs"), "--seeds", "1", "--exit")
	_, names, _ := strings.Cut(out, "do not hold: ")
	for _, c := range []string{"looks-ahead-shift", "looks-ahead-where", "looks-ahead-later"} {
		require.Contains(t, names, c)
	}
	require.NotContains(t, names, "reads-")
	require.NotContains(t, names, "hands-over-half-model")
	require.NoFileExists(t, filepath.Join(u.home, "results", "trusting.tsv"))
}
