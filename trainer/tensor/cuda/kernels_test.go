//go:build cuda

package cuda

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/gpu/emulated"
)

// The conformance suite of package tensor checks what every kernel computes. The
// tests here are of what it does not reach: sizes beyond one block, mixed types,
// odd alignments, and sums that are cut into parts.

// bench is a GPU with some help to fill and read its memory.
type bench struct {
	*Kernels
	t   testing.TB
	rng *rand.Rand
}

// onGPU runs a test on the emulated GPU, with threads in both orders.
func onGPU(t *testing.T, f func(b *bench)) {
	emulated.Use(t)
	emulated.Reversed(t, func(t *testing.T) {
		d, err := gpu.Open(gpu.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.Close)
		f(&bench{New(d), t, rand.New(rand.NewPCG(1, 2))})
	})
}

func rounded(typ gpu.Type, x float32) float32 {
	if typ != gpu.BF16 || x != x {
		return x
	}
	u := math.Float32bits(x)
	return math.Float32frombits((u + 0x7fff + u>>16&1) &^ 0xffff)
}

// put returns an array that holds x rounded to typ, and leaves x so.
func (b *bench) put(typ gpu.Type, x []float32) Array {
	a := Array{b.dev.Alloc(int64(len(x)) * typ.Size()), typ, len(x)}
	words := make([]uint16, 2*len(x))
	for i := range x {
		if x[i] = rounded(typ, x[i]); typ == gpu.BF16 {
			words[i] = uint16(math.Float32bits(x[i]) >> 16)
		} else {
			words[2*i], words[2*i+1] = uint16(math.Float32bits(x[i])), uint16(math.Float32bits(x[i])>>16)
		}
	}
	b.dev.CopyIn(a.At, unsafe.Pointer(&words[0]), int64(len(x))*typ.Size())
	return a
}

// random is put of n normal numbers.
func (b *bench) random(typ gpu.Type, n int) ([]float32, Array) {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(b.rng.NormFloat64())
	}
	a := b.put(typ, x)
	return x, a
}

func (b *bench) get(a Array) []float32 {
	words := make([]uint16, 2*a.N)
	b.dev.CopyOut(unsafe.Pointer(&words[0]), a.At, int64(a.N)*a.Type.Size())
	x := make([]float32, a.N)
	for i := range x {
		if a.Type == gpu.BF16 {
			x[i] = math.Float32frombits(uint32(words[i]) << 16)
		} else {
			x[i] = math.Float32frombits(uint32(words[2*i]) | uint32(words[2*i+1])<<16)
		}
	}
	return x
}

func (b *bench) ints(v []int32) gpu.Ptr {
	p := b.dev.Alloc(int64(len(v)) * 4)
	b.dev.CopyIn(p, unsafe.Pointer(&v[0]), int64(len(v))*4)
	return p
}

// near compares with what float64 gives; tol is in units of 1+|want|.
func (b *bench) near(what string, got []float32, want []float64, typ gpu.Type, tol float64) {
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
