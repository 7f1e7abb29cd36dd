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
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	// The second field is the command's name in parentheses and may hold
	// spaces, so count from the last parenthesis: start time is field 22.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return ""
	}
	return strings.TrimSpace(string(boot)) + ":" + fields[19]
}

// buildAttr puts the go command in a process group of its own, so that the
// compilers end with it, and ends it when we die, so that the next start does
// not build beside it.
func buildAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
