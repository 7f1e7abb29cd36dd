package race

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// What Linux says of processes. A file that cannot be read counts as nothing:
// the tables then show zeros.

const tick = 10 * time.Millisecond // of the clocks in /proc

// cpuTime is what all threads of a process have used.
func cpuTime(pid int) time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ") // the name may hold spaces
	return ticks(strings.Fields(rest), 11, 12)    // utime, stime
}

// busyTime is what all CPUs have worked, for anybody.
func busyTime() time.Duration {
	text, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(text), "\n")
	return ticks(strings.Fields(line), 1, 2, 3, 6, 7, 8) // all but idle and waiting
}

func ticks(fields []string, at ...int) (sum time.Duration) {
	for _, i := range at {
		if i < len(fields) {
			n, _ := strconv.Atoi(fields[i])
			sum += time.Duration(n) * tick
		}
	}
	return sum
}

// resident returns a line of a process's status in bytes: VmRSS, or VmHWM for
// the most there was since resetPeak.
func resident(pid int, key string) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}

// resetPeak makes VmHWM start anew.
func resetPeak(pid int) { _ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0) }

// CPUInfo returns a line of /proc/cpuinfo.
func CPUInfo(key string) string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return "unknown " + runtime.GOARCH
}
