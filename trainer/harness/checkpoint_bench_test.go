package harness

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What a checkpoint costs at the sizes of the knob Depth: the copy between two
// steps, all CPU time, and its share of saveEvery on two cores. The floats are
// those of weights and optimizer together.
//
//	go test ./trainer/harness -run - -bench Checkpoint -benchtime 5x
func BenchmarkCheckpoint(b *testing.B) {
	for _, size := range []struct {
		name   string
		floats int
	}{
		{"depth2-V256", 1_200_000},
		{"depth4-V4096", 19_000_000},
		{"depth8-V8192", 126_000_000},
	} {
		b.Run(size.name, func(b *testing.B) {
			r := benchRun(b, size.floats)
			b.SetBytes(4 * int64(size.floats))
			var copying, disk time.Duration
			before := r.saver.total
			for b.Loop() {
				r.step++
				if err := r.save(); err != nil {
					b.Fatal(err)
				}
				copying += r.saver.cost
				start := time.Now()
				if err := r.collect(true); err != nil {
					b.Fatal(err)
				}
				disk += time.Since(start)
			}
			n, cores := float64(b.N), float64(r.opts.cores)
			cpu := (r.saver.total - before).Seconds() * cores / n
			b.ReportMetric(1e3*copying.Seconds()*cores/n, "copy-ms/op")
			b.ReportMetric(1e3*disk.Seconds()/n, "behind-ms/op")
			b.ReportMetric(1e3*cpu, "cpu-ms/op")
			b.ReportMetric(100*cpu/cores/saveEvery.Seconds(), "%of5s")
			b.ReportMetric(cpu/cores/saveShare, "s-apart")
		})
	}
}

// benchRun is a run in its loop, with a model of that many floats.
func benchRun(b testing.TB, floats int) *Run {
	b.Helper()
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "train.bin"), make([]byte, 1<<16), 0o644); err != nil {
		b.Fatal(err)
	}
	r, err := newRun(newClock(), options{run: filepath.Join(dir, "run"), data: dir, seed: 1, budget: time.Hour, cores: 2, evalBatch: 1}, io.Discard)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(r.close)
	const rows = 20 // a third of them weights, as with AdamW
	for i := range rows {
		name := fmt.Sprint("tensor", i)
		if i%3 == 0 {
			r.dev.Param(name, floats/rows).Normal(r.rng, 1)
		} else {
			r.dev.State(name, floats/rows).Fill(0.5)
		}
	}
	if err := r.begin(); err != nil {
		b.Fatal(err)
	}
	return r
}
