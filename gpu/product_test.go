//go:build cuda

package gpu_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/gpu/emulated"
)

// array is a matrix, or a batch of them, on the host and on the GPU.
type array struct {
	host []float32
	typ  gpu.Type
	at   gpu.Ptr
}

// newArray has n random elements, small enough in number of bits that products
// of bfloat16 values are exact in float32.
func newArray(d *gpu.Device, n int, typ gpu.Type, r *rand.Rand) array {
	a := array{make([]float32, n), typ, d.Alloc(int64(n) * typ.Size())}
	for i := range a.host {
		a.host[i] = float32(r.IntN(17)-8) / 8
	}
	a.upload(d)
	return a
}

func (a *array) upload(d *gpu.Device) {
	if a.typ == gpu.F32 {
		d.CopyIn(a.at, unsafe.Pointer(&a.host[0]), int64(len(a.host))*4)
		return
	}
	bits := make([]uint16, len(a.host))
	for i, f := range a.host {
		bits[i] = uint16(math.Float32bits(f) >> 16) // the values need no more
	}
	d.CopyIn(a.at, unsafe.Pointer(&bits[0]), int64(len(bits))*2)
}

func (a *array) download(d *gpu.Device) []float32 {
	got := make([]float32, len(a.host))
	if a.typ == gpu.F32 {
		d.CopyOut(unsafe.Pointer(&got[0]), a.at, int64(len(got))*4)
		return got
	}
	bits := make([]uint16, len(got))
	d.CopyOut(unsafe.Pointer(&bits[0]), a.at, int64(len(bits))*2)
	for i, b := range bits {
		got[i] = math.Float32frombits(uint32(b) << 16)
	}
	return got
}

// expect computes a product in plain Go.
func expect(p gpu.Product, a, b, c []float32) []float32 {
	want := append([]float32(nil), c...)
	element := func(x []float32, trans bool, ld, i, j int, base int64) float64 {
		if trans {
			i, j = j, i
		}
		return float64(x[base+int64(i*ld+j)])
	}
	alpha := float64(p.Alpha)
	if alpha == 0 {
		alpha = 1
	}
	for n := range int64(max(p.Batch, 1)) {
		for i := range p.M {
			for j := range p.N {
				sum := 0.0
				for k := range p.K {
					sum += element(a, p.TransA, p.LDA, i, k, n*p.StrideA) * element(b, p.TransB, p.LDB, k, j, n*p.StrideB)
				}
				at := n*p.StrideC + int64(i*p.LDC+j)
				sum *= alpha
				if p.Accumulate {
					sum += float64(c[at])
				}
				want[at] = float32(sum)
			}
		}
	}
	return want
}

// Every combination of transposes, types, batches, gaps between rows, factor and
// accumulation gives what plain Go gives, and leaves the gaps alone.
func TestGPUProduct(t *testing.T) {
	d := openDevice(t, gpu.Config{Exact: true})
	r := rand.New(rand.NewPCG(5, 6))
	types := [][2]gpu.Type{{gpu.F32, gpu.F32}, {gpu.BF16, gpu.BF16}, {gpu.BF16, gpu.F32}}
	sizes := [][3]int{{3, 5, 7}, {16, 8, 32}, {1, 33, 2}, {17, 1, 9}}
	for i := range 2 * 2 * 3 * 3 * 2 * 2 * 2 {
		take := func(n int) int { v := i % n; i /= n; return v }
		p := gpu.Product{TransA: take(2) == 1, TransB: take(2) == 1}
		ty, batch, gap := types[take(3)], [][2]int{{0, 1}, {3, 3}, {4, 1}}[take(3)], take(2)*3
		p.In, p.Out, p.Batch, p.Accumulate = ty[0], ty[1], batch[0], take(2) == 1
		p.Alpha = []float32{0, -0.5}[take(2)]
		s := sizes[r.IntN(len(sizes))]
		p.M, p.N, p.K = s[0], s[1], s[2]
		checkProduct(t, d, p, gap, batch[1], r)
	}
}

