package health

import (
	"errors"
	"strings"
	"time"
)

// Patience bounds each look at a GPU. One takes milliseconds; the first one of a
// driver that keeps no state between its users takes seconds.
const Patience = 20 * time.Second

var (
	// ErrNotBuilt is what Open returns without the build tag cuda.
	ErrNotBuilt = errors.New("this program was built without CUDA: build it with make cuda")
	// ErrSilent says that the driver does not answer.
	ErrSilent = errors.New("the NVIDIA driver does not answer")
	// ErrLost says that a GPU does not answer any more, by the driver's own words.
	ErrLost = errors.New("the GPU is lost: it has fallen off its bus, or the driver has given it up")
	// ErrUnknown says that there is no GPU of this UUID, or not any more.
	ErrUnknown = errors.New("the driver knows no such GPU")
)

// GPU is one that the driver knows, whether or not this process may use it.
type GPU struct {
	UUID string   `json:"uuid"`
	Name string   `json:"name"`
	MIG  []string `json:"mig,omitempty"` // UUIDs of its MIG devices; where there are some the GPU itself cannot be used
	// Divided: MIG is on, whether or not there is a device.
	Divided bool `json:"divided,omitempty"`
}

// Process is one that has a context on a GPU.
type Process struct {
	PID   int    `json:"pid"`
	Name  string `json:"name,omitempty"` // as far as this machine tells
	Bytes int64  `json:"bytes"`          // of the GPU's memory; 0 where that is not told
}

// Snapshot is one look at a GPU. What a GPU does not tell is zero.
type Snapshot struct {
	UUID      string    `json:"uuid"`
	Parent    string    `json:"parent,omitempty"` // of a MIG device: the GPU that it is a part of
	Used      int64     `json:"used_bytes"`
	Total     int64     `json:"total_bytes"`
	Processes []Process `json:"processes,omitempty"`

	ECC          int64 `json:"ecc_uncorrectable,omitempty"` // since the GPU was last reset
	RemapPending bool  `json:"remap_pending,omitempty"`     // a bad row of memory is replaced at the next reset
	RemapFailed  bool  `json:"remap_failed,omitempty"`      // there is no row left to replace it with
	Retiring     bool  `json:"retiring,omitempty"`          // older GPUs: a page is retired at the next reset
	Xids         []Xid `json:"xids,omitempty"`              // reported since the Monitor was opened, the last few

	Held     Held    `json:"held,omitempty"` // what holds the clock back
	Idle     bool    `json:"idle,omitempty"` // nothing runs on it: its clock says nothing
	ClockMHz int     `json:"clock_mhz"`      // of the multiprocessors
	MaxMHz   int     `json:"max_clock_mhz"`
	TempC    int     `json:"temperature_c"`
	Watts    float64 `json:"watts"`
}

// Xid is an error that the driver reported of a GPU.
type Xid struct {
	Code int       `json:"code"`
	At   time.Time `json:"at"`
}

// Held is a set of reasons for a clock that is lower than it could be.
type Held uint16

// The reasons that count. That a GPU reaches its power limit (PowerCap) is the
// normal state of one that works hard, and no reason to distrust a run.
const (
	Thermal    Held = 1 << iota // too hot
	Hardware                    // the board asks for it: heat, or its power supply
	PowerBrake                  // the power supply asks for it
	PowerCap                    // it draws as much as it may
)

// Back says whether the GPU is held back by something that is wrong.
func (h Held) Back() bool { return h&(Thermal|Hardware|PowerBrake) != 0 }

func (h Held) String() string {
	var parts []string
	for i, name := range []string{"heat", "its board (hardware slowdown)", "its power supply (power brake)", "its power limit"} {
		if h&(1<<i) != 0 {
			parts = append(parts, name)
		}
	}
	return strings.Join(parts, ", ")
}

// Free is the memory that nobody has.
func (s Snapshot) Free() int64 { return max(0, s.Total-s.Used) }

// Warning is what somebody should look after although the GPU works; "" is
// nothing.
func (s Snapshot) Warning() string {
	var parts []string
	if s.RemapPending {
		parts = append(parts, "a bad row of its memory waits for a reset of the GPU to be replaced")
	}
	if s.Retiring {
		parts = append(parts, "a bad page of its memory waits for a reset of the GPU to be retired")
	}
	if s.Held.Back() {
		parts = append(parts, "it is held back by "+(s.Held&^PowerCap).String())
	}
	return strings.Join(parts, "; ")
}
