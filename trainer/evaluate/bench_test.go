package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// defaultModel traces a model of the default width with so many layers and
// context T, with random weights.
func defaultModel(b *testing.B, depth, T int) *tensor.Graph {
	const B, C = 8, 128
	d, err := tensor.Open(tensor.Config{Threads: 2})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(d.Close)
	rng := rand.New(rand.NewPCG(1, 1))
	param := func(name string, shape ...int) *tensor.Tensor {
		p := d.Param(name, shape...)
		p.Normal(rng, 0.1)
		return p
	}
	embed, head := param("embed", 256, C), param("head", 256, C)
	qkv, up, down := param("qkv", C, C), param("up", 4*C, C), param("down", C, 4*C)
	g, err := d.Trace(d.Ints(make([]int32, B*T), B, T), func(ids *tensor.Tensor) *tensor.Tensor {
		x := embed.Embed(ids)
		for range depth {
			project := func() *tensor.Tensor { return x.RMSNorm(1e-6).MatMulT(qkv).Reshape(B, T, 4, C/4) }
			q, k := project().RoPE(1e4).RMSNorm(1e-6), project().RoPE(1e4).RMSNorm(1e-6)
			x = x.Add(q.Attention(k, project(), 0).Reshape(B, T, C).MatMulT(qkv))
			x = x.Add(x.RMSNorm(1e-6).MatMulT(up).ReluSquare().MatMulT(down))
		}
		return x.RMSNorm(1e-6).MatMulT(head).Softcap(15)
	})
	if err != nil {
		b.Fatal(err)
	}
	return g
}

// BenchmarkScore scores a quarter of the validation text and, between one and
// the next, runs the graph over the same tokens and does nothing with what it
// gives. It reports what the whole evaluation, from reading the file on, costs
// in units of the plain pass, in CPU time and in wall time: the median of the
// ratios of neighbours, which is to stay below 1.2. The proof is left out: check
// has made it.
func BenchmarkScore(b *testing.B) {
	for _, depth := range []int{2, 4} {
		b.Run(fmt.Sprintf("depth=%d", depth), func(b *testing.B) { benchmarkScore(b, depth) })
	}
}

func benchmarkScore(b *testing.B, depth int) {
	const tokens = 1 << 16
	g, dir := defaultModel(b, depth, 256), b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "val.bin"), text(tokens+1), 0o644); err != nil {
		b.Fatal(err)
	}
	o := evaluation{model: saveGraph(b, g), data: dir, cores: 2, limit: maxSeconds, proved: g.Digest()}
	split := opened(b, text(tokens+1))
	m, err := o.loadModel(testV)
	if err != nil {
		b.Fatal(err)
	}
	defer m.close()
	ids := make([]int32, tokens)
	split.Read(ids, 0)
	plain := func() {
		for at := 0; at < tokens; at += m.B * m.T {
			if _, err := m.graph.Run(m.dev, ids[at:at+m.B*m.T]); err != nil {
				b.Fatal(err)
			}
		}
	}
	plain() // binds the graph and fills the caches
	var cpu, wall []float64
	measured := func(f func()) (cpu, wall float64) {
		began, start := cpuSeconds(), time.Now()
		f()
		return cpuSeconds() - began, time.Since(start).Seconds()
	}
	for b.Loop() {
		plainCPU, plainWall := measured(plain)
		scoreCPU, scoreWall := measured(func() {
			if _, err := o.score(); err != nil {
				b.Fatal(err)
			}
		})
		cpu, wall = append(cpu, scoreCPU/plainCPU), append(wall, scoreWall/plainWall)
	}
	slices.Sort(cpu)
	slices.Sort(wall)
	b.ReportMetric(cpu[len(cpu)/2], "cpu-ratio")
	b.ReportMetric(wall[len(wall)/2], "wall-ratio")
}

// BenchmarkProve proves the same model causal, also with a longer context, and
// reports the CPU time of a proof, also in units of a run of the graph on clean
// tokens. It takes about T/B runs, most of whose work is skipped as poisoned.
func BenchmarkProve(b *testing.B) {
	for _, T := range []int{256, 512} {
		b.Run(fmt.Sprintf("T=%d", T), func(b *testing.B) { benchmarkProve(b, T) })
	}
}

func benchmarkProve(b *testing.B, T int) {
	m, err := evaluation{model: saveGraph(b, defaultModel(b, 2, T)), cores: 2}.loadModel(testV)
	if err != nil {
		b.Fatal(err)
	}
	defer m.close()
	ids := m.sample(opened(b, text(1<<16)))
	const runs = 10
	start := 0.0
	for i := range runs + 1 { // the first binds the graph
		if i == 1 {
			start = cpuSeconds()
		}
		if _, err := m.forward(ids); err != nil {
			b.Fatal(err)
		}
	}
	clean := (cpuSeconds() - start) / runs
	start = cpuSeconds()
	for b.Loop() {
		if err := proveCausal(m, ids, maxSeconds); err != nil {
			b.Fatal(err)
		}
	}
	proof := (cpuSeconds() - start) / float64(b.N)
	b.ReportMetric(proof*1e3, "cpu-ms")
	b.ReportMetric(proof/clean, "clean-runs")
}
