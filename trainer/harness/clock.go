package harness

import (
	"runtime"
	"syscall"
	"time"
)

// startAllowance bounds what is taken off for the harness's own start, in
// CPU time: a program cannot make the harness's start longer than this.
const startAllowance = time.Second

// clock charges a run for CPU time: what this process and its ended children
// have used since exec, less the harness's own start, divided by the cores of
// the slot. It starts where an earlier process of the same run left off.
type clock struct {
	cores   int
	carried time.Duration // charged to earlier processes of this run
	free    time.Duration // CPU time of the harness's start, up to startAllowance
	mark    time.Duration // CPU time when the current free section began
	cpu     func() time.Duration
}

// newClock returns a clock that does not charge until endFree is called.
// What ran before it, such as a program's init functions, is charged.
func newClock() *clock {
	c := &clock{cores: 1, cpu: processCPU}
	c.beginFree()
	return c
}

func (c *clock) beginFree() { c.mark = c.cpu() }

func (c *clock) endFree() { c.free = min(c.free+c.cpu()-c.mark, startAllowance) }

// charged returns the time charged to the run so far.
func (c *clock) charged() time.Duration {
	return c.carried + (c.cpu()-c.free)/time.Duration(c.cores)
}

// processCPU returns user and system time of this process and of its children
// that have ended.
func processCPU() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil { // fails only for a bad who
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}

// peakMemory returns the most memory this process has had resident, in bytes.
func peakMemory() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return int64(u.Maxrss)
	}
	return int64(u.Maxrss) << 10
}
