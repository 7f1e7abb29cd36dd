//go:build cuda

package gpu_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/gpu/emulated"
)

const testSource = `
extern "C" __global__ void scale(float *y, const float *x, int n, float f, long long add) {
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < n) y[i] = x[i] * f + (float)add;
}
extern "C" __global__ void backwards(int *y, const int *x, int n) {
	extern __shared__ int all[];
	for (int i = threadIdx.x; i < n; i += blockDim.x) all[i] = x[i];
	__syncthreads();
	for (int i = threadIdx.x; i < n; i += blockDim.x) y[i] = all[n - 1 - i];
}
`

func TestGPULaunch(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	k := d.Kernel("test", testSource, "scale")
	if d.Kernel("test", testSource, "scale") != k || d.Kernel("test", strings.Clone(testSource), "scale") == nil || gpu.Modules(d) != 1 {
		t.Errorf("one source has %d modules", gpu.Modules(d))
	}
	const n = 1000
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i)
	}
	p := d.Alloc(n * 4)
	d.CopyIn(p, unsafe.Pointer(&x[0]), n*4)
	d.Launch(k, gpu.Dim{4}, gpu.Dim{256}, 0, gpu.Address(p), gpu.Address(p), gpu.Int(n), gpu.Float(-0.5), gpu.Long(1<<33))
	d.CopyOut(unsafe.Pointer(&x[0]), p, n*4)
	for i, got := range x {
		if want := float32(i)*-0.5 + float32(1<<33); got != want {
			t.Fatalf("x[%d] is %g, want %g", i, got, want)
		}
	}
	d.Sync()
}

// Dynamic shared memory above 48 KiB has to be allowed, once for each size.
func TestGPUSharedMemory(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	k := d.Kernel("test", testSource, "backwards")
	for _, n := range []int{1000, 12 << 10, 12<<10 + 1, 40_000, 20_000} {
		x := make([]int32, n)
		for i := range x {
			x[i] = int32(i)
		}
		p := d.Alloc(int64(n) * 8)
		d.CopyIn(p, unsafe.Pointer(&x[0]), int64(n)*4)
		d.Launch(k, gpu.Dim{1}, gpu.Dim{256}, n*4, gpu.Address(p.At(int64(n)*4)), gpu.Address(p), gpu.Int(n))
		d.CopyOut(unsafe.Pointer(&x[0]), p.At(int64(n)*4), int64(n)*4)
		if x[0] != int32(n-1) || x[n-1] != 0 || x[n/3] != int32(n-1-n/3) {
			t.Errorf("%d ints are not turned around", n)
		}
		d.Free(p)
	}
}

// A launch allocates nothing, nor do a copy and an allocation.
func TestGPUStepAllocatesNothing(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	k := d.Kernel("test", testSource, "scale")
	var host [16]float32
	p := d.Alloc(1024)
	step := func() {
		a := d.Alloc(64 << 10)
		d.Clear(a, 64<<10)
		d.CopyIn(p, unsafe.Pointer(&host), 64)
		d.Launch(k, gpu.Dim{1}, gpu.Dim{32}, 0, gpu.Address(p), gpu.Address(p), gpu.Int(16), gpu.Float(2), gpu.Long(0))
		d.CopyOut(unsafe.Pointer(&host), p, 64)
		d.Free(a)
	}
	step()
	if n := testing.AllocsPerRun(10, step); n > 0 {
		t.Errorf("%.1f allocations in a step", n)
	}
}

// A Device serves goroutines on whatever threads they are.
func TestGPUThreads(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	k := d.Kernel("test", testSource, "scale")
	p := d.Alloc(256)
	d.Clear(p, 256)
	for range 8 {
		done := make(chan bool)
		go func() {
			runtime.LockOSThread() // and ends with it: each has a new thread
			d.Launch(k, gpu.Dim{1}, gpu.Dim{64}, 0, gpu.Address(p), gpu.Address(p), gpu.Int(64), gpu.Float(1), gpu.Long(1))
			done <- true
		}()
		<-done
	}
	var got [64]float32
	d.CopyOut(unsafe.Pointer(&got), p, 256)
	if got[0] != 8 || got[63] != 8 {
		t.Errorf("eight goroutines made %v", got)
	}
}

