package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/autoresearch-go/autoresearch/bench/race"
)

// scripts is where the Python files are, from the root of the repository.
const scripts = "bench/peers"

// Settings that make PyTorch faster than it is out of the box: memory stays
// with the process instead of being given back and zeroed again in each step,
// as our arena does it too. It costs PyTorch some memory.
var torchEnv = []string{
	"MALLOC_MMAP_THRESHOLD_=4294967296", "MALLOC_TRIM_THRESHOLD_=8589934592", "MALLOC_TOP_PAD_=67108864",
	"PYTHONDONTWRITEBYTECODE=1",
}

// torch prepares a PyTorch peer: eager or compile, and with 512 at the end of
// its name with MKL's AVX-512 kernels on a CPU that is not Intel's.
func (b bench) torch(ctx context.Context, dir, name string, p race.Program) (*exec.Cmd, error) {
	mode, unlocked := strings.CutSuffix(name, "512")
	if mode != "eager" && mode != "compile" {
		return nil, fmt.Errorf("there is no peer %q; give some of eager, compile, eager512, compile512", name)
	}
	env := append([]string{"OMP_NUM_THREADS=" + strconv.Itoa(b.threads)}, torchEnv...)
	if unlocked {
		library, err := unlock(ctx, dir)
		if err != nil {
			return nil, err
		}
		env = append(env, "LD_PRELOAD="+library)
	}
	config := filepath.Join(dir, name+".json")
	err := race.WriteJSON(config, map[string]any{
		"constants": p.Constants, "vocab": b.vocab, "threads": b.threads, "steps": allSteps,
		"compile": mode == "compile", "optimizer": b.optimizer,
	})
	return race.Command(ctx, env, b.python, filepath.Join(scripts, "step.py"), config), err
}

// unlock builds a library that, loaded first, makes MKL take the CPU for one
// of Intel's and use all that it has.
func unlock(ctx context.Context, dir string) (string, error) {
	library := filepath.Join(dir, "unlock.so")
	cmd := exec.CommandContext(ctx, "cc", "-shared", "-fPIC", "-x", "c", "-o", library, "-")
	cmd.Stdin = strings.NewReader("int mkl_serv_intel_cpu_true(void) { return 1; }\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building what lets MKL use AVX-512: %w\n%s; install a C compiler, or leave out the peers that end in 512", err, out)
	}
	return library, nil
}

// describe says what is compared, and where.
func describe(ctx context.Context, python string) (string, error) {
	const script = "import platform, torch; print('PyTorch ' + torch.__version__ + ', Python ' + platform.python_version() + ', ' + torch.backends.cpu.get_cpu_capability())"
	out, err := exec.CommandContext(ctx, python, "-c", script).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("asking %s for PyTorch: %w\n%s; README.md says how to install it", python, err, out)
	}
	goVersion, err := exec.CommandContext(ctx, "go", "env", "GOVERSION").Output()
	if err != nil {
		return "", fmt.Errorf("asking go for its version: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return fmt.Sprintf("%s; %s; %s\n", race.CPUInfo("model name"), strings.TrimSpace(string(goVersion)), lines[len(lines)-1]), nil
}
