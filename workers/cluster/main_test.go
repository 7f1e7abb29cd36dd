package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// launcherEnv makes the test binary a launcher instead: it connects to the home
// that the variable names, says so on standard output, and waits to be killed.
const launcherEnv = "CLUSTER_TEST_LAUNCHER_HOME"

func TestMain(m *testing.M) {
	// The developer's own Temporal must not be found.
	for _, name := range []string{"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_PROFILE", "TEMPORAL_API_KEY"} {
		os.Unsetenv(name)
	}
	os.Setenv("TEMPORAL_CONFIG_FILE", os.DevNull)
	if home := os.Getenv(launcherEnv); home != "" {
		launcher(home)
	}
	os.Exit(m.Run())
}

func launcher(home string) {
	c, err := Connect(context.Background(), Options{Home: home, Start: true})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println("pid", c.PID)
	time.Sleep(time.Hour) // until the test kills us
}

// newHome is an empty home whose engine ends with the test. Its name has the
// characters that paths and SQLite URIs are bad at.
func newHome(t *testing.T) string {
	home := filepath.Join(t.TempDir(), "a home with 100% of #? in it")
	t.Cleanup(func() { killEngine(t, home) })
	return home
}

// killEngine does what kill -9 does, and waits until the kernel has noticed.
func killEngine(t *testing.T, home string) {
	dir := filepath.Join(home, "engine")
	if !lockHeld(filepath.Join(dir, lockName)) {
		return
	}
	s, err := readState(dir)
	require.NoError(t, err)
	require.Equal(t, processStart(s.PID), s.Started, "only our own engine may be killed")
	require.NoError(t, syscall.Kill(s.PID, syscall.SIGKILL))
	eventually(t, "the engine's lock to be free", func() bool { return !lockHeld(filepath.Join(dir, lockName)) })
}

// eventually polls; nothing here sleeps for a fixed time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 30*time.Second, 10*time.Millisecond, what)
}

// connect starts or adopts the home's engine.
func connect(t *testing.T, home string) *Cluster {
	t.Helper()
	c, err := Connect(testContext(t), Options{
		Home: home, Start: true, Logf: t.Logf,
		Progress: func(line string, final bool) { showProgress(t, line, final) },
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// showProgress logs the build's final line: its time.
func showProgress(t *testing.T, line string, final bool) {
	if final {
		t.Log(line)
	}
}

// testContext leaves time for a cold build of the engine.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func writeState(t *testing.T, dir string, s engineState) {
	t.Helper()
	b, err := json.Marshal(s)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, stateName), b, 0o644))
}
