// Package sandbox starts untrusted processes, watches them from outside, and
// leaves none of them behind.
//
// A [Sandbox] runs one program at a time per call. The program may start
// others, leave its process group and session, and ignore signals: all that
// descends from it is the run's process tree, is charged for, and is killed
// when the run ends. [Process] watches and kills; [Default] is, on Linux,
// what confines as well, as far as the machine allows (docs/sandbox.md). [Spec] is what a run is given; it gets nothing that Spec does not
// name: its environment holds PATH, HOME, TMPDIR and GOMAXPROCS, standard input
// is empty unless Spec.Stdin is set, and the working directory is its own.
//
// # What is measured
//
// CPU time (user and system) of the whole tree since exec, wall time and peak
// memory, taken from the kernel's books and never from the program. Processes
// that came and went between two samples are counted through the parent that
// waited for them.
//
// # Errors
//
// However the program ends is an [Outcome]. An error means that it could not be
// started or could not be ended, and says what was attempted.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// Sandbox starts untrusted processes. It is safe for concurrent use.
type Sandbox interface {
	// Run starts a program, waits for it, and ends whatever is left of its
	// process tree before it returns. When ctx ends, the tree gets SIGTERM, and
	// SIGKILL after s.Grace. The tree also dies with the calling process,
	// however that ends; what escapes this is ended by the next Clear.
	Run(ctx context.Context, s Spec) (Outcome, error)
	// Clear kills every process of earlier runs whose ID starts with prefix,
	// whoever started them, and returns when they are gone. The caller holds
	// a lock that keeps new ones from starting.
	Clear(ctx context.Context, prefix string) error
}

// IDVariable names the environment variable that marks a run's processes.
const IDVariable = "AUTORESEARCH_RUN"

// Spec describes a program to run. ID, Path and Dir are needed.
type Spec struct {
	ID   string   // marks the processes of this run; nothing else on the machine has it
	Path string   // the program
	Args []string // without the program's name
	Dir  string   // an existing directory of its own: working directory, HOME and TMPDIR
	Env  []string // NAME=value, after the few that every run gets

	// What the program may touch, beside Dir, Path and the system's libraries. A
	// Sandbox that cannot enforce this says so in Outcome.Isolation.
	ReadOnly []string // absolute paths of files and trees that it may read, and execute
	Writable []string // trees that it may change, too
	Devices  []string // device files that it may use: a GPU's
	Network  bool     // it may use the network; no candidate and no build may

	Disk      int64 // bytes that Dir and Writable may grow by; 0 is no limit
	Processes int   // and threads that the tree may have; 0 is a generous default

	Cores  int   // GOMAXPROCS; 0 leaves it out
	Memory int64 // bytes that the tree may hold, shared files not counted; 0 is no limit

	// Stdin is what the program reads as standard input, such as the reading end
	// of a pipe; nil is empty. The caller closes its copy.
	Stdin *os.File

	// Log gets standard output and error as they come, LogLimit bytes at most
	// (0 is 1 MiB); what is beyond is read and dropped. Stdout, when set, gets
	// standard output instead, under the same limit. A failing writer does
	// not stop the program.
	Log      io.Writer
	Stdout   io.Writer
	LogLimit int64

	// Grace is how long a program may take to end by itself when ctx ends.
	Grace time.Duration
	// Watch, when set, is called about four times a second, from one goroutine.
	// An error ends the tree at once and becomes Outcome.Stopped.
	Watch func(Sample) error
}

// Sample is what a running tree has used so far.
type Sample struct {
	CPU       time.Duration // user and system, ended processes included
	Wall      time.Duration
	Memory    int64 // bytes held now, shared files not counted
	Processes int
	PID       int // of the program itself, as this machine numbers it; 0 when it has ended
}

// TailLines is how many of the last lines of output an Outcome keeps.
const TailLines = 40

// Outcome is how a program ended and what its tree used.
type Outcome struct {
	ExitCode  int            // -1 when a signal ended it
	Signal    syscall.Signal // 0 unless a signal ended it
	CPU, Wall time.Duration
	PeakBytes int64
	Tail      []string // last lines of output, TailLines at most

	// Stopped is why we ended it: the cause of ctx's end, what Watch returned,
	// or one of ErrMemory, ErrProcesses and ErrDisk. Nil when it ended by itself.
	Stopped error
	// Isolation names what confined the program, strongest first, such as
	// "landlock seccomp namespaces cgroup"; "none" for a plain process.
	Isolation string
	// OutOfMemory: the tree went beyond Spec.Memory, or the kernel killed the
	// program for want of memory.
	OutOfMemory bool
}

const (
	sampleEvery     = 250 * time.Millisecond
	defaultLogLimit = 1 << 20
	// goneWithin bounds the wait for killed processes. The kernel needs
	// milliseconds, unless one hangs in a device or a dead network file system.
	goneWithin = 10 * time.Second
)

func (s Spec) check() error {
	switch {
	case s.ID == "":
		return errors.New("no ID given, so its processes could not be told from others")
	case s.Path == "" || s.Dir == "":
		return fmt.Errorf("program %q and directory %q are both needed", s.Path, s.Dir)
	}
	return nil
}
