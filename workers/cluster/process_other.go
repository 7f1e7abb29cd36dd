//go:build !linux

package cluster

import (
	"errors"
	"syscall"
)

// processStart is empty where /proc does not exist: adoption then rests on the
// lock and on the health check.
func processStart(int) string { return "" }

// exited says whether a process has ended.
func exited(pid int, _ string) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// buildAttr puts the go command in a process group of its own, so that the
// compilers end with it.
func buildAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
