package target

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/gpu/emulated"
)

// tiny makes a model that an emulation trains in seconds.
var tiny = map[string]string{"Depth": "1", "Aspect": "32", "Context": "64", "BatchSize": "2", "ShortSpan": "2"}

// set changes constants of a train.go.
func set(t *testing.T, src string, values map[string]string) {
	t.Helper()
	path := filepath.Join(src, "trainer/train.go")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for name, value := range values {
		pattern := regexp.MustCompile(`(?m)^(\t` + name + ` += )\S+`)
		require.True(t, pattern.Match(text), name)
		text = pattern.ReplaceAll(text, []byte("${1}"+value))
	}
	require.NoError(t, os.WriteFile(path, text, 0o644))
}

func digestOfFile(t *testing.T, path string) string {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// The real programs for GPUs, built and run in the sandbox of this machine on an
// emulated GPU.
func TestOnEmulatedGPU(t *testing.T) {
	script := emulated.NewScript(t, here4GiB)
	emulated.Use(t, script)
	g := newGoGPT()
	var log bytes.Buffer
	build := func(role Role, out string) string {
		src := t.TempDir()
		copySources(t, g, "../..", src)
		set(t, src, tiny)
		start := time.Now()
		f, err := g.Build(t.Context(), role, src, out, &log)
		require.NoError(t, err, log.String())
		require.Nil(t, f)
		t.Logf("%s built in %v", role, time.Since(start).Round(time.Millisecond))
		return filepath.Join(out, string(role))
	}
	program, evaluator := build(CandidateCUDA, t.TempDir()), build(EvaluatorCUDA, t.TempDir())
	require.Equal(t, digestOfFile(t, program), digestOfFile(t, build(CandidateCUDA, t.TempDir())), "built elsewhere")

	data := t.TempDir()
	text := make([]byte, 1<<12)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range text {
		text[i] = "etaoin shrdlu"[rng.IntN(13)]
	}
	for _, name := range []string{"train", "val"} {
		write(t, filepath.Join(data, name, name+".bin"), string(text))
	}
	gpu := &GPU{UUID: oneGPU, Class: "cuda/nvidia-h200", Cache: filepath.Join(t.TempDir(), "kernels"), Trusted: true, Libraries: []string{}}
	runs := t.TempDir()
	train := func(ctx context.Context, name string, resume ...string) (Record, error) {
		start := time.Now()
		r, err := g.Train(ctx, TrainSpec{
			ID: t.Name() + name, Program: program, Dir: filepath.Join(runs, name), Train: filepath.Join(data, "train"), Seed: 1,
			Budget: experiment.Duration(2 * time.Second), Cores: 2, Resume: resume, GPU: gpu, Log: &log,
		}, nil)
		t.Logf("%s in %v: %+v, %v", name, time.Since(start).Round(time.Millisecond), r, err)
		return r, err
	}
	whole := func(r Record, err error) {
		t.Helper()
		require.NoError(t, err, log.String())
		require.Nil(t, r.Failure, log.String())
		require.Equal(t, "cuda/nvidia-h200", r.Class)
		require.InDelta(t, 2, r.ChargedSeconds, 1)
		require.Positive(t, r.PeakBytes)
		require.Less(t, r.PeakBytes, int64(1<<30), "of the GPU: its tensors, exactly")
		require.FileExists(t, r.Model)
	}
	r, err := train(t.Context(), "plain")
	whole(r, err)
	gpu.Trusted = false // as candidates are

	// Scored on the GPU and on the CPU.
	score := func(evaluator string, on *GPU) Score {
		s, err := g.Evaluate(t.Context(), EvaluateSpec{
			Evaluator: evaluator, Model: r.Model, Val: filepath.Join(data, "val"), Cores: 2, Dir: t.TempDir(), Log: &log, GPU: on,
		})
		require.NoError(t, err, log.String())
		require.Nil(t, s.Failure)
		return s
	}
	there, here := score(evaluator, gpu), score(evaluator, nil)
	t.Logf("scored %+v, on the CPU %+v", there, here)
	require.InEpsilon(t, here.ValBpb, there.ValBpb, 2e-4)
	require.Equal(t, here.GraphDigest, there.GraphDigest)

	// The worker stops, and the run goes on elsewhere.
	because := errors.New("the worker stops")
	ctx, cancel := context.WithCancelCause(t.Context())
	gpu.Watch = func(int) error {
		if newestCheckpoint(filepath.Join(runs, "stopped")).step > 0 {
			cancel(because)
		}
		return nil
	}
	_, err = train(ctx, "stopped")
	require.ErrorIs(t, err, because)
	gpu.Watch = nil
	r, err = train(t.Context(), "resumed", filepath.Join(runs, "stopped"))
	whole(r, err)
	require.Positive(t, r.ResumedFrom)

	// A GPU that fails once in the middle of a run is nobody's fault; want of its
	// memory, and a kernel that goes astray, are the candidate's.
	once := filepath.Join(filepath.Dir(script.Path()), "hit")
	require.NoError(t, script.Set(here4GiB, "fault gpu="+oneGPU+" at=launch:2000 code=214 file="+once))
	_, err = train(t.Context(), "failing")
	require.ErrorIs(t, err, ErrGPU)
	require.ErrorContains(t, err, "CUDA_ERROR_ECC_UNCORRECTABLE")
	r, err = train(t.Context(), "elsewhere", filepath.Join(runs, "failing"))
	whole(r, err)
	for directive, want := range map[string]experiment.Reason{
		"fault gpu=" + oneGPU + " at=launch:300 code=700": experiment.RunFailed,
		"oom gpu=" + oneGPU + " bytes=100":                experiment.OOM,
	} {
		require.NoError(t, script.Set(here4GiB, directive))
		r, err = train(t.Context(), string(want))
		require.NoError(t, err)
		require.NotNil(t, r.Failure)
		require.Equal(t, want, r.Failure.Reason, r.Failure.Message)
	}
}

const here4GiB = "gpu uuid=" + oneGPU + ` name="NVIDIA H200" memory=4096MiB cc=9.0`
