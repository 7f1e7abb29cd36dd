//go:build cuda

package cuda

import (
	"fmt"
	"testing"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// TestMapTypes adds arrays of all types, of sizes around those of vectors and
// blocks: the same bits as float32 rounded.
func TestMapTypes(t *testing.T) {
	bothOrders(t, func(b *bench) {
		for _, n := range []int{1, 7, 8, 9, 2048, 2056, 70001} {
			for i := range 8 {
				ty, ta, tc := types[i&1], types[i>>1&1], types[i>>2]
				x, a := b.random(ta, n)
				z, c := b.random(tc, n)
				old, y := b.random(ty, n)
				b.MapFlat("sub", 0, true, y, a, c)
				for j, v := range b.get(y) {
					if want := rounded(ty, x[j]-z[j]+old[j]); v != want {
						b.t.Fatalf("%d elements, types %v %v %v: element %d is %v, want %v", n, ty, ta, tc, j, v, want)
					}
				}
			}
		}
	})
}

// walk runs f for every step of the loops with the offset of each view.
func walk(dims []int, strides [][]int, f func(at []int)) {
	at := make([]int, len(strides))
	index := make([]int, len(dims))
	for {
		f(at)
		k := len(dims) - 1
		for ; k >= 0; k-- {
			index[k]++
			for v := range at {
				at[v] += strides[v][k]
			}
			if index[k] < dims[k] {
				break
			}
			for v := range at {
				at[v] -= strides[v][k] * dims[k]
			}
			index[k] = 0
		}
		if k < 0 {
			return
		}
	}
}

// TestMapNests walks nests of loops of all kinds: repeated rows, columns and
// scalars, permuted outputs, all eight loops, with and without vectors.
func TestMapNests(t *testing.T) {
	for _, c := range []struct {
		name    string
		dims    []int
		y, a, b []int
	}{
		{"rows scaled", []int{37, 64}, []int{64, 1}, []int{64, 1}, []int{1, 0}},
		{"columns biased", []int{37, 64}, []int{64, 1}, []int{64, 1}, []int{0, 1}},
		{"columns, odd", []int{37, 5}, []int{5, 1}, []int{5, 1}, []int{0, 1}},
		{"rows and columns", []int{9, 5, 16}, []int{80, 16, 1}, []int{16, 0, 1}, []int{0, 16, 1}},
		{"outer product", []int{33, 40}, []int{40, 1}, []int{1, 0}, []int{0, 1}},
		{"scalar", []int{3, 1, 700}, []int{700, 700, 1}, []int{700, 0, 1}, []int{0, 0, 0}},
		{"permuted output", []int{4, 6, 8, 3}, []int{3, 12, 72, 1}, []int{144, 24, 3, 1}, []int{0, 0, 3, 1}},
		{"transposed output", []int{24, 40}, []int{1, 24}, []int{40, 1}, []int{0, 1}},
		{"part of rows", []int{6, 16}, []int{16, 1}, []int{24, 1}, []int{40, 1}},
		{"part of rows, odd", []int{6, 16}, []int{16, 1}, []int{25, 1}, []int{40, 1}},
		{"eight loops", []int{2, 3, 2, 3, 2, 3, 2, 8}, []int{3456, 1152, 576, 192, 96, 32, 16, 1}, []int{0, 8, 0, 24, 0, 72, 0, 1}, []int{8, 0, 16, 0, 32, 0, 64, 1}},
		{"one element", []int{1, 1}, []int{1, 1}, []int{1, 1}, []int{0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bothOrders(t, func(b *bench) {
				for i := range 8 {
					var size [3]int
					strides := [][]int{c.y, c.a, c.b}
					walk(c.dims, strides, func(at []int) {
						for v := range at {
							size[v] = max(size[v], at[v]+1)
						}
					})
					x, xa := b.random(types[i&1], size[1])
					z, za := b.random(types[i>>1&1], size[2])
					want, y := b.random(types[i>>2], size[0])
					walk(c.dims, strides, func(at []int) { want[at[0]] = rounded(y.Type, x[at[1]]*z[at[2]]) })
					b.Map("mul", 0, false, c.dims, View{y, c.y}, View{xa, c.a}, View{za, c.b})
					for j, v := range b.get(y) {
						if v != want[j] {
							b.t.Fatalf("types %v %v %v: element %d is %v, want %v", y.Type, xa.Type, za.Type, j, v, want[j])
						}
					}
				}
			})
		})
	}
}

// TestMapUnaligned wants arrays that begin anywhere.
func TestMapUnaligned(t *testing.T) {
	bothOrders(t, func(b *bench) {
		for _, typ := range types {
			x, a := b.random(typ, 100)
			_, y := b.random(typ, 100)
			part := func(a Array, from int) Array { return Array{a.At.At(int64(from) * typ.Size()), typ, 64} }
			b.MapFlat("copy", 0, false, part(y, 3), part(a, 5))
			for i, v := range b.get(y)[3:67] {
				if v != x[5+i] {
					b.t.Fatalf("%v: element %d is %v, want %v", typ, i, v, x[5+i])
				}
			}
		}
	})
}

func TestTranspose(t *testing.T) {
	bothOrders(t, func(b *bench) {
		for _, s := range [][3]int{{1, 8, 8}, {1, 33, 70}, {3, 64, 31}, {2, 1, 40}} {
			for _, add := range []bool{false, true} {
				x, a := b.random(gpu.BF16, s[0]*s[1]*s[2])
				old, y := b.random(gpu.F32, len(x))
				b.Transpose(y, a, s[0], s[1], s[2], add)
				got := b.get(y)
				for i, v := range x {
					k, r, c := i/(s[1]*s[2]), i/s[2]%s[1], i%s[2]
					o := (k*s[2]+c)*s[1] + r
					if add {
						v += old[o]
					}
					if got[o] != v {
						b.t.Fatalf("%v, add %v: element %d is %v, want %v", s, add, o, got[o], v)
					}
				}
			}
		}
	})
}

// TestOperationsHaveNumbers guards the order of the enum, which Go reads.
func TestOperationsHaveNumbers(t *testing.T) {
	if len(ops) < 60 || len(terms) < 12 || ops["fill"] != 0 || ops["copy"] != 1 || ops["pow"] <= firstBig || ops["erf_grad"] != firstBig-1 || terms["max"] != len(terms)-1 {
		t.Errorf("%d operations, %d terms: %v", len(ops), len(terms), fmt.Sprint(ops, terms))
	}
}
