//go:build cuda

package harness

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/gpu/emulated"
)

// Trainer processes on an emulated GPU.

const testGPU = "GPU-11110000-0000-0000-0000-000000000000"

// useGPU emulates a GPU with things that go wrong, and returns the flags.
func useGPU(t *testing.T, directives ...string) []string {
	t.Helper()
	lines := append([]string{"gpu uuid=" + testGPU + ` name="NVIDIA H200" memory=1024MiB cc=9.0`}, directives...)
	emulated.Use(t, emulated.NewScript(t, lines...))
	cache := t.TempDir()
	// Compiling takes an emulation seconds. What one has compiled is no other's.
	if base, err := os.UserCacheDir(); err == nil {
		cache = filepath.Join(base, "autoresearch", "kernels-of-"+filepath.Base(os.Getenv(gpu.LibrariesVariable)))
	}
	return []string{"--device", "cuda:" + testGPU, "--cache", cache}
}

// Whatever ends a run, it goes on as if nothing had happened: the same bits.
func TestResumeOnGPU(t *testing.T) {
	const steps = "40"
	for _, precision := range []string{"float32", "bfloat16"} {
		t.Run(precision, func(t *testing.T) {
			data := textDir(t)
			flags := append(useGPU(t), "--steps", steps, "--precision", precision)
			whole := start(t, "plain", t.TempDir(), data, flags...).wait(ExitOK)
			model := whole.file("model.safetensors")
			var d Done
			if whole.json("done.json", &d); d.PeakGPUBytes <= 0 || d.Steps != 40 {
				t.Errorf("done.json says %+v", d)
			}
			if !strings.Contains(string(whole.file("metrics.jsonl")), `"gpu_memory_bytes":`) || !strings.Contains(whole.out.String(), "NVIDIA H200, "+precision) {
				t.Errorf("the metrics or the log know of no GPU: %s", &whole.out)
			}

			// The worker stops: a checkpoint of the latest step, then it leaves.
			dir := t.TempDir()
			r := start(t, "gate", dir, data, flags...)
			waitFor(t, filepath.Join(dir, gateFile))
			if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			r.wait(ExitStopped)
			if latest := r.checkpoints(); len(latest) == 0 || !strings.HasSuffix(latest[len(latest)-1], "26.ckpt") {
				t.Errorf("SIGTERM in step 26 left %v", latest)
			}
			goesOn(t, dir, data, model, flags)

			// It is killed, wherever it is.
			dir = t.TempDir()
			r = start(t, "plain", dir, data, flags...)
			eventually(t, "a checkpoint is there", func() bool { return len(r.checkpoints()) > 0 })
			_ = r.cmd.Process.Kill()
			_ = r.cmd.Wait()
			goesOn(t, dir, data, model, flags)
		})
	}
}

// goesOn resumes from the latest checkpoint and wants the model.
func goesOn(t *testing.T, dir, data string, model []byte, flags []string) {
	t.Helper()
	all := listCheckpoints(filepath.Join(dir, "checkpoints"))
	r := start(t, "plain", dir, data, append(flags, "--resume", all[len(all)-1])...).wait(ExitOK)
	if !bytes.Equal(r.file("model.safetensors"), model) {
		t.Errorf("resumed from %s it is another model", filepath.Base(all[len(all)-1]))
	}
}

// What a GPU does wrong is the machine's fault, what a program does to it its own.
func TestFaultsOnGPU(t *testing.T) {
	data := textDir(t)
	for directive, want := range map[string]struct {
		code         int
		reason, said string
	}{
		"fault gpu=" + testGPU + " at=launch:99 code=214": {ExitGPU, ReasonGPU, "CUDA_ERROR_ECC_UNCORRECTABLE"},
		"fault gpu=" + testGPU + " at=launch:99 code=700": {ExitError, ReasonError, "CUDA_ERROR_ILLEGAL_ADDRESS"},
		"oom gpu=" + testGPU + " bytes=100":               {ExitOOM, ReasonOOM, "CUDA_ERROR_OUT_OF_MEMORY"},
		"driver 11000":                                    {ExitGPU, ReasonGPU, "driver"},
		"cuinit 999":                                      {ExitGPU, ReasonGPU, "CUDA_ERROR_UNKNOWN"},
	} {
		t.Run(directive, func(t *testing.T) {
			r := start(t, "plain", t.TempDir(), data, append(useGPU(t, directive), "--steps", "40")...).wait(want.code)
			wantFailure(t, r, want.reason, want.said)
		})
	}
	flags := useGPU(t)
	flags[1] = "cuda:GPU-22220000-0000-0000-0000-000000000000"
	r := start(t, "plain", t.TempDir(), data, append(flags, "--steps", "40")...).wait(ExitGPU)
	wantFailure(t, r, ReasonGPU, testGPU) // the one that there is
}

// A budget on a GPU is wall time; a step that would not fit any more is not begun.
func TestBudgetOnGPU(t *testing.T) {
	var d Done
	r := start(t, "plain", t.TempDir(), textDir(t), append(useGPU(t), "--budget", "1s")...).wait(ExitOK)
	r.json("done.json", &d)
	if d.ChargedSeconds < 0.5 || d.ChargedSeconds > 2.5 || d.Steps < 3 {
		t.Errorf("a budget of a second gave %+v", d)
	}
}
