//go:build cuda

package cuda

import (
	"fmt"
	"slices"
	"testing"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// TestEmbedGrad sums rows of all kinds of ids: all one, all different, one much
// more frequent than the others, none at the end, some that are none. Runs end
// within blocks and go on over many.
func TestEmbedGrad(t *testing.T) {
	const n, v = 1500, 40
	kinds := map[string]func(b *bench, i int) int32{
		"random":   func(b *bench, _ int) int32 { return int32(b.rng.IntN(v)) },
		"one":      func(*bench, int) int32 { return 7 },
		"skewed":   func(b *bench, _ int) int32 { return int32(max(0, b.rng.IntN(4*v)-3*v)) },
		"sorted":   func(_ *bench, i int) int32 { return int32(i * v / n) },
		"poisoned": func(b *bench, _ int) int32 { return int32(b.rng.IntN(v+2) - 1) }, // and one too large
	}
	for name, id := range kinds {
		t.Run(name, func(t *testing.T) {
			bothOrders(t, func(b *bench) {
				for i, c := range []int{8, 5, 264} {
					ids := make([]int32, n)
					for j := range ids {
						ids[j] = id(b, j)
					}
					b.embedGrad(ids, v, c, types[i&1], types[1-i&1])
				}
				b.embedGrad([]int32{3}, v, 8, gpu.F32, gpu.F32)
			})
		})
	}
}

func (b *bench) embedGrad(ids []int32, v, c int, tdy, tdt gpu.Type) {
	dy, ady := b.random(tdy, len(ids)*c)
	old, dt := b.random(tdt, v*c)
	want := make([]float64, v*c)
	for i := range want {
		want[i] = float64(old[i])
	}
	for i, id := range ids {
		for k := range c {
			if id >= 0 && int(id) < v {
				want[int(id)*c+k] += float64(dy[i*c+k])
			}
		}
	}
	sorted := b.sorted(ids, v)
	b.EmbedGrad(dt, ady, sorted, c)
	first := b.get(dt)
	b.all(fmt.Sprint(c, " columns"), first, want, tdt, 2e-5)
	again := b.put(tdt, old)
	b.EmbedGrad(again, ady, sorted, c)
	if !slices.Equal(b.get(again), first) {
		b.t.Fatal("other bits the second time")
	}
}

func (b *bench) sorted(ids []int32, v int) SortedIDs {
	s := SortedIDs{N: len(ids), V: v}
	s.At = b.dev.Alloc(int64(s.Size()) * 4)
	b.SortIDs(s, b.ids(ids).At)
	return s
}

// TestSortIDs keeps the order of equal ids, over several chunks of positions.
func TestSortIDs(t *testing.T) {
	bothOrders(t, func(b *bench) {
		for _, s := range [][2]int{{1, 1}, {31, 3}, {1000, 7}, {3000, 1200}} {
			n, v := s[0], s[1]
			ids, want := make([]int32, n), make([]float32, n)
			for i := range ids {
				ids[i] = int32(b.rng.IntN(v+1)) - 1
			}
			order := make([]int, n)
			for i := range order {
				order[i] = i
			}
			slices.SortStableFunc(order, func(i, j int) int { return int(uint32(ids[i]))%(1<<16) - int(uint32(ids[j]))%(1<<16) }) // -1 last
			got := b.sorted(ids, v)
			y := Array{b.dev.Alloc(int64(n) * 4), gpu.F32, n}
			b.ToFloat(y, got.order())
			for i, o := range order {
				want[i] = float32(o)
			}
			if !slices.Equal(b.get(y), want) {
				b.t.Fatalf("%d ids below %d: not in order", n, v)
			}
		}
	})
}
