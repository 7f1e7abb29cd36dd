//go:build cuda

package cuda

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// architectures are those that every kernel is compiled for: A100, H100 and H200,
// B200.
var architectures = []string{"sm_80", "sm_90a", "sm_100"}

// onlyFor are the architectures of kernels that use what others do not have.
var onlyFor = map[string][]string{}

// spills are the bytes that a thread of a kernel may write for want of registers,
// where that is known and worth it; all other kernels spill nothing.
var spills = map[string]int{
	// They fill the registers with results; what is spilled are a few addresses in
	// the loop over tiles.
	"attention_forward":     20,
	"attention_backward_q":  8,
	"attention_backward_kv": 16,
	// An index or two, on some architectures.
	"rows_backward":   8,
	"softmax_forward": 4,
}

// Every kernel compiles with NVIDIA's own compiler, for every architecture, and
// keeps what it computes with in registers. It needs neither GPU nor driver.
//
// The compiler is loaded once in a process, and the other tests here have the
// emulated one; so this test runs itself in a process of its own.
func TestKernelsCompile(t *testing.T) {
	if os.Getenv("AUTORESEARCH_COMPILING") != "" {
		compileAll(t)
		return
	}
	dir := compilerDir()
	if dir == "" {
		if os.Getenv("AUTORESEARCH_TEST_CUDA") == "required" {
			t.Fatal("NVRTC is not there: make cuda-tools fetches it, or AUTORESEARCH_NVRTC names its directory")
		}
		t.Skip("NVRTC is not there: make cuda-tools fetches it, or AUTORESEARCH_NVRTC names its directory")
	}
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKernelsCompile$", "-test.v")
	c.Env = append(os.Environ(), "AUTORESEARCH_COMPILING=1", gpu.LibrariesVariable+"="+dir)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("with %s\n%s", dir, out)
}

// compilerDir is where NVIDIA's NVRTC lies, or "".
func compilerDir() string {
	dirs := []string{os.Getenv("AUTORESEARCH_NVRTC")}
	if cache, err := os.UserCacheDir(); err == nil {
		found, _ := filepath.Glob(filepath.Join(cache, "autoresearch/cuda-tools/nvidia/*/lib")) // a pattern that is well formed
		dirs = append(dirs, found...)
	}
	for _, dir := range dirs {
		if files, _ := filepath.Glob(filepath.Join(dir, "libnvrtc.so.*")); dir != "" && len(files) > 0 {
			return dir
		}
	}
	return ""
}

// compileAll is the test in its process.
func compileAll(t *testing.T) {
	files, err := kernelFiles.ReadDir("kernels")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		module, isKernel := strings.CutSuffix(f.Name(), ".cu")
		if !isKernel {
			continue
		}
		for _, arch := range architectures {
			if only := onlyFor[module]; only != nil && !slices.Contains(only, arch) {
				continue
			}
			for name, text := range sources(module, arch) {
				t.Run(name+"/"+arch, func(t *testing.T) { compileOne(t, name, text, arch) })
			}
		}
	}
}

// sources are the texts that a module is compiled from: attention's one for each
// size of heads, of which the largest will do where nobody has tuned it.
func sources(module, arch string) map[string]string {
	if !strings.HasPrefix(module, "attention_") {
		return map[string]string{module: source(module)}
	}
	sizes := []int{128}
	switch {
	case arch == "sm_90a" && module == "attention_plain":
		sizes = []int{64, MaxHeadDim}
	case arch == "sm_90a":
		sizes = []int{16, 32, 64, 128}
	}
	l := map[string]string{}
	for _, d := range sizes {
		l[fmt.Sprint(module, d)] = attentionSource(module, d)
	}
	return l
}

func compileOne(t *testing.T, module, text, arch string) {
	usage, err := gpu.CompileUsage(module, text, arch)
	if err != nil {
		t.Fatal(err)
	}
	if len(usage) == 0 {
		t.Error("it has no kernels")
	}
	var table strings.Builder
	for _, u := range usage {
		fmt.Fprintf(&table, "\n%-40s %3d registers, %5d bytes of shared memory, %4d of stack, %4d spilled", u.Function, u.Registers, u.Shared, u.Stack, u.Spills)
		if u.Spills > spills[u.Function] {
			t.Errorf("%s spills %d bytes, at most %d are allowed", u.Function, u.Spills, spills[u.Function])
		}
	}
	t.Log(table.String())
}
