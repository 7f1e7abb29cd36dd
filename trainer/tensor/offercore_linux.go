package tensor

import "syscall"

// offerCore lets another thread have the core, if one waits for it. It is no
// syscall to Go's scheduler, which would start a thread to stand in.
func offerCore() { _, _, _ = syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0) }
