//go:build !linux

package sandbox

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Outside Linux the process table comes from ps, there is no parent-death
// signal, and environments are not read: a process that leaves its group and
// loses its parent escapes. Good enough to try things on a laptop.

func processAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func limitResources(int) {}

func processes() ([]process, error) {
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,pgid=,stat=,time=").Output()
	if err != nil {
		return nil, err
	}
	var table []process
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) != 5 {
			continue
		}
		var n [3]int
		for i := range n {
			n[i], _ = strconv.Atoi(f[i])
		}
		table = append(table, process{pid: n[0], parent: n[1], group: n[2], self: cpuTime(f[4]), zombie: f[3][0] == 'Z'})
	}
	return table, nil
}

// cpuTime reads [[hours:]minutes:]seconds.
func cpuTime(text string) time.Duration {
	var sum float64
	for part := range strings.SplitSeq(text, ":") {
		v, _ := strconv.ParseFloat(part, 64)
		sum = 60*sum + v
	}
	return time.Duration(sum * float64(time.Second))
}

func carries(int, string) bool { return false }

func memoryOf(pid int) int64 {
	out, err := exec.Command("ps", "-o", "rss=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return 0
	}
	kib, _ := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	return kib << 10
}

func unnamedFiles(int, map[inode]int64) {}

func peakOf(state *os.ProcessState) int64 {
	if u, ok := state.SysUsage().(*syscall.Rusage); ok {
		return int64(u.Maxrss) // bytes on macOS
	}
	return 0
}

func oomKills() int64 { return 0 }

// TotalMemory is the memory of this machine; 0 when it cannot be told.
func TotalMemory() int64 { return 0 }

// stage is the launcher, which only Linux has.
type stage struct{}

func (*stage) begin() error        { return nil }
func (*stage) stays() bool         { return false }
func (*stage) own() time.Duration  { return 0 }
func (*stage) used() time.Duration { return 0 }
func (*stage) close()              {}
func (*stage) refused() (kills, forks int64, known bool) {
	return 0, 0, false
}
func (*stage) end(state *os.ProcessState) syscall.WaitStatus {
	status, _ := state.Sys().(syscall.WaitStatus)
	return status
}
