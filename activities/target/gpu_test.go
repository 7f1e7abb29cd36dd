package target

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/experiment"
)

const (
	oneGPU   = "GPU-11110000-0000-0000-0000-000000000000"
	otherGPU = "GPU-22220000-0000-0000-0000-000000000000"
)

// noEmulation makes it a machine like those outside of tests.
func noEmulation(t *testing.T) {
	t.Setenv(emulatedGPUs, "")
	os.Unsetenv(emulatedGPUs)
}

// machine is a root with the files of a machine with two GPUs, in text files.
func machine(t *testing.T) string {
	root := t.TempDir()
	for _, device := range []string{"nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset",
		"nvidia-caps/nvidia-cap1", "nvidia-caps/nvidia-cap2", "nvidia-caps/nvidia-cap21", "nvidia-caps/nvidia-cap22", "null"} {
		write(t, filepath.Join(root, "dev", device), "")
	}
	driver := filepath.Join(root, "proc/driver/nvidia")
	for minor, uuid := range []string{oneGPU, otherGPU} {
		write(t, filepath.Join(driver, "gpus", "0000:0"+string(rune('1'+minor))+":00.0", "information"),
			"Model: \t\t NVIDIA H200\nIRQ:   \t\t 201\nGPU UUID: \t "+uuid+"\nDevice Minor: \t "+string(rune('0'+minor))+"\n")
	}
	for path, minor := range map[string]string{"mig/config": "1", "mig/monitor": "2", "gpu0/mig/gi1/access": "21", "gpu0/mig/gi1/ci0/access": "22"} {
		write(t, filepath.Join(driver, "capabilities", path), "DeviceFileMinor: "+minor+"\nDeviceFileMode: 292\n")
	}
	return root
}

// A process gets its own GPU, and nothing that changes what GPUs are.
func TestGPUDevices(t *testing.T) {
	root := machine(t)
	common := []string{"nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"}
	for uuid, want := range map[string][]string{
		oneGPU:    append(slices.Clone(common), "nvidia0"),
		otherGPU:  append(slices.Clone(common), "nvidia1"),
		"GPU-333": append(slices.Clone(common), "nvidia0", "nvidia1"), // it cannot be told
		"MIG-444": append(slices.Clone(common), "nvidia0", "nvidia1", "nvidia-caps/nvidia-cap21", "nvidia-caps/nvidia-cap22"),
	} {
		var got []string
		for _, path := range gpuDevices(root, uuid) {
			got = append(got, strings.TrimPrefix(path, filepath.Join(root, "dev")+"/"))
		}
		require.ElementsMatch(t, want, got, uuid)
	}
	require.Empty(t, gpuDevices(t.TempDir(), oneGPU), "a machine without any")
}

func TestGiveGPU(t *testing.T) {
	libraries, system, cache := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, filepath.Join(cache, "a.cubin"), "compiled")
	write(t, filepath.Join(cache, ".part-1"), "half")
	t.Setenv("AUTORESEARCH_CUDA_LIBRARIES", libraries)
	t.Setenv("LD_LIBRARY_PATH", system+":relative:/does/not/exist")
	noEmulation(t)
	u := &GPU{UUID: oneGPU, Cache: cache, Libraries: []string{}}

	s := sandbox.Spec{Dir: t.TempDir()}
	args, err := u.give(&s, false)
	require.NoError(t, err)
	own := filepath.Join(s.Dir, gpuCache)
	require.Equal(t, []string{"--device", "cuda:" + oneGPU, "--cache", own}, args)
	require.Contains(t, s.Env, "CUDA_VISIBLE_DEVICES="+oneGPU)
	require.Contains(t, s.Env, "AUTORESEARCH_CUDA_LIBRARIES="+libraries)
	require.Contains(t, s.ReadOnly, libraries)
	require.Contains(t, s.ReadOnly, system)
	require.NotContains(t, s.ReadOnly, "relative")
	require.NotContains(t, s.ReadOnly, "/usr", "only an emulation compiles with the system's compiler")
	require.NotContains(t, slices.Concat(s.ReadOnly, s.Writable), cache, "what a candidate compiles is nobody else's")
	require.FileExists(t, filepath.Join(own, "a.cubin"))
	require.NoFileExists(t, filepath.Join(own, ".part-1"))
	require.NoError(t, os.WriteFile(filepath.Join(own, "b.cubin"), nil, 0o644))
	_, err = u.give(&s, false)
	require.NoError(t, err)
	require.NoFileExists(t, filepath.Join(own, "b.cubin"), "nor what an earlier process has left")

	for name, give := range map[string]func(*sandbox.Spec) ([]string, error){
		"an evaluator": func(s *sandbox.Spec) ([]string, error) { return u.give(s, true) },
		"the base": func(s *sandbox.Spec) ([]string, error) {
			base := *u
			base.Trusted = true
			return base.give(s, false)
		},
	} {
		s = sandbox.Spec{Dir: t.TempDir()}
		args, err = give(&s)
		require.NoError(t, err, name)
		require.Equal(t, cache, args[len(args)-1], name)
		require.Equal(t, []string{cache}, s.Writable, name)
	}
	var none *GPU
	args, err = none.give(&s, false)
	require.Empty(t, args)
	require.NoError(t, err)
}

