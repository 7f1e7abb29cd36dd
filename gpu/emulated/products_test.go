//go:build cuda

package emulated

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// open opens the emulated GPU.
func open(t *testing.T, exact bool) *gpu.Device {
	t.Helper()
	d, err := gpu.Open(gpu.Config{Exact: exact})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func put[T any](d *gpu.Device, values []T) gpu.Ptr {
	bytes := int64(len(values)) * int64(unsafe.Sizeof(values[0]))
	p := d.Alloc(bytes)
	d.CopyIn(p, unsafe.Pointer(&values[0]), bytes)
	return p
}

func get[T any](d *gpu.Device, p gpu.Ptr, n int) []T {
	values := make([]T, n)
	d.CopyOut(unsafe.Pointer(&values[0]), p, int64(n)*int64(unsafe.Sizeof(values[0])))
	return values
}

func toBF16(f float32) uint16 {
	b := math.Float32bits(f)
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

func fromBF16(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// Products against plain loops: all transposes, types, distances between rows,
// batches, with and without what was in C.
func TestProducts(t *testing.T) {
	Use(t)
	d := open(t, true)
	for _, in := range []gpu.Type{gpu.F32, gpu.BF16} {
		for _, out := range []gpu.Type{gpu.F32, gpu.BF16} {
			for flags := range 16 {
				p := gpu.Product{M: 37, N: 21, K: 29, In: in, Out: out, TransA: flags&1 != 0, TransB: flags&2 != 0, Accumulate: flags&4 != 0}
				if flags&8 != 0 {
					p.Batch, p.LDA, p.LDB, p.LDC, p.Alpha = 3, 40, 41, 42, 0.5
					p.StrideA, p.StrideB, p.StrideC = 40*40, 0, 42*40
				}
				if in == gpu.F32 && out == gpu.BF16 {
					continue
				}
				t.Run(fmt.Sprintf("%v,%v,%04b", in, out, flags), func(t *testing.T) { testProduct(t, d, p) })
			}
		}
	}
}

func testProduct(t *testing.T, d *gpu.Device, p gpu.Product) {
	a, b, c := random(5000), random(5000), random(6000)
	p.A, p.B, p.C = putAs(d, p.In, a), putAs(d, p.In, b), putAs(d, p.Out, c)
	d.Product(p)
	got := getAs(d, p.Out, p.C, len(c))
	want := product(p, a, b, c)
	tolerance := 1e-5
	if p.Out == gpu.BF16 {
		tolerance = 1.0 / 256
	}
	for i := range want {
		if math.Abs(float64(got[i])-want[i]) > tolerance*max(1, math.Abs(want[i])) {
			t.Fatalf("element %d is %v, want %v", i, got[i], want[i])
		}
	}
}

// product is gpu.Product in plain loops.
func product(p gpu.Product, a, b, c []float32) []float64 {
	lda, ldb, ldc := p.LDA, p.LDB, p.LDC
	if lda == 0 {
		lda, ldb, ldc = p.K, p.N, p.N
		if p.TransA {
			lda = p.M
		}
		if p.TransB {
			ldb = p.K
		}
	}
	alpha := float64(p.Alpha)
	if alpha == 0 {
		alpha = 1
	}
	out := make([]float64, len(c))
	for i, v := range c {
		out[i] = float64(v)
	}
	for n := range max(1, p.Batch) {
		for i := range p.M {
			for j := range p.N {
				sum := 0.0
				for k := range p.K {
					ia, ib := i*lda+k, k*ldb+j
					if p.TransA {
						ia = k*lda + i
					}
					if p.TransB {
						ib = j*ldb + k
					}
					sum += float64(a[n*int(p.StrideA)+ia]) * float64(b[n*int(p.StrideB)+ib])
				}
				at := n*int(p.StrideC) + i*ldc + j
				if out[at] = alpha * sum; p.Accumulate {
					out[at] += float64(c[at])
				}
			}
		}
	}
	return out
}

// random gives numbers that bfloat16 can hold.
func random(n int) []float32 {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	f := make([]float32, n)
	for i := range f {
		f[i] = fromBF16(toBF16(r.Float32()*2 - 1))
	}
	return f
}

func putAs(d *gpu.Device, as gpu.Type, f []float32) gpu.Ptr {
	if as == gpu.F32 {
		return put(d, f)
	}
	b := make([]uint16, len(f))
	for i, v := range f {
		b[i] = toBF16(v)
	}
	return put(d, b)
}

func getAs(d *gpu.Device, as gpu.Type, p gpu.Ptr, n int) []float32 {
	if as == gpu.F32 {
		return get[float32](d, p, n)
	}
	f := make([]float32, n)
	for i, b := range get[uint16](d, p, n) {
		f[i] = fromBF16(b)
	}
	return f
}
