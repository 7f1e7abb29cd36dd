package target

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// ErrNoCompiler says that this machine has no C compiler, which programs for
// GPUs are built with.
var ErrNoCompiler = errors.New("there is no C compiler, which programs for GPUs are built with: install gcc with the C library's headers (apt-get install gcc libc6-dev, dnf install gcc), or name one by CC")

// CanBuildCUDA finds out whether this machine can build programs for GPUs: a Go
// installation, a C compiler, and the modules that they need, which are fetched
// if they are not there. Workers ask before they take on such work.
func CanBuildCUDA(ctx context.Context) error {
	if _, err := toolchain(); err != nil {
		return err
	}
	if _, err := compiler(); err != nil {
		return err
	}
	_, err := moduleDirs(ctx)
	return err
}

// compiler finds the C compiler: the one that CC names, or the usual ones.
func compiler() (path string, err error) {
	names := []string{"gcc", "cc", "clang"}
	if own := strings.Fields(os.Getenv("CC")); len(own) > 0 {
		names = own[:1]
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", fmt.Errorf("%w (looked for %s)", ErrNoCompiler, strings.Join(names, ", "))
}

// compilerFiles is what a compiler reads of the system: programs, headers and
// libraries, and its own installation where that lies elsewhere.
func compilerFiles(path string) []string {
	files := systemPaths()
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return files
	}
	prefix := filepath.Dir(filepath.Dir(real)) // of PREFIX/bin/gcc
	if slices.ContainsFunc(files, func(dir string) bool { return prefix == dir || strings.HasPrefix(prefix, dir+"/") }) || prefix == "/" {
		return files
	}
	return append(files, prefix)
}
