//go:build cuda

package gpu_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/gpu/emulated"
)

// TestFastestProductIsRemembered: of the emulated library's algorithms the first
// is not the fastest, the second refuses to run, the third is slow. The fastest is
// found by one process, written down by its place in the list, and used by the
// next process without a search; what the search multiplies is not the caller's.
func TestFastestProductIsRemembered(t *testing.T) {
	if os.Getenv("AUTORESEARCH_TEST_ALONE") == "" {
		dir := t.TempDir()
		process := func(name string, searches int) {
			t.Run(name, func(t *testing.T) {
				alone(t, []string{emulated.GPU(0)}, "TEST_CACHE="+dir, fmt.Sprint("TEST_SEARCHES=", searches))
			})
		}
		process("first", 2)
		file := filepath.Join(dir, "products.txt")
		kept, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(kept)), "\n")
		for _, l := range lines {
			if f := strings.Split(l, "\t"); len(f) != 4 || !strings.HasPrefix(l, "NVIDIA H200 120900|bfloat16-float32-") || f[1] != "4" || f[2] != "0" {
				t.Errorf("kept %q, want the fifth algorithm, which is the best, as it is", l)
			}
		}
		if len(lines) != 2 {
			t.Errorf("kept %d lines, want one for each of two shapes", len(lines))
		}
		process("second", 0)
		if err := os.WriteFile(file, []byte(lines[0]+"\nbroken"), 0o644); err != nil {
			t.Fatal(err)
		}
		process("half of it lost", 1)
		return
	}
	testSearch(t)
}

func testSearch(t *testing.T) {
	defer gpu.TuneFrom(64)()
	d := openDevice(t, gpu.Config{Cache: os.Getenv("TEST_CACHE")})
	for _, k := range []int{4100, 1000} { // one is long enough to be split
		const m, n = 128, 120
		a, b, c := floatsOf(m*k, 3), floatsOf(k*n, 5), floatsOf(m*n, 7)
		p := gpu.Product{M: m, N: n, K: k, In: gpu.BF16, Out: gpu.F32, Accumulate: true}
		p.A, p.B, p.C = put16(d, a), put16(d, b), d.Alloc(m*n*4)
		d.CopyIn(p.C, unsafe.Pointer(&c[0]), m*n*4)
		d.ResetPeak()
		before := d.PeakBytes()
		d.Product(p)
		if peak := d.PeakBytes(); peak != before {
			t.Errorf("the search raised the peak of the memory from %d to %d", before, peak)
		}
		got := make([]float32, m*n)
		d.CopyOut(unsafe.Pointer(&got[0]), p.C, m*n*4)
		// The emulation says that the best takes 3.26 us, the first 3.52.
		if took := d.Elapsed(func() { d.Product(p) }); k == 4100 && took > 3400*time.Nanosecond {
			t.Errorf("the product takes %v: not the algorithm that was chosen", took)
		}
		for i, v := range got {
			want := c[i]
			for j := range k {
				want += a[i/n*k+j] * b[j*n+i%n]
			}
			if v != want { // sums of small integers are exact
				t.Fatalf("K %d: element %d is %v, want %v", k, i, v, want)
			}
		}
	}
	d.Product(gpu.Product{M: 2, N: 2, K: 2, A: d.Alloc(64), B: d.Alloc(64), C: d.Alloc(64)}) // too small to search
	shapes, spent := d.Tuned()
	if fmt.Sprint(shapes) != os.Getenv("TEST_SEARCHES") || spent > 0 != (shapes > 0) {
		t.Errorf("%d searches took %v, want %s", shapes, spent, os.Getenv("TEST_SEARCHES"))
	}
}

// floatsOf has integers below mod.
func floatsOf(n, mod int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i % mod)
	}
	return x
}

// put16 puts small integers on the GPU in bfloat16.
func put16(d *gpu.Device, x []float32) gpu.Ptr {
	h := make([]uint16, len(x))
	for i, v := range x {
		h[i] = uint16(*(*uint32)(unsafe.Pointer(&v)) >> 16)
	}
	at := d.Alloc(int64(len(h)) * 2)
	d.CopyIn(at, unsafe.Pointer(&h[0]), int64(len(h))*2)
	return at
}

// TestRefusedProducts: without a search the first algorithm is taken, and the next
// where the library refuses it.
func TestRefusedProducts(t *testing.T) {
	defer gpu.RefuseFirst()()
	d := openDevice(t, gpu.Config{})
	const m, n, k = 3, 5, 7
	a, b := floatsOf(m*k, 3), floatsOf(k*n, 5)
	p := gpu.Product{M: m, N: n, K: k, In: gpu.BF16, Out: gpu.F32, A: put16(d, a), B: put16(d, b), C: d.Alloc(m * n * 4)}
	for range 2 {
		d.Product(p)
		got := make([]float32, m*n)
		d.CopyOut(unsafe.Pointer(&got[0]), p.C, m*n*4)
		want := float32(0)
		for j := range k {
			want += a[j] * b[j*n]
		}
		if got[0] != want {
			t.Errorf("got %v, want %v", got[0], want)
		}
	}
}
