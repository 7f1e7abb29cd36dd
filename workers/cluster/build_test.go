package cluster

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSecondBuildOnlyLooks(t *testing.T) {
	bin, err := BuildEngine(testContext(t), Options{Progress: func(line string, final bool) { showProgress(t, line, final) }})
	require.NoError(t, err)
	before, err := os.Stat(bin)
	require.NoError(t, err)
	begin := time.Now()
	again, err := BuildEngine(testContext(t), Options{Progress: func(line string, final bool) { t.Error("nothing to show, got", line) }})
	require.NoError(t, err)
	require.Less(t, time.Since(begin), 3*time.Second)
	require.Equal(t, bin, again)
	after, err := os.Stat(again)
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after))
}

// A small module stands in for the engine: the build's mechanics are the same.
func TestBuildShowsProgressAndErrors(t *testing.T) {
	src, dir := t.TempDir(), t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(src, name), []byte(text), 0o644))
	}
	write("go.mod", "module "+engineModulePath+"\n\ngo 1.26.0\n")
	write("main.go", "package main\n\nfunc main() { println(1) }\n")
	_, env, err := cacheDir("")
	require.NoError(t, err)
	var last string
	var final bool
	m := startMeter(func(line string, f bool) { last, final = line, f })
	require.NoError(t, build(testContext(t), src, dir, env, m))
	require.True(t, final)
	require.Contains(t, last, "built the Temporal engine in ")
	require.Positive(t, m.total.Load())
	require.True(t, built(filepath.Join(dir, "engine")))

	write("main.go", "package main\n\nfunc main() { nonsense }\n")
	m = startMeter(func(string, bool) {})
	err = build(testContext(t), src, dir, env, m)
	m.giveUp()
	require.ErrorContains(t, err, "undefined: nonsense")

	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	m = startMeter(func(string, bool) {})
	require.ErrorIs(t, build(ctx, src, dir, env, m), context.Canceled)
	m.giveUp()
}

func TestSourcesOfTheEngine(t *testing.T) {
	here := walkUp(".")
	require.Empty(t, here, "a relative path ends at once")
	wd, err := os.Getwd()
	require.NoError(t, err)
	src := walkUp(wd)
	require.Equal(t, filepath.Join(filepath.Dir(filepath.Dir(wd)), "engine"), src)
	h1, err := hashSources(src)
	require.NoError(t, err)
	require.Len(t, h1, 12)
	require.Empty(t, walkUp(t.TempDir()))
}

func TestHashFollowsSourcesOnly(t *testing.T) {
	dir := t.TempDir()
	hash := func(name, text string) string {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
		h, err := hashSources(dir)
		require.NoError(t, err)
		return h
	}
	base := hash("main.go", "package main\n")
	require.Equal(t, base, hash("main_test.go", "package main\n"))
	require.Equal(t, base, hash("README.md", "x"))
	require.NotEqual(t, base, hash("go.sum", "x"))
}

func TestCacheWithoutAHomeDirectory(t *testing.T) {
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "GOCACHE", "GOPATH"} {
		t.Setenv(name, "")
	}
	dir, env, err := cacheDir("/x")
	require.NoError(t, err)
	require.Equal(t, "/x/cache/autoresearch", dir)
	require.Contains(t, env, "GOCACHE=/x/cache/go-build")
	require.Contains(t, env, "GOPATH=/x/cache/go")
	_, _, err = cacheDir("")
	requireHint(t, err, "set HOME")
}

func TestGoIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := goVersion(testContext(t), t.TempDir(), os.Environ())
	requireHint(t, err, "install Go")
}

func TestProgressLine(t *testing.T) {
	require.Equal(t, "about 10 minutes on 1 core", estimate(1, 0))
	require.Equal(t, "about 5 minutes on 2 cores", estimate(2, 1781))
	require.Equal(t, "about 2 minutes on 2 cores", estimate(2, 600))
	require.Equal(t, "about 1 minute on 64 cores", estimate(64, 0))
	require.Equal(t, "less than a minute", estimate(2, 1))
	require.Equal(t, "1,781", thousands(1781))

	m := &meter{start: time.Now().Add(-41 * time.Second)}
	require.Contains(t, m.line(), "reading the module list, 41 s")
	rest := m.read(strings.NewReader("go: downloading example.com/x v1.0.0\nruntime\nnet/http\n# example.com/x\nx.go:1:1: broken\n"))
	require.Equal(t, "# example.com/x\nx.go:1:1: broken", rest)
	require.Contains(t, m.line(), "1 of ~460 modules downloaded, 41 s")
	m.total.Store(1781)
	require.Contains(t, m.line(), ": 2 of ~1,781 packages, 41 s")
	m.packages.Store(1781)
	require.Contains(t, m.line(), ": linking, 41 s")
}

func TestLogTail(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(log, []byte("old\nold\none\ntwo\nthree\n"), 0o644))
	require.Equal(t, "two\nthree", logTail(log, 8, 2))
	require.Equal(t, "one\ntwo\nthree", logTail(log, 8, 9))
	require.Empty(t, logTail(log+"x", 0, 2))

	require.NoError(t, os.Truncate(log, maxLog+1))
	f, offset, err := openLog(log)
	require.NoError(t, err)
	defer f.Close()
	require.Zero(t, offset, "a large log is put aside")
	require.FileExists(t, log+".1")
}
