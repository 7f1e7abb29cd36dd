//go:build cuda

package tensor

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestGPUWaitingForRMSNorm compares what waits for RMSNorm with the same operations
// one by one: values, gradients, and that nothing is computed which nobody wants.
func TestGPUWaitingForRMSNorm(t *testing.T) {
	for name, f := range map[string]func(t *testing.T, x, y *Tensor) *Tensor{
		"rope": func(t *testing.T, x, y *Tensor) *Tensor {
			turned := x.RoPE(100)
			n := turned.RMSNorm(0.1)
			if !x.dev.acc.eager && !turned.mem.none() {
				t.Error("RoPE was computed although only RMSNorm wants it")
			}
			return n.Mul(y)
		},
		"rope that others read too": func(t *testing.T, x, y *Tensor) *Tensor {
			turned := x.RoPE(100)
			return turned.RMSNorm(0.1).Mul(y).Add(turned.Square())
		},
		"rope that others read first": func(t *testing.T, x, y *Tensor) *Tensor {
			turned := x.RoPE(100)
			square := turned.Square()
			return turned.RMSNorm(0.1).Mul(square).Mul(y)
		},
		"rope of a sum": func(t *testing.T, x, y *Tensor) *Tensor { return x.Add(y).RoPE(100).RMSNorm(0.1).Mul(y) },
		"norm of two":   func(t *testing.T, x, y *Tensor) *Tensor { r := x.RoPE(9); return r.RMSNorm(1).Add(r.RMSNorm(2)).Mul(y) },
		"sum": func(t *testing.T, x, y *Tensor) *Tensor {
			s := x.Add(y)
			if !x.dev.acc.eager && !s.mem.none() {
				t.Error("the sum was computed before RMSNorm came")
			}
			n := s.RMSNorm(0.1)
			if s.mem.none() {
				t.Error("RMSNorm has not computed the sum")
			}
			return n.Mul(s).Mul(y)
		},
		"sum that others read first": func(t *testing.T, x, y *Tensor) *Tensor {
			s := x.Add(y)
			return s.Square().Mul(s.RMSNorm(0.1))
		},
		"sum with a row": func(t *testing.T, x, y *Tensor) *Tensor {
			return x.Add(y.Slice(1, 0, 1)).RMSNorm(0.1).Mul(y)
		},
		"sum of one with itself": func(t *testing.T, x, y *Tensor) *Tensor { return x.Add(x).RMSNorm(0.1).Mul(y) },
	} {
		for precision, tolerance := range map[string]float64{"float32": 1e-5, "bfloat16": 0.05} {
			t.Run(name+"/"+precision, func(t *testing.T) {
				d := openGPU(t, precision)
				got, want := d.values(t, f, false), d.values(t, f, true)
				for i := range want {
					if diff := math.Abs(float64(got[i] - want[i])); !(diff <= tolerance*max(1, math.Abs(float64(want[i])))) {
						t.Fatalf("element %d is %v, without waiting it is %v", i, got[i], want[i])
					}
				}
			})
		}
	}
}

// values are the result of f on two tensors that products gave, and the gradients
// of what they were made from; eager says that nothing waits.
func (d *Device) values(t *testing.T, f func(t *testing.T, x, y *Tensor) *Tensor, eager bool) []float32 {
	rng := rand.New(rand.NewPCG(5, 6))
	d.Reset()
	d.acc.eager = eager // Reset ends it
	d.ZeroGrad()
	if d.byName["p"] == nil {
		for _, name := range []string{"p", "q"} {
			d.Param(name, 24, 6).Normal(rng, 1)
		}
		d.Const("one", []float32{1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1}, 6, 6)
	}
	p, q, one := d.byName["p"], d.byName["q"], d.byName["one"]
	out := f(t, p.MatMul(one).Reshape(2, 4, 3, 6), q.MatMul(one).Reshape(2, 4, 3, 6))
	out.Square().Mean(-1).Reshape(-1).Sum(0).Backward()
	l := out.Host()
	for _, w := range []*Tensor{p, q} {
		if w.Grad() != nil { // not all use both
			l = append(l, w.Grad().Host()...)
		}
	}
	return l
}

// TestGPURopeTables: a graph that asks for many tables gets no memory.
func TestGPURopeTables(t *testing.T) {
	d := openGPU(t, "float32")
	x := d.Floats(make([]float32, 1<<12*512), 1, 1<<12, 1, 512)
	x.RoPE(1).Host()
	base := d.acc.now()
	for i := range 9 {
		x.RoPE(float32(i + 2)).block() // computes it
	}
	floats := 0
	for _, b := range d.acc.ropes {
		floats += b.n
	}
	if floats > ropeCache || d.acc.now()-base > 4*ropeCache+9*int64(x.size)*4 {
		t.Errorf("tables of %d floats are kept", floats)
	}
}
