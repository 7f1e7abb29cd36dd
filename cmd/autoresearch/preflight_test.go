package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newApp is a command line in a directory of its own.
func newApp(t *testing.T) (*app, *bytes.Buffer) {
	var out bytes.Buffer
	dir := t.TempDir()
	return &app{env: env{
		stdout: &out, stderr: &out, dir: dir, now: time.Now,
		getenv:    func(string) string { return "" },
		size:      func(io.Writer) (int, bool) { return 0, false },
		freeBytes: func(string) (uint64, error) { return 100 << 30, nil },
	}}, &out
}

// checkout makes a repository with a committed target.
func checkout(t *testing.T, files ...string) string {
	dir := t.TempDir()
	for _, name := range files {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("package x\n"), 0o644))
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-q", "--allow-empty", "-m", "x"}} {
		_, err := git(t.Context(), dir, args...)
		require.NoError(t, err)
	}
	return dir
}

func TestCheckout(t *testing.T) {
	gogpt, err := defaultTarget()
	require.NoError(t, err)
	check := func(dir string) error {
		_, err := checkCheckout(context.Background(), dir, gogpt)
		return err
	}
	dir := checkout(t, "go.mod", "trainer/train.go", "README.md")
	require.NoError(t, check(dir))
	require.NoError(t, check(filepath.Join(dir, "trainer")), "anywhere inside")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "README.md"), []byte("changed"), 0o644))
	require.NoError(t, check(dir), "not part of the target")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "trainer", "new file.go"), []byte("package x\n"), 0o644))
	err = check(dir)
	require.ErrorContains(t, err, "changes that are not committed: trainer/new file.go")
	require.Equal(t, exitUsage, classify(err).code)

	require.ErrorContains(t, check(checkout(t, "go.mod")), "needs the file trainer/train.go")
	require.ErrorContains(t, check(t.TempDir()), "is not inside a git repository")
	empty := t.TempDir()
	_, err = git(t.Context(), empty, "init", "-q")
	require.NoError(t, err)
	require.ErrorContains(t, check(empty), "has no commit yet")
}

func TestHomeThatCannotBeUsed(t *testing.T) {
	a, _ := newApp(t)
	require.NoError(t, a.checkHome())
	require.DirExists(t, filepath.Join(a.dir, ".autoresearch"))

	file := filepath.Join(a.dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	for _, home := range []string{file, filepath.Join(file, "below")} {
		a.homeFlag = home
		err := a.checkHome()
		require.ErrorContains(t, err, "a file is in its place")
		require.Contains(t, classify(err).hint, "--home DIR")
	}
}

func TestHomeOnAFullDisk(t *testing.T) {
	a, _ := newApp(t)
	a.freeBytes = func(string) (uint64, error) { return 300e6, nil }
	require.ErrorContains(t, a.checkHome(), "only 0.3 GB are free")
	require.NoDirExists(t, filepath.Join(a.dir, ".autoresearch"), "nothing was written")
}

func TestHomeFailures(t *testing.T) {
	for _, err := range []error{&fs.PathError{Op: "open", Path: "x", Err: syscall.EROFS}, &fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}} {
		got := homeFailure("/x", err)
		require.ErrorContains(t, got, "the home /x is not writable")
		require.Equal(t, exitUsage, classify(got).code)
	}
	require.Equal(t, exitFailure, classify(homeFailure("/x", errors.New("odd"))).code)
}

func TestToolsThatAreMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := checkTools()
	require.ErrorContains(t, err, "git is not on the PATH")
	require.Contains(t, classify(err).hint, "install it")
}
