package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// processAttr gives the program a process group of its own, so that a Ctrl-C
// meant for us does not reach it, and its death with ours.
func processAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// limitResources forbids core dumps: a trainer's is gigabytes. It is the
// program's first milliseconds that are not covered, and no harm comes of it.
func limitResources(pid int) {
	_ = unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil)
}

// clockTick is the unit of CPU time in /proc: USER_HZ, 100 on every Linux that Go runs on.
const clockTick = time.Second / 100

// processes reads the process table.
func processes() ([]process, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var table []process
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // it ended meanwhile
		}
		if p, ok := parseStat(pid, stat); ok {
			table = append(table, p)
		}
	}
	return table, nil
}

// parseStat reads a line of /proc/PID/stat, see proc(5). The second field is
// the command's name in parentheses and may hold anything, so the fields are
// counted from the last parenthesis: the state, field 3, is f[0].
func parseStat(pid int, stat []byte) (process, bool) {
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(f) < 20 {
		return process{}, false
	}
	number := func(field int) int {
		n, _ := strconv.Atoi(f[field-3])
		return n
	}
	return process{
		pid: pid, parent: number(4), group: number(5), start: f[22-3],
		self:   time.Duration(number(14)+number(15)) * clockTick,
		waited: time.Duration(number(16)+number(17)) * clockTick,
		zombie: f[0] == "Z" || f[0] == "X", threads: number(20),
	}, true
}

// carries reports whether an entry of the process's environment starts with
// mark. Other users' environments cannot be read, and their processes are not ours.
func carries(pid int, mark string) bool {
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return false
	}
	return bytes.HasPrefix(env, []byte(mark)) || bytes.Contains(env, []byte("\x00"+mark))
}

// memoryOf returns the bytes that a process holds itself: the pages of mapped
// files, such as the training data, can be dropped and do not count.
func memoryOf(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	var sum int64
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		if name == "RssAnon" || name == "RssShmem" {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			sum += kib << 10
		}
	}
	return sum
}

// unnamedFiles adds the process's open files that have been removed: they take
// space, and no walk finds them.
func unnamedFiles(pid int, files map[inode]int64) {
	dir := fmt.Sprintf("/proc/%d/fd/", pid)
	entries, _ := os.ReadDir(dir) // it may have ended
	for _, e := range entries {
		var st unix.Stat_t
		if unix.Stat(dir+e.Name(), &st) == nil && st.Nlink == 0 && st.Mode&unix.S_IFMT == unix.S_IFREG {
			files[inode{st.Dev, st.Ino}] = st.Blocks * 512
		}
	}
}

// peakOf is the most that an ended process, or one it waited for, had resident.
func peakOf(state *os.ProcessState) int64 {
	if u, ok := state.SysUsage().(*syscall.Rusage); ok {
		return int64(u.Maxrss) << 10
	}
	return 0
}

// oomKills is how often the kernel has killed for want of memory, in any cgroup.
func oomKills() int64 {
	stat, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), "\noom_kill ")
	value, _, _ := strings.Cut(rest, "\n")
	n, _ := strconv.ParseInt(value, 10, 64)
	return n
}

// TotalMemory is the memory of this machine, or of the cgroup that we are in;
// 0 when it cannot be told.
func TotalMemory() int64 {
	var info unix.Sysinfo_t
	total := int64(0)
	if unix.Sysinfo(&info) == nil {
		total = int64(info.Totalram) * int64(info.Unit)
	}
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && limit > 0 && limit < total {
			total = limit
		}
	}
	return total
}
