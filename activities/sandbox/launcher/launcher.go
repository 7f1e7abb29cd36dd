// Package launcher is the stage between fork and exec of a sandboxed program.
//
// The supervisor starts its own executable again under the name [Name]. An init
// function of this package sees the name, before main and before most other
// packages are initialized, and never returns: it reads a [Plan] from a pipe,
// confines itself, starts the program, and says on another pipe what became of
// it ([Report]). So every binary that links package sandbox, a test's too, can
// launch, and nothing need be installed.
//
// In a process namespace of its own the launcher stays as the first process, so
// that the program has ordinary signals, orphans have a parent that waits for
// them, and the kernel ends all of them when it ends. Otherwise it becomes the
// program by exec.
//
// # Errors
//
// What cannot be set up ends the launcher with a Report that says so. It never
// starts a program with less around it than the plan asks for.
package launcher

// Name is the launcher's argv[0].
const Name = "autoresearch-sandbox"

// Files of the launcher, as os/exec numbers ExtraFiles.
const (
	planFD   = 3 // a Plan in JSON, to the end of the file
	reportFD = 4 // Reports in JSON
)

// Exit codes of a launcher that has started no program.
const (
	exitFailed  = 125 // a Report says why
	exitOrphan  = 124 // there was no plan: the supervisor has gone
	exitStopped = 143 // asked to end before there was a program
)

// Plan is what the launcher is to do.
type Plan struct {
	Path string   `json:"path"` // the program; empty: set everything up, and end
	Args []string `json:"args"` // with the program's name
	Env  []string `json:"env"`
	Dir  string   `json:"dir"` // working directory; the program may change it

	ReadOnly []string `json:"read_only,omitempty"` // files and trees, absolute
	Writable []string `json:"writable,omitempty"`  // trees, absolute
	Devices  []string `json:"devices,omitempty"`   // device files
	Network  bool     `json:"network,omitempty"`

	// What confines it. Namespaces says that the launcher was started in new
	// namespaces and may mount; Landlock is the version to use, 0 for none.
	Namespaces bool `json:"namespaces,omitempty"`
	Proc       bool `json:"proc,omitempty"` // mount a /proc of its own
	Landlock   int  `json:"landlock,omitempty"`
	Seccomp    bool `json:"seccomp,omitempty"`

	SharedMemory int64  `json:"shared_memory,omitempty"` // bytes of /dev/shm
	Processes    uint64 `json:"processes,omitempty"`     // and threads
	FileSize     uint64 `json:"file_size,omitempty"`     // bytes of one file
}

// Report is what the launcher says: that the program has begun, and how it
// ended if the launcher is still there then.
type Report struct {
	Error string `json:"error,omitempty"` // why there is no program
	Began bool   `json:"began,omitempty"`
	CPU   int64  `json:"cpu,omitempty"` // nanoseconds that the launcher itself has used
	Ended bool   `json:"ended,omitempty"`
	// Status is that of wait(2).
	Status uint32 `json:"status,omitempty"`
}
