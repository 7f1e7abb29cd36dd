//go:build cuda

package cuda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/gpu/emulated"
)

// bench is a GPU to try kernels on.
type bench struct {
	*Kernels
	t   testing.TB
	rng *rand.Rand
}

func newBench(t testing.TB) *bench {
	t.Helper()
	emulated.Use(t)
	d, err := gpu.Open(gpu.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return &bench{New(d), t, rand.New(rand.NewPCG(1, 2))}
}

// normal is n random numbers of a deviation, as values of a type.
func (b *bench) normal(typ gpu.Type, n int, deviation float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = rounded(typ, float32(b.rng.NormFloat64()*deviation))
	}
	return x
}

func rounded(typ gpu.Type, x float32) float32 {
	if typ != gpu.BF16 {
		return x
	}
	return math.Float32frombits(uint32(half(x)) << 16)
}

func half(x float32) uint16 {
	u := math.Float32bits(x)
	if x != x {
		return 0x7fff
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

// put copies to new memory on the GPU, get copies back.
func (b *bench) put(typ gpu.Type, x []float32) Array {
	a := Array{At: b.dev.Alloc(int64(len(x)) * typ.Size()), Type: typ, N: len(x)}
	if typ == gpu.BF16 {
		h := make([]uint16, len(x))
		for i, v := range x {
			h[i] = half(v)
		}
		b.dev.CopyIn(a.At, unsafe.Pointer(&h[0]), int64(len(h))*2)
		return a
	}
	b.dev.CopyIn(a.At, unsafe.Pointer(&x[0]), int64(len(x))*4)
	return a
}

func (b *bench) get(a Array) []float32 {
	x := make([]float32, a.N)
	if a.Type == gpu.BF16 {
		h := make([]uint16, a.N)
		b.dev.CopyOut(unsafe.Pointer(&h[0]), a.At, int64(a.N)*2)
		for i, v := range h {
			x[i] = math.Float32frombits(uint32(v) << 16)
		}
		return x
	}
	b.dev.CopyOut(unsafe.Pointer(&x[0]), a.At, int64(a.N)*4)
	return x
}

func (b *bench) ids(x []int32) Array {
	return b.put(gpu.I32, unsafe.Slice((*float32)(unsafe.Pointer(&x[0])), len(x)))
}

// near compares, relative to 1 + |want|, NaN with NaN.
func near(got, want, tolerance float64) bool {
	if math.IsNaN(want) || math.IsInf(want, 0) {
		return math.IsNaN(got) == math.IsNaN(want) && (math.IsNaN(got) || got == want)
	}
	return math.Abs(got-want) <= tolerance*(1+math.Abs(want))
}

// rowLoss is the loss of a row of logits in float64, with its gradient.
func rowLoss(z []float32, id int, softcap float64) (loss float64, gradient []float64) {
	capped, slope, most := make([]float64, len(z)), make([]float64, len(z)), math.Inf(-1)
	for i, v := range z {
		capped[i], slope[i] = float64(v), 1
		if softcap > 0 {
			t := math.Tanh(float64(v) / softcap)
			capped[i], slope[i] = softcap*t, 1-t*t
		}
		most = max(most, capped[i])
	}
	sum := 0.0
	for _, v := range capped {
		sum += math.Exp(v - most)
	}
	gradient = make([]float64, len(z))
	for i, v := range capped {
		p := math.Exp(v-most) / sum
		if i == id {
			p--
		}
		gradient[i] = p * slope[i]
		if id < 0 {
			gradient[i] = math.NaN()
		}
	}
	if id < 0 {
		return math.NaN(), gradient
	}
	return math.Log(sum) + most - capped[id], gradient
}

// TestLosses: rows of every kernel, with and without caps, targets at both ends,
// ids that are none, gradients in place and elsewhere, in both types, with the
// emulation's threads in both orders.
func TestLosses(t *testing.T) {
	emulated.Reversed(t, func(t *testing.T) {
		b := newBench(t)
		for _, c := range []struct {
			v, ld   int
			softcap float32
			typ     gpu.Type
			want    string
		}{
			{8, 8, 0, gpu.F32, "loss_rows_1"}, {7, 8, 15, gpu.F32, "loss_rows_1"}, {4096, 0, 15, gpu.BF16, "loss_rows_1"}, {7, 0, 15, gpu.BF16, "loss_rows_any"},
			{4097, 4104, 0, gpu.BF16, "loss_rows_2"}, {8192, 8192, 15, gpu.BF16, "loss_rows_2"}, {8192, 0, 200, gpu.F32, "loss_rows_2"},
			{10001, 10008, 0, gpu.F32, "loss_rows_4"}, {20000, 20000, 15, gpu.BF16, "loss_rows_8"},
			{1, 0, 0, gpu.F32, "loss_rows_any"}, {1003, 0, 0, gpu.F32, "loss_rows_any"}, {1003, 0, 15, gpu.BF16, "loss_rows_any"}, {1003, 0, 200, gpu.F32, "loss_rows_any"}, {33000, 0, 0, gpu.BF16, "loss_rows_any"},
		} {
			t.Run(fmt.Sprintf("%s %dof%d cap %v", c.typ, c.v, c.ld, c.softcap), func(t *testing.T) {
				b.t = t
				b.losses(c.v, max(c.v, c.ld), c.softcap, c.typ, c.want)
			})
		}
	})
}

// losses checks five rows: targets at the ends and in the middle, and two that
// are no ids.
func (b *bench) losses(v, ld int, softcap float32, typ gpu.Type, kernel string) {
	ids := []int32{0, int32(v - 1), int32(v / 2), math.MinInt32, int32(v)}
	const rows, factor = 5, 0.25
	z := b.normal(typ, rows*ld, 8)
	for i := range ld { // a row whose exponentials would overflow
		z[ld+i] = rounded(typ, z[ld+i]*5+150)
	}
	at, losses := b.put(typ, z), b.put(gpu.F32, make([]float32, rows))
	r := Rows{At: at.At, Type: typ, N: rows, V: v, LD: ld, Softcap: softcap}
	if got := lossKernel(r, ld, at.At); got != kernel {
		b.t.Errorf("the kernel is %s, want %s", got, kernel)
	}
	idsAt := b.ids(ids)
	b.Losses(r, idsAt.At, losses.At, 0, factor)
	alone := b.get(losses)
	if got := b.get(at); !equal(got, z) {
		b.t.Error("losses alone changed the logits")
	}
	elsewhere := b.put(typ, make([]float32, len(z)))
	b.Losses(r, idsAt.At, losses.At, elsewhere.At, factor)
	b.Losses(r, idsAt.At, losses.At, at.At, factor)
	got, dz, dz2 := b.get(losses), b.get(at), b.get(elsewhere)
	if !equal(got, alone) {
		b.t.Errorf("losses with a gradient are %v, alone %v", got, alone)
	}
	// Of the gradient: the error of a capped logit is absolute, and so is that of
	// the slope of tanh; a value in bfloat16 is rounded when it is stored.
	relative, absolute := 2e-6+1e-7*float64(softcap), 3e-7
	if typ == gpu.BF16 {
		relative += 1. / 256
	}
	for row, id := range ids {
		if int(id) >= v {
			id = -1
		}
		want, gradient := rowLoss(z[row*ld:][:v], int(id), float64(softcap))
		if !near(float64(got[row]), want, 2e-6) {
			b.t.Errorf("loss of target %d is %v, want %v", ids[row], got[row], want)
		}
		for i, w := range gradient {
			x, y := float64(dz[row*ld+i])/factor, float64(dz2[row*ld+i])/factor
			if !near(x, w, (relative*math.Abs(w)+absolute)/(1+math.Abs(w))) || !near(x, y, 0) {
				b.t.Fatalf("gradient %d for target %d is %v in place and %v elsewhere, want %v", i, ids[row], x, y, w)
			}
		}
	}
}

func equal(a, b []float32) bool {
	for i, v := range a {
		if math.Float32bits(v) != math.Float32bits(b[i]) {
			return false
		}
	}
	return len(a) == len(b)
}
