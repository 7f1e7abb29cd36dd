package target

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
)

// forgetModules lets the modules be looked for anew, now and afterwards.
func forgetModules(t *testing.T) {
	forget := func() {
		found.Range(func(key, _ any) bool { found.Delete(key); return true })
	}
	forget()
	t.Cleanup(forget)
}

// What is pinned in the code is what go.mod and go.sum say.
func TestVendoredModulesArePinned(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	sums, err := os.ReadFile("../../go.sum")
	require.NoError(t, err)
	for _, m := range vendoredModules {
		require.Contains(t, string(mod), "\t"+m.Path+" "+m.Version.Version, "go.mod has another version: change vendoredModules")
		require.Contains(t, string(sums), m.Path+" "+m.Version.Version+" "+m.sum+"\n")
	}
}

func TestLayVendor(t *testing.T) {
	forgetModules(t)
	src := t.TempDir()
	require.NoError(t, layVendor(t.Context(), src))
	require.NoError(t, layVendor(t.Context(), src), "again")
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(src, "vendor", name))
		require.NoError(t, err)
		return string(text)
	}
	require.Contains(t, read("modules.txt"), "# gorgonia.org/cu v0.9.6\n## explicit; go 1.13\ngorgonia.org/cu\n")
	require.Equal(t, "package cu\n", read("gorgonia.org/cu/cgoflags.go"), "the flags name directories of toolkits")
	require.Contains(t, read("gorgonia.org/cu/batch.c"), "cuMemAlloc")
	require.Contains(t, read("github.com/pkg/errors/LICENSE"), "Copyright")
	require.NoFileExists(t, filepath.Join(src, "vendor/github.com/google/uuid/uuid_test.go"))
	require.NoDirExists(t, filepath.Join(src, "vendor/gorgonia.org/cu/dnn"))
}

// A module cache that somebody has changed is not what the evaluator is built
// from, and without a network the message says what to do.
func TestModulesAreChecked(t *testing.T) {
	forgetModules(t)
	dirs, err := moduleDirs(t.Context())
	require.NoError(t, err)
	cache := t.TempDir()
	for v, dir := range dirs {
		name, err := module.EscapePath(v.Path)
		require.NoError(t, err)
		require.NoError(t, os.CopyFS(filepath.Join(cache, name+"@"+v.Version), os.DirFS(dir)))
	}
	t.Setenv("GOMODCACHE", cache)
	t.Setenv("GOPROXY", "off")
	forgetModules(t)
	_, err = moduleDirs(t.Context())
	require.NoError(t, err, "without a network, in a cache that has nothing but the modules")

	changed := filepath.Join(cache, "gorgonia.org/cu@v0.9.6/device.go")
	require.NoError(t, os.Chmod(changed, 0o644))
	require.NoError(t, os.WriteFile(changed, []byte("package cu\n"), 0o644))
	forgetModules(t)
	_, err = moduleDirs(t.Context())
	require.ErrorContains(t, err, "go mod download gorgonia.org/cu@v0.9.6")
	require.NotContains(t, err.Error(), "google/uuid", "that one is there")
}

func TestCompilerIsMissing(t *testing.T) {
	src := t.TempDir()
	write(t, filepath.Join(src, "go.mod"), "module m\n\ngo 1.26\n")
	write(t, filepath.Join(src, "gpu/include/cuda.h"), "")
	t.Setenv("CC", "no-such-compiler")
	require.ErrorIs(t, CanBuildCUDA(t.Context()), ErrNoCompiler)
	f, err := theFake.Build(t.Context(), CandidateCUDA, src, t.TempDir(), io.Discard)
	require.Nil(t, f)
	require.ErrorIs(t, err, ErrNoCompiler)
	require.ErrorContains(t, err, "apt-get install gcc")
	require.ErrorContains(t, err, "no-such-compiler")
	t.Setenv("CC", "")
	require.NoError(t, CanBuildCUDA(t.Context()))
}

// The bases of old commits have no gpu/: they train on the CPU.
func TestBaseWithoutGPU(t *testing.T) {
	src, out := t.TempDir(), t.TempDir()
	require.NoError(t, os.CopyFS(src, os.DirFS("testdata/fake")))
	f, err := theFake.Build(t.Context(), EvaluatorCUDA, src, out, io.Discard)
	require.Nil(t, f)
	require.ErrorContains(t, err, "has no trainer for GPUs; start a campaign from a later one")
	f, err = theFake.Build(t.Context(), Evaluator, src, out, io.Discard)
	require.Nil(t, f)
	require.NoError(t, err)
}

// Of a build with a C compiler only what is said about train.go is the candidate's.
func TestBlameOfBuildsForGPUs(t *testing.T) {
	for message, candidates := range map[string]bool{
		"# github.com/autoresearch-go/autoresearch/trainer\ntrainer/train.go:12:3: undefined: x": true,
		"# runtime/cgo\ngcc_libinit.c:8:10: fatal error: pthread.h: No such file or directory":   false,
		"# github.com/autoresearch-go/autoresearch/trainer\n/usr/bin/ld: cannot find -lm":        false,
		"# gorgonia.org/cu\ngpu/shim.c:7:1: error: expected identifier":                          false,
	} {
		require.Equal(t, candidates, blames(CandidateCUDA).MatchString(message), message)
		require.True(t, blames(Candidate).MatchString(message), "without a C compiler a complaint is the candidate's")
	}
	require.Equal(t, CandidateCUDA, Candidate.On(true))
	require.Equal(t, EvaluatorCUDA, Evaluator.On(true))
	require.Equal(t, Evaluator, Evaluator.On(false))
	require.True(t, strings.HasSuffix(string(CandidateCUDA), "-cuda"))
}
