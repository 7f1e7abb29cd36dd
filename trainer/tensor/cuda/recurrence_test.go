//go:build cuda

package cuda

import (
	"cmp"
	"math"
	"slices"
	"testing"
	"unsafe"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// TestTopK: rows that are longer and shorter than a warp, with equal values, and
// with NaN.
func TestTopK(t *testing.T) {
	b := newBench(t)
	const rows, poison = 19, -7
	for _, n := range []int{1, 5, 32, 100} {
		for _, k := range []int{1, (n + 1) / 2, n} {
			x := b.normal(gpu.F32, rows*n, 1)
			for i := range x {
				x[i] = float32(math.Round(float64(2 * x[i]))) // many are equal
			}
			x[3*n+n-1] = float32(math.NaN())
			out := b.put(gpu.F32, make([]float32, rows*k))
			b.TopK(out.At, b.put(gpu.F32, x), rows, k, poison)
			words := b.get(out)
			got := unsafe.Slice((*int32)(unsafe.Pointer(&words[0])), len(words))
			for r := range rows {
				row, order := x[r*n:][:n], make([]int32, n)
				for i := range order {
					order[i] = int32(i)
				}
				slices.SortStableFunc(order, func(i, j int32) int { return cmp.Compare(row[j], row[i]) })
				if r == 3 {
					order = slices.Repeat([]int32{poison}, n)
				}
				if !slices.Equal(got[r*k:][:k], order[:k]) {
					t.Fatalf("the %d largest of %v are at %v, want %v", k, row, got[r*k:][:k], order[:k])
				}
			}
		}
	}
}

// TestScanAndBack compares a recurrence and its gradients with plain loops, added
// and not.
func TestScanAndBack(t *testing.T) {
	b := newBench(t)
	for _, l := range []Lanes{{Outer: 1, N: 1, Inner: 1}, {Outer: 2, N: 40, Inner: 3}, {Outer: 3, N: 5, Inner: 130}} {
		size := l.Outer * l.N * l.Inner
		x, a, dy, old := b.normal(gpu.F32, size, 1), b.normal(gpu.F32, size, 0.5), b.normal(gpu.F32, size, 1), b.normal(gpu.F32, size, 1)
		y, dx, da := make([]float64, size), make([]float64, size), make([]float64, size)
		for c := range l.Outer * l.Inner {
			at := func(i int) int { return (c/l.Inner*l.N+i)*l.Inner + c%l.Inner }
			for i := range l.N {
				if y[at(i)] = float64(x[at(i)]); i > 0 {
					y[at(i)] += float64(a[at(i)]) * y[at(i-1)]
				}
			}
			for i := l.N - 1; i >= 0; i-- {
				if dx[at(i)] = float64(dy[at(i)]); i < l.N-1 {
					dx[at(i)] += float64(a[at(i+1)]) * dx[at(i+1)]
				}
				if i > 0 {
					da[at(i)] = dx[at(i)] * y[at(i-1)]
				}
			}
		}
		out, ax, aa, ady := b.put(gpu.F32, x), b.put(gpu.F32, x), b.put(gpu.F32, a), b.put(gpu.F32, dy)
		b.Scan(l, out, ax, aa)
		for _, add := range []bool{false, true} {
			gx, ga := b.put(gpu.F32, old), b.put(gpu.F32, old)
			b.ScanBackward(l, gx, add, ga, add, ady, out, aa)
			got := [][]float32{b.get(out), b.get(gx), b.get(ga)}
			for k, want := range [][]float64{y, dx, da} {
				for i, w := range want {
					if k > 0 && add {
						w += float64(old[i])
					}
					if !near(float64(got[k][i]), w, 1e-5) {
						t.Fatalf("%+v, added %v: array %d (y, dx, da) has %v at %d, want %v", l, add, k, got[k][i], i, w)
					}
				}
			}
		}
	}
}
