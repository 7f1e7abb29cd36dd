//go:build unix

package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor/cpu"
)

// fullGPT has all parts of train.go's model and optimizers, so that what they
// cost can be measured here.
type fullGPT struct {
	*gpt
	resid, x0       *Tensor // [L]
	values, gates   []*Tensor
	velocity, twice []*Tensor // of the matrices
}

const gateDim = 32

func newFullGPT(d *Device, l, t, b, v int) *fullGPT {
	m := &fullGPT{gpt: newGPT(d, l, 64*l, 2*l, t, b, v), resid: d.Param("resid", l), x0: d.Param("x0", l)}
	m.resid.Fill(1)
	m.x0.Fill(0.1)
	for i := range l {
		if i%2 == (l-1)%2 {
			m.values = append(m.values, d.Param(fmt.Sprint("values", i), v, m.C))
			m.gates = append(m.gates, d.Param(fmt.Sprint("gate", i), m.NH, gateDim))
		}
	}
	m.params, m.moments = nil, nil
	for _, p := range append([]*Tensor{m.emb, m.head, m.resid, m.x0}, m.values...) {
		m.params = append(m.params, p)
		m.moments = append(m.moments, [2]*Tensor{d.byName[p.name+".m"], d.byName[p.name+".v"]})
		if last := &m.moments[len(m.moments)-1]; last[0] == nil {
			*last = [2]*Tensor{d.State(p.name+".m", p.Shape()...), d.State(p.name+".v", p.Shape()...)}
		}
	}
	for _, w := range m.matrices() {
		m.velocity = append(m.velocity, d.State(w.name+".velocity", w.Shape()...))
		m.twice = append(m.twice, d.State(w.name+".second", max(w.Dim(0), w.Dim(1))))
	}
	return m
}

func (m *fullGPT) matrices() (l []*Tensor) {
	for i := range m.L {
		l = append(l, m.qkv[i], m.proj[i], m.up[i], m.down[i])
	}
	return append(l, m.gates...)
}

func (m *fullGPT) train(ids, targets []int32) float32 {
	d := m.dev
	d.Reset()
	loss := m.loss(d.Ints(ids, m.B, m.T), d.Ints(targets, m.B, m.T))
	loss.Backward()
	m.step++
	for i, w := range m.gpt.qkv {
		m.muon(4*i, w)
		m.muon(4*i+1, m.proj[i])
		m.muon(4*i+2, m.up[i])
		m.muon(4*i+3, m.down[i])
	}
	for i, w := range m.gates {
		m.muon(4*m.L+i, w)
	}
	for i, p := range m.params {
		AdamW(p, m.moments[i][0], m.moments[i][1], AdamWOptions{LR: 1e-3, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Step: m.step})
	}
	d.ZeroGrad()
	return loss.Item()
}

func (m *fullGPT) loss(ids, targets *Tensor) *Tensor {
	b, t := ids.Dim(0), ids.Dim(1)
	dim, ve := m.C/m.NH, 0
	x := m.emb.Embed(ids).RMSNorm(1e-6)
	first := x
	for i := range m.L {
		x = x.Mul(m.resid.Slice(0, i, i+1)).Add(first.Mul(m.x0.Slice(0, i, i+1)))
		n := x.RMSNorm(1e-6)
		h := n.MatMulT(m.qkv[i]).Reshape(b, t, 3*m.NH, dim)
		q := h.Slice(2, 0, m.NH).RoPE(10000).RMSNorm(1e-6)
		k := h.Slice(2, m.NH, 2*m.NH).RoPE(10000).RMSNorm(1e-6)
		v := h.Slice(2, 2*m.NH, 3*m.NH)
		if i%2 == (m.L-1)%2 {
			gate := n.Slice(2, 0, gateDim).MatMulT(m.gates[ve]).Sigmoid().Scale(2)
			v = v.Add(m.values[ve].Embed(ids).Reshape(b, t, m.NH, dim).Mul(gate.Reshape(b, t, m.NH, 1)))
			ve++
		}
		x = x.Add(q.Attention(k, v, 0).Reshape(b, t, m.C).MatMulT(m.proj[i]))
		x = x.Add(x.RMSNorm(1e-6).MatMulT(m.up[i]).ReluSquare().MatMulT(m.down[i]))
	}
	return x.RMSNorm(1e-6).LinearCrossEntropy(m.head, targets, 15)
}

