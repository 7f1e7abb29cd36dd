package emulated

import (
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

//go:embed toolkit
var toolkit embed.FS

// ErrNoCompiler says that the machine has no C++ compiler.
var ErrNoCompiler = errors.New("no C++ compiler: install g++, or name one by the environment variable CXX")

// libraries are built in this order: a later one may need one before it.
var libraries = []struct {
	source, file string
	flags        []string
}{
	{"libcuda.cpp", "libcuda.so.1", []string{"-lpthread", "-ldl"}},
	{"libnvrtc.cpp", "libnvrtc.so.12", []string{"-ldl"}},
	{"libcublaslt.cpp", "libcublasLt.so.12", []string{"-O2", "-ffp-contract=off", "-L.", "-l:libcuda.so.1", "-Wl,-rpath,$ORIGIN"}},
	{"libnvml.cpp", "libnvidia-ml.so.1", []string{"-lpthread"}},
}

// Build compiles the libraries into dir, which it makes. A directory that exists
// is left alone: it appears only when all is in it.
func Build(ctx context.Context, dir string) error {
	compiler, _, err := findCompiler()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		return fmt.Errorf("emulated CUDA toolkit: %w", err)
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return fmt.Errorf("emulated CUDA toolkit: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("emulated CUDA toolkit: lock %s: %w", lock.Name(), err)
	}
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".new-")
	if err != nil {
		return fmt.Errorf("emulated CUDA toolkit: %w", err)
	}
	defer os.RemoveAll(fresh) // nothing is left of it when it was renamed
	if err := compile(ctx, compiler, fresh); err != nil {
		return err
	}
	return os.Rename(fresh, dir)
}

func compile(ctx context.Context, compiler, dir string) error {
	files, err := fs.Sub(toolkit, "toolkit")
	if err == nil {
		err = os.CopyFS(dir, files)
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		return fmt.Errorf("emulated CUDA toolkit: %w", err)
	}
	for _, l := range libraries {
		args := []string{"-std=c++17", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-Wl,-soname," + l.file, "-o", l.file, l.source}
		cmd := exec.CommandContext(ctx, compiler, append(args, l.flags...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("emulated CUDA toolkit: %s %s: %w\n%s", compiler, l.source, err, out)
		}
	}
	return nil
}

// Directory is where the libraries are kept on this machine: in the user's cache,
// by a hash of their sources and of the compiler.
func Directory() (string, error) {
	_, version, err := findCompiler()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, runtime.GOARCH, version, libraries)
	err = fs.WalkDir(toolkit, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := toolkit.ReadFile(p)
		fmt.Fprintln(h, path.Base(p), len(b))
		h.Write(b)
		return err
	})
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "autoresearch", fmt.Sprintf("emulated-%x", h.Sum(nil)[:8])), nil
}

// findCompiler returns the C++ compiler and what it says of itself.
func findCompiler() (name, version string, err error) {
	name = os.Getenv("CXX")
	if name == "" {
		name = "g++"
	}
	out, err := exec.Command(name, "--version").Output()
	if err != nil {
		return "", "", fmt.Errorf("%w (%s: %v)", ErrNoCompiler, name, err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return name, name + " " + line, nil
}
