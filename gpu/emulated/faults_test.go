//go:build cuda

package emulated

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// child runs this test binary again, for a test that ends in an error that
// sticks: in it, TestChild does what the variables say. It returns what TestChild
// and the emulation said.
func child(t *testing.T, s *Script, env ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChild$")
	c.Env = append(append(os.Environ(), s.Env(Libraries(t))...), env...)
	out, err := c.CombinedOutput()
	if err != nil && !bytes.Contains(out, []byte("result: ")) {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// TestChild launches a kernel, so many times, and says how far it came.
func TestChild(t *testing.T) {
	source := os.Getenv("EMULATED_SOURCE")
	if source == "" {
		t.Skip("a part of other tests")
	}
	var launches, shared int
	fmt.Sscan(os.Getenv("EMULATED_LAUNCHES"), &launches, &shared)
	done := 0
	defer func() {
		switch r := recover().(type) {
		case nil:
			fmt.Printf("result: done after %d\n", done)
		case *gpu.Error:
			fmt.Printf("result: %d after %d\n", r.Code, done)
		default:
			panic(r)
		}
	}()
	d, err := gpu.Open(gpu.Config{})
	if err != nil {
		panic(err)
	}
	d.Free(d.Alloc(1 << 20))
	p := put(d, make([]float32, 1<<18)) // a segment of its own, to its end
	k := d.Kernel("child", source, "k")
	for range launches {
		d.Launch(k, gpu.Dim{2}, gpu.Dim{64}, shared, gpu.Address(p), gpu.Int(8<<20-1<<18))
		d.Sync()
		done++
	}
}

// What a kernel can do wrong, with the error of a GPU and the reason in words.
func TestKernelsThatAreWrong(t *testing.T) {
	tests := []struct{ name, body, result, says string }{
		{"nothing wrong", "x[threadIdx.x] = 1;", "done after 1", ""},
		{"misaligned load", "*(float4 *)x = *(float4 *)(x + threadIdx.x);", "716", "thread (1,0,0)"},
		{"misaligned pair", "((double *)(x + 1))[threadIdx.x] = 1;", "716", "at child:2: thread (0,0,0)"},
		{"misaligned store of bf16", "*(unsigned *)((unsigned short *)x + 1) = 1;", "716", "not aligned"},
		{"misaligned row of ldmatrix", "__shared__ __align__(16) unsigned short s[64]; unsigned r[4]; emu_ldmatrix_x4(r, s + threadIdx.x % 8);", "716", "ldmatrix"},
		{"misaligned cp.async", "__shared__ __align__(16) float s[64]; emu_cp_async16(s + threadIdx.x, x, 16);", "716", "cp.async"},
		{"far away", "x[-((long)threadIdx.x << 30)] = 1;", "700", "not memory of the GPU"},
		{"null", "if (threadIdx.x == 3) *(volatile float *)(size_t)(n & 4) = 1;", "700", "thread (3,0,0)"},
		{"past the end", "x[(8 << 20) - threadIdx.x] = 1;", "700", "not memory of the GPU"},
		{"index", "__shared__ float s[64]; s[n + threadIdx.x] = 1;", "700", "index outside"},
		{"past dynamic shared memory", "extern __shared__ float e[]; e[threadIdx.x] = 1;", "700", "past the dynamic shared memory"},
		{"barrier that some miss", "if (threadIdx.x == 0) __syncthreads(); else __syncwarp(), __syncthreads();", "719", "would hang"},
		{"different functions", "if (threadIdx.x & 1) __syncwarp(); else x[0] = __shfl_sync(~0u, 1.f, 0);", "719", "another function"},
		{"mask without itself", "__syncwarp(1);", "719", "leaves itself out"},
		{"trap", "if (n > 5) __trap();", "710", "trap"},
	}
	s := NewScript(t, GPU(0))
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out := child(t, s, "EMULATED_LAUNCHES=1 64", "EMULATED_SOURCE=#line 1 \"child\"\nextern \"C\" __global__ void k(float *x, int n) {\n"+test.body+"\n}")
			if !strings.Contains(out, "result: "+test.result) || !strings.Contains(out, test.says) {
				t.Errorf("want %q and %q, got:\n%s", test.result, test.says, out)
			}
		})
	}
}

