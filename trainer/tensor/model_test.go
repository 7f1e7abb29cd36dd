package tensor

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// gpt is a small GPT like the one in train.go, for tests and benchmarks.
type gpt struct {
	dev                 *Device
	L, C, NH, T, B, V   int
	emb, head           *Tensor
	qkv, proj, up, down []*Tensor
	params              []*Tensor
	moments             [][2]*Tensor
	step                int
}

func newGPT(d *Device, l, c, nh, t, b, v int) *gpt {
	rng := rand.New(rand.NewPCG(1, 2))
	w := func(name string, std float32, shape ...int) *Tensor {
		p := d.Param(name, shape...)
		p.Normal(rng, std)
		return p
	}
	m := &gpt{dev: d, L: l, C: c, NH: nh, T: t, B: b, V: v}
	m.emb = w("emb", 1, v, c)
	m.head = w("head", 0.02, v, c)
	for i := range l {
		m.qkv = append(m.qkv, w(fmt.Sprint("qkv", i), 0.08, 3*c, c))
		m.proj = append(m.proj, w(fmt.Sprint("proj", i), 0.08, c, c))
		m.up = append(m.up, w(fmt.Sprint("up", i), 0.08, 4*c, c))
		m.down = append(m.down, w(fmt.Sprint("down", i), 0.04, c, 4*c))
	}
	m.params = d.Params()
	for _, p := range m.params {
		m.moments = append(m.moments, [2]*Tensor{d.State(p.Name()+".m", p.Shape()...), d.State(p.Name()+".v", p.Shape()...)})
	}
	return m
}

// features is the model before its head, [B,T,C].
func (m *gpt) features(ids *Tensor) *Tensor {
	b, t := ids.Dim(0), ids.Dim(1)
	d := m.C / m.NH
	x := m.emb.Embed(ids).RMSNorm(1e-6)
	for i := range m.L {
		h := x.RMSNorm(1e-6).MatMulT(m.qkv[i]).Reshape(b, t, 3*m.NH, d)
		q := h.Slice(2, 0, m.NH).RoPE(10000).RMSNorm(1e-6)
		k := h.Slice(2, m.NH, 2*m.NH).RoPE(10000).RMSNorm(1e-6)
		v := h.Slice(2, 2*m.NH, 3*m.NH)
		x = x.Add(q.Attention(k, v, 0).Reshape(b, t, m.C).MatMulT(m.proj[i]))
		x = x.Add(x.RMSNorm(1e-6).MatMulT(m.up[i]).ReluSquare().MatMulT(m.down[i]))
	}
	return x.RMSNorm(1e-6)
}

func (m *gpt) logits(ids *Tensor) *Tensor { return m.features(ids).MatMulT(m.head) }

func (m *gpt) train(ids, targets []int32) float32 {
	d := m.dev
	d.Reset()
	loss := m.features(d.Ints(ids, m.B, m.T)).LinearCrossEntropy(m.head, d.Ints(targets, m.B, m.T), 15)
	loss.Backward()
	m.step++
	for i, p := range m.params {
		AdamW(p, m.moments[i][0], m.moments[i][1], AdamWOptions{LR: 1e-2, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Step: m.step})
	}
	d.ZeroGrad()
	return loss.Item()
}

// batch is text-like: the next id follows from the last, with some noise.
func batch(rng *rand.Rand, n, v int) (ids, targets []int32) {
	s := make([]int32, n+1)
	for i := range s {
		if i == 0 || rng.IntN(8) == 0 {
			s[i] = int32(rng.IntN(v))
		} else {
			s[i] = (s[i-1]*3 + 1) % int32(v)
		}
	}
	return s[:n], s[1:]
}

func openTest(t testing.TB, cfg Config) *Device {
	t.Helper()
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func TestModelLearns(t *testing.T) {
	d := openTest(t, Config{Threads: 2})
	m := newGPT(d, 1, 32, 2, 16, 4, 11)
	rng := rand.New(rand.NewPCG(3, 4))
	var first, last float32
	for i := range 60 {
		x, y := batch(rng, 64, 11)
		last = m.train(x, y)
		if i == 0 {
			first = last
		}
	}
	if !(last < first-0.5) {
		t.Errorf("loss went from %v to %v", first, last)
	}
}

func dotSlow(a, b []float32) (s float32) {
	for i := range a {
		s += a[i] * b[i]
	}
	return s
}

// unravel turns a flat position into indices.
func unravel(i int, shape []int) []int {
	l := make([]int, len(shape))
	for k := len(shape) - 1; k >= 0; k-- {
		l[k] = i % shape[k]
		i /= shape[k]
	}
	return l
}
