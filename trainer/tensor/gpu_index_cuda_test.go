//go:build cuda

package tensor

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestGPUTablesShareSortedIDs: ids are sorted once for tables of one height, again
// for others, and not at all where nothing needs it.
func TestGPUTablesShareSortedIDs(t *testing.T) {
	var ids *Tensor
	d := onBoth(t, "float32", 1e-5, [][]int{{9, 8}, {9, 8}, {12, 8}}, func(d *Device, p []*Tensor) *Tensor {
		words := make([]int32, 300)
		for i := range words {
			words[i] = int32(i*i) % 9
		}
		ids = d.Ints(words, 3, 100)
		return p[0].Embed(ids).Mul(p[1].Embed(ids)).Add(p[2].Embed(ids)).Add(p[0].Embed(ids.Shift(1, 1)))
	})
	if ids.sorted.none() {
		t.Error("the ids were not kept in order")
	}
	d.Reset()
	base := d.acc.now()
	table := d.byName["p0"]
	ids = d.Ints([]int32{1, 2, 3}, 3)
	table.Embed(ids)
	if !ids.sorted.none() {
		t.Error("ids were sorted without Backward")
	}
	for range 3 {
		d.Reset()
		table.Embed(d.Ints([]int32{1, 2, 3}, 3)).Reshape(-1).Sum(0).Backward()
	}
	d.Reset()
	if now := d.acc.now(); now != base {
		t.Errorf("%d bytes are left", now-base)
	}
}

// TestGPUManyRows picks and scatters more rows than one thread should.
func TestGPUManyRows(t *testing.T) {
	words := make([]int32, 300)
	for i := range words {
		words[i] = int32(i*i) % 11
	}
	for _, c := range []int{1, 5, 8} {
		onBoth(t, "float32", 1e-5, [][]int{{11, c}, {300, c}}, func(d *Device, p []*Tensor) *Tensor {
			ids := d.Ints(words, len(words))
			return p[0].ScatterAdd(0, ids, p[1]).Square().Gather(0, ids)
		})
	}
	// What could have gone anywhere poisons all of it.
	d := openGPU(t, "float32")
	nan := float32(math.NaN())
	for name, f := range map[string]func(ids []int32, src []float32) (column int){
		"nothing":    func([]int32, []float32) int { return -1 },
		"a NaN":      func(_ []int32, src []float32) int { src[8*100+3] = nan; return 3 },
		"no id":      func(ids []int32, _ []float32) int { ids[7] = PoisonID; return 8 },
		"the last's": func(ids []int32, src []float32) int { ids[299] = 10; src[8*299] = nan; return 0 },
	} {
		ids, src := append([]int32(nil), words...), make([]float32, 300*8)
		column := f(ids, src)
		y := d.Zeros(11, 8).ScatterAdd(0, d.Ints(ids, 300), d.Floats(src, 300, 8)).Host()
		for i, v := range y {
			if want := column == 8 || i%8 == column; (v != v) != want {
				t.Fatalf("%s: element %d is %v", name, i, v)
			}
		}
	}
}

// TestGPUGraphSortsAnew: a graph that scatters many rows does it with the ids of each
// run.
func TestGPUGraphSortsAnew(t *testing.T) {
	var want [][]float32
	for i, d := range []*Device{openTest(t, Config{Threads: 2}), openGPU(t, "float32")} {
		table := d.Param("table", 7, 4)
		rng := rand.New(rand.NewPCG(1, 2))
		table.Normal(rng, 1)
		g, err := d.Trace(d.Ints(make([]int32, 100), 2, 50), func(ids *Tensor) *Tensor {
			x := table.Embed(ids)
			return x.MatMulT(table.Scale(0).ScatterAdd(0, ids.Reshape(-1), x.Reshape(-1, 4)))
		})
		if err != nil {
			t.Fatal(err)
		}
		for run := range 3 {
			ids := make([]int32, 100)
			for k := range ids {
				ids[k] = int32(rng.IntN(7))
			}
			got, err := g.Run(d, ids)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				want = append(want, slices.Clone(got))
				continue
			}
			for k, v := range got {
				if w := want[run][k]; !(math.Abs(float64(v-w)) <= 1e-4*(1+math.Abs(float64(w)))) {
					t.Fatalf("run %d: element %d is %v, on the CPU %v", run, k, v, w)
				}
			}
		}
	}
}
