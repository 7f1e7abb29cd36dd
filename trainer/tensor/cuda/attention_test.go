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

// newKernels opens the kernels of the emulated GPU.
func newKernels(t *testing.T) *Kernels {
	t.Helper()
	emulated.Use(t)
	d, err := gpu.Open(gpu.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return New(d)
}

// stored is an array in the memory of a GPU, and what it should hold.
type stored struct {
	k   *Kernels
	at  gpu.Ptr
	typ gpu.Type
	v   []float64 // as it is stored: rounded to typ
}

// store puts v, rounded; gone are NaN.
func (k *Kernels) store(typ gpu.Type, v []float64) stored {
	a := stored{k: k, typ: typ, at: k.dev.Alloc(int64(len(v)) * typ.Size()), v: make([]float64, len(v))}
	f, h := make([]float32, len(v)), make([]uint16, len(v))
	for i, x := range v {
		f[i] = float32(x)
		if typ == gpu.BF16 {
			h[i] = bf16Bits(f[i])
			f[i] = math.Float32frombits(uint32(h[i]) << 16)
		}
		a.v[i] = float64(f[i])
	}
	if typ == gpu.BF16 {
		k.dev.CopyIn(a.at, unsafe.Pointer(&h[0]), int64(2*len(h)))
	} else {
		k.dev.CopyIn(a.at, unsafe.Pointer(&f[0]), int64(4*len(f)))
	}
	return a
}

// empty is an stored for results, full of NaN.
func (k *Kernels) empty(typ gpu.Type, n int) stored {
	v := make([]float64, n)
	for i := range v {
		v[i] = math.NaN()
	}
	return k.store(typ, v)
}

func (a stored) download() []float64 {
	v := make([]float64, len(a.v))
	f, h := make([]float32, len(v)), make([]uint16, len(v))
	if a.typ == gpu.BF16 {
		a.k.dev.CopyOut(unsafe.Pointer(&h[0]), a.at, int64(2*len(h)))
	} else {
		a.k.dev.CopyOut(unsafe.Pointer(&f[0]), a.at, int64(4*len(f)))
	}
	for i := range v {
		if a.typ == gpu.BF16 {
			f[i] = math.Float32frombits(uint32(h[i]) << 16)
		}
		v[i] = float64(f[i])
	}
	return v
}

// bf16Bits rounds to nearest even.
func bf16Bits(f float32) uint16 {
	b := math.Float32bits(f)
	if f != f {
		return 0x7fc0
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func randoms(r *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = r.NormFloat64()
	}
	return v
}

// wantClose compares: differences may be tolerance times the largest value wanted,
// or times 1/2, as inputs are about 1.
func wantClose(t *testing.T, name string, got, want []float64, tolerance float64) {
	t.Helper()
	most, worst, at := 0.5, 0., -1
	for _, w := range want {
		most = max(most, math.Abs(w))
	}
	for i, w := range want {
		if d := math.Abs(got[i] - w); !(d <= worst) {
			worst, at = d, i
		}
	}
	if !(worst <= tolerance*most) {
		t.Errorf("%s[%d] is %v, want %v: off by %.3g of %.3g, at most %.3g are allowed", name, at, got[at], want[at], worst, most, tolerance*most)
	}
}

// attentionCase is attention by plain loops in float64.
type attentionCase struct {
	Attention
	q, k, v, dout stored
	out           []float64
	lse           []float64
	dq, dk, dv    []float64
}

// rows of a head of q and of k.
func (c *attentionCase) qAt(b, t, h int) int { return ((b*c.T+t)*c.NH + h) * c.D }
func (c *attentionCase) kAt(b, t, h int) int { return ((b*c.T+t)*c.NKV + h*c.NKV/c.NH) * c.D }

func newAttentionCase(k *Kernels, a Attention, seed uint64) *attentionCase {
	r := newRand(seed)
	c := &attentionCase{Attention: a}
	n, m := a.B*a.T*a.NH*a.D, a.B*a.T*a.NKV*a.D
	c.q, c.k, c.v, c.dout = k.store(a.Type, randoms(r, n)), k.store(a.Type, randoms(r, m)), k.store(a.Type, randoms(r, m)), k.store(a.Type, randoms(r, n))
	c.compute()
	return c
}

func (c *attentionCase) compute() {
	c.out, c.lse = make([]float64, len(c.q.v)), make([]float64, c.B*c.NH*c.T)
	c.dq, c.dk, c.dv = make([]float64, len(c.q.v)), make([]float64, len(c.k.v)), make([]float64, len(c.k.v))
	for i := range c.lse {
		c.row(i/c.T/c.NH, i/c.T%c.NH, i%c.T)
	}
}

// row computes what query t of a head gives and gets.
func (c *attentionCase) row(b, h, t int) {
	scale, from := 1/math.Sqrt(float64(c.D)), max(0, t-c.Window+1)
	q, out, dout, dq := c.q.v[c.qAt(b, t, h):][:c.D], c.out[c.qAt(b, t, h):][:c.D], c.dout.v[c.qAt(b, t, h):][:c.D], c.dq[c.qAt(b, t, h):][:c.D]
	p, sum := make([]float64, t+1), 0.
	for j := from; j <= t; j++ {
		p[j] = math.Exp(scale * dot64(q, c.k.v[c.kAt(b, j, h):]))
		sum += p[j]
	}
	for j := from; j <= t; j++ {
		p[j] /= sum
		axpy64(out, p[j], c.v.v[c.kAt(b, j, h):])
	}
	c.lse[(b*c.NH+h)*c.T+t] = math.Log2(sum)
	delta := dot64(dout, out)
	for j := from; j <= t; j++ {
		key, v := c.k.v[c.kAt(b, j, h):][:c.D], c.v.v[c.kAt(b, j, h):][:c.D]
		ds := scale * p[j] * (dot64(dout, v) - delta)
		axpy64(dq, ds, key)
		axpy64(c.dk[c.kAt(b, j, h):][:c.D], ds, q)
		axpy64(c.dv[c.kAt(b, j, h):][:c.D], p[j], dout)
	}
}

func dot64(a, b []float64) (s float64) {
	for i, x := range a {
		s += x * b[i]
	}
	return s
}

func axpy64(y []float64, a float64, x []float64) {
	for i := range y {
		y[i] += a * x[i]
	}
}

// forward runs the kernel under test.
func (c *attentionCase) forward(k *Kernels) (out, lse stored) {
	out, lse = k.empty(c.Type, len(c.q.v)), k.empty(gpu.F32, len(c.lse))
	c.Forward(k, out.at, lse.at, c.q.at, c.k.at, c.v.at)
	return out, lse
}

// tolerance of results, as a share of the largest: half a unit in the last place of
// bfloat16 for the result, and about as much for the weights, which are rounded to
// it before they meet the values.
func (c *attentionCase) tolerance() float64 {
	if c.Type == gpu.BF16 {
		return 1. / 128
	}
	return 2e-6
}

func (c *attentionCase) check(t *testing.T, k *Kernels) {
	t.Helper()
	out, lse := c.forward(k)
	wantClose(t, "out", out.download(), c.out, c.tolerance())
	wantClose(t, "lse", lse.download(), c.lse, 1e-5)

	dq, dk, dv, delta := k.empty(c.Type, len(c.dq)), k.empty(c.Type, len(c.dk)), k.empty(c.Type, len(c.dv)), k.empty(gpu.F32, len(c.lse))
	c.Backward(k, AttentionGrads{Q: dq.at, K: dk.at, V: dv.at}, out.at, c.dout.at, lse.at, delta.at, c.q.at, c.k.at, c.v.at)
	wantClose(t, "dq", dq.download(), c.dq, c.tolerance())
	wantClose(t, "dk", dk.download(), c.dk, c.tolerance())
	wantClose(t, "dv", dv.download(), c.dv, c.tolerance())
}

func (a Attention) String() string {
	return fmt.Sprintf("%v_B%d_T%d_NH%d_NKV%d_D%d_W%d", a.Type, a.B, a.T, a.NH, a.NKV, a.D, a.Window)
}

// attentionCases have lengths around the tiles' 32, 64 and 128 rows, windows that
// end in their middle or take one row of one more, and groups.
var attentionCases = []Attention{
	{B: 1, T: 1, NH: 1, NKV: 1, D: 64, Window: 1},
	{B: 2, T: 7, NH: 2, NKV: 1, D: 32, Window: 3},
	{B: 1, T: 64, NH: 2, NKV: 2, D: 16, Window: 64},
	{B: 1, T: 65, NH: 1, NKV: 1, D: 128, Window: 65},
	{B: 1, T: 200, NH: 1, NKV: 1, D: 64, Window: 66},
	{B: 2, T: 130, NH: 4, NKV: 2, D: 32, Window: 130},
	{B: 1, T: 200, NH: 2, NKV: 1, D: 128, Window: 34},
	{B: 1, T: 40, NH: 2, NKV: 1, D: 96, Window: 40},
	{B: 1, T: 35, NH: 1, NKV: 1, D: 250, Window: 20},
	{B: 2, T: 9, NH: 1, NKV: 1, D: 6, Window: 9},
}

func TestAttention(t *testing.T) {
	emulated.Reversed(t, func(t *testing.T) {
		k := newKernels(t)
		for i, a := range attentionCases {
			for _, typ := range []gpu.Type{gpu.F32, gpu.BF16} {
				a.Type = typ
				t.Run(a.String(), func(t *testing.T) { newAttentionCase(k, a, uint64(i)).check(t, k) })
			}
		}
	})
}

// attentionTypes are one case for each method.
var attentionTypes = []Attention{
	{B: 1, T: 150, NH: 2, NKV: 1, D: 64, Window: 40, Type: gpu.BF16},
	{B: 1, T: 150, NH: 2, NKV: 1, D: 32, Window: 40, Type: gpu.F32},
}

// TestAttentionBlind spoils keys and values, or queries, at some positions: rows
// that do not see them keep their bits, the others are lost.
func TestAttentionBlind(t *testing.T) {
	k := newKernels(t)
	for _, a := range attentionTypes {
		for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			for _, at := range []int{0, 63, 64, 100, 149} {
				for _, what := range []string{"k", "v", "q", "v to come"} {
					t.Run(fmt.Sprint(a, x, at, what), func(t *testing.T) { spoil(t, k, a, x, at, what) })
				}
			}
		}
	}
}

func spoil(t *testing.T, k *Kernels, a Attention, x float64, at int, what string) {
	c := newAttentionCase(k, a, 3)
	out, lse := c.forward(k)
	clean := out.download()
	lost := func(row int) bool { return row >= at && row < at+c.Window }
	last := at
	switch what {
	case "k": // all of it, or the sign of q would matter
		c.k = k.spoiled(c.k, c.kAt(0, at, 0), c.D, math.NaN())
	case "v":
		c.v = k.spoiled(c.v, c.kAt(0, at, 0), 1, x)
	case "q":
		c.q = k.spoiled(c.q, c.qAt(0, at, 0), c.NH*c.D, math.NaN())
		lost = func(row int) bool { return row == at }
	case "v to come":
		c.v = k.spoiled(c.v, c.kAt(0, at, 0), (c.T-at)*c.D, x)
		last = c.T - 1
		lost = func(row int) bool { return row >= at && row < last+c.Window }
	}
	c.Forward(k, out.at, lse.at, c.q.at, c.k.at, c.v.at)
	got := out.download()
	for row := range c.T {
		for i := c.qAt(0, row, 0); i < c.qAt(0, row, c.NH); i++ {
			finite := got[i]-got[i] == 0
			if !lost(row) && got[i] != clean[i] {
				t.Fatalf("row %d does not see row %d, and is %v instead of %v", row, at, got[i], clean[i])
			}
			// One element of v is one channel.
			if lost(row) && (what != "v" || i%c.D == 0) && finite {
				t.Fatalf("row %d sees row %d, and is %v", row, at, got[i])
			}
			if what == "v" && i%c.D != 0 && got[i] != clean[i] {
				t.Fatalf("row %d, channel %d is %v instead of %v", row, i%c.D, got[i], clean[i])
			}
		}
	}
}

// spoiled is a copy of a in which n elements are x.
func (k *Kernels) spoiled(a stored, from, n int, x float64) stored {
	v := append([]float64{}, a.v...)
	for i := range n {
		v[from+i] = x
	}
	return k.store(a.typ, v)
}

// TestAttentionBits wants the same bits again, gradients that nobody wants left
// out, and others added to what is there.
func TestAttentionBits(t *testing.T) {
	k := newKernels(t)
	for _, a := range attentionTypes {
		c := newAttentionCase(k, a, 4)
		out, lse := c.forward(k)
		again, _ := c.forward(k)
		wantClose(t, "out again", again.download(), out.download(), 0)
		run := func(g AttentionGrads) {
			delta := k.empty(gpu.F32, len(c.lse))
			c.Backward(k, g, out.at, c.dout.at, lse.at, delta.at, c.q.at, c.k.at, c.v.at)
		}
		q, key, v := k.empty(c.Type, len(c.dq)), k.empty(c.Type, len(c.dk)), k.empty(c.Type, len(c.dv))
		run(AttentionGrads{Q: q.at, K: key.at, V: v.at})
		for i, got := range []stored{k.empty(c.Type, len(c.dq)), k.empty(c.Type, len(c.dk)), k.empty(c.Type, len(c.dv))} {
			var g AttentionGrads
			*[]*gpu.Ptr{&g.Q, &g.K, &g.V}[i] = got.at
			run(g)
			first := []stored{q, key, v}[i].download()
			wantClose(t, a.String()+" alone", got.download(), first, 0)
			*[]*bool{&g.AddQ, &g.AddK, &g.AddV}[i] = true
			run(g)
			for j := range first {
				first[j] *= 2
			}
			wantClose(t, a.String()+" added", got.download(), first, 0)
		}
	}
}

// TestAttentionFewHeadsTogether takes blocks from two heads at once, of three and of
// nine that there are.
func TestAttentionFewHeadsTogether(t *testing.T) {
	a := Attention{B: 3, T: 150, NH: 3, NKV: 1, D: 16, Window: 100, Type: gpu.BF16}
	defer func(old int) { sharedHeads = old }(sharedHeads)
	sharedHeads = 2 * 4 * a.T * a.D
	if n := a.together(9); n != 2 {
		t.Fatalf("%d heads are taken together", n)
	}
	k := newKernels(t)
	newAttentionCase(k, a, 5).check(t, k)
}
