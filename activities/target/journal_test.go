package target

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A run whose trainer and worker were killed before the first sample goes on
// from the checkpoint that it had reached by then, at the price it started with.
func TestKilledBeforeTheFirstSample(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "0001-0-1")
	w, err := newWatcher(TrainSpec{Dir: dir}, limits{}, checkpoint{entry: entry{Charged: 3 * time.Second}}, nil)
	require.NoError(t, err)
	w.journal.close()
	file := filepath.Join(dir, checkpointsDir, "step-00000011.ckpt")
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, []byte("weights"), 0o644))

	list, _, err := earlier([]string{dir})
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.EqualValues(t, 11, list[0].step)
	require.Equal(t, 3*time.Second, list[0].Charged)
}

// An attempt that never started its trainer has nothing to go on from.
func TestAttemptWithoutJournal(t *testing.T) {
	list, wall, err := earlier([]string{t.TempDir()})
	require.NoError(t, err)
	require.Empty(t, list)
	require.Zero(t, wall)
}
