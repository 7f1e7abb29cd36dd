package harness

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// A clock charges a run for what it uses, and starts where an earlier process of
// the same run left off. What is used is counted from exec on, whatever ran
// before main; something is taken off for the start.
//
// On a CPU that is CPU time of this process and of its children that have ended,
// divided by the cores of the slot. The harness's own start is taken off, up to
// startAllowance: a program cannot make it longer than that. NewModel is charged.
//
// On a GPU it is wall time, since the GPU does the work and nobody shares it. A
// start takes seconds there that say nothing about the program: the driver makes
// a context, kernels are compiled or loaded at their first use, algorithms for
// products are chosen, memory is taken, the weights are drawn and copied. So
// taken off is the time until the first Next, plus what the first step of the
// process takes longer than the second, up to gpuAllowance in all. What is left
// of the allowance by then is lost. Until the second step has ended all time
// passes for start, so that what is charged never falls.
type clock struct {
	cores   int
	wall    bool          // the GPU's: used is wall time
	carried time.Duration // charged to earlier processes of this run
	free    time.Duration // of the start, up to the allowance
	mark    time.Duration // what was used when the current free section began
	used    func() time.Duration

	starting bool             // on a GPU, until the second step has ended
	steps    [3]time.Duration // and when there the loop began, and the first steps ended
	ended    int              // how many of these there are
}

// What is taken off for the start at most. activities/target/train.go has the same.
const (
	startAllowance = time.Second      // of CPU time
	gpuAllowance   = 10 * time.Second // of wall time, for a process that uses a GPU
)

// newClock returns a clock that does not charge until endFree is called.
// What ran before it, such as a program's init functions, is charged.
func newClock() *clock {
	c := &clock{cores: 1, used: processCPU}
	c.beginFree()
	return c
}

// onGPU makes it a GPU's, from exec on.
func (c *clock) onGPU() {
	c.wall, c.starting, c.free, c.used = true, true, 0, sinceExec()
}

func (c *clock) beginFree() { c.mark = c.used() }

func (c *clock) endFree() {
	if !c.wall {
		c.free = min(c.free+c.used()-c.mark, startAllowance)
	}
}

// loopBegins and stepEnds tell a GPU's clock how far the start is. When the second
// step has ended it knows what the start took.
func (c *clock) loopBegins() { c.steps[0], c.ended = c.used(), 1 }

func (c *clock) stepEnds() {
	if !c.starting || c.ended == 0 {
		return
	}
	c.steps[c.ended] = c.used()
	if c.ended++; c.ended == len(c.steps) {
		first, second := c.steps[1]-c.steps[0], c.steps[2]-c.steps[1]
		c.free, c.starting = min(c.steps[0]+max(0, first-second), gpuAllowance), false
	}
}

// charged returns the time charged to the run so far.
func (c *clock) charged() time.Duration {
	used := c.used()
	switch {
	case c.starting:
		return c.carried + max(0, used-gpuAllowance)
	case c.wall:
		return c.carried + used - c.free
	}
	return c.carried + (used-c.free)/time.Duration(c.cores)
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

// loaded is when this package was: as early as we can tell where the system does
// not say.
var loaded = time.Now()

// sinceExec returns a clock of the wall time since this process was started.
func sinceExec() func() time.Duration {
	begin := loaded
	if age, ok := processAge(); ok {
		begin = time.Now().Add(-age)
	}
	return func() time.Duration { return time.Since(begin) }
}

// processAge is how long ago the process was started, to a tick of the kernel's
// (10 ms): both times count from the start of the machine.
func processAge() (time.Duration, bool) {
	stat, err := os.ReadFile("/proc/self/stat")
	up, upErr := os.ReadFile("/proc/uptime")
	if err != nil || upErr != nil {
		return 0, false
	}
	const field, first = 22, 3 // starttime; the first after the name in parentheses
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	seconds, _, _ := bytes.Cut(up, []byte(" "))
	now, err := strconv.ParseFloat(string(seconds), 64)
	if len(fields) <= field-first || err != nil {
		return 0, false
	}
	ticks, err := strconv.ParseFloat(string(fields[field-first]), 64)
	age := time.Duration((now - ticks/100) * float64(time.Second))
	return max(0, age), err == nil && age < time.Hour
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
