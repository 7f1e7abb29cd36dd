package tensor

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestCodeLengths: they are those of the logits, NaN where one is not finite, and
// wrong arguments are refused.
func TestCodeLengths(t *testing.T) { codeLengths(t, openTest(t, Config{Threads: 2}), 1e-12) }

func codeLengths(t *testing.T, d *Device, tolerance float64) {
	m := newGPT(d, 1, 32, 2, 8, 2, 11)
	ids, targets := batch(rand.New(rand.NewPCG(3, 4)), 16, 11)
	g, err := d.Trace(d.Ints(ids, 2, 8), m.logits)
	if err != nil {
		t.Fatal(err)
	}
	targets = slices.Clone(targets)
	ids[14] = PoisonID // of the second row, so that its last two logits are NaN
	logits, err := g.Run(d, ids)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]float64, 16)
	for i := range want {
		var sum float64
		for _, v := range logits[i*11 : (i+1)*11] {
			sum += math.Exp(float64(v))
		}
		want[i] = math.Log(sum) - float64(logits[i*11+int(targets[i])])
	}
	for _, n := range []int{16, 3} {
		got, err := g.CodeLengths(d, ids, targets[:n])
		if err != nil || len(got) != n {
			t.Fatalf("%d code lengths, %v", len(got), err)
		}
		for i, v := range got {
			if near := math.Abs(v-want[i]) <= tolerance; near != (i < 14) || (v != v) != (i >= 14) {
				t.Errorf("target %d costs %v, want %v before 14 and NaN from there on", i, v, want[i])
			}
		}
	}
	for message, f := range map[string]func() error{
		"0 targets": func() error { _, err := g.CodeLengths(d, ids, nil); return err },
		"target 11": func() error { _, err := g.CodeLengths(d, ids, []int32{11}); return err },
		"got 3 ids": func() error { _, err := g.CodeLengths(d, ids[:3], []int32{1}); return err },
		"id 11 at":  func() error { ids[3] = 11; _, err := g.CodeLengths(d, ids, []int32{1}); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("got %v, want %q", err, message)
		}
	}
}
