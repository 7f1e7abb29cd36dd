package workers

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers/cluster"
	"github.com/autoresearch-go/autoresearch/workflows/double"
)

// doomedEnv makes the test binary a worker process that trains until it is
// killed. It names the home; TEMPORAL_ADDRESS names the engine.
const doomedEnv = "WORKERS_TEST_DOOMED_HOME"

func TestMain(m *testing.M) {
	if home := os.Getenv(doomedEnv); home != "" {
		doomed(experiment.Home(home))
	}
	// The developer's own Temporal must not be found.
	for _, name := range []string{"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_PROFILE", "TEMPORAL_API_KEY"} {
		os.Unsetenv(name)
	}
	os.Setenv("TEMPORAL_CONFIG_FILE", os.DevNull)
	os.Exit(m.Run())
}

// doomed works on two slots until it is killed; it says when a training run has
// begun, after the baseline.
func doomed(home experiment.Home) {
	c, err := client.Dial(client.Options{HostPort: os.Getenv("TEMPORAL_ADDRESS"), Logger: quiet{}})
	if err == nil {
		d := &double.Double{Start: time.Now(), OnTrain: func(ctx context.Context, in activities.TrainInput) (*experiment.Failure, error) {
			if in.Number == 0 {
				return nil, nil
			}
			fmt.Println("training", activity.GetInfo(ctx).TaskQueue)
			return nil, untilDone(ctx)
		}}
		_, err = Start(c, Config{Home: home, Slots: 2, research: d, train: slots(d)}, Research, Train)
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	select {}
}

// untilDone is a training run without an end, heartbeating.
func untilDone(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		activity.RecordHeartbeat(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// engine is a real Temporal in a home of its own, which ends with the test.
func engine(t *testing.T) (*cluster.Cluster, experiment.Home) {
	t.Helper()
	home := filepath.Join(t.TempDir(), "home")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute) // a cold build
	defer cancel()
	c, err := cluster.Connect(ctx, cluster.Options{Home: home, Start: true, Logf: t.Logf})
	require.NoError(t, err)
	t.Cleanup(func() {
		c.Close()
		require.NoError(t, c.StopEngine(context.Background()))
	})
	return c, experiment.Home(home)
}

// onSlot is the double of one slot.
type onSlot struct {
	*double.Double
	queue string
}

// Train names the slot's queue for Evaluate.
func (s *onSlot) Train(ctx context.Context, in activities.TrainInput) (activities.TrainResult, error) {
	r, err := s.Double.Train(ctx, in)
	r.Slot = s.queue
	return r, err
}

func slots(d *double.Double) func(queue string) any {
	return func(queue string) any { return &onSlot{d, queue} }
}

// work starts both roles with doubled activities, and one slot.
func work(t *testing.T, c *cluster.Cluster, home experiment.Home, d *double.Double) *Workers {
	t.Helper()
	return workOn(t, c, home, d, 1)
}

func workOn(t *testing.T, c *cluster.Cluster, home experiment.Home, d *double.Double, n int) *Workers {
	t.Helper()
	w, err := Start(c.Client, Config{
		Home: home, Namespace: c.Namespace, Slots: n, research: d, train: slots(d),
		Logger: log.NewStructuredLogger(slog.New(slog.NewTextHandler(t.Output(), nil))),
	}, Research, Train)
	require.NoError(t, err)
	t.Cleanup(w.Stop)
	return w
}

// noopCheckout is a repository with the target noop, whose runs take no time.
func noopCheckout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "noop"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "noop", "train.go"), []byte(target.NoopSource), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "program.md"), []byte("Lower val_bpb.\n"), 0o644))
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=u", "-c", "user.email=u@x", "commit", "-qm", "base"}} {
		git := exec.Command("git", args...)
		git.Dir, git.Env = dir, append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		out, err := git.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	return dir
}

// eventually polls; nothing here sleeps for a fixed time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 30*time.Second, 5*time.Millisecond, what)
}

// called waits until an activity has been called: "train 1/0".
func called(t *testing.T, d *double.Double, call string) {
	t.Helper()
	eventually(t, call, func() bool {
		for _, c := range d.Calls() {
			if c == call {
				return true
			}
		}
		return false
	})
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}
