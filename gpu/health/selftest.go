package health

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"time"
	"unsafe"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// Test is what a self-test has measured.
type Test struct {
	UUID   string  `json:"uuid"`
	TFLOPS float64 `json:"tflops"` // of a product of bfloat16 matrices with random elements
	Size   int     `json:"size"`   // their number of rows and columns
}

// SelfTest opens a GPU, computes a matrix product whose result is known exactly,
// and times a larger one. It takes a few seconds, on a GPU that nobody else has,
// in a process of its own: a driver that hangs hangs it. uuid "" is the first GPU.
func SelfTest(uuid, cache string) (t Test, err error) {
	defer func() {
		if e, ok := recover().(error); ok {
			err = e
		}
	}()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	d, err := gpu.Open(gpu.Config{UUID: uuid, Cache: cache})
	if err != nil {
		return t, err
	}
	defer d.Close()
	t.UUID = d.Info().UUID
	if err := knownProduct(d); err != nil {
		return t, err
	}
	t.Size, t.TFLOPS = timedProduct(d)
	return t, nil
}

// knownProduct multiplies small whole numbers, of which every sum is exact in
// whatever order: one wrong bit is a broken GPU.
func knownProduct(d *gpu.Device) error {
	const m, n, k = 192, 160, 256
	rng := rand.New(rand.NewPCG(1, 2))
	whole := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(rng.IntN(17) - 8)
		}
		return x
	}
	a, b := whole(m*k), whole(k*n)
	want, got := make([]float32, m*n), make([]float32, m*n)
	for i := range m {
		for l := range k {
			for j := range n {
				want[i*n+j] += a[i*k+l] * b[l*n+j]
			}
		}
	}
	p := gpu.Product{M: m, N: n, K: k, A: put(d, bf16(a)), B: put(d, bf16(b)), C: d.Alloc(4 * m * n), In: gpu.BF16, Out: gpu.F32}
	defer free(d, p)
	d.Product(p)
	d.CopyOut(unsafe.Pointer(unsafe.SliceData(got)), p.C, 4*m*n)
	for i := range want {
		if want[i] != got[i] {
			return fmt.Errorf("a matrix product is wrong: element %d,%d is %g and should be %g", i/n, i%n, got[i], want[i])
		}
	}
	return nil
}

// timedProduct doubles the size until a product takes long enough to be timed.
// Elements are random: a GPU multiplies zeros faster than it ever multiplies data.
func timedProduct(d *gpu.Device) (size int, tflops float64) {
	const smallest, largest, enough = 512, 8192, 5 * time.Millisecond
	for size = smallest; ; size *= 2 {
		rng := rand.New(rand.NewPCG(3, uint64(size)))
		x := make([]uint16, size*size)
		for i := range x {
			x[i] = bits(float32(rng.Float64() - 0.5))
		}
		p := gpu.Product{M: size, N: size, K: size, A: put(d, x), B: put(d, x), C: d.Alloc(2 * int64(size) * int64(size)), In: gpu.BF16, Out: gpu.BF16}
		took := fastest(d, p)
		free(d, p)
		if took >= enough || size == largest {
			return size, 2 * math.Pow(float64(size), 3) / took.Seconds() / 1e12
		}
	}
}

// fastest of a few, after one that chooses the algorithm.
func fastest(d *gpu.Device, p gpu.Product) time.Duration {
	best := time.Hour
	for i := range 4 {
		d.Sync()
		begin := time.Now()
		d.Product(p)
		d.Sync()
		took := time.Since(begin)
		if i > 0 {
			best = min(best, took)
		}
		if took > time.Second {
			return took // no GPU; an emulated one, say
		}
	}
	return best
}

func put(d *gpu.Device, x []uint16) gpu.Ptr {
	at := d.Alloc(2 * int64(len(x)))
	d.CopyIn(at, unsafe.Pointer(unsafe.SliceData(x)), 2*int64(len(x)))
	return at
}

func free(d *gpu.Device, p gpu.Product) {
	d.Free(p.A)
	d.Free(p.B)
	d.Free(p.C)
}

func bf16(x []float32) []uint16 {
	out := make([]uint16, len(x))
	for i, v := range x {
		out[i] = bits(v)
	}
	return out
}

// bits cuts a float32 down to bfloat16.
func bits(v float32) uint16 { return uint16(math.Float32bits(v) >> 16) }
