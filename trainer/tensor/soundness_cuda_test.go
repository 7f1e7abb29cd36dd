//go:build cuda

package tensor_test

import (
	"math/rand/v2"
	"testing"

	"github.com/autoresearch-go/autoresearch/gpu/emulated"
	"github.com/autoresearch-go/autoresearch/trainer/tensor"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/tensortest"
)

// wide are shapes that reach the tensor cores and several tiles.
var wide = [][]int{{1, 70, 1, 64}, {2, 33, 2, 64}, {1, 66, 1, 128}, {1, 130, 1, 64}, {1, 1, 70, 70}}

// TestGPUKernelsPassPoison is TestPoisonPassesEveryOperation on the emulated
// GPU: what the evaluator's proof on a GPU rests on.
func TestGPUKernelsPassPoison(t *testing.T) {
	emulated.Use(t)
	for _, precision := range []string{"float32", "bfloat16"} {
		d, err := tensor.Open(tensor.Config{Threads: 2, Device: "cuda", Precision: precision})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for i, op := range tensortest.Exportable() {
			rng := rand.New(rand.NewPCG(uint64(i), 9))
			shapes := mains[:3]
			switch op.Name {
			case "attention", "causal_matmul":
				shapes = wide
			}
			uses, found, err := soundnessOf(d, rng, op, shapes, 1)
			if err != nil {
				t.Errorf("%s: %v", precision, err)
			} else if uses == 0 || found == 0 {
				t.Errorf("%s: %s: %d uses were tried and %d dependences found", precision, op.Name, uses, found)
			}
		}
	}
}

// TestNoGraphSmugglesOnGPU is TestNoGraphSmuggles on the emulated GPU, with few
// graphs.
func TestNoGraphSmugglesOnGPU(t *testing.T) {
	graphs := smuggleGraphs(400)
	emulated.Use(t)
	for _, precision := range []string{"float32", "bfloat16"} {
		d, err := tensor.Open(tensor.Config{Threads: 1, Device: "cuda", Precision: precision})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		proved, err := smuggled(t, d, rand.New(rand.NewPCG(uint64(graphs), 5)), tensortest.Exportable(), graphs)
		if err != nil {
			t.Errorf("%s: %v", precision, err)
		} else if proved < graphs/8 {
			t.Errorf("%s: only %d of %d graphs are proved causal", precision, proved, graphs)
		}
	}
}
