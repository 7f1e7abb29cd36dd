//go:build cuda

package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/autoresearch-go/autoresearch/gpu/emulated"
	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// TestMuonOnGPU: matrices of one shape are one group on a GPU, all of its
// operations have kernels, and the matrices move as they do on a CPU: within
// rounding in float32, and in mixed precision, whose Newton-Schulz products are
// bfloat16, by steps that point the same way.
func TestMuonOnGPU(t *testing.T) {
	emulated.Use(t)
	want, groups := moved(t, tensor.Config{Threads: 2})
	if groups != 5 {
		t.Errorf("%d groups on a CPU, want one for each matrix", groups)
	}
	for precision, tolerance := range map[string]float64{"float32": 1e-4, "bfloat16": 0.1} {
		got, groups := moved(t, tensor.Config{Threads: 2, Device: "cuda", Precision: precision})
		if groups != 2 {
			t.Errorf("%s: %d groups, want one for each shape", precision, groups)
		}
		var off, size float64
		for i, w := range want {
			off, size = off+math.Pow(float64(got[i]-w), 2), size+math.Pow(float64(w), 2)
		}
		if e := math.Sqrt(off / size); !(e <= tolerance) {
			t.Errorf("%s: movements are %.2g of their size off", precision, e)
		}
	}
}

// moved makes three steps of Muon and says how far the matrices went.
func moved(t *testing.T, cfg tensor.Config) (by []float32, groups int) {
	dev, err := tensor.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	var l []*tensor.Tensor
	var from [][]float32
	for i, shape := range [][2]int{{48, 16}, {16, 48}, {48, 16}, {16, 48}, {48, 16}} {
		w := dev.Param(fmt.Sprint("w", i), shape[0], shape[1])
		w.Normal(rng, 1)
		l, from = append(l, w), append(from, w.Host())
	}
	o := &Optimizer{dev: dev}
	for _, group := range together(dev, l) {
		o.muon(group)
	}
	for step := range 3 {
		dev.Reset()
		dev.ZeroGrad()
		for _, w := range l {
			x := make([]float32, w.Size())
			for j := range x {
				x[j] = float32(rng.NormFloat64())
			}
			w.Mul(dev.Floats(x, w.Shape()...)).Reshape(-1).Sum(0).Backward()
		}
		o.Step(int64(step+1), 0.3)
	}
	for i, w := range l {
		for j, v := range w.Host() {
			by = append(by, v-from[i][j])
		}
	}
	if n := dev.HostOps(); len(n) > 0 {
		t.Errorf("%+v: on the host: %v", cfg, n)
	}
	return by, len(o.matrices)
}
