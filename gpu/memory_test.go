//go:build cuda

package gpu_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/gpu/emulated"
)

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func copyIn(d *gpu.Device, p gpu.Ptr, b []byte) {
	d.CopyIn(p, unsafe.Pointer(unsafe.SliceData(b)), int64(len(b)))
}

func copyOut(d *gpu.Device, b []byte, p gpu.Ptr) {
	d.CopyOut(unsafe.Pointer(unsafe.SliceData(b)), p, int64(len(b)))
}

func TestGPUCopies(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	for _, n := range []int{0, 1, 3, 4, 255, 256, 257, gpu.StageBytes - 1, gpu.StageBytes, gpu.StageBytes + 1, 2*gpu.StageBytes + 12345, 5*gpu.StageBytes - 1} {
		a, b := d.Alloc(int64(n)), d.Alloc(int64(n))
		want := randomBytes(n)
		src := slices.Clone(want)
		copyIn(d, a, src)
		clear(src) // may be used again
		d.Copy(b, a, int64(n))
		d.Clear(a, int64(n))
		got := make([]byte, n)
		if copyOut(d, got, b); !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back differently", n)
		}
		if copyOut(d, got, a); !bytes.Equal(got, make([]byte, n)) {
			t.Errorf("%d bytes are not cleared", n)
		}
		d.Free(a)
		d.Free(b)
	}
}

// Many copies that share the staging memory, of sizes that do not divide it, and
// some out in between.
func TestGPUManyCopies(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	all := randomBytes(3 * gpu.StageBytes)
	p := d.Alloc(int64(len(all)))
	r := rand.New(rand.NewPCG(3, 4))
	for at := 0; at < len(all); {
		n := min(1+r.IntN(gpu.StageBytes/3), len(all)-at)
		copyIn(d, p.At(int64(at)), all[at:at+n])
		at += n
		copyOut(d, nil, p) // waits for nothing
		if r.IntN(10) == 0 {
			got := make([]byte, at)
			if copyOut(d, got, p); !bytes.Equal(got, all[:at]) {
				t.Fatalf("the first %d bytes came back differently", at)
			}
		}
	}
	got := make([]byte, len(all))
	if copyOut(d, got, p); !bytes.Equal(got, all) {
		t.Error("the bytes came back differently")
	}
	if d.PeakBytes() < int64(len(all)) {
		t.Errorf("peak %d", d.PeakBytes())
	}
	d.Free(p)
	if d.ResetPeak(); d.PeakBytes() != 0 {
		t.Errorf("nothing is allocated, and the peak is %d", d.PeakBytes())
	}
}

func TestOutOfMemory(t *testing.T) {
	if !alone(t, []string{emulated.GPU(0, "memory=256MiB")}) {
		return
	}
	d := openDevice(t, gpu.Config{})
	keep := d.Alloc(100 << 20)
	d.Free(d.Alloc(100 << 20))
	d.Free(d.Alloc(120 << 20)) // needs what lies idle
	e := caught(t, func() { d.Alloc(200 << 20) })
	wantError(t, e, 2, gpu.ByMemory, "allocate 200.0 MiB", "100.0 MiB in 1 arrays", "256.0 MiB")
	d.Free(keep)
	d.Free(d.Alloc(200 << 20)) // the Device goes on
	if got := d.PeakBytes(); got != 220<<20 {
		t.Errorf("peak %s", gpu.Size(got))
	}
}
