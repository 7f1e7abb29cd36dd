package health

import (
	"errors"
	"fmt"
	"strings"
)

// State is what a look at a GPU means for the work on it.
type State string

// The states, from good to bad.
const (
	Healthy State = "healthy"
	Busy    State = "busy" // somebody else has it, or it is too hot: it comes back by itself
	Sick    State = "sick" // it gives wrong results or none: somebody has to look after it
	Lost    State = "lost" // it is gone, and its host is suspect
)

// Verdict is a State with its reason, for people.
type Verdict struct {
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"` // "" for Healthy
}

// OK says whether work may begin.
func (v Verdict) OK() bool { return v.State == Healthy }

func verdict(s State, format string, args ...any) Verdict {
	return Verdict{s, fmt.Sprintf(format, args...)}
}

// Whose fault an Xid is. What is in neither list says nothing by itself: the run
// that it belongs to fails or does not.
var (
	sickXids = map[int]string{48: "a double-bit memory error", 94: "a contained memory error", 95: "an uncontained memory error"}
	jobXids  = map[int]string{13: "a fault of the program", 31: "an illegal address of the program", 43: "a program that was stopped"}
)

const lostXid = 79 // the GPU has fallen off the bus

// JobFault says whether an Xid blames the program that ran.
func JobFault(xid int) bool { return jobXids[xid] != "" }

// Lasting is what is wrong with a GPU whatever runs on it: Healthy, Sick or Lost.
func (s Snapshot) Lasting() Verdict {
	for _, x := range s.Xids {
		if x.Code == lostXid {
			return verdict(Lost, "Xid %d: the GPU has fallen off its bus; the host needs a reboot", x.Code)
		}
	}
	for _, x := range s.Xids {
		if what := sickXids[x.Code]; what != "" {
			return verdict(Sick, "Xid %d: %s; the GPU needs a reset (nvidia-smi --gpu-reset)", x.Code, what)
		}
	}
	switch {
	case s.RemapFailed:
		return verdict(Sick, "a bad row of its memory cannot be replaced: the GPU has to be exchanged")
	case s.ECC > 0:
		return verdict(Sick, "%d uncorrectable memory errors (ECC) since the last reset; the GPU needs a reset (nvidia-smi --gpu-reset)", s.ECC)
	}
	return Verdict{State: Healthy}
}

// Judge says whether a run may begin: ours are the processes of this slot, which
// nil has none of; need is how much free memory it wants.
func (s Snapshot) Judge(ours func(pid int) bool, need int64) Verdict {
	if v := s.Lasting(); !v.OK() {
		return v
	}
	if foreign := s.Foreign(ours); len(foreign) > 0 {
		return verdict(Busy, "the GPU is busy with %s", names(foreign))
	}
	if s.Held.Back() {
		return verdict(Busy, "the GPU is held back by %s, %d °C", s.Held&^PowerCap, s.TempC)
	}
	// Memory in use that no process is named for: somebody outside our container.
	if need > 0 && s.Total > 0 && s.Free() < need {
		return verdict(Busy, "the GPU has %d of %d MiB of memory in use, by nobody that the driver names", s.Used>>20, s.Total>>20)
	}
	return Verdict{State: Healthy}
}

// Foreign are the processes that are not ours.
func (s Snapshot) Foreign(ours func(pid int) bool) []Process {
	var out []Process
	for _, p := range s.Processes {
		if ours == nil || !ours(p.PID) {
			out = append(out, p)
		}
	}
	return out
}

// names is "process 4711 (python3), 18000 MiB, and 2 others".
func names(all []Process) string {
	p := all[0]
	for _, other := range all {
		if other.Bytes > p.Bytes {
			p = other
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "process %d", p.PID)
	if p.Name != "" {
		fmt.Fprintf(&b, " (%s)", p.Name)
	}
	if p.Bytes > 0 {
		fmt.Fprintf(&b, ", %d MiB", p.Bytes>>20)
	}
	if n := len(all) - 1; n > 0 {
		fmt.Fprintf(&b, ", and %d more", n)
	}
	return b.String()
}

// Unseen is what it means that a GPU could not be looked at.
func Unseen(err error) Verdict {
	switch {
	case err == nil:
		return Verdict{State: Healthy}
	case errors.Is(err, ErrLost):
		return verdict(Lost, "%v; the host needs a reboot", ErrLost)
	case errors.Is(err, ErrUnknown):
		return verdict(Sick, "the GPU is gone, or MIG was changed: the driver knows no such UUID any more; start the worker again when it is as it should be")
	case errors.Is(err, ErrSilent):
		return verdict(Sick, "%v", ErrSilent)
	}
	return verdict(Sick, "the driver cannot say how the GPU is: %v", err)
}
