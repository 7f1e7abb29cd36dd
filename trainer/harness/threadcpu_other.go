//go:build !linux

package harness

import "time"

var threadStart = time.Now()

// threadCPU stands in for the CPU time of a thread: elapsed time, which is more
// and so errs on the side of fewer checkpoints.
func threadCPU() time.Duration { return time.Since(threadStart) }
