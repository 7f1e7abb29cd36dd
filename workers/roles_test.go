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
// host.
func TestWhoIsDead(t *testing.T) {
	root := t.TempDir()
	here := placeOf(t, filepath.Join(root, "home"), "vm")
	other := placeOf(t, filepath.Join(root, "other"), "vm")
	elsewhere := placeOf(t, filepath.Join(root, "home"), "vm2")
	r := recovery{prefix: here.identityPrefix(Research), own: here.identity(Research)}
	const started, scheduled, cancelled = enumspb.PENDING_ACTIVITY_STATE_STARTED, enumspb.PENDING_ACTIVITY_STATE_SCHEDULED, enumspb.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED
	for who, tc := range map[string]struct {
		identity string
		state    enumspb.PendingActivityState
		dead     bool
	}{
		"an earlier process":                      {here.identityPrefix(Research) + "1-mhz0", started, true},
		"one that was to cancel":                  {here.identityPrefix(Research) + "1-mhz0", cancelled, true},
		"waits for its next attempt":              {here.identityPrefix(Research) + "1-mhz0", scheduled, false},
		"ourselves":                               {here.identity(Research), started, false},
		"the train worker of this home":           {here.identityPrefix(Train) + "1-mhz0", started, false},
		"another home on this host":               {other.identityPrefix(Research) + "1-mhz0", started, false},
		"this home on another host":               {elsewhere.identityPrefix(Research) + "1-mhz0", started, false},
		"a worker that names itself as others do": {"1234@vm@", started, false},
	} {
		a := &workflowpb.PendingActivityInfo{LastWorkerIdentity: tc.identity, State: tc.state}
		require.Equal(t, tc.dead, r.dead(a), who)
	}
}

// Containers that share a home have a slot each, and one research worker.
func TestHostsShareAHome(t *testing.T) {
	c, home := engine(t)
	begin := func(host string, role Role) error {
		d := &double.Double{Start: time.Now()}
		w, err := Start(c.Client, Config{Home: home, research: d, train: d, host: host}, role)
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
		return Start(c.Client, Config{Home: home, research: d, train: d}, role)
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
