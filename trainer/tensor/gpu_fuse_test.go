//go:build cuda

package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// onBoth computes a program on the CPU and on the GPU, and wants the same result
// and gradients of its params, to within tol.
func onBoth(t *testing.T, precision string, tol float64, sizes [][]int, program func(d *Device, p []*Tensor) *Tensor) (last *Device) {
	t.Helper()
	var want [][]float32
	for i, d := range []*Device{openTest(t, Config{Threads: 2}), openGPU(t, precision)} {
		rng := rand.New(rand.NewPCG(1, 2))
		var params []*Tensor
		for k, s := range sizes {
			params = append(params, d.Param(fmt.Sprint("p", k), s...))
			params[k].Normal(rng, 1)
		}
		out := program(d, params)
		w := make([]float32, out.Size())
		for k := range w {
			w[k] = float32(rng.NormFloat64())
		}
		weights := d.Floats(w, out.Shape()...)
		got := [][]float32{out.Host()}
		out.Mul(weights).Reshape(-1).Sum(0).Backward()
		for _, p := range params {
			got = append(got, p.Grad().Host())
		}
		if i == 0 {
			want = got
			continue
		}
		for k := range got {
			for j, v := range got[k] {
				if w := want[k][j]; !(math.Abs(float64(v-w)) <= tol*(1+math.Abs(float64(w)))) {
					t.Fatalf("%s: array %d (0 is the value, then gradients): element %d is %v, on the CPU %v", precision, k, j, v, w)
				}
			}
		}
		last = d
	}
	return last
}

// TestGPUWeigh wants products with weights, added, to be computed by the addition
// alone, and to be there for whoever reads them nevertheless.
func TestGPUWeigh(t *testing.T) {
	type T = *Tensor
	stream := func(x T) T { return x.Scale(1).AddScalar(0) } // of this step
	for name, c := range map[string]struct {
		sizes [][]int
		f     func(p []T) (sum T, products []T)
		fused bool
	}{
		"numbers": {[][]int{{3, 5, 16}, {2}, {3, 5, 16}}, func(p []T) (T, []T) {
			a, b := stream(p[0]).Mul(p[1].Slice(0, 0, 1)), p[1].Slice(0, 1, 2).Mul(stream(p[2]))
			return a.Add(b), []T{a, b}
		}, true},
		"gates": {[][]int{{3, 5, 16}, {3, 5, 1}, {3, 5, 16}}, func(p []T) (T, []T) {
			b := stream(p[2]).Mul(stream(p[1]))
			return stream(p[0]).Add(b), []T{b}
		}, true},
		"normalized": {[][]int{{3, 5, 16}, {2}, {3, 5, 16}}, func(p []T) (T, []T) {
			a, b := stream(p[0]).Mul(p[1].Slice(0, 0, 1)), p[1].Slice(0, 1, 2).Mul(stream(p[2]))
			x := a.Add(b)
			return x.RMSNorm(1e-6).Add(x), []T{a, b}
		}, true},
		"normalized with gates": {[][]int{{3, 5, 16}, {3, 5, 1}, {3, 5, 16}}, func(p []T) (T, []T) {
			a := stream(p[0]).Mul(stream(p[1]))
			return a.Add(stream(p[2])).RMSNorm(1e-6), []T{a}
		}, false},
		"more than a block": {[][]int{{40, 2056}, {1}, {40, 2056}}, func(p []T) (T, []T) {
			a := stream(p[0]).Mul(stream(p[1]))
			return a.Add(stream(p[2])), []T{a}
		}, true},
		"odd": {[][]int{{3, 5}, {1}, {3, 5}}, func(p []T) (T, []T) {
			a := stream(p[0]).Mul(stream(p[1]))
			return a.Add(stream(p[2])), []T{a}
		}, false},
		"columns": {[][]int{{3, 8}, {8}, {3, 8}}, func(p []T) (T, []T) {
			a := stream(p[0]).Mul(stream(p[1]))
			return a.Add(stream(p[2])), []T{a}
		}, false},
		"a product read twice": {[][]int{{3, 8}, {1}, {3, 8}}, func(p []T) (T, []T) {
			a := stream(p[0]).Mul(stream(p[1]))
			return a.Add(stream(p[2])).Mul(a), []T{a}
		}, false},
		"leaves": {[][]int{{3, 8}, {1}, {3, 8}}, func(p []T) (T, []T) { // which may change
			a := p[0].Mul(p[1])
			return a.Add(p[2]), []T{a}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			for precision, tol := range map[string]float64{"float32": 1e-4, "bfloat16": 0.03} {
				var products []T
				d := onBoth(t, precision, tol, c.sizes, func(_ *Device, p []T) (sum T) {
					sum, products = c.f(p)
					return sum
				})
				for _, p := range products {
					if p.mem.none() != c.fused {
						t.Errorf("%s: the product was computed: %v", precision, !p.mem.none())
					}
					w, ok := p.made.weighted()
					x, by := p.made.in[w.x].Host(), p.made.in[w.w].Host()
					for i, got := range p.Host() {
						if ok && !(math.Abs(float64(got-x[i]*by[i/w.per])) <= tol) {
							t.Fatalf("%s: read later, element %d of the product is %v", precision, i, got)
						}
					}
				}
				d.Reset()
			}
		})
	}
}

// TestGPUSharedGradients: additions share gradients, whatever is added to them later.
func TestGPUSharedGradients(t *testing.T) {
	type T = *Tensor
	for name, f := range map[string]func(d *Device, p []T) T{
		"itself": func(_ *Device, p []T) T { x := p[0].Scale(2); return x.Add(x) },
		"twice": func(_ *Device, p []T) T {
			a, b := p[0].Scale(2), p[1].Scale(3)
			return a.Add(b).Square().Add(b.Add(a))
		},
		"thrice": func(_ *Device, p []T) T {
			a, b, c := p[0].Scale(2), p[1].Scale(3), p[2].Neg()
			return a.Add(b).Add(c).Add(b.Add(c)).Add(c.Add(a).Mul(b))
		},
		"residual": func(_ *Device, p []T) T {
			x := p[0].Scale(1)
			for _, q := range p {
				x = x.Add(x.Mul(q.Scale(2)).Tanh())
			}
			return x
		},
		"views": func(_ *Device, p []T) T {
			a, b := p[0].Scale(2).Reshape(-1), p[1].Scale(3).Reshape(-1)
			return a.Add(b).Reshape(4, 4).Add(a.Reshape(4, 4))
		},
		"difference": func(_ *Device, p []T) T {
			a, b := p[0].Scale(2), p[1].Scale(3)
			return a.Sub(b).Add(b.Sub(a).Square()).Add(a.Sub(a))
		},
		"biases": func(_ *Device, p []T) T {
			a, b := p[0].Scale(2), p[1].Scale(3)
			return a.Add(b.Slice(0, 1, 2)).Add(b.Sub(p[2].Slice(1, 0, 1).Scale(1))).Add(a)
		},
		"leaves": func(_ *Device, p []T) T { return p[0].Add(p[1]).Add(p[2]) },
	} {
		t.Run(name, func(t *testing.T) {
			d := onBoth(t, "float32", 1e-5, [][]int{{4, 4}, {4, 4}, {4, 4}}, func(d *Device, p []T) T {
				s := f(d, p)
				for _, q := range p { // all have gradients
					s = s.Add(q.Scale(0.1))
				}
				return s
			})
			d.Reset()
			if n := len(d.acc.shared); n != 0 {
				t.Errorf("%d gradients are still shared", n)
			}
		})
	}
}
