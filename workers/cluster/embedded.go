package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.temporal.io/sdk/client"
)

// Names in Home/engine; the package comment says what each is.
const (
	lockName      = "lock"
	startLockName = "start.lock"
	stateName     = "state.json"
	logName       = "engine.log"
	dbName        = "temporal.db"
)

const (
	// adoptTimeout bounds the wait for an engine that holds the lock to become
	// ready. It may be starting on a slow disk; it is 0.4 s on an idle machine.
	adoptTimeout = 60 * time.Second
	// dyingTimeout bounds the wait for a killed engine to be gone, or for a live
	// one to answer again.
	dyingTimeout = 10 * time.Second
	// stopPatience is how long a stop may take; the engine itself gives up
	// draining after 4 s.
	stopPatience = 15 * time.Second
)

// engineState is state.json; engine/state.go documents the fields.
type engineState struct {
	PID     int    `json:"pid"`
	Started string `json:"started"`
	Address string `json:"address"`
	UIURL   string `json:"ui_url"`
	Version string `json:"version"`
	Ready   bool   `json:"ready"`
}

// connectEmbedded adopts the home's live engine, or starts one if it may.
func connectEmbedded(ctx context.Context, o Options) (*Cluster, error) {
	if o.Home == "" {
		return nil, errors.New("connect to the embedded engine: no home directory given")
	}
	dir := filepath.Join(o.Home, "engine")
	if c, err := adopt(ctx, o, dir); c != nil || err != nil {
		return c, err
	}
	if !o.Start {
		return nil, &Error{
			Attempt: "find the Temporal engine of " + o.Home, Err: ErrNotRunning,
			Advice: "start it with: autoresearch up; or name a cluster with TEMPORAL_ADDRESS",
		}
	}
	// Before the long build: is there any use in it?
	if err := checkWritable(dir); err != nil {
		return nil, err
	}
	bin, err := BuildEngine(ctx, o)
	if err != nil {
		return nil, err
	}
	release, err := lockFile(ctx, filepath.Join(dir, startLockName), func() {})
	if err != nil {
		return nil, homeError("take the start lock of the Temporal engine", err)
	}
	defer release()
	// Whoever held the lock before us may have started it.
	if c, err := adopt(ctx, o, dir); c != nil || err != nil {
		return c, err
	}
	c, err := launch(ctx, o, dir, bin)
	if err == nil || !lockHeld(filepath.Join(dir, lockName)) {
		return c, err
	}
	// An engine whose starter was killed before it had taken its lock was faster.
	if c, adopted := adopt(ctx, o, dir); c != nil || adopted != nil {
		return c, adopted
	}
	return nil, err
}

// adopt connects to a live engine. Without one it returns nil and no error.
func adopt(ctx context.Context, o Options, dir string) (*Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, adoptTimeout)
	defer cancel()
	var state engineState
	dead := false
	err := poll(ctx, "the engine to be ready", func() (err error) {
		if dead = !lockHeld(filepath.Join(dir, lockName)); dead {
			return nil
		}
		state, err = liveState(dir)
		return err
	})
	if dead {
		return nil, nil
	}
	if err != nil {
		return nil, stuckError(dir, err)
	}
	// The kernel closes the ports of a killed process before it lets go of its
	// lock: an engine that is dying refuses connections for a moment.
	ctx, cancel = context.WithTimeout(ctx, dyingTimeout)
	defer cancel()
	var c *Cluster
	err = poll(ctx, "the engine to answer", func() (err error) {
		c, err = dialEngine(ctx, o, dir, state)
		if dead = err != nil && !lockHeld(filepath.Join(dir, lockName)); dead {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, stuckError(dir, err)
	}
	return c, nil
}

// liveState reads the state of the engine that holds the lock. It fails while
// that engine is not ready, or has not yet replaced its predecessor's file.
func liveState(dir string) (engineState, error) {
	s, err := readState(dir)
	if err != nil {
		return s, err
	}
	if start := processStart(s.PID); start != s.Started || errors.Is(syscall.Kill(s.PID, 0), syscall.ESRCH) {
		return s, fmt.Errorf("%s describes process %d, which is gone", filepath.Join(dir, stateName), s.PID)
	}
	if !s.Ready {
		return s, fmt.Errorf("engine process %d is starting", s.PID)
	}
	return s, nil
}

// readState reads the state file, which may be that of a dead engine.
func readState(dir string) (engineState, error) {
	var s engineState
	b, err := os.ReadFile(filepath.Join(dir, stateName))
	if err != nil {
		return s, fmt.Errorf("read the engine's state: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("read the engine's state %s: %w", filepath.Join(dir, stateName), err)
	}
	return s, nil
}

// dialEngine makes the client of a ready engine.
func dialEngine(ctx context.Context, o Options, dir string, s engineState) (*Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := client.DialContext(ctx, client.Options{HostPort: s.Address, Namespace: DefaultNamespace, Logger: o.Logger})
	if err != nil {
		return nil, fmt.Errorf("reach the engine at %s: %w", s.Address, err)
	}
	// The engine may be older than this program and lack an attribute.
	if err := register(ctx, c, DefaultNamespace); err != nil {
		c.Close()
		return nil, err
	}
	return &Cluster{
		Client: c, Address: s.Address, Namespace: DefaultNamespace,
		UIURL: s.UIURL, Embedded: true, PID: s.PID, dir: dir,
	}, nil
}

// stuckError is about an engine that holds the lock and does not answer.
func stuckError(dir string, err error) error {
	var told *Error
	if errors.As(err, &told) {
		return told // register knows better what to do
	}
	advice := "look at " + filepath.Join(dir, logName)
	if s, rerr := readState(dir); rerr == nil {
		advice += fmt.Sprintf("; if nothing else helps: kill %d, and run the same command again (nothing is lost)", s.PID)
	}
	return &Error{Attempt: "use the running Temporal engine of " + dir, Err: err, Advice: advice}
}

// checkWritable makes the directory and tries to write in it.
func checkWritable(dir string) error {
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(filepath.Join(dir, startLockName), os.O_RDWR|os.O_CREATE, 0o644); err == nil {
			f.Close()
		}
	}
	if err != nil {
		return homeError("prepare "+dir+" for the Temporal engine", err)
	}
	return nil
}

// stopEngine ends the engine of a home gracefully and waits for it.
func stopEngine(ctx context.Context, dir string) error {
	lock := filepath.Join(dir, lockName)
	if !lockHeld(lock) {
		return nil
	}
	s, err := readState(dir)
	if err != nil {
		return stuckError(dir, err)
	}
	if processStart(s.PID) != s.Started {
		return stuckError(dir, fmt.Errorf("process %d is not the engine that %s describes", s.PID, stateName))
	}
	if err := syscall.Kill(s.PID, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return stuckError(dir, fmt.Errorf("signal process %d: %w", s.PID, err))
	}
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	err = poll(ctx, "the Temporal engine to stop", func() error {
		// The lock goes a moment before the process, and what it has open with
		// the process: whoever unmounts or removes the home waits for both.
		if lockHeld(lock) || !exited(s.PID, s.Started) {
			return fmt.Errorf("process %d is still there", s.PID)
		}
		return nil
	})
	if err != nil {
		return stuckError(dir, err)
	}
	return nil
}
