package workers

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// InUseError says that another process works in the home already.
type InUseError struct {
	Role Role
	Home experiment.Home
	PID  string // of the other process; "" when it has not said so yet
}

func (e *InUseError) Error() string {
	by := "another process"
	if e.PID != "" {
		by = "process " + e.PID
	}
	return fmt.Sprintf("the home %s has a %s worker already, %s", e.Home, e.Role, by)
}

// Hint says what the user can do.
func (e *InUseError) Hint() string {
	return "stop that one first, or give this one another home with --home DIR or AUTORESEARCH_HOME"
}

// lock takes a role's slot in the place, for as long as this process lives or
// until release.
func (p place) lock(role Role, s seat) (release func(), err error) {
	if role == TrainCUDA {
		return lockGPU(gpuLocks, string(s))
	}
	path := p.lockPath(role, s)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the home: %w", err)
	}
	pid, err := flock(f)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, &InUseError{role, p.home, pid}
	}
	if err != nil {
		return nil, fmt.Errorf("lock the home with %s (does this file system support flock?): %w", path, err)
	}
	return func() { f.Close() }, nil
}

// flock locks a file and writes our pid into it, or closes it. If somebody else
// has it, holder is what that one has written, and the error EWOULDBLOCK.
func flock(f *os.File) (holder string, err error) {
	for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		pid, _ := io.ReadAll(io.LimitReader(f, 20)) // only for the message
		holder = strings.TrimSpace(string(pid))
	}
	if err == nil {
		// The pid is for people; the lock is the truth.
		err = errors.Join(f.Truncate(0), writePID(f))
	}
	if err != nil {
		f.Close()
	}
	return holder, err
}

func writePID(f *os.File) error {
	_, err := fmt.Fprintf(f, "%d\n", os.Getpid())
	return err
}
