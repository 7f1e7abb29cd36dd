package cluster

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
)

func TestConnectStartsAdoptsAndStopsOneEngine(t *testing.T) {
	home := newHome(t)
	first := connect(t, home)
	require.True(t, first.Embedded)
	require.Equal(t, DefaultNamespace, first.Namespace)

	resp, err := http.Get(first.UIURL)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode, "the UI answers as soon as Connect returns")

	second, err := Connect(testContext(t), Options{Home: home}) // as status does
	require.NoError(t, err)
	defer second.Close()
	require.Equal(t, first.PID, second.PID, "a live engine is adopted")
	require.Equal(t, first.Address, second.Address)

	begin := time.Now()
	require.NoError(t, second.StopEngine(testContext(t)))
	require.Less(t, time.Since(begin), 6*time.Second)
	require.NoError(t, second.StopEngine(testContext(t)), "stopping twice is fine")

	_, err = Connect(testContext(t), Options{Home: home})
	require.ErrorIs(t, err, ErrNotRunning)
	requireHint(t, err, "autoresearch up")

	again := connect(t, home)
	require.NotEqual(t, first.PID, again.PID)
	require.Equal(t, first.Address, again.Address, "a restart keeps the ports")
	require.Equal(t, first.UIURL, again.UIURL)
}

// The engine's own module cannot import SearchAttributes and has a list of its
// own; this is where the two meet.
func TestEngineHasOurSearchAttributes(t *testing.T) {
	c := connect(t, newHome(t))
	require.NoError(t, c.StopEngine(testContext(t)))
	// Start the bare engine: Connect would add what is missing.
	bin, err := BuildEngine(testContext(t), Options{})
	require.NoError(t, err)
	var s engineState
	for range 5 { // other tests start engines too, and may take a port first
		front, ui, err := choosePorts(Options{Logf: t.Logf}, c.dir)
		require.NoError(t, err)
		if s, err = startEngine(testContext(t), c.dir, bin, front, ui); !portTaken(err) {
			require.NoError(t, err)
			break
		}
	}
	bare, err := client.Dial(client.Options{HostPort: s.Address, Logger: quiet{}})
	require.NoError(t, err)
	defer bare.Close()
	got, err := bare.OperatorService().ListSearchAttributes(testContext(t), &operatorservice.ListSearchAttributesRequest{Namespace: DefaultNamespace})
	require.NoError(t, err)
	require.Equal(t, SearchAttributes, got.GetCustomAttributes(), "engine/attributes.go and workers/cluster/register.go differ")
}

func TestEngineOutlivesItsLauncher(t *testing.T) {
	home := newHome(t)
	_, err := BuildEngine(testContext(t), Options{}) // so that the launcher is quick
	require.NoError(t, err)
	launcher := exec.Command(os.Args[0])
	launcher.Env = append(os.Environ(), launcherEnv+"="+home)
	out, err := launcher.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, launcher.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.NoError(t, launcher.Process.Kill())
	require.Error(t, launcher.Wait())

	c := connect(t, home)
	require.Equal(t, fmt.Sprintf("pid %d\n", c.PID), line)
}

func TestKilledEngineComesBackWithItsWorkflows(t *testing.T) {
	home := newHome(t)
	c := connect(t, home)
	_, err := c.Client.ExecuteWorkflow(testContext(t), client.StartWorkflowOptions{ID: "survivor", TaskQueue: "nobody"}, "Anything")
	require.NoError(t, err)
	killEngine(t, home)

	again := connect(t, home)
	require.NotEqual(t, c.PID, again.PID)
	require.Equal(t, c.Address, again.Address)
	_, err = again.Client.DescribeWorkflowExecution(testContext(t), "survivor", "")
	require.NoError(t, err)
	_, err = c.Client.DescribeWorkflowExecution(testContext(t), "survivor", "")
	require.NoError(t, err, "the old client finds the new engine: same port")
}

func TestKeepRestartsTheEngine(t *testing.T) {
	home := newHome(t)
	c := connect(t, home)
	ctx, cancel := context.WithCancel(testContext(t))
	kept := make(chan error, 1)
	go func() { kept <- c.Keep(ctx, Options{Home: home}) }()
	killEngine(t, home)
	eventually(t, "the engine to answer again", func() bool {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err := c.Client.CheckHealth(ctx, &client.CheckHealthRequest{})
		return err == nil
	})
	cancel()
	require.NoError(t, <-kept)
}

// What keeps the engine from starting may pass, as a full disk does.
func TestKeepTriesAgain(t *testing.T) {
	home := newHome(t)
	c := connect(t, home)
	version := filepath.Join(c.dir, dbName+".version")
	had, err := os.ReadFile(version)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(version, []byte("1.29.0\n"), 0o644)) // refused
	killEngine(t, home)
	ctx, cancel := context.WithCancel(testContext(t))
	kept, told := make(chan error, 1), make(chan string, 100)
	go func() {
		kept <- c.Keep(ctx, Options{Home: home, Logf: func(format string, args ...any) { told <- fmt.Sprintf(format, args...) }})
	}()
	for !strings.Contains(<-told, "does not start, trying again") {
	}
	require.NoError(t, os.WriteFile(version, had, 0o644))
	eventually(t, "the engine to be back", func() bool { s, err := liveState(c.dir); return err == nil && s.Ready })
	cancel()
	require.NoError(t, <-kept)
}

