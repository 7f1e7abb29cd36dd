package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// defaultModel traces a model of the default size, with random weights.
func defaultModel(b *testing.B) *tensor.Graph {
	const B, T, C = 8, 256, 128
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
		for range 2 {
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

// BenchmarkScore scores a quarter of the validation text and reports what the
// whole evaluation costs in units of the forward pass: loading, the softmax
// and the sum are to stay below 0.2.
func BenchmarkScore(b *testing.B) {
	g, dir := defaultModel(b), b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "val.bin"), text(1<<16+1), 0o644); err != nil {
		b.Fatal(err)
	}
	o := evaluation{model: saveGraph(b, g), data: dir, cores: 2, proved: g.Digest()}
	var total, forward float64
	for b.Loop() {
		s, err := o.score()
		if err != nil {
			b.Fatal(err)
		}
		total += s.Seconds
		forward += s.ForwardSeconds
	}
	b.ReportMetric(total/forward, "total/forward")
}

// BenchmarkProve proves the same model causal and reports the cost in runs of
// the graph on clean tokens; it takes about B + T/B of them.
func BenchmarkProve(b *testing.B) {
	m, err := loadModel(saveGraph(b, defaultModel(b)), "", 2)
	if err != nil {
		b.Fatal(err)
	}
	defer m.close()
	ids := m.sample(text(1 << 16))
	if _, err := m.forward(ids); err != nil {
		b.Fatal(err)
	}
	m.seconds = 0
	if _, err := m.forward(ids); err != nil {
		b.Fatal(err)
	}
	clean := m.seconds.Seconds()
	for b.Loop() {
		if err := proveCausal(m, ids); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/clean, "clean-runs")
}
