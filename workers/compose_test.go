package workers

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// What the setting "proposer" may name is found, each once; what is not
// configured, or unknown, says so only when it is named.
func TestProposers(t *testing.T) {
	for _, name := range []string{"OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL", ScriptEnv} {
		t.Setenv(name, "")
	}
	find := proposers()
	hpo, err := find("hpo")
	require.NoError(t, err)
	again, err := find("hpo")
	require.NoError(t, err)
	require.Same(t, hpo, again)
	for name, says := range map[string]string{
		"llm":    "OPENAI_API_KEY",
		"script": ScriptEnv,
		"oracle": `proposer "oracle" is unknown: there is hpo, llm, script`,
	} {
		_, err = find(name)
		require.ErrorContains(t, err, says)
	}

	// Configured meanwhile: nothing remembers the failure.
	t.Setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
	script := filepath.Join(t.TempDir(), "script.jsonl")
	require.NoError(t, os.WriteFile(script, nil, 0o644))
	t.Setenv(ScriptEnv, script)
	for _, name := range []string{"llm", "script"} {
		p, err := find(name)
		require.NoError(t, err)
		require.Equal(t, name, p.Name())
	}
}

// Slots that share a machine share its memory; one that is alone has the
// target's own bound.
func TestTrainOfASlot(t *testing.T) {
	cfg := Config{Home: experiment.Home(t.TempDir()), Cores: 2}
	alone := train(cfg, "train-cpu@vm/0", 1)
	require.Zero(t, alone.Memory)
	require.Equal(t, "train-cpu@vm/0", alone.Slot)
	two := train(cfg, "train-cpu@vm/0", 2).Memory
	four := train(cfg, "train-cpu@vm/0", 4).Memory
	require.InDelta(t, two/2, four, 2)
}
