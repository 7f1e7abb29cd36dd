//go:build cuda

package gpu_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/gpu/emulated"
)

// The tests here run on the emulated toolkit (package gpu/emulated), which a
// process loads once; those named after GPU run on a real one too. What a GPU does
// not survive runs in a process of its own.

// openDevice takes the first GPU.
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
