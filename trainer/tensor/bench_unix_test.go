//go:build unix

package tensor

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// cpuTime is what this process has used so far: unlike wall time it says
// little less on a busy machine.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkStep is a whole training step: forward, backward and AdamW, at the
// default size and at a larger one.
func BenchmarkStep(b *testing.B) {
	for _, size := range []struct{ l, c, nh, t, b, v int }{{2, 128, 4, 256, 8, 256}, {4, 256, 4, 256, 8, 4096}} {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("L=%d/C=%d/V=%d/threads=%d", size.l, size.c, size.v, threads), func(b *testing.B) {
				d := openTest(b, Config{Threads: threads})
				benchmarkStep(b, newGPT(d, size.l, size.c, size.nh, size.t, size.b, size.v))
			})
		}
	}
}

func benchmarkStep(b *testing.B, m *gpt) { benchmarkSteps(b, m, m.train) }

func benchmarkSteps(b *testing.B, m *gpt, train func(ids, targets []int32) float32) {
	rng := rand.New(rand.NewPCG(3, 4))
	x, y := batch(rng, m.B*m.T, m.V)
	train(x, y)
	b.ReportAllocs()
	start := cpuTime()
	for b.Loop() {
		train(x, y)
	}
	n := float64(b.N * m.B * m.T)
	b.ReportMetric(n/(cpuTime()-start).Seconds(), "tokens/cpu-s")
	b.ReportMetric(n/b.Elapsed().Seconds(), "tokens/s")
	b.ReportMetric(float64(m.dev.PeakBytes())/(1<<20), "MiB")
}

// BenchmarkForward compares the executor of a graph with the eager forward
// pass it was traced from.
func BenchmarkForward(b *testing.B) {
	d := openTest(b, Config{Threads: 2})
	m := newGPT(d, 2, 128, 4, 256, 8, 256)
	x, _ := batch(rand.New(rand.NewPCG(3, 4)), m.B*m.T, m.V)
	ids := func() *Tensor { return d.Ints(x, m.B, m.T) }
	g, err := d.Trace(ids(), m.logits)
	if err != nil {
		b.Fatal(err)
	}
	report := func(b *testing.B, f func()) {
		f()
		start := cpuTime()
		for b.Loop() {
			f()
		}
		b.ReportMetric((cpuTime()-start).Seconds()*1e3/float64(b.N), "cpu-ms")
	}
	b.Run("eager", func(b *testing.B) {
		report(b, func() {
			d.Reset()
			d.NoGrad(func() { m.logits(ids()) })
		})
	})
	b.Run("graph", func(b *testing.B) {
		report(b, func() {
			if _, err := g.Run(d, x); err != nil {
				b.Fatal(err)
			}
		})
		b.ReportMetric(float64(4*g.plan().floats)/(1<<20), "MiB")
	})
}
