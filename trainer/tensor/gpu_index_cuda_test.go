//go:build cuda

package tensor

import "testing"

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
