//go:build cuda

package cuda

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// TestReduce sums and finds maxima along all kinds of dimensions: short and long
// rows, odd ones, columns of vectors and single ones, cut once and twice.
func TestReduce(t *testing.T) {
	for _, l := range []Lanes{
		{1, 1, 1}, {5, 3, 1}, {70, 64, 1}, {3, 5000, 1}, {2, 4999, 1}, {1, 70000, 1}, {600, 100, 1},
		{1, 40, 8}, {2, 33, 5}, {1, 3000, 16}, {3, 100, 24}, {1, 700, 3}, {4, 1, 16},
	} {
		t.Run(fmt.Sprint(l), func(t *testing.T) {
			bothOrders(t, func(b *bench) {
				for i := range 8 {
					b.reduce(l, types[i&1], types[i>>1&1], i>>2 == 1)
				}
			})
		})
	}
}

func (b *bench) reduce(l Lanes, tx, ty gpu.Type, add bool) {
	x, ax := b.random(tx, l.Outer*l.N*l.Inner)
	z, az := b.random(tx, len(x))
	for _, term := range []string{"x", "product", "max"} {
		old, y := b.random(ty, l.Outer*l.Inner)
		want := make([]float64, len(old))
		for i := range want {
			if want[i] = 0; term == "max" {
				want[i] = math.Inf(-1)
			}
		}
		for i, v := range x {
			o := i/(l.N*l.Inner)*l.Inner + i%l.Inner
			switch term {
			case "x":
				want[o] += float64(v)
			case "product":
				want[o] += float64(v) * float64(z[i])
			default:
				want[o] = max(want[o], float64(v))
			}
		}
		for i := range want {
			if want[i] *= 0.5; add {
				want[i] += float64(old[i])
			}
		}
		b.Reduce(term, 0.5, add, y, ax, az, Array{}, l)
		b.all(fmt.Sprint(term, " of ", tx, " to ", ty, ", add ", add), b.get(y), want, ty, 1e-4)
	}
}

// TestReduceKeepsNaN wherever it is among many.
func TestReduceKeepsNaN(t *testing.T) {
	bothOrders(t, func(b *bench) {
		for _, l := range []Lanes{{2, 5000, 1}, {2, 100, 8}, {1, 100, 3}} {
			for _, at := range []int{0, 1, l.N * l.Inner / 2, l.N*l.Inner - 1} {
				x := make([]float32, l.Outer*l.N*l.Inner)
				x[at] = float32(math.NaN())
				a := b.put(gpu.BF16, x)
				for _, term := range []string{"x", "max", "poison"} {
					_, y := b.random(gpu.F32, l.Outer*l.Inner)
					b.Reduce(term, 1, false, y, a, Array{}, Array{}, l)
					for i, v := range b.get(y) {
						if want := i == at%l.Inner; (v != v) != want || !want && v != 0 {
							b.t.Fatalf("%s of %v with NaN at %d: element %d is %v", term, l, at, i, v)
						}
					}
				}
			}
		}
	})
}

func TestCumSum(t *testing.T) {
	bothOrders(t, func(b *bench) {
		for _, l := range []Lanes{{3, 200, 1}, {1, 33, 1}, {2, 5, 1}, {2, 70, 5}, {300, 3, 2}} {
			for i := range 4 {
				back, add := i&1 == 1, i>>1 == 1
				x, a := b.random(gpu.BF16, l.Outer*l.N*l.Inner)
				old, y := b.random(gpu.F32, len(x))
				want := make([]float64, len(x))
				for line := range l.Outer * l.Inner {
					base, s := line/l.Inner*l.N*l.Inner+line%l.Inner, 0.0
					for j := range l.N {
						e := base + j*l.Inner
						if back {
							e = base + (l.N-1-j)*l.Inner
						}
						s += float64(x[e])
						if want[e] = s; add {
							want[e] += float64(old[e])
						}
					}
				}
				b.CumSum(y, a, l, back, add)
				b.all(fmt.Sprint(l, back, add), b.get(y), want, gpu.F32, 1e-5)
			}
		}
	})
}

// TestSumsRepeat: the parts are summed in one order, whatever ran before.
func TestSumsRepeat(t *testing.T) {
	bothOrders(t, func(b *bench) {
		_, x := b.random(gpu.F32, 70000)
		var first []float32
		for range 3 {
			_, y := b.random(gpu.F32, 1)
			b.Reduce("square", 1, false, y, x, Array{}, Array{}, Lanes{1, x.N, 1})
			if got := b.get(y); first == nil {
				first = got
			} else if !slices.Equal(got, first) {
				b.t.Fatalf("%v, then %v", first, got)
			}
		}
	})
}
