package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A part of run.sh passes if something in it has run and passed; what could not be
// tried is said in the end.
func TestRunScript(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip(err)
	}
	const pass, skip, fail = "echo '--- PASS: TestA'", "echo '--- SKIP: TestA'", "echo '--- FAIL: TestA'; exit 1"
	for _, c := range []struct {
		name, tests, bench, parts string
		want                      []string
		bad                       bool
	}{
		{"passes", pass, "exit 0", "gpu|ours", []string{"1 tests passed", "ok: gpu", "ok: ours", "all parts that were tried passed"}, false},
		{"skips", skip, "exit 0", "gpu", []string{"0 tests passed, 0 failed, 1 skipped", "FAILED: gpu", "failed: gpu"}, true},
		{"has none", "echo 'testing: warning: no tests to run'", "exit 0", "trainer-tensor", []string{"FAILED: trainer-tensor"}, true},
		{"fails", fail, "exit 1", "trainer-tensor-cuda|ours", []string{"FAILED: trainer-tensor-cuda", "FAILED: ours", "failed: trainer-tensor-cuda ours"}, true},
		{"measures nothing", "echo PASS", "exit 0", "kernels|time", []string{"FAILED: kernels", "NOT TRIED: time: "}, true},
		{"measures", "echo 'BenchmarkA 20 1 ns/op'", "exit 0", "kernels", []string{"ok: kernels"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			text, err := scripts.ReadFile("run.sh")
			if err != nil {
				t.Fatal(err)
			}
			files := map[string]string{"run.sh": string(text), "bench": "#!/bin/sh\n" + c.bench}
			for _, pkg := range tested {
				files[strings.ReplaceAll(pkg, "/", "-")+".test"] = "#!/bin/sh\n" + c.tests
			}
			for name, text := range files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(t.Context(), "bash", filepath.Join(dir, "run.sh"), filepath.Join(dir, "no-python"))
			cmd.Env = append(os.Environ(), "PARTS="+c.parts, "OUT=", "AUTORESEARCH_CUDA_LIBRARIES="+dir)
			out, err := cmd.CombinedOutput()
			if (err != nil) != c.bad {
				t.Errorf("it ends with %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
		})
	}
}

// The programs of the current directory are found, as run.sh calls it there.
func TestTimeInCurrentDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"constants.json": `{"Dim": 8, "KVHeads": 1, "HeadDim": 8, "Depth": 1, "MLPRatio": 1, "Context": 8, "BatchSize": 1, "Accumulate": 1, "Window": "L"}`,
		"trainer":        "#!/bin/sh\necho ready >&3\nwhile read n; do echo done >&3; done\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(t.Context(), []string{"time", "-dir", ".", "-python", "", "-rounds", "1", "-steps", "1"}); err != nil {
		t.Error(err)
	}
}