// A killed engine closes its port before it lets go of its lock: whoever comes
// in between waits, and starts the next.
func TestDyingEngineIsReplaced(t *testing.T) {
	home := newHome(t)
	dir := filepath.Join(home, "engine")
	writeState(t, dir, engineState{PID: os.Getpid(), Started: processStart(os.Getpid()), Address: "127.0.0.1:1", Ready: true})
	release, err := lockFile(testContext(t), filepath.Join(dir, lockName), func() {})
	require.NoError(t, err)
	time.AfterFunc(300*time.Millisecond, release)
	require.NotEqual(t, os.Getpid(), connect(t, home).PID)
}

func TestTakenPortsAreNamed(t *testing.T) {
	for _, p := range []int{frontendPort, uiPort} {
		// If this fails somebody else has the port, which serves as well.
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p)); err == nil {
			defer l.Close()
		}
	}
	home := newHome(t)
	var lines []string
	c, err := Connect(testContext(t), Options{Home: home, Start: true, Logf: func(f string, a ...any) { lines = append(lines, fmt.Sprintf(f, a...)) }})
	require.NoError(t, err)
	defer c.Close()
	_, port, err := net.SplitHostPort(c.Address)
	require.NoError(t, err)
	require.Contains(t, strings.Join(lines, "\n"), "port 7233 is taken, using "+port)
	require.Contains(t, strings.Join(lines, "\n"), "port 8233 is taken, using ")
}

func TestTwoConnectsStartOneEngine(t *testing.T) {
	home := newHome(t)
	var pids [4]int
	var wg sync.WaitGroup
	for i := range pids {
		wg.Go(func() {
			c, err := Connect(testContext(t), Options{Home: home, Start: true})
			if err == nil {
				pids[i] = c.PID
				c.Close()
			} else {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, pid := range pids {
		require.Equal(t, pids[0], pid)
	}
}

func TestStaleStateFoolsNobody(t *testing.T) {
	home := newHome(t)
	dir := filepath.Join(home, "engine")
	// Our own pid is alive, as a reused one would be.
	writeState(t, dir, engineState{PID: os.Getpid(), Started: processStart(os.Getpid()), Address: "127.0.0.1:1", Ready: true})
	_, err := Connect(testContext(t), Options{Home: home})
	require.ErrorIs(t, err, ErrNotRunning, "nobody holds the lock")

	// Even while an engine starts, its predecessor's file is not believed.
	writeState(t, dir, engineState{PID: os.Getpid(), Started: "another boot:1", Address: "127.0.0.1:1", Ready: true})
	release, err := lockFile(testContext(t), filepath.Join(dir, lockName), func() {})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(testContext(t), 200*time.Millisecond)
	defer cancel()
	_, err = Connect(ctx, Options{Home: home, Start: true})
	require.ErrorContains(t, err, "which is gone")
	requireHint(t, err, logName)
	release()
}

func TestEngineThatDiesSaysWhy(t *testing.T) {
	home := newHome(t)
	c := connect(t, home)
	require.NoError(t, c.StopEngine(testContext(t)))
	version := filepath.Join(c.dir, dbName+".version")
	require.NoError(t, os.WriteFile(version, []byte("1.29.0\n"), 0o644))
	_, err := Connect(testContext(t), Options{Home: home, Start: true})
	require.ErrorContains(t, err, "start the Temporal engine in "+c.dir)
	require.ErrorContains(t, err, "was made by Temporal server 1.29.0")
	requireHint(t, err, "use the autoresearch release that made it")

	require.NoError(t, os.Remove(version))
	require.NoError(t, os.WriteFile(filepath.Join(c.dir, dbName), []byte(strings.Repeat("no database ", 1000)), 0o644))
	_, err = Connect(testContext(t), Options{Home: home, Start: true})
	requireHint(t, err, "the database is damaged")
}

func TestCanceledConnectLeavesNoEngine(t *testing.T) {
	home := newHome(t)
	_, err := BuildEngine(testContext(t), Options{})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(testContext(t))
	go func() { // as soon as the engine has the lock
		for ctx.Err() == nil && !lockHeld(filepath.Join(home, "engine", lockName)) {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if c, err := Connect(ctx, Options{Home: home, Start: true}); err == nil {
		c.Close() // it was ready before the cancellation came
		return
	}
	require.ErrorIs(t, ctx.Err(), context.Canceled)
	eventually(t, "the engine to be gone", func() bool { return !lockHeld(filepath.Join(home, "engine", lockName)) })
}

func TestHomeThatIsAFile(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	require.NoError(t, os.WriteFile(home, nil, 0o644))
	_, err := Connect(testContext(t), Options{Home: home, Start: true})
	require.ErrorContains(t, err, home)
	requireHint(t, err, "--home")
}

// requireHint wants an *Error with that in its hint.
func requireHint(t *testing.T, err error, text string) {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Contains(t, e.Hint(), text)
}
