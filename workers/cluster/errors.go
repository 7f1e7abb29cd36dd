package cluster

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
)

// Error is a failure that the user can do something about.
type Error struct {
	Attempt string // what was attempted, on what: "start the Temporal engine in /x/engine"
	Err     error  // why it failed
	Advice  string // what to do; may be empty
}

// Error says what was attempted and why it failed, without the hint.
func (e *Error) Error() string { return e.Attempt + ": " + e.Err.Error() }

// Unwrap gives the reason.
func (e *Error) Unwrap() error { return e.Err }

// Hint says what the user can do.
func (e *Error) Hint() string { return e.Advice }

// ErrNotRunning is the reason in the error of [Connect] without Options.Start
// when the home has no live engine.
var ErrNotRunning = errors.New("no engine is running")

// homeError explains why something in the home cannot be written.
func homeError(attempt string, err error) error {
	e := &Error{Attempt: attempt, Err: err, Advice: adviceFor(err.Error())}
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		e.Advice = "the home must be writable: choose another with --home DIR or AUTORESEARCH_HOME"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		e.Advice = "a file stands where a directory is needed: choose another home with --home DIR or AUTORESEARCH_HOME"
	}
	return e
}

// adviceFor finds a hint for what a tool or the engine wrote before it failed.
func adviceFor(output string) string {
	for _, a := range []struct{ sign, advice string }{
		{"no space left on device", diskAdvice},
		{"database or disk is full", diskAdvice},
		{"disk quota exceeded", diskAdvice},
		{"read-only file system", "the directory must be writable: choose another home with --home DIR or AUTORESEARCH_HOME"},
		{"another engine (pid", "stop that engine, or wait until it has stopped"},
		{"was made by Temporal server", "use the autoresearch release that made it, or move the file away to start with an empty database"},
		{"database disk image is malformed", damagedAdvice},
		{"file is not a database", damagedAdvice},
		{"GOTOOLCHAIN=local", "install the Go release that is asked for, or unset GOTOOLCHAIN"},
		{"proxy.golang.org", proxyAdvice},
		{"no such host", proxyAdvice},
		{"dial tcp", proxyAdvice},
		{"signal: killed", "something killed the build; linking needs about 2 GB of free memory"},
		{"cannot allocate memory", "linking the engine needs about 2 GB of free memory"},
	} {
		if strings.Contains(output, a.sign) {
			return a.advice
		}
	}
	return ""
}

const (
	diskAdvice    = "free some disk space and run the same command again: the engine's first build needs about 3 GB, mostly in Go's build cache"
	damagedAdvice = "the database is damaged: move the home's engine directory away to start with an empty one; results, artifacts and repo.git do not depend on it"
	proxyAdvice   = "the engine's first build downloads about 460 Go modules: check the network, and GOPROXY if you use a mirror"
)
