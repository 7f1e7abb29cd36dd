package harness

import (
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// memoryGuard ends the process when it uses more memory than --memory allows,
// before the kernel does so without a word. It looks on its own, many times
// within a step, because one step of a model that is too big may be enough.
type memoryGuard struct {
	done chan struct{}
	once sync.Once
}

func watchMemory(limit int64, exceeded func(*Failure)) *memoryGuard {
	g := &memoryGuard{done: make(chan struct{})}
	if limit == 0 {
		return g
	}
	debug.SetMemoryLimit(limit)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-g.done:
				return
			case <-tick.C:
			}
			if used := memoryUsed(); used > limit {
				exceeded(failuref(ReasonOOM, "the trainer uses %d MiB and may use %d MiB; a smaller batch, context or model may help", used>>20, limit>>20))
				return
			}
		}
	}()
	return g
}

func (g *memoryGuard) stop() { g.once.Do(func() { close(g.done) }) }

// memoryUsed returns the bytes that the Go runtime holds from the system.
func memoryUsed() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() - s[1].Value.Uint64())
}
