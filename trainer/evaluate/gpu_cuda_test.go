//go:build cuda

package main

import (
	"bytes"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/gpu/emulated"
	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// The evaluator on an emulated GPU.

// asEvaluator makes the test binary the evaluator.
const asEvaluator = "EVALUATE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asEvaluator) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

const testGPU = "GPU-11110000-0000-0000-0000-000000000000"

// kernelCache is shared by this package's tests and their runs: compiling takes
// an emulation seconds for each file. What one has compiled is no other's.
func kernelCache(t *testing.T) string {
	base, err := os.UserCacheDir()
	if err != nil {
		return t.TempDir()
	}
	return filepath.Join(base, "autoresearch", "kernels-of-"+filepath.Base(os.Getenv(gpu.LibrariesVariable)))
}

// useGPU emulates a GPU with things that go wrong, and returns the flags.
func useGPU(t *testing.T, directives ...string) []string {
	t.Helper()
	lines := append([]string{"gpu uuid=" + testGPU + ` name="NVIDIA H200" memory=2048MiB cc=9.0`}, directives...)
	emulated.Use(t, emulated.NewScript(t, lines...))
	return []string{"--device", "cuda:" + testGPU, "--cache", kernelCache(t)}
}

// gpuTolerance is by how much a score on a GPU may differ from that of a CPU, as a
// share of it, by precision. The models of these tests are small and random, and
// sure of themselves: docs/evaluation.md has what was measured of trained ones.
var gpuTolerance = map[string]float64{"float32": 1e-7, "tfloat32": 2e-4, "bfloat16": 3e-3}

// TestScoreOnGPU: a score is that of a CPU, the digest is the same, and the same
// bits come out again.
func TestScoreOnGPU(t *testing.T) {
	flags := useGPU(t)
	dir, _ := dataDir(t)
	for name, s := range honest {
		t.Run(name, func(t *testing.T) {
			args := []string{"score", "--model", saveStream(t, 1, s), "--data", dir, "--audit", dir}
			if err := os.WriteFile(filepath.Join(dir, "audit.bin"), text(200), 0o644); err != nil {
				t.Fatal(err)
			}
			var cpu, again Score
			call(t, exitOK, &cpu, args...)
			for precision, share := range gpuTolerance {
				tolerance := share * cpu.ValBpb
				var gpu Score
				call(t, exitOK, &gpu, append(append(args, flags...), "--precision", precision)...)
				if d := math.Abs(gpu.ValBpb - cpu.ValBpb); !(d <= tolerance) || !(math.Abs(gpu.AuditBpb-cpu.AuditBpb) <= 2*tolerance) || !gpu.Proved || gpu.GraphDigest != cpu.GraphDigest {
					t.Errorf("%s: %+v, on the CPU %+v", precision, gpu, cpu)
				} else {
					t.Logf("%s: differs by %.1e", precision, d)
				}
				if precision == gpuPrecision {
					call(t, exitOK, &again, append(args, flags...)...)
					if again.ValBpb != gpu.ValBpb || again.AuditBpb != gpu.AuditBpb {
						t.Errorf("%s: %v, and then %v", precision, gpu.ValBpb, again.ValBpb)
					}
				}
			}
		})
	}
}

// TestCheatsAreCaughtOnGPU: the NaN rule holds for kernels.
func TestCheatsAreCaughtOnGPU(t *testing.T) {
	flags := useGPU(t)
	dir, _ := dataDir(t)
	for name, s := range cheats {
		t.Run(name, func(t *testing.T) {
			var f fault
			call(t, exitFault, &f, append([]string{"score", "--model", saveStream(t, 1, s), "--data", dir}, flags...)...)
			if f.Reason != reasonNotCausal {
				t.Errorf("%+v", f)
			}
		})
	}
}

// TestFaultsOfGPU: whose fault it is when a GPU cannot go on.
func TestFaultsOfGPU(t *testing.T) {
	dir, _ := dataDir(t)
	model := saveStream(t, 1, honest["layers"])
	for directive, want := range map[string]struct {
		code int
		said string
	}{
		"fault gpu=" + testGPU + " at=launch:9 code=214": {exitGPU, "CUDA_ERROR_ECC_UNCORRECTABLE"},
		"fault gpu=" + testGPU + " at=launch:9 code=700": {exitFault, reasonNotExportable},
		"oom gpu=" + testGPU + " bytes=100":              {exitFault, reasonOOM},
		"cuinit 100":                                     {exitGPU, "CUDA_ERROR_NO_DEVICE"},
	} {
		t.Run(directive, func(t *testing.T) {
			flags := useGPU(t, directive)
			// A process of its own: launches are counted in each.
			evaluator := exec.Command(os.Args[0], append([]string{"score", "--model", model, "--data", dir}, flags...)...)
			evaluator.Env = append(os.Environ(), asEvaluator+"=yes")
			said, _ := evaluator.CombinedOutput()
			if code := evaluator.ProcessState.ExitCode(); code != want.code || !strings.Contains(string(said), want.said) {
				t.Errorf("exit code %d, want %d and %s: %s", code, want.code, want.said, said)
			}
		})
	}
}

// TestNaNOnGPU: weights that are not finite are the model's fault there, too.
func TestNaNOnGPU(t *testing.T) {
	flags := useGPU(t)
	dir, _ := dataDir(t)
	var f fault
	model := saveStream(t, 1, honest["running total"])
	file, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	copy(file[len(file)-400:], bytes.Repeat([]byte{0, 0, 0xc0, 0x7f}, 50)) // NaN
	if err := os.WriteFile(model, file, 0o644); err != nil {
		t.Fatal(err)
	}
	call(t, exitFault, &f, append([]string{"score", "--model", model, "--data", dir}, flags...)...)
	if f.Reason != reasonNaN && f.Reason != reasonNotExportable {
		t.Errorf("%+v", f)
	}
}

// TestProofOnGPUIsThePlainOne: of random graphs the proof on a GPU says what the
// plain one says on a CPU.
func TestProofOnGPUIsThePlainOne(t *testing.T) {
	flags := useGPU(t)
	cpu, err := tensor.Open(tensor.Config{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer cpu.Close()
	dev, err := tensor.Open(tensor.Config{Threads: 1, Device: flags[1], Precision: gpuPrecision, Cache: flags[3]})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	said := proofsAgree(t, cpu, dev, true, 12, 120)
	t.Log(said)
	if said[true] < 20 || said[false] < 20 {
		t.Errorf("of the graphs, %d are causal and %d are not: too few of one kind", said[true], said[false])
	}
}