func TestGPUKernelErrors(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	e := caught(t, func() { d.Kernel("broken", "\nextern \"C\" __global__ void f() { int i = nothing; }", "f") })
	if e == nil || e.Fault != gpu.ByProgram || !strings.Contains(e.Error(), "broken.cu") || !strings.Contains(e.Error(), "nothing") {
		t.Errorf("the compiler says %v", e)
	}
	wantError(t, caught(t, func() { d.Kernel("test", testSource, "absent") }), 500, gpu.ByProgram, "absent", "test")
	wantError(t, caught(t, func() { d.Free(12345) }), 1, gpu.ByProgram, "free 0x3039")
	wantError(t, caught(t, func() { d.Product(gpu.Product{M: 1, N: 1, K: 1, In: gpu.I32}) }), 1, gpu.ByProgram, "int32")
	wantError(t, caught(t, func() { d.Alloc(1 << 50) }), 2, gpu.ByMemory, "1048576.0 GiB")
	wantError(t, caught(t, func() {
		d.Launch(d.Kernel("test", testSource, "scale"), gpu.Dim{1}, gpu.Dim{4096}, 0, gpu.Address(0), gpu.Address(0), gpu.Int(0), gpu.Float(0), gpu.Long(0))
	}), 1, gpu.ByProgram, "launch scale", "4096")
	d.Free(0)
	d.Sync()
}

// Compiled kernels are found again by the next process; a damaged file is none.
func TestGPUKernelCache(t *testing.T) {
	cache := t.TempDir()
	compiled := func() []string {
		files, _ := filepath.Glob(filepath.Join(cache, "*.cubin"))
		return files
	}
	use := func() {
		d := openDevice(t, gpu.Config{Cache: cache})
		d.Kernel("test", testSource, "scale")
	}
	use()
	files := compiled()
	if len(files) != 1 {
		t.Fatalf("%d files are kept", len(files))
	}
	good, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	mark := func() os.FileInfo { info, _ := os.Stat(files[0]); return info }
	before := mark()
	if use(); !os.SameFile(before, mark()) {
		t.Error("a sound file was written again")
	}
	if err := os.WriteFile(files[0], slices.Concat(good[:len(good)/2], []byte("junk"), good[len(good)/2+4:]), 0o644); err != nil {
		t.Fatal(err)
	}
	use()
	if now, err := os.ReadFile(files[0]); err != nil || !bytes.Equal(now[32:36], []byte("\x7fELF")) || bytes.Contains(now, []byte("junk")) {
		t.Errorf("a damaged file was not compiled anew: %v", err)
	}
}

// A kernel that writes where there is no memory is the program's fault, whichever
// call reports it, and the GPU is of no use to this process then.
func TestGPUIllegalAddress(t *testing.T) {
	if !alone(t, nil) {
		return
	}
	d := openDevice(t, gpu.Config{})
	k := d.Kernel("test", testSource, "scale")
	p := d.Alloc(1024)
	e := caught(t, func() {
		d.Launch(k, gpu.Dim{1}, gpu.Dim{32}, 0, gpu.Address(64), gpu.Address(p), gpu.Int(32), gpu.Float(1), gpu.Long(0))
		d.Sync()
	})
	wantError(t, e, 700, gpu.ByProgram, "scale", "compute-sanitizer")
	wantError(t, caught(t, func() { d.Clear(p, 16); d.Sync() }), 700, gpu.ByProgram)
}

// A fault in a kernel is known by its code, whoever reports it, and stays.
func TestFaults(t *testing.T) {
	tests := map[int]gpu.Fault{700: gpu.ByProgram, 716: gpu.ByProgram, 719: gpu.ByProgram, 214: gpu.ByMachine}
	for code, fault := range tests {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			if !alone(t, []string{emulated.GPU(0), fmt.Sprintf("fault gpu=%s at=launch:3 code=%d", emulated.UUID(0), code)}) {
				return
			}
			d := openDevice(t, gpu.Config{})
			k := d.Kernel("test", testSource, "scale")
			p := d.Alloc(1024)
			e := caught(t, func() {
				for range 3 {
					d.Launch(k, gpu.Dim{1}, gpu.Dim{32}, 0, gpu.Address(p), gpu.Address(p), gpu.Int(1), gpu.Float(1), gpu.Long(0))
				}
				d.Sync()
			})
			wantError(t, e, code, fault, "scale")
			wantError(t, caught(t, d.Sync), code, fault)
			wantError(t, caught(t, func() { d.Clear(p, 16) }), code, fault)
		})
	}
}
