package workers

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workflows/double"
)

func placeOf(t *testing.T, home, host string) place {
	t.Helper()
	require.NoError(t, os.MkdirAll(home, 0o755))
	p, err := findPlace(experiment.Home(home), host)
	require.NoError(t, err)
	return p
}

// A home keeps its name; no other one has it, wherever it is.
func TestPlacesAreToldApart(t *testing.T) {
	root := t.TempDir()
	home := filepath.Join(root, "home")
	first := placeOf(t, home, "vm")
	require.Equal(t, first, placeOf(t, home, "vm"))

	moved := filepath.Join(root, "moved")
	require.NoError(t, os.CopyFS(moved, os.DirFS(home)))
	require.NotEqual(t, first.hash, placeOf(t, moved, "vm").hash, "a copy")

	require.NoError(t, os.RemoveAll(home))
	require.NotEqual(t, first.hash, placeOf(t, home, "vm").hash, "the same path on another machine of this name")
	entries, err := os.ReadDir(home)
	require.NoError(t, err)
	require.Len(t, entries, 1, "%v", entries)
}

// Recovery takes nobody for dead but earlier workers of the same role, home and
// host, and tells their slots apart.
func TestWhoIsForeign(t *testing.T) {
	root := t.TempDir()
	here := placeOf(t, filepath.Join(root, "home"), "vm-1")
	other := placeOf(t, filepath.Join(root, "other"), "vm-1")
	elsewhere := placeOf(t, filepath.Join(root, "home"), "vm")
	const started, scheduled, cancelled = enumspb.PENDING_ACTIVITY_STATE_STARTED, enumspb.PENDING_ACTIVITY_STATE_SCHEDULED, enumspb.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED
	const earlier = "1-mhz0"
	for who, tc := range map[string]struct {
		role     Role
		identity string
		state    enumspb.PendingActivityState
		slot     int // -1: nobody's
	}{
		"an earlier process":                      {Research, here.identityPrefix(Research, nth(0)) + earlier, started, 0},
		"one that was to cancel":                  {Research, here.identityPrefix(Research, nth(0)) + earlier, cancelled, 0},
		"waits for its next attempt":              {Research, here.identityPrefix(Research, nth(0)) + earlier, scheduled, -1},
		"ourselves":                               {Research, here.identity(Research, nth(0)), started, -1},
		"the train worker of this home":           {Research, here.identityPrefix(Train, nth(0)) + earlier, started, -1},
		"another home on this host":               {Research, other.identityPrefix(Research, nth(0)) + earlier, started, -1},
		"this home on another host":               {Research, elsewhere.identityPrefix(Research, nth(0)) + earlier, started, -1},
		"a worker that names itself as others do": {Research, "1234@vm@", started, -1},
		"an earlier first slot":                   {Train, here.identityPrefix(Train, nth(0)) + earlier, started, 0},
		"an earlier slot":                         {Train, here.identityPrefix(Train, nth(12)) + earlier, started, 12},
		"our own slot":                            {Train, here.identity(Train, nth(1)), started, -1},
		"a slot of another home":                  {Train, other.identityPrefix(Train, nth(1)) + earlier, started, -1},
		"a slot of another host":                  {Train, elsewhere.identityPrefix(Train, nth(1)) + earlier, started, -1},
		"a slot that no process has":              {Train, "train-cpu@vm-1/" + here.hash + "-x/" + earlier, started, -1},
		"a slot with another name for the first":  {Train, "train-cpu@vm-1/" + here.hash + "-0/" + earlier, started, -1},
	} {
		r := recovery{place: here, role: tc.role, mine: []seat{nth(0), nth(1)}}
		slot, ok := r.foreign(&workflowpb.PendingActivityInfo{LastWorkerIdentity: tc.identity, State: tc.state})
		require.Equal(t, tc.slot >= 0, ok, who)
		if ok {
			require.Equal(t, nth(tc.slot), slot, who)
		}
	}
	for slot := range 3 {
		require.False(t, here.neighbour(here.identity(Train, nth(slot))))
		require.True(t, other.neighbour(here.identity(Train, nth(slot))))
	}
}

// The first slot has the names that it had when it was the only one.
func TestNamesOfSlots(t *testing.T) {
	p := place{home: "/home", host: "vm-1", hash: "0123abcd"}
	require.Equal(t, "/home/research.lock", p.lockPath(Research, nth(0)))
	require.Equal(t, "/home/train-cpu@vm-1.lock", p.lockPath(Train, nth(0)))
	require.Equal(t, "/home/train-cpu-2@vm-1.lock", p.lockPath(Train, nth(2)))
	require.Equal(t, "train-cpu@vm-1/0123abcd", p.slotQueue(Train, nth(0)))
	require.Equal(t, "train-cpu@vm-1/0123abcd-2", p.slotQueue(Train, nth(2)))
}

// A process takes its slots from the first one on, all or none.
func TestSlotsAreTakenInOrder(t *testing.T) {
	c, home := engine(t)
	d := &double.Double{Start: time.Now()}
	begin := func(n int) (*Workers, error) {
		w, err := Start(c.Client, Config{Home: home, Slots: n, research: d, train: slots(d)}, Train)
		if err == nil {
			t.Cleanup(w.Stop)
		}
		return w, err
	}
	here := placeOf(t, string(home), hostname())
	release, err := here.lock(Train, nth(1))
	require.NoError(t, err)
	var inUse *InUseError
	_, err = begin(2)
	require.ErrorAs(t, err, &inUse, "the second slot is taken")
	first, err := begin(1)
	require.NoError(t, err, "the first slot was given back")
	release()
	_, err = begin(2)
	require.ErrorAs(t, err, &inUse, "the first slot is taken")
	first.Stop()
	_, err = begin(2)
	require.NoError(t, err)
	_, err = begin(MaxSlots + 1)
	require.ErrorContains(t, err, "65 training slots are too many")
}

// Containers that share a home have a slot each, and one research worker.
func TestHostsShareAHome(t *testing.T) {
	c, home := engine(t)
	begin := func(host string, role Role) error {
		d := &double.Double{Start: time.Now()}
		w, err := Start(c.Client, Config{Home: home, research: d, train: slots(d), host: host}, role)
		if err == nil {
			t.Cleanup(w.Stop)
		}
		return err
	}
	require.NoError(t, begin("train-1", Train))
	require.NoError(t, begin("train-2", Train))
	require.NoError(t, begin("research", Research))
	var inUse *InUseError
	require.ErrorAs(t, begin("train-1", Train), &inUse)
	require.ErrorAs(t, begin("research-2", Research), &inUse)
}

// Two homes in one namespace would take each other's tasks.
func TestOneHomePerNamespace(t *testing.T) {
	c, home := engine(t)
	d := &double.Double{Start: time.Now()}
	begin := func(home experiment.Home, role Role) (*Workers, error) {
		return Start(c.Client, Config{Home: home, research: d, train: slots(d)}, role)
	}
	first, err := begin(home, Train)
	require.NoError(t, err)
	t.Cleanup(first.Stop)
	other := experiment.Home(filepath.Join(t.TempDir(), "home"))
	var inUse *NamespaceInUseError
	eventually(t, "the train worker to poll", func() bool {
		w, err := begin(other, Research)
		if err == nil {
			w.Stop()
		}
		return errors.As(err, &inUse)
	})
	require.Contains(t, inUse.Error(), "the namespace default has workers of another home already, such as train-cpu@")
	require.Contains(t, inUse.Hint(), "TEMPORAL_NAMESPACE")
}