// How a run on a GPU ends, and whose doing that is.
func TestEndOnGPU(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, failureFile), `{"reason": "gpu", "message": "gpu: launch softmax: CUDA_ERROR_ECC_UNCORRECTABLE (214)"}`)
	e := ended(sandbox.Outcome{ExitCode: exitGPU}, dir, true)
	require.Nil(t, e.failure)
	require.ErrorIs(t, e.err, ErrGPU)
	require.ErrorContains(t, e.err, "ECC_UNCORRECTABLE")
	e = ended(sandbox.Outcome{ExitCode: exitGPU}, dir, false)
	require.NoError(t, e.err)
	require.Equal(t, experiment.RunFailed, e.failure.Reason, "there is no GPU to blame")

	throttled := errors.New("throttled")
	for _, o := range []sandbox.Outcome{
		{ExitCode: -1, Signal: syscall.SIGKILL, Stopped: &void{throttled}},
		{ExitCode: 0, Stopped: &void{throttled}},
	} {
		e = ended(o, dir, true)
		require.Nil(t, e.failure)
		require.ErrorIs(t, e.err, throttled)
	}
	var result struct{}
	err := evaluatorResult(sandbox.Outcome{ExitCode: exitGPU, Tail: []string{"evaluate: gpu: lost"}}, nil, &result)
	require.ErrorIs(t, err, ErrGPU)
	require.ErrorContains(t, err, "gpu: lost")
}

// GPU.Watch sees the process, and its error makes the run void.
func TestWatchGPU(t *testing.T) {
	noEmulation(t)
	throttled := errors.New("held back by the power supply")
	s := spec(t, "hang")
	s.Budget = experiment.Duration(time.Minute)
	pid := 0
	s.GPU = &GPU{UUID: oneGPU, Class: "cuda/test", Libraries: []string{}, Watch: func(p int) error {
		if pid = p; syscall.Kill(p, 0) != nil {
			t.Error("there is no such process")
		}
		return throttled
	}}
	r, err := theFake.Train(t.Context(), s, nil)
	require.ErrorIs(t, err, throttled)
	require.NotZero(t, pid)
	require.Nil(t, r.Failure)
	require.Equal(t, "cuda/test", r.Class)
}

// Wall time is what a run on a GPU is charged, and what ends it.
func TestBudgetOnGPU(t *testing.T) {
	noEmulation(t)
	w := &watcher{spec: TrainSpec{GPU: &GPU{}, Budget: experiment.Duration(300 * time.Second)}, limits: limits{hang: time.Hour}}
	require.Nil(t, w.overdue(sandbox.Sample{Wall: 329 * time.Second, CPU: time.Hour}), "start, export and five percent")
	f := w.overdue(sandbox.Sample{Wall: 331 * time.Second})
	require.NotNil(t, f)
	require.Equal(t, experiment.Timeout, f.Reason)
	require.Equal(t, 310*time.Second, w.computing(sandbox.Outcome{Wall: 300 * time.Second}))

	w.last.GPUMemory, w.peak = 5<<30, 7<<30
	require.EqualValues(t, 5<<30, w.peakBytes(), "of the GPU, not of the host")
	w.from.Peak = 6 << 30
	require.EqualValues(t, 6<<30, w.peakBytes(), "of all attempts")
}
