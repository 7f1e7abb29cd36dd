package harness

import (
	"syscall"
	"time"
)

// rusageThread asks for the calling thread alone (RUSAGE_THREAD).
const rusageThread = 1

// threadCPU returns the CPU time that the calling thread has used. A goroutine
// that measures itself is locked to its thread.
func threadCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(rusageThread, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
