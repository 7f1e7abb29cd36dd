//go:build cuda

package gpu_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/gpu/emulated"
)

// The tests here run on the emulated toolkit (package gpu/emulated), which a
// process loads once; those named after GPU run on a real one too. What a GPU does
// not survive runs in a process of its own.

// open takes the emulated GPU.
func openDevice(t testing.TB, c gpu.Config) *gpu.Device {
	t.Helper()
	os.Setenv(gpu.LibrariesVariable, emulated.Libraries(t))
	d, err := gpu.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// alone runs the test that calls it in a process of its own, with GPUs by these
// directives, and says whether this is that process.
func alone(t *testing.T, gpus []string, env ...string) bool {
	t.Helper()
	if os.Getenv("AUTORESEARCH_TEST_ALONE") != "" {
		return true
	}
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v")
	c.Env = append(os.Environ(), "AUTORESEARCH_TEST_ALONE=1")
	if len(gpus) > 0 {
		c.Env = append(c.Env, emulated.NewScript(t, gpus...).Env(emulated.Libraries(t))...)
	} else {
		c.Env = append(c.Env, gpu.LibrariesVariable+"="+emulated.Libraries(t))
	}
	c.Env = append(c.Env, env...)
	if out, err := c.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// caught runs f and gives the *gpu.Error that it panics with, nil if it does not.
func caught(t testing.TB, f func()) (e *gpu.Error) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			var ok bool
			if e, ok = r.(*gpu.Error); !ok {
				t.Fatalf("it panics with %v", r)
			}
		}
	}()
	f()
	return nil
}

// wantError checks what an error blames and that its text has all the parts.
func wantError(t testing.TB, e *gpu.Error, code int, fault gpu.Fault, parts ...string) {
	t.Helper()
	if e == nil {
		t.Fatalf("no error, want code %d", code)
	}
	if e.Code != code || e.Fault != fault {
		t.Errorf("code %d blames %s, want %d and %s: %v", e.Code, e.Fault, code, fault, e)
	}
	for _, part := range parts {
		if !strings.Contains(e.Error(), part) {
			t.Errorf("%q does not say %q", e, part)
		}
	}
}

func TestDiscover(t *testing.T) {
	const mig = "MIG-bbbbbbbb-2222-3333-4444-555555555555"
	if !alone(t, []string{emulated.GPU(0), emulated.GPU(1, `name="NVIDIA A100"`, "cc=8.0", "mig="+mig), "driver 12020"}) {
		return
	}
	infos, err := gpu.Discover()
	if err != nil || len(infos) != 2 {
		t.Fatalf("%d GPUs, %v", len(infos), err)
	}
	a, b := infos[0], infos[1]
	if a.Name != "NVIDIA H200" || a.UUID != emulated.UUID(0) || a.Arch() != "sm_90a" ||
		a.MemoryBytes != 143771<<20 || a.Multiprocessors <= 0 || a.Driver != "12.2" || a.Index != 0 || a.PCI == "" {
		t.Errorf("the first is %+v", a)
	}
	if !strings.HasPrefix(b.Name, "NVIDIA A100") || b.UUID != mig || b.Arch() != "sm_80" || b.Index != 1 {
		t.Errorf("the second is %+v", b)
	}
	d, err := gpu.Open(gpu.Config{UUID: b.UUID})
	if err != nil || d.Info() != b {
		t.Fatalf("opened %+v: %v", d.Info(), err)
	}
	d.Close()
	_, err = gpu.Open(gpu.Config{UUID: "GPU-gone"})
	e, _ := err.(*gpu.Error)
	wantError(t, e, 101, gpu.ByMachine, "GPU-gone", a.UUID, b.UUID)
}

// What cuInit says becomes an error that says what to do.
func TestDiscoverFails(t *testing.T) {
	tests := []struct {
		name, script string
		code         int
		fault        gpu.Fault
		parts        []string
	}{
		{"no device", "cuinit 100", 100, gpu.BySetup, []string{"CUDA_VISIBLE_DEVICES", "CUDA_ERROR_NO_DEVICE"}},
		{"sandbox", "cuinit 304", 304, gpu.BySetup, []string{"/dev/nvidia"}},
		{"mismatch", "cuinit 803", 803, gpu.BySetup, []string{"different versions"}},
		{"fabric", "cuinit 802", 802, gpu.ByMachine, []string{"fabric manager"}},
		{"unknown", "cuinit 999", 999, gpu.ByMachine, []string{"dmesg"}},
		{"old driver", "driver 11080", 803, gpu.BySetup, []string{"CUDA 11.8", "CUDA 12.0 is needed"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if !alone(t, []string{emulated.GPU(0), test.script}, "CUDA_VISIBLE_DEVICES=0") {
				return
			}
			_, err := gpu.Discover()
			e, _ := err.(*gpu.Error)
			wantError(t, e, test.code, test.fault, test.parts...)
			if _, again := gpu.Open(gpu.Config{}); again != err {
				t.Errorf("a second time: %v", again)
			}
			if l := gpu.Libraries(); l[0].Problem == "" || l[1].Problem != "" {
				t.Errorf("%+v", l)
			}
		})
	}
}

// A program with the tag starts on a machine that has nothing of NVIDIA's, and
// says what is missing.
func TestWithoutLibraries(t *testing.T) {
	if _, err := os.Stat("/dev/nvidiactl"); err == nil {
		t.Skip("there is a driver here")
	}
	if !alone(t, nil, gpu.LibrariesVariable+"=", "HOME=/nowhere", "VIRTUAL_ENV=", "CONDA_PREFIX=", "CUDA_HOME=") {
		return
	}
	_, err := gpu.Discover()
	e, _ := err.(*gpu.Error)
	wantError(t, e, 3, gpu.BySetup, "libcuda.so.1", "install")
	for _, l := range gpu.Libraries() {
		if l.Path != "" {
			t.Skipf("%s is here: %s", l.Name, l.Path)
		}
		if !strings.Contains(l.Problem, "install") {
			t.Errorf("%s: %q", l.Name, l.Problem)
		}
	}
	_, err = gpu.Compile("k", "", "sm_90a")
	e, _ = err.(*gpu.Error)
	wantError(t, e, 3, gpu.BySetup, "pip install nvidia-cuda-nvrtc-cu12", gpu.LibrariesVariable)
}

func TestGPULibraries(t *testing.T) {
	openDevice(t, gpu.Config{})
	for _, l := range gpu.Libraries() {
		if l.Problem != "" || l.Version == "" || !filepath.IsAbs(l.Path) {
			t.Errorf("%+v", l)
		}
	}
}

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

// A driver without a function that is needed is named, and nothing crashes.
func TestMissingFunction(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "libcuda.c")
	if err := os.WriteFile(source, []byte("int cuInit(unsigned f) { return 0; } int cuDriverGetVersion(int *v) { *v = 12000; return 0; }"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "cc", "-shared", "-fPIC", "-o", filepath.Join(dir, "libcuda.so.1"), source).CombinedOutput(); err != nil {
		t.Skipf("no C compiler: %v %s", err, out)
	}
	if !alone(t, nil, gpu.LibrariesVariable+"="+dir) {
		return
	}
	_, err := gpu.Discover()
	e, _ := err.(*gpu.Error)
	wantError(t, e, 302, gpu.BySetup, "cuDeviceGetCount", "too old")
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