// checkProduct runs one product with so many unused elements behind each row; of
// B there are as many as batches, or one for all.
func checkProduct(t *testing.T, d *gpu.Device, p gpu.Product, gap, manyB int, r *rand.Rand) {
	t.Helper()
	rowsA, colsA := swap(p.TransA, p.M, p.K)
	rowsB, colsB := swap(p.TransB, p.K, p.N)
	p.LDA, p.LDB, p.LDC = colsA+gap, colsB+gap, p.N+gap
	many := max(p.Batch, 1)
	a := newArray(d, many*rowsA*p.LDA, p.In, r)
	b := newArray(d, manyB*rowsB*p.LDB, p.In, r)
	c := newArray(d, many*p.M*p.LDC, p.Out, r)
	p.A, p.B, p.C = a.at, b.at, c.at
	if p.Batch > 1 {
		p.StrideA, p.StrideC = int64(rowsA*p.LDA), int64(p.M*p.LDC)
		if manyB > 1 {
			p.StrideB = int64(rowsB * p.LDB)
		}
	}
	want := expect(p, a.host, b.host, c.host)
	d.Product(p)
	for i, got := range c.download(d) {
		tolerance := 1e-5
		if p.Out == gpu.BF16 {
			tolerance = math.Abs(float64(want[i])) / 256 // half of a unit in the last of 8 bits
		}
		if math.Abs(float64(got-want[i])) > tolerance {
			t.Fatalf("%+v: element %d is %g, want %g", p, i, got, want[i])
		}
	}
	for _, x := range []array{a, b, c} {
		d.Free(x.at)
	}
}

func swap(trans bool, rows, cols int) (int, int) {
	if trans {
		return cols, rows
	}
	return rows, cols
}

// Products of nothing: no rows, and sums over nothing.
func TestGPUEmptyProducts(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	r := rand.New(rand.NewPCG(7, 8))
	c := newArray(d, 2*3*5, gpu.F32, r)
	d.Product(gpu.Product{M: 0, N: 5, K: 2, C: c.at})
	d.Product(gpu.Product{M: 3, N: 0, K: 2, C: c.at})
	d.Product(gpu.Product{M: 3, N: 4, K: 0, C: c.at, LDC: 5, Accumulate: true})
	if got := c.download(d); fmt.Sprint(got) != fmt.Sprint(c.host) {
		t.Errorf("nothing changed C to %v", got)
	}
	d.Product(gpu.Product{M: 3, N: 4, K: 0, C: c.at, LDC: 5, Batch: 2, StrideC: 15})
	for i, got := range c.download(d) {
		if want := c.host[i]; i%5 < 4 && got != 0 || i%5 == 4 && got != want {
			t.Errorf("element %d of a sum over nothing is %g", i, got)
		}
	}
}

func TestGPUProductAllocatesNothing(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	p := gpu.Product{M: 2, N: 2, K: 2, A: d.Alloc(256), B: d.Alloc(256), C: d.Alloc(256)}
	d.Product(p)
	if n := testing.AllocsPerRun(10, func() { d.Product(p) }); n > 0 {
		t.Errorf("%.1f allocations in a product", n)
	}
}

// Products of float32 may use TF32, whose factors have ten bits of a fraction,
// unless the Device is opened as exact.
func TestExactProducts(t *testing.T) {
	if emulated.OnGPU() {
		t.Skip("a real cublasLt may multiply small matrices without tensor cores")
	}
	const x = 1 + 1.0/(1<<12)
	for _, exact := range []bool{true, false} {
		d := openDevice(t, gpu.Config{Exact: exact})
		values := []float32{x, 0}
		p := d.Alloc(256)
		d.CopyIn(p, unsafe.Pointer(&values[0]), 8)
		d.Product(gpu.Product{M: 1, N: 1, K: 1, A: p, B: p, C: p.At(4)})
		d.CopyOut(unsafe.Pointer(&values[0]), p, 8)
		if got := values[1] == float32(x)*float32(x); got != exact {
			t.Errorf("exact %t: the square of %g is %g", exact, x, values[1])
		}
	}
}
