package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// TestMuonTogether: matrices that are updated together move as they do alone, and
// one that the loss does not depend on stays where it is.
func TestMuonTogether(t *testing.T) {
	for _, shape := range [][2]int{{48, 48}, {64, 16}, {16, 64}} {
		dev, err := tensor.Open(tensor.Config{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		rng := rand.New(rand.NewPCG(1, 2))
		var same, alone []*tensor.Tensor
		for i := range 4 {
			a := dev.Param(fmt.Sprint("same", i), shape[0], shape[1])
			b := dev.Param(fmt.Sprint("alone", i), shape[0], shape[1])
			a.Normal(rng, 1)
			b.CopyFrom(a)
			same, alone = append(same, a), append(alone, b)
		}
		before, idle := same[0].Host(), same[3].Host()
		o := &Optimizer{dev: dev}
		o.muon(same)
		for _, group := range together(dev, append(alone, nil)) {
			o.muon(group)
		}
		if len(o.matrices) != 5 {
			t.Fatalf("%d groups on a CPU, want one of all and four of one", len(o.matrices))
		}
		for step := range 3 {
			dev.Reset()
			dev.ZeroGrad()
			for i := range 3 {
				x := make([]float32, shape[0]*shape[1])
				for j := range x {
					x[j] = float32(rng.NormFloat64())
				}
				w := dev.Floats(x, shape[0], shape[1])
				same[i].Mul(w).Add(alone[i].Mul(w)).Reshape(-1).Sum(0).Backward()
			}
			o.Step(int64(step+1), 0.3)
			for i := range 4 {
				if !slices.Equal(same[i].Host(), alone[i].Host()) {
					t.Errorf("%v, step %d: matrix %d moved otherwise than alone", shape, step, i)
				}
			}
		}
		if !slices.Equal(same[3].Host(), idle) {
			t.Errorf("%v: a matrix without gradient moved", shape)
		}
		if slices.Equal(same[0].Host(), before) {
			t.Error("nothing moved")
		}
	}
}
