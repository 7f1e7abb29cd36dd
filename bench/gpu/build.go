package main

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/autoresearch-go/autoresearch/bench/race"
)

// sizes are train.py's, as constants of train.go.
var sizes = map[string]string{
	"Depth": "8", "Aspect": "64", "HeadDim": "128", "Context": "2048", "BatchSize": "128", "Accumulate": "2",
	"ShortSpan": "2", "Window": `"SSSL"`, "MLPRatio": "4", "GateDim": "32",
}

const vocab = 8192

//go:embed step.py run.sh
var scripts embed.FS

// tested are the packages whose tests run on the GPU.
var tested = []string{"gpu", "trainer/tensor/cuda", "trainer/tensor"}

// build makes dir; it runs at the root of the repository.
func build(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	source, err := os.ReadFile(race.TrainFile)
	if err != nil {
		return fmt.Errorf("%w; run this at the root of the repository", err)
	}
	p, err := race.NewProgram(string(source), sizes)
	if err != nil {
		return err
	}
	env, err := cudaEnv()
	if err != nil {
		return err
	}
	if _, err := p.Build(dir, []string{"-tags", "cuda"}, env...); err != nil {
		return err
	}
	if err := race.Corpus(filepath.Join(dir, "data"), vocab); err != nil {
		return err
	}
	if err := race.WriteJSON(filepath.Join(dir, "constants.json"), p.Constants); err != nil {
		return err
	}
	if err := programs(dir, env); err != nil {
		return err
	}
	return copyScripts(dir)
}

// cudaEnv is what make cuda builds with.
func cudaEnv() ([]string, error) {
	root, err := os.Getwd()
	return []string{
		"CGO_ENABLED=1", "CGO_CFLAGS=-O2 -I" + filepath.Join(root, "gpu/include"), "CGO_LDFLAGS=-L" + filepath.Join(root, "gpu/lib"),
	}, err
}

// programs builds this command and the tests.
func programs(dir string, env []string) error {
	builds := [][]string{{"build", "-o", filepath.Join(dir, "bench"), "./bench/gpu"}}
	for _, pkg := range tested {
		builds = append(builds, []string{"test", "-c", "-tags", "cuda", "-o", filepath.Join(dir, strings.ReplaceAll(pkg, "/", "-")+".test"), "./" + pkg})
	}
	for _, args := range builds {
		cmd := exec.Command("go", args...)
		if cmd.Env = append(os.Environ(), env...); args[0] == "build" {
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// copyScripts puts the twin beside the binaries.
func copyScripts(dir string) error {
	for name, mode := range map[string]os.FileMode{"step.py": 0o644, "run.sh": 0o755} {
		text, err := scripts.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, mode); err != nil {
			return err
		}
	}
	text, err := os.ReadFile("bench/peers/model.py")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "model.py"), text, 0o644)
}
