//go:build unix

package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// product is one matrix product of a training step.
type product struct {
	name         string
	m, n, k      int
	aCols, bCols bool // the operand is stored transposed
	batch        int  // attention: one product per head, spread over threads
}

// products lists those of a model with B*T rows at once: the layers forward,
// backward to the input and to the weight, the head, and attention's blocks.
func products(rows, c, v, t, d int) []product {
	var l []product
	linear := func(name string, out, in int) {
		l = append(l,
			product{name: name, m: rows, n: out, k: in, bCols: true},
			product{name: "d" + name + "/x", m: rows, n: in, k: out},
			product{name: "d" + name + "/w", m: out, n: in, k: rows, aCols: true})
	}
	linear("qkvo", c, c)
	linear("up", 4*c, c)
	linear("down", c, 4*c)
	linear("head", v, c)
	heads, b := rows/t*(c/d), attnBlock
	return append(l,
		product{name: "attn/qk", m: b, n: t, k: d, bCols: true, batch: heads},
		product{name: "attn/pv", m: b, n: d, k: t, batch: heads},
		product{name: "dattn/v", m: t, n: d, k: b, aCols: true, batch: heads})
}

// randomMats are n random matrices [r,c], stored transposed if cols.
func randomMats(rng *rand.Rand, n, r, c int, cols bool) operand {
	x := make([]float32, n*r*c)
	for i := range x {
		x[i] = rng.Float32() - 0.5
	}
	if cols {
		return mats(x, r*c, r, true)
	}
	return mats(x, r*c, c, false)
}

// BenchmarkGemm times every product of a training step at the sizes of the
// documentation, in turns with the peak of multiply-adds on as many threads.
// It reports the median share of the peak: per product in the log (-v), over
// all of them the geometric mean and the least. cpu-% is by CPU time, which
// says the same on a busy machine, but does not see a thread that waits.
func BenchmarkGemm(b *testing.B) {
	for _, size := range []struct {
		name             string
		rows, c, v, t, d int
	}{{"depth2", 2048, 128, 256, 256, 32}, {"depth4", 2048, 256, 4096, 256, 64}, {"depth8", 2048, 512, 8192, 512, 64}} {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/threads=%d", size.name, threads), func(b *testing.B) {
				benchmarkProducts(b, threads, products(size.rows, size.c, size.v, size.t, size.d))
			})
		}
	}
}

func benchmarkProducts(b *testing.B, threads int, list []product) {
	d := openTest(b, Config{Threads: threads})
	for range b.N {
		var wall, cpu []float64
		for _, p := range list {
			w, c, rate := shares(d, p)
			b.Logf("%-10s %5d x %5d x %5d  %5.1f %% of peak by wall, %5.1f %% by CPU time, %4.0f GFLOP/s", p.name, p.m, p.n, p.k, w, c, rate)
			wall, cpu = append(wall, w), append(cpu, c)
		}
		b.ReportMetric(geomean(wall), "geomean-%")
		b.ReportMetric(slices.Min(wall), "min-%")
		b.ReportMetric(geomean(cpu), "geomean-cpu-%")
		b.ReportMetric(slices.Min(cpu), "min-cpu-%")
		b.ReportMetric(0, "ns/op")
	}
}

// shares measures one product: its rate as shares of the peak.
func shares(d *Device, p product) (wall, byCPU, gflops float64) {
	rng := rand.New(rand.NewPCG(1, 2))
	n := max(p.batch, 1)
	a, b := randomMats(rng, n, p.m, p.k, p.aCols), randomMats(rng, n, p.k, p.n, p.bCols)
	c := make([]float32, n*p.m*p.n)
	work := func() { d.gemmBatch(n, p.m, p.n, p.k, a, b, c, false) }
	peak := func() {
		d.pool.split(d.pool.n, d.pool.n, func(int, int, int) { d.kern.PeakWork(4000) })
	}
	flops, peakFlops := 2*float64(n*p.m*p.n*p.k), d.kern.PeakWork(1)*4000*float64(d.pool.n)
	times := max(1, int(1e9/flops)) // some 5 ms
	var rates, walls, cpus []float64
	for range 9 {
		pw, pc := clock(peak)
		w, c := clock(func() {
			for range times {
				work()
			}
		})
		work, top := flops*float64(times), peakFlops
		walls = append(walls, 100*work/w/(top/pw))
		cpus = append(cpus, 100*work/c/(top/pc)) // both sum over threads
		rates = append(rates, work/w/1e9)
	}
	return median(walls), median(cpus), median(rates)
}

// clock gives the wall and CPU seconds of f.
func clock(f func()) (wall, cpu float64) {
	c, w := cpuTime(), time.Now()
	f()
	return time.Since(w).Seconds(), (cpuTime() - c).Seconds()
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

func geomean(x []float64) float64 {
	var s float64
	for _, v := range x {
		s += math.Log(v)
	}
	return math.Exp(s / float64(len(x)))
}