// muon is one step of NorMuon on matrix w, as in train.go.
func (m *fullGPT) muon(at int, w *Tensor) {
	m.dev.Scope(func() {
		v, second := m.velocity[at], m.twice[at]
		v.Lerp(w.Grad(), 0.05)
		x := w.Grad().Scale(0.05).Add(v.Scale(0.95))
		tall, axis := w.Dim(0) > w.Dim(1), 0
		if w.Dim(0) >= w.Dim(1) {
			axis = 1
		}
		if tall {
			x = x.Permute(1, 0)
		}
		x = x.Div(frobenius(x).Scale(1.02).AddScalar(1e-6))
		for _, c := range polarExpress {
			a := x.MatMulT(x)
			b := a.Scale(c[1]).Add(a.MatMulT(a).Scale(c[2]))
			x = x.Scale(c[0]).Add(b.MatMul(x))
		}
		if tall {
			x = x.Permute(1, 0)
		}
		square := x.Square().Mean(axis)
		second.Lerp(square, 0.05)
		even := x.Mul(second.AddScalar(1e-10).Rsqrt().Reshape(square.Dim(0), square.Dim(1)))
		even = even.Mul(frobenius(x).Div(frobenius(even).AddScalar(1e-10)))
		w.CautiousStep(even, float32(0.02*math.Sqrt(max(1, float64(w.Dim(0))/float64(w.Dim(1))))), 0.1)
	})
}

// polarExpress are the coefficients of train.go.
var polarExpress = [5][3]float32{
	{8.15655452, -22.4832929, 15.8787699},
	{4.04292994, -2.80891747, 0.500017845},
	{3.89166780, -2.77248415, 0.506064818},
	{3.28575366, -2.36812949, 0.464490242},
	{2.34654133, -1.70978284, 0.423235512},
}

func frobenius(x *Tensor) *Tensor { return x.Square().Reshape(x.Size()).Sum(0).Sqrt() }

var stepSizes = []struct{ l, t, b, v int }{{2, 256, 8, 256}, {4, 256, 8, 4096}, {8, 512, 4, 8192}}

// BenchmarkFullStep is a training step with all parts of train.go at three
// sizes: speed, memory and allocations.
func BenchmarkFullStep(b *testing.B) {
	for _, s := range stepSizes {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("depth=%d/threads=%d", s.l, threads), func(b *testing.B) {
				m := newFullGPT(openTest(b, Config{Threads: threads}), s.l, s.t, s.b, s.v)
				benchmarkSteps(b, m.gpt, m.train)
			})
		}
	}
}

// BenchmarkBookkeeping is what a step costs besides its arithmetic, in per
// cent: the same step with kernels that do nothing, in turns with the real one,
// by CPU time. The few loops that are plain Go still count.
func BenchmarkBookkeeping(b *testing.B) {
	for _, s := range stepSizes {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("depth=%d/threads=%d", s.l, threads), func(b *testing.B) {
				step := func(kernels string) (ms float64) {
					m := newFullGPT(openTest(b, Config{Threads: threads, Kernels: kernels}), s.l, s.t, s.b, s.v)
					x, y := batch(rand.New(rand.NewPCG(3, 4)), m.B*m.T, m.V)
					m.train(x, y)
					var times []float64
					for range max(3, 30/s.l/s.l) {
						_, c := clock(func() { m.train(x, y) })
						times = append(times, 1e3*c)
					}
					return median(times)
				}
				for range b.N {
					var idle, real []float64
					for range 3 {
						idle, real = append(idle, step(cpu.Idle)), append(real, step(""))
					}
					b.ReportMetric(100*median(idle)/median(real), "%")
					b.ReportMetric(median(idle), "idle-ms")
					b.ReportMetric(median(real), "step-ms")
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// TestFullModelAllocates nothing: scalars, gates, value embeddings and Muon too.
func TestFullModelAllocates(t *testing.T) {
	defer func(n int) { outstanding = n }(outstanding)
	outstanding = 32
	m := newFullGPT(openTest(t, Config{Threads: 2}), 2, 16, 2, 31)
	x, y := batch(rand.New(rand.NewPCG(3, 4)), m.B*m.T, m.V)
	for range 20 {
		m.train(x, y)
	}
	if n := testing.AllocsPerRun(20, func() { m.train(x, y) }); n > 0 {
		t.Errorf("a step allocates %v times", n)
	}
}
