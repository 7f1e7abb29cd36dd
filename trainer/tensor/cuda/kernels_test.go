//go:build cuda

package cuda

import (
	"math"
	"testing"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/gpu/emulated"
)

// The conformance suite of package tensor checks what every kernel computes. The
// tests here are of what it does not reach: sizes beyond one block, mixed types,
// odd alignments, and sums that are cut into parts.

// bothOrders runs a test on the emulated GPU, with threads in both orders.
func bothOrders(t *testing.T, f func(b *bench)) {
	emulated.Reversed(t, func(t *testing.T) { f(newBench(t)) })
}

// random is n normal numbers as values of a type, and the same on the GPU.
func (b *bench) random(typ gpu.Type, n int) ([]float32, Array) {
	x := b.normal(typ, n, 1)
	return x, b.put(typ, x)
}

// all compares an array with what float64 gives; tol is in units of 1+|want|.
func (b *bench) all(what string, got []float32, want []float64, typ gpu.Type, tol float64) {
	b.t.Helper()
	if typ == gpu.BF16 {
		tol += 1. / 256
	}
	for i, w := range want {
		if !(math.Abs(float64(got[i])-w) <= tol*(1+math.Abs(w))) {
			b.t.Fatalf("%s: element %d of %d is %v, want %v", what, i, len(want), got[i], w)
		}
	}
}

var types = []gpu.Type{gpu.F32, gpu.BF16}
