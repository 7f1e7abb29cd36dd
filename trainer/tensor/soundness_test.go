package tensor_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/cpu"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/tensortest"
)

// mains are shapes of inputs: small ones, and ones that reach the vector loops
// and their ends, and several blocks of attention.
var mains = [][]int{
	{2, 3, 4}, {1, 4, 4}, {2, 4, 2, 2}, {3, 3}, {2, 5}, {4}, {1, 5, 6}, {2, 2, 3, 3}, {1, 1},
	{1, 70, 4}, {1, 67, 2, 2}, {2, 49}, {130}, {1, 2, 65}, {3, 1, 17}, {1, 70, 70},
}

// soundness checks the NaN rule of one operation with random uses.
func soundness(d *tensor.Device, rng *rand.Rand, op *tensor.Op) (uses, dependences int, err error) {
	rounds := 2
	if slices.Contains([]string{"attention", "causal_matmul", "expert_matmul"}, op.Name) {
		rounds = 8 // the ones with paths that depend on values
	}
	return soundnessOf(d, rng, op, mains, rounds)
}

func soundnessOf(d *tensor.Device, rng *rand.Rand, op *tensor.Op, mains [][]int, rounds int) (uses, dependences int, err error) {
	for i := range rounds * len(mains) {
		x := tensor.Spec{Shape: mains[i%len(mains)]}
		u, ok := tensortest.RandomUse(rng, op, x, tensor.Spec{Shape: []int{2, 3}, Int: true})
		if !ok || len(u.Out.Shape) > 6 {
			continue
		}
		settings, places, values := 4, 5, 3
		if size(u.Out.Shape) > 100 {
			settings, places, values = 2, 3, 2
		}
		uses++
		found, err := tensortest.CheckPoison(d, rng, u, settings, places, values)
		if dependences += found; err != nil {
			return uses, dependences, err
		}
	}
	return uses, dependences, nil
}

func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// TestPoisonPassesEveryOperation: whatever bits of an output can depend on an
// element of an input, for any values of the others, it is NaN when that element
// is; with every set of kernels that there is here, in small and in parallel
// parts, in memory that holds something old.
func TestPoisonPassesEveryOperation(t *testing.T) {
	defer tensor.DirtyMemory()()
	for _, kernels := range cpu.Names() {
		t.Run(kernels, func(t *testing.T) {
			d, err := tensor.Open(tensor.Config{Threads: 2, Kernels: kernels})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if kernels != "go" {
				defer tensor.SmallGrains()()
			}
			for i, op := range tensortest.Exportable() {
				rng := rand.New(rand.NewPCG(uint64(i), 9))
				uses, found, err := soundness(d, rng, op)
				if err != nil {
					t.Error(err)
				} else if uses == 0 || found == 0 {
					t.Errorf("%s: %d uses were tried and %d dependences found: say in tensortest/uses.go what inputs it takes", op.Name, uses, found)
				}
			}
		})
	}
}

// TestUnsoundOperationsAreFound: the test above can fail.
func TestUnsoundOperationsAreFound(t *testing.T) {
	planted, remove := tensor.PlantUnsound()
	defer remove()
	d := open(t, 1)
	for _, op := range planted {
		if _, _, err := soundness(d, rand.New(rand.NewPCG(1, 1)), op); err == nil {
			t.Errorf("%s passes for sound", op.Name)
		} else {
			t.Log(err)
		}
	}
}
