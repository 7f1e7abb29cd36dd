//go:build !linux

package cluster

import "syscall"

// processStart is empty where /proc does not exist: adoption then rests on the
// lock and on the health check.
func processStart(int) string { return "" }

// buildAttr puts the go command in a process group of its own, so that the
// compilers end with it.
func buildAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
