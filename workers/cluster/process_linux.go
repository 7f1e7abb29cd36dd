package cluster

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// processStart identifies a process beyond its pid, which the system may give
// to another process later: the boot's id and the process's start in clock
// ticks since that boot. engine/process_linux.go computes the same string;
// change both or neither.
func processStart(pid int) string {
	fields := statOf(pid)
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || len(fields) < 20 {
		return ""
	}
	return strings.TrimSpace(string(boot)) + ":" + fields[19]
}

// exited says whether a process has ended: files that it had open are closed.
// One that nobody has waited for yet has ended too.
func exited(pid int, started string) bool {
	fields := statOf(pid)
	return processStart(pid) != started || len(fields) == 0 || fields[0] == "Z"
}

// statOf returns the fields of /proc/<pid>/stat from the third on, or none. The
// second is the command's name in parentheses and may hold spaces, so it counts
// from the last parenthesis: the state is field 0, the start time field 19.
func statOf(pid int) []string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
}

// buildAttr puts the go command in a process group of its own, so that the
// compilers end with it, and ends it when we die, so that the next start does
// not build beside it.
func buildAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
