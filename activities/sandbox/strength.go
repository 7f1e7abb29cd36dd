package sandbox

import (
	"fmt"
	"strings"
	"sync"
)

// Mode says how much isolation is asked for: the setting --sandbox.
type Mode string

// The modes.
const (
	Auto     Mode = "auto"     // the strongest that works on this machine
	Required Mode = "required" // nothing less than all of what [Strength.Missing] lists
	Off      Mode = "off"      // plain processes: watched, charged and killed, not confined
)

// Modes lists them for messages.
const Modes = "auto, required or off"

// Valid reports whether m is one of the modes; empty is Auto.
func (m Mode) Valid() bool { return m == "" || m == Auto || m == Required || m == Off }

// Default returns the sandbox of a mode on this machine. The error says what is
// missing for Required, and how to get it.
func Default(m Mode) (Sandbox, error) {
	switch m {
	case Off:
		return Process{}, nil
	case Required:
		if missing := Probe().Missing(); len(missing) > 0 {
			return nil, &WeakError{missing}
		}
	case Auto, "":
	default:
		return nil, fmt.Errorf("sandbox mode %q is unknown: it is %s", m, Modes)
	}
	return strongest(Probe()), nil
}

// OrDefault returns box, and the default of this machine in its absence.
func OrDefault(box Sandbox) Sandbox {
	if box == nil {
		return strongest(Probe())
	}
	return box
}

// Strength is what this machine lets a sandbox enforce.
type Strength struct {
	Landlock   int    // version of the kernel's Landlock; 0 is none
	Seccomp    bool   // system calls can be filtered
	Namespaces bool   // own user, process, network, mount, IPC and host name namespaces
	Proc       bool   // and a /proc of its own in them
	Cgroup     string // "v1" or "v2" where limits and accounts of control groups can be had

	asRoot bool   // namespaces need no user namespace: we are the machine's root
	why    string // what the kernel said when namespaces were tried
}

// Any says whether there is any confinement at all.
func (s Strength) Any() bool { return s.Landlock > 0 || s.Seccomp || s.Namespaces }

// String names what there is, strongest first: "namespaces landlock/7 seccomp
// cgroup/v1". It is what Outcome.Isolation records.
func (s Strength) String() string {
	var list []string
	if s.Namespaces {
		list = append(list, "namespaces")
	}
	if s.Landlock > 0 {
		list = append(list, fmt.Sprintf("landlock/%d", s.Landlock))
	}
	if s.Seccomp {
		list = append(list, "seccomp")
	}
	if s.Cgroup != "" {
		list = append(list, "cgroup/"+s.Cgroup)
	}
	if len(list) == 0 {
		return NoIsolation
	}
	return strings.Join(list, " ")
}

// NoIsolation is Outcome.Isolation of a plain process.
const NoIsolation = "none"

// Gap is something that a sandbox should enforce and cannot on this machine.
type Gap struct {
	What string // may happen
	Fix  string // how to get what prevents it
}

// Missing lists what a candidate could do here and should not.
func (s Strength) Missing() (gaps []Gap) {
	gap := func(closed bool, what string) {
		if !closed {
			gaps = append(gaps, Gap{what, s.fix()})
		}
	}
	gap(s.Namespaces || s.Landlock > 0, "a run can read and change all files of this user")
	gap(s.Namespaces || s.Landlock == 0 || s.Landlock >= truncation, "a run can truncate files of this user")
	gap(s.Namespaces || s.Seccomp, "a run can use the network")
	gap(s.Namespaces || s.Landlock > 0, "a run can look into other processes of this user")
	gap(s.Namespaces || s.Landlock >= signalScope, "a run can send signals to other processes of this user")
	gap(s.Seccomp, "a run can make any system call")
	return gaps
}

// What versions of Landlock can do first.
const (
	truncation  = 3
	signalScope = 6 // and abstract sockets
)

// WeakError says that this machine cannot enforce what was required.
type WeakError struct{ Gaps []Gap }

func (e *WeakError) Error() string {
	what := make([]string, len(e.Gaps))
	for i, g := range e.Gaps {
		what[i] = g.What
	}
	return "a sandbox is required, and this machine has none that is strong enough: " + strings.Join(what, "; ")
}

// Hint says what can be done.
func (e *WeakError) Hint() string {
	if len(e.Gaps) == 0 {
		return ""
	}
	return e.Gaps[0].Fix
}

// Probe finds out what this machine can enforce, by trying it. It takes some
// tens of milliseconds the first time, and is remembered.
var Probe = sync.OnceValue(probe)
