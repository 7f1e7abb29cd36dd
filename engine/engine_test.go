package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// engineEnv makes the test binary the engine itself: the tests start the real
// process without a second link of 150 MB.
const engineEnv = "ENGINE_TEST_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(engineEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process is a running engine.
type process struct {
	cmd   *exec.Cmd
	lines *bufio.Reader // its standard output
	state State
	exit  chan error
}

// start starts an engine on dir and waits until it says that it is ready.
func start(t *testing.T, dir string, flags ...string) *process {
	t.Helper()
	p, err := tryStart(t, dir, flags...)
	require.NoError(t, err)
	return p
}

func tryStart(t *testing.T, dir string, flags ...string) (*process, error) {
	t.Helper()
	front, ui := freePort(t), freePort(t)
	args := append([]string{"-db", filepath.Join(dir, "temporal.db"), "-port", front, "-ui-port", ui}, flags...)
	p := &process{cmd: exec.Command(os.Args[0], args...), exit: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), engineEnv+"=1")
	var errs strings.Builder
	p.cmd.Stderr = &errs
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	p.lines = bufio.NewReader(out)
	line, err := p.lines.ReadString('\n')
	go func() { p.exit <- p.cmd.Wait() }()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", <-p.exit, errs.String())
	}
	require.Contains(t, line, "ready at 127.0.0.1:"+front)
	b, err := os.ReadFile(filepath.Join(dir, "state.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &p.state))
	return p, nil
}

// end sends a signal and waits for the end.
func (p *process) end(t *testing.T, sig os.Signal) error {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(sig))
	select {
	case err := <-p.exit:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("the engine does not end")
		return nil
	}
}

func (p *process) client(t *testing.T) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: p.state.Address, Logger: quiet{}})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := listenInternal("127.0.0.1")
	require.NoError(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port
}

func TestLife(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "100% odd #? name")
	require.NoError(t, os.Mkdir(dir, 0o755))
	begin := time.Now()
	p := start(t, dir)
	t.Logf("first start: ready after %v", time.Since(begin).Round(time.Millisecond))
	require.Equal(t, p.cmd.Process.Pid, p.state.PID)
	require.Equal(t, processStart(p.state.PID), p.state.Started)
	require.True(t, p.state.Ready)

	resp, err := http.Get(p.state.UIURL)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)

	_, err = tryStart(t, dir)
	require.ErrorContains(t, err, fmt.Sprintf("another engine (pid %d) uses this database", p.state.PID))

	begin = time.Now()
	require.NoError(t, p.end(t, syscall.SIGTERM))
	require.Less(t, time.Since(begin), 6*time.Second)
	t.Logf("stopped in %v", time.Since(begin).Round(time.Millisecond))

	begin = time.Now()
	p = start(t, dir, "-namespace", "default,second")
	t.Logf("second start: ready after %v", time.Since(begin).Round(time.Millisecond))
	require.NoError(t, p.end(t, os.Interrupt))
}

// nap is a workflow that waits for a timer of the server.
func nap(ctx workflow.Context, d time.Duration) (string, error) {
	err := workflow.UpsertTypedSearchAttributes(ctx,
		temporal.NewSearchAttributeKeyKeyword("Campaign").ValueSet("test"))
	if err != nil {
		return "", err
	}
	return "awake", workflow.Sleep(ctx, d)
}

func TestTimerSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	c := p.client(t)
	w := worker.New(c, "naps", worker.Options{})
	w.RegisterWorkflow(nap)
	require.NoError(t, w.Start())
	run, err := c.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{ID: "nap", TaskQueue: "naps"}, nap, 3*time.Second)
	require.NoError(t, err)
	require.Eventually(t, func() bool { // the timer is pending
		d, err := c.DescribeWorkflowExecution(context.Background(), "nap", "")
		return err == nil && d.GetWorkflowExecutionInfo().GetHistoryLength() >= 6
	}, 10*time.Second, 10*time.Millisecond)
	require.Error(t, p.end(t, syscall.SIGKILL))
	w.Stop()

	c = start(t, dir).client(t)
	w = worker.New(c, "naps", worker.Options{})
	w.RegisterWorkflow(nap)
	require.NoError(t, w.Start())
	defer w.Stop()
	var said string
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	require.NoError(t, c.GetWorkflow(ctx, "nap", run.GetRunID()).Get(ctx, &said))
	require.Equal(t, "awake", said)
}

func TestTwoEnginesSideBySide(t *testing.T) {
	a, b := start(t, t.TempDir()), start(t, t.TempDir())
	require.NotEqual(t, a.state.Address, b.state.Address)
	require.NoError(t, a.end(t, syscall.SIGTERM))
	_, err := b.client(t).CheckHealth(context.Background(), nil)
	require.NoError(t, err)
}

func TestTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_, err = tryStart(t, t.TempDir(), "-ui-port", port)
	require.ErrorContains(t, err, "open port "+port)
	require.ErrorContains(t, err, "address already in use")
}
