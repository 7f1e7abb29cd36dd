package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Temporal's usual ports, preferred because people and tools know them.
const (
	frontendPort = 7233
	uiPort       = 8233
)

// Where a usual port is taken, one is drawn from this range. It lies below the
// ports that Linux gives to outgoing connections, so it is likely to be free
// again when the engine restarts.
const (
	firstPort = 20000
	lastPort  = 31999
)

// maxLog is the size from which a log is put aside before a start; a running
// engine does the same.
const maxLog = 20 << 20

// launch starts the engine and connects to it. The caller holds the start lock.
func launch(ctx context.Context, o Options, dir, bin string) (*Cluster, error) {
	front, ui, err := choosePorts(o, dir)
	if err != nil {
		return nil, err
	}
	// A port may be taken between the choice and the engine's bind: try others.
	// And a start that was killed, for memory say, deserves another.
	for attempt := 1; ; attempt++ {
		_, err := startEngine(ctx, dir, bin, front, ui)
		if err == nil {
			// It may be killed in this very moment, which adopt tells from one
			// that is stuck.
			var c *Cluster
			if c, err = adopt(ctx, o, dir); c != nil || err != nil {
				return c, err
			}
			err = &Error{
				Attempt: "start the Temporal engine in " + dir, Err: errors.New("it ended as soon as it was ready (signal: killed)"),
				Advice: "run the same command again; the log is " + filepath.Join(dir, logName),
			}
		}
		if attempt == 3 || !portTaken(err) && !strings.Contains(err.Error(), "(signal: killed)") {
			return nil, err
		}
		if front, ui, err = choosePorts(o, dir); err != nil {
			return nil, err
		}
	}
}

// portTaken says that somebody took the engine's port between the choice and
// its bind.
func portTaken(err error) bool {
	return err != nil && strings.Contains(err.Error(), "address already in use")
}

// startEngine starts one engine process in its own session and waits until it
// is ready. If ctx ends first the engine is stopped again.
func startEngine(ctx context.Context, dir, bin string, front, ui int) (engineState, error) {
	attempt := "start the Temporal engine in " + dir
	log, offset, err := openLog(filepath.Join(dir, logName))
	if err != nil {
		return engineState{}, homeError("open the engine's log", err)
	}
	defer log.Close()
	cmd := exec.Command(bin,
		"-db", filepath.Join(dir, dbName), "-log", log.Name(), "-namespace", DefaultNamespace,
		"-port", strconv.Itoa(front), "-ui-port", strconv.Itoa(ui), "-retention", retention.String())
	cmd.Dir = dir // so that it does not pin the directory the user stands in
	cmd.Env = engineEnv()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); errors.Is(err, syscall.ENOEXEC) {
		return engineState{}, &Error{Attempt: attempt, Err: err, Advice: "the built engine is damaged; delete it, and it is built again: rm " + bin}
	} else if err != nil {
		return engineState{}, homeError(attempt, err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }() // also reaps it, if it dies before us

	waitCtx, cancel := context.WithTimeout(ctx, adoptTimeout)
	defer cancel()
	var state engineState
	var died error
	gone := false
	err = poll(waitCtx, "the engine to be ready", func() (err error) {
		select {
		case died = <-exited:
			gone = true
			return nil
		default:
		}
		if state, err = liveState(dir); err == nil && state.PID != cmd.Process.Pid {
			err = fmt.Errorf("process %d has not written %s yet", cmd.Process.Pid, stateName)
		}
		return err
	})
	if gone {
		return engineState{}, diedError(attempt, died, log.Name(), offset)
	}
	if err != nil {
		_ = cmd.Process.Signal(syscall.SIGTERM) // ours, and of no use to anybody
		return engineState{}, &Error{Attempt: attempt, Err: err, Advice: "look at " + log.Name()}
	}
	return state, nil
}

// diedError tells what the engine wrote before it ended.
func diedError(attempt string, died error, log string, offset int64) error {
	if died == nil {
		died = errors.New("exit status 0")
	}
	tail := logTail(log, offset, 12)
	advice := adviceFor(tail)
	if advice == "" {
		advice = "the whole log is in " + log
	}
	return &Error{Attempt: attempt, Err: fmt.Errorf("it ended (%w); its last lines:\n%s", died, tail), Advice: advice}
}

// engineEnv is what the engine may know of our environment: no API keys, and
// nothing by which a Temporal variable could change it.
func engineEnv() []string {
	env := []string{}
	for _, name := range []string{"HOME", "PATH", "TMPDIR", "TZ", "LANG"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// choosePorts prefers the ports of the previous engine of this home, then the
// usual ones, and says so when they are not free.
func choosePorts(o Options, dir string) (front, ui int, err error) {
	wantFront, wantUI := frontendPort, uiPort
	if prev, err := readState(dir); err == nil {
		if _, p, err := net.SplitHostPort(prev.Address); err == nil {
			wantFront, _ = strconv.Atoi(p)
		}
		if u, err := url.Parse(prev.UIURL); err == nil && u.Port() != "" {
			wantUI, _ = strconv.Atoi(u.Port())
		}
	}
	if front, err = freePort(wantFront, frontendPort); err != nil {
		return 0, 0, err
	}
	if ui, err = freePort(wantUI, uiPort); err != nil {
		return 0, 0, err
	}
	if front != wantFront {
		o.Logf("port %d is taken, using %d for Temporal (to use the Temporal at %d instead: TEMPORAL_ADDRESS=127.0.0.1:%d)", wantFront, front, wantFront, wantFront)
	}
	if ui != wantUI {
		o.Logf("port %d is taken, using %d for the Temporal UI", wantUI, ui)
	}
	return front, ui, nil
}

// freePort returns the first free one of the wanted ports, or else any.
func freePort(wanted ...int) (int, error) {
	var last error
	for range 200 {
		wanted = append(wanted, firstPort+rand.IntN(lastPort-firstPort+1))
	}
	for _, p := range wanted {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
		if err == nil {
			l.Close()
			return p, nil
		}
		last = err
	}
	return 0, &Error{
		Attempt: fmt.Sprintf("find a free port on 127.0.0.1 (tried %d, and 200 between %d and %d)", wanted[0], firstPort, lastPort),
		Err:     last, Advice: "free some ports, or name a cluster with TEMPORAL_ADDRESS",
	}
}

// openLog opens the log for appending, putting a large one aside, and tells
// where this engine's lines begin.
func openLog(path string) (*os.File, int64, error) {
	if st, err := os.Stat(path); err == nil && st.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, 0, err
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, 0, err
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, end, nil
}

// logTail returns the last lines that were written after offset.
func logTail(path string, offset int64, lines int) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil {
		offset = max(offset, st.Size()-16<<10)
	}
	b, _ := io.ReadAll(io.NewSectionReader(f, offset, 1<<20))
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	all = all[max(0, len(all)-lines):]
	for i, l := range all {
		if len(l) > 500 {
			all[i] = l[:500] + " ..."
		}
	}
	return strings.Join(all, "\n")
}
