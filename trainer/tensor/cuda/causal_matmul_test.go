//go:build cuda

package cuda

import (
	"fmt"
	"math"
	"testing"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/gpu/emulated"
)

// TestCausalProducts compares the three products with plain loops, with NaN at
// what nobody sees.
func TestCausalProducts(t *testing.T) {
	emulated.Reversed(t, func(t *testing.T) {
		b := newBench(t)
		for _, c := range []struct {
			band Band
			n    int
			typ  gpu.Type
		}{
			{Band{2, 5, 5, 5}, 3, gpu.F32}, {Band{1, 1, 4, 2}, 1, gpu.F32}, {Band{1, 40, 70, 70}, 33, gpu.F32}, {Band{2, 65, 65, 7}, 32, gpu.BF16}, {Band{1, 70, 100, 40}, 40, gpu.F32},
		} {
			t.Run(fmt.Sprint(c), func(t *testing.T) {
				b.t = t
				b.causal(c.band, c.n, c.typ)
			})
		}
	})
}

func (b *bench) causal(d Band, n int, typ gpu.Type) {
	x, v, dy := b.normal(typ, d.Batch*d.T*d.S, 1), b.normal(typ, d.Batch*d.S*n, 1), b.normal(typ, d.Batch*d.T*n, 1)
	out, dx, dv := make([]float64, len(dy)), make([]float64, len(x)), make([]float64, len(v))
	for e := range d.Batch {
		for t := range d.T {
			for j := range d.S {
				at := (e*d.T+t)*d.S + j
				if newest := t + d.S - d.T; j > newest || j <= newest-d.Window {
					x[at] = float32(math.NaN())
					continue
				}
				for i := range n {
					y, w := (e*d.T+t)*n+i, (e*d.S+j)*n+i
					out[y] += float64(x[at]) * float64(v[w])
					dx[at] += float64(dy[y]) * float64(v[w])
					dv[w] += float64(x[at]) * float64(dy[y])
				}
			}
		}
	}
	ax, av, ady := b.put(typ, x), b.put(typ, v), b.put(typ, dy)
	old := b.normal(gpu.F32, len(x)+len(v)+len(dy), 1)
	check := func(what string, want []float64, f func(to Array, add bool)) {
		for _, add := range []bool{false, true} {
			to := b.put(gpu.F32, old[:len(want)])
			if f(to, add); what == "out" && add {
				continue
			}
			for i, got := range b.get(to) {
				w := want[i]
				if add {
					w += float64(old[i])
				}
				if !near(float64(got), w, 1e-5) {
					b.t.Fatalf("%s, added %v: element %d is %v, want %v", what, add, i, got, w)
				}
			}
		}
	}
	check("out", out, func(to Array, _ bool) { b.CausalProduct(d, to, ax, av) })
	check("dscores", dx, func(to Array, add bool) { b.CausalProductDScores(d, to, ady, av, add) })
	check("dvalues", dv, func(to Array, add bool) { b.CausalProductDValues(d, to, ax, ady, add) })
}
