//go:build cuda

package tensor_test

import (
	"math"
	"testing"

	"github.com/autoresearch-go/autoresearch/gpu/emulated"
	"github.com/autoresearch-go/autoresearch/trainer/tensor"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/tensortest"
)

// TestConformanceCUDA holds the GPU to the tolerances of the CPU, in float32,
// with the emulation's threads in both orders. TestGPUKernelsPassPoison looks at
// the NaN rule more closely.
func TestConformanceCUDA(t *testing.T) {
	emulated.Use(t)
	emulated.Reversed(t, func(t *testing.T) {
		tensortest.Run(t, tensortest.Options{Config: tensor.Config{Threads: 2, Device: "cuda"}, Brief: true})
	})
}

// TestConformanceCUDAMixed does so in mixed precision, with inputs that are
// Params and with inputs that come from a stream in bfloat16. One rounding to
// bfloat16 is off by up to 2^-8, 1300 times the usual tolerance, and cases that
// are several operations round more than once.
func TestConformanceCUDAMixed(t *testing.T) {
	emulated.Use(t)
	for name, stream := range map[string]bool{"params": false, "stream": true} {
		t.Run(name, func(t *testing.T) {
			tensortest.Run(t, tensortest.Options{
				Config:    tensor.Config{Threads: 2, Device: "cuda", Precision: "bfloat16"},
				Round:     bfloat16,
				Stream:    stream,
				Brief:     true,
				Tolerance: 3000,
				Factors:   products,
			})
		})
	}
}

// TestConformanceCUDADeferred: that operations wait until somebody reads them
// changes nothing.
func TestConformanceCUDADeferred(t *testing.T) {
	defer tensor.DeferAll()()
	emulated.Use(t)
	tensortest.Run(t, tensortest.Options{Config: tensor.Config{Threads: 2, Device: "cuda"}, Brief: true})
}

// products have a larger tolerance on a CPU, for their sums, which are float32 on
// a GPU too.
var products = map[string]float64{"matmul": 0.3, "matmul_t": 0.3, "causal_matmul": 0.3, "expert_matmul": 0.3}

// bfloat16 rounds to nearest, ties to even.
func bfloat16(x float64) float64 {
	b := math.Float32bits(float32(x))
	return float64(math.Float32frombits((b + 0x7fff + b>>16&1) &^ 0xffff))
}
