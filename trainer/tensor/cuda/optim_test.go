//go:build cuda

package cuda

import (
	"fmt"
	"math"
	"testing"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// TestInPlace compares the helpers of optimizers with float64, for arrays that
// are and are not whole vectors, of both types, aligned or not.
func TestInPlace(t *testing.T) {
	b := newBench(t)
	two := b.put(gpu.F32, []float32{2})
	for _, n := range []int{1, 7, 8, 300, 5001} {
		for _, typ := range []gpu.Type{gpu.F32, gpu.BF16} {
			x, y := b.normal(typ, n, 1), b.normal(typ, n, 1)
			for _, c := range []struct {
				name string
				run  func(x, y Array)
				want func(x, y float64) float64
			}{
				{"Lerp", func(x, y Array) { b.Lerp(x, y, 0.3) }, func(x, y float64) float64 { return x + 0.3*(y-x) }},
				{"AddScaled", func(x, y Array) { b.AddScaled(x, y, -2, 0) }, func(x, y float64) float64 { return x - 2*y }},
				{"AddScaled by a number there", func(x, y Array) { b.AddScaled(x, y, -2, two.At) }, func(x, y float64) float64 { return x - 4*y }},
				{"Scale", func(x, _ Array) { b.Scale(x, 0.7, 0) }, func(x, _ float64) float64 { return x * 0.7 }},
				{"Scale by a number there", func(x, _ Array) { b.Scale(x, 0.7, two.At) }, func(x, _ float64) float64 { return x * 1.4 }},
				{"Scale by 1", func(x, _ Array) { b.Scale(x, 0.5, two.At) }, func(x, _ float64) float64 { return x }},
				{"Cast", func(x, y Array) { b.Cast(x, y) }, func(_, y float64) float64 { return y }},
				{"Fill", func(x, _ Array) { b.Fill(x, 2.5) }, func(_, _ float64) float64 { return 2.5 }},
			} {
				to, from := b.put(typ, x), b.put(gpu.F32, y)
				c.run(to, from)
				tolerance := 3e-6
				if typ == gpu.BF16 {
					tolerance = 1. / 256
				}
				for i, got := range b.get(to) {
					if w := c.want(float64(x[i]), float64(y[i])); !near(float64(got), w, tolerance) {
						t.Fatalf("%s of %d %s: element %d is %v, want %v", c.name, n, typ, i, got, w)
					}
				}
			}
		}
	}
}

// TestUnaligned: an array that begins in the middle of a vector, and what lies
// around it.
func TestUnaligned(t *testing.T) {
	b := newBench(t)
	for _, typ := range []gpu.Type{gpu.F32, gpu.BF16} {
		x := b.normal(typ, 100, 1)
		to := b.put(typ, x)
		b.Fill(Array{At: to.At.At(3 * typ.Size()), Type: typ, N: 50}, 9)
		for i, got := range b.get(to) {
			if want := x[i]; (i < 3 || i >= 53) && got != want || i >= 3 && i < 53 && got != 9 {
				t.Fatalf("%s: element %d is %v", typ, i, got)
			}
		}
	}
}

func TestCautiousStep(t *testing.T) {
	b := newBench(t)
	for _, typ := range []gpu.Type{gpu.F32, gpu.BF16} {
		x, y := b.normal(gpu.F32, 77, 1), b.normal(typ, 77, 1)
		y[5], x[6] = 0, 0
		to := b.put(gpu.F32, x)
		b.CautiousStep(to, b.put(typ, y), 0.1, 0.05)
		for i, got := range b.get(to) {
			want := float64(x[i]) - 0.1*float64(y[i])
			if float64(x[i])*float64(y[i]) >= 0 {
				want -= 0.05 * float64(x[i])
			}
			if !near(float64(got), want, 3e-6) {
				t.Fatalf("a step of %s: element %d is %v, want %v", typ, i, got, want)
			}
		}
	}
}

// TestAdamW compares one step with float64, and the copy in bfloat16 with what it
// is a copy of.
func TestAdamW(t *testing.T) {
	b := newBench(t)
	const b1, b2, rate, c, eps, keep = 0.8, 0.95, 0.1, 1.25, 1e-10, 0.99
	for _, n := range []int{1, 8, 1001} {
		p, g, m := b.normal(gpu.F32, n, 1), b.normal(gpu.F32, n, 1), b.normal(gpu.F32, n, 1)
		v := make([]float32, n)
		for i := range v {
			v[i] = g[i] * g[i] / 2
		}
		pa, ga, ma, va, ha := b.put(gpu.F32, p), b.put(gpu.F32, g), b.put(gpu.F32, m), b.put(gpu.F32, v), b.put(gpu.BF16, p)
		b.AdamW(pa.At, ga.At, ma.At, va.At, ha.At, n, [6]float32{b1, b2, rate, c, eps, keep})
		gp, gm, gv, gh := b.get(pa), b.get(ma), b.get(va), b.get(ha)
		for i := range n {
			wm := b1*float64(m[i]) + (1-b1)*float64(g[i])
			wv := b2*float64(v[i]) + (1-b2)*float64(g[i])*float64(g[i])
			wp := float64(p[i])*keep - rate*wm/(math.Sqrt(wv)*c+eps)
			if !near(float64(gm[i]), wm, 1e-6) || !near(float64(gv[i]), wv, 1e-6) || !near(float64(gp[i]), wp, 2e-6) {
				t.Fatalf("%d elements: element %d is %v with moments %v and %v, want %v, %v, %v", n, i, gp[i], gm[i], gv[i], wp, wm, wv)
			}
			if gh[i] != rounded(gpu.BF16, gp[i]) {
				t.Fatalf("the copy of %v is %v", gp[i], gh[i])
			}
		}
		if b.AdamW(pa.At, ga.At, ma.At, va.At, 0, n, [6]float32{b1, b2, rate, c, eps, keep}); !equal(b.get(ha), gh) {
			t.Error("a copy that was not asked for was written")
		}
	}
}

// TestTotal: sums in float64, with one part and with many, the same bits twice.
func TestTotal(t *testing.T) {
	b := newBench(t)
	for _, n := range []int{1, 9, 2048, 2049, 600_000, 1<<20 + 3} {
		for _, squares := range []bool{false, true} {
			t.Run(fmt.Sprint(n, squares), func(t *testing.T) {
				x := b.normal(gpu.F32, n, 1)
				want := 0.0
				for i := range x {
					x[i] += 0.01
					if squares {
						want += float64(x[i]) * float64(x[i])
					} else {
						want += float64(x[i])
					}
				}
				if want *= 0.5; squares {
					want = math.Sqrt(want)
				}
				a, parts := b.put(gpu.F32, x), b.put(gpu.F32, make([]float32, 2*TotalParts(n)))
				for range 2 {
					out := b.put(gpu.F32, []float32{math.MaxFloat32})
					b.Total(out.At, a, parts.At, squares, squares, 0.5)
					if got := b.get(out)[0]; got != float32(want) {
						t.Errorf("got %v, want %v", got, float32(want))
					}
				}
			})
		}
	}
}