const harmless = `EMULATED_SOURCE=extern "C" __global__ void k(float *x, int n) { x[threadIdx.x] = n; }`

func wants(t *testing.T, out, result string) {
	t.Helper()
	if !strings.Contains(out, "result: "+result+"\n") {
		t.Errorf("want %q, got:\n%s", result, out)
	}
}

func TestFaultsOfAScript(t *testing.T) {
	launches := "EMULATED_LAUNCHES=5 0"
	t.Run("a launch fails", func(t *testing.T) {
		for _, code := range []int{214, 700, 719} {
			s := NewScript(t, GPU(0), fmt.Sprintf("fault gpu=%s at=launch:3 code=%d", UUID(0), code))
			wants(t, child(t, s, launches, harmless), fmt.Sprintf("%d after 2", code))
		}
	})
	t.Run("once among processes", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "once")
		s := NewScript(t, GPU(0), "fault gpu="+UUID(0)+" at=launch:3 code=214 file="+file)
		wants(t, child(t, s, launches, harmless), "214 after 2")
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
		wants(t, child(t, s, launches, harmless), "done after 5")
	})
	t.Run("a launch that is past", func(t *testing.T) {
		s := NewScript(t, GPU(0), "fault gpu="+UUID(0)+" at=launch:0 code=214")
		wants(t, child(t, s, launches, harmless), "214 after 0")
	})
	t.Run("of another GPU", func(t *testing.T) {
		s := NewScript(t, GPU(0), GPU(1), "fault gpu="+UUID(1)+" at=launch:3 code=214")
		wants(t, child(t, s, launches, harmless), "done after 5")
		wants(t, child(t, s, launches, harmless, "CUDA_VISIBLE_DEVICES="+UUID(1)), "214 after 2")
		wants(t, child(t, s, launches, harmless, "CUDA_VISIBLE_DEVICES=1"), "214 after 2")
		wants(t, child(t, s, launches, harmless, "CUDA_VISIBLE_DEVICES="), "100 after 0")
	})
	t.Run("lost", func(t *testing.T) {
		s := NewScript(t, GPU(0), "lost gpu="+UUID(0))
		wants(t, child(t, s, launches, harmless), "719 after 0")
	})
	t.Run("no driver", func(t *testing.T) {
		wants(t, child(t, NewScript(t, GPU(0), "cuinit 802"), launches, harmless), "802 after 0")
	})
	t.Run("out of memory", func(t *testing.T) {
		s := NewScript(t, GPU(0), "oom gpu="+UUID(0)+" bytes=1MiB")
		wants(t, child(t, s, launches, harmless), "2 after 0")
	})
	t.Run("an architecture that others cannot run", func(t *testing.T) {
		wants(t, child(t, NewScript(t, GPU(0, "cc=8.0")), launches, harmless), "done after 5")
	})
}

// A launch that hangs does so until the process is killed; the file says that it
// was reached.
func TestHang(t *testing.T) {
	file := filepath.Join(t.TempDir(), "reached")
	s := NewScript(t, GPU(0), "hang gpu="+UUID(0)+" at=launch:2 file="+file)
	c := exec.Command(os.Args[0], "-test.run=^TestChild$")
	c.Env = append(append(os.Environ(), s.Env(Libraries(t))...), "EMULATED_LAUNCHES=5 0", harmless)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	for {
		if _, err := os.Stat(file); err == nil {
			break
		}
		select {
		case <-ended:
			t.Fatalf("it ended:\n%s", out.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
	c.Process.Kill()
	<-ended
	if strings.Contains(out.String(), "result: ") {
		t.Errorf("it went on:\n%s", out.String())
	}
}
