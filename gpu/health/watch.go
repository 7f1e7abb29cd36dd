package health

import (
	"fmt"
	"slices"
	"time"
)

// Limits say when a run does not count.
type Limits struct {
	Throttled float64 // at most this share of the samples may find the GPU held back
	Clock     float64 // at least this share of the usual clock
	Samples   int     // fewer samples say nothing about the clock
}

// DefaultLimits: a tenth of the time held back costs a run more than the noise
// of its score; the clock falls by a third between the lightest and the heaviest
// load at the power limit, so only half of the usual one says that something is
// wrong.
var DefaultLimits = Limits{Throttled: 0.1, Clock: 0.5, Samples: 5}

// Watch is what was seen of a GPU during one run. The zero value has seen
// nothing. It is not safe for concurrent use.
type Watch struct {
	Samples   int
	Throttled int // samples in which the GPU was held back
	Held      Held
	clocks    []int // of samples in which it worked
	allClocks []int
	maxTemp   int
	watts     float64
	peak      int64
	before    int64 // memory in use before the run began
}

// NewWatch begins from a look before the run.
func NewWatch(before Snapshot) *Watch { return &Watch{before: before.Used} }

// Add takes a sample in. ours tells the processes of the run; nil is all of them.
func (w *Watch) Add(s Snapshot, ours func(pid int) bool) {
	w.Samples++
	if s.Held.Back() {
		w.Throttled++
		w.Held |= s.Held &^ PowerCap
	}
	if s.ClockMHz > 0 {
		w.allClocks = append(w.allClocks, s.ClockMHz)
		if !s.Idle {
			w.clocks = append(w.clocks, s.ClockMHz)
		}
	}
	w.maxTemp = max(w.maxTemp, s.TempC)
	w.watts += s.Watts
	w.peak = max(w.peak, w.held(s, ours))
}

// held is the memory of the run: what its processes are said to have, or, where
// that is not said, what is in use beyond what was before.
func (w *Watch) held(s Snapshot, ours func(pid int) bool) int64 {
	var sum int64
	for _, p := range s.Processes {
		if ours == nil || ours(p.PID) {
			sum += p.Bytes
		}
	}
	if sum == 0 {
		sum = max(0, s.Used-w.before)
	}
	return sum
}

// Share is that of the samples in which the GPU was held back.
func (w *Watch) Share() float64 {
	if w.Samples == 0 {
		return 0
	}
	return float64(w.Throttled) / float64(w.Samples)
}

// Clock is the median clock in MHz while the GPU worked; 0 where that is not known.
func (w *Watch) Clock() int {
	if len(w.clocks) > 0 {
		return median(w.clocks)
	}
	return median(w.allClocks)
}

// MinClock is the lowest one.
func (w *Watch) MinClock() int {
	if len(w.allClocks) == 0 {
		return 0
	}
	if len(w.clocks) > 0 {
		return slices.Min(w.clocks)
	}
	return slices.Min(w.allClocks)
}

// MaxTemp is in degrees Celsius.
func (w *Watch) MaxTemp() int { return w.maxTemp }

// Watts is the mean power.
func (w *Watch) Watts() float64 { return w.watts / float64(max(1, w.Samples)) }

// PeakBytes is the most memory that the run was seen to hold.
func (w *Watch) PeakBytes() int64 { return w.peak }

// Hopeless says that a run of so long is void already, however it goes on.
func (w *Watch) Hopeless(l Limits, lasts time.Duration) bool {
	whole := max(w.Samples, int(lasts/time.Second), 10)
	return float64(w.Throttled) > l.Throttled*float64(whole)
}

// Void says why the run does not count, or "": usual is the clock that runs have
// on this GPU, 0 if that is not known yet.
func (w *Watch) Void(l Limits, usual int) string {
	switch clock := w.Clock(); {
	case w.Share() > l.Throttled:
		return fmt.Sprintf("the GPU was held back by %s in %d of %d samples, up to %d °C", w.Held, w.Throttled, w.Samples, w.maxTemp)
	case usual > 0 && len(w.clocks) >= l.Samples && float64(clock) < l.Clock*float64(usual):
		return fmt.Sprintf("the GPU ran at %d MHz, and usually runs at %d", clock, usual)
	}
	return ""
}

func median(all []int) int {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// usualRuns is how many good runs say what is usual, at least and at most.
const (
	usualRuns = 3
	usualKept = 15
)

// Usual is the memory of a GPU's good runs.
type Usual struct {
	Clocks []int   `json:"clocks_mhz,omitempty"` // medians of the last good runs
	TFLOPS float64 `json:"tflops,omitempty"`     // the best that a self-test has measured
}

// Clock is the usual one; 0 while too few runs are known.
func (u Usual) Clock() int {
	if len(u.Clocks) < usualRuns {
		return 0
	}
	return median(u.Clocks)
}

// Add takes a good run in.
func (u *Usual) Add(clock int) {
	if clock > 0 {
		u.Clocks = append(u.Clocks, clock)
		u.Clocks = u.Clocks[max(0, len(u.Clocks)-usualKept):]
	}
}

// slowTest is the share of its own best that a self-test must reach.
const slowTest = 0.7

// Tested takes a self-test in and returns a warning, or "".
func (u *Usual) Tested(tflops float64) string {
	best := u.TFLOPS
	u.TFLOPS = max(best, tflops)
	if tflops < slowTest*best {
		return fmt.Sprintf("the self-test reaches %.1f TFLOP/s, and has reached %.1f before", tflops, best)
	}
	return ""
}
