package emulated

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/autoresearch-go/autoresearch/gpu"
)

const (
	scriptVariable = "AUTORESEARCH_EMULATED_GPUS"
	orderVariable  = "AUTORESEARCH_EMULATED_ORDER"
)

// OnGPU says that tests run on the GPU of this machine instead, with NVIDIA's own
// libraries: AUTORESEARCH_TEST_GPU is set. Those that need a script are skipped.
func OnGPU() bool { return os.Getenv("AUTORESEARCH_TEST_GPU") != "" }

// Libraries returns the directory of the emulated toolkit, for
// gpu.LibrariesVariable, and builds it if need be (about ten seconds, once for a
// version of it). Without a C++ compiler the test is skipped, or fails where
// AUTORESEARCH_TEST_CUDA=required says that it should run.
func Libraries(t testing.TB) string {
	t.Helper()
	if OnGPU() {
		return os.Getenv(gpu.LibrariesVariable)
	}
	dir, err := built()
	if errors.Is(err, ErrNoCompiler) && os.Getenv("AUTORESEARCH_TEST_CUDA") != "required" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// built is where the toolkit is, or why it could not be built; what went wrong once
// in a process does so again.
var built = sync.OnceValues(func() (string, error) {
	dir, err := Directory()
	if err == nil {
		err = Build(context.Background(), dir)
	}
	return dir, err
})

// Use lets the test, and processes that it starts, find the emulated toolkit with
// one healthy GPU, or with those of a script made by [NewScript].
func Use(t testing.TB, s ...*Script) {
	t.Helper()
	t.Setenv(gpu.LibrariesVariable, Libraries(t))
	if OnGPU() {
		keepContext()
	}
	path := ""
	if len(s) > 0 {
		path = s[0].path
	}
	t.Setenv(scriptVariable, path)
}

// keepContext holds a real GPU's context until the process ends: making one takes
// tenths of a second, and the tests open the GPU thousands of times. Where there is
// no GPU the tests say so themselves.
var keepContext = sync.OnceFunc(func() { _, _ = gpu.Open(gpu.Config{}) })

// Reversed runs a test with the emulation's threads and blocks in their order and
// in the opposite one: what differs between these lacks a barrier. Devices must be
// opened within f.
func Reversed(t *testing.T, f func(t *testing.T)) {
	for _, order := range []string{"forward", "reverse"} {
		t.Run(order, func(t *testing.T) {
			t.Setenv(orderVariable, order)
			f(t)
		})
	}
}

// Script is a file of directives: which GPUs there are and what goes wrong with
// them. Processes that have it in their environment obey a change at once.
type Script struct {
	path  string
	lines []string
}

// NewScript writes the directives, one a line, to a file that lasts as long as the
// test.
func NewScript(t testing.TB, lines ...string) *Script {
	t.Helper()
	if OnGPU() {
		t.Skip("a script is for emulated GPUs, and AUTORESEARCH_TEST_GPU asks for a real one")
	}
	s := &Script{path: filepath.Join(t.TempDir(), "gpus")}
	if err := s.Set(lines...); err != nil {
		t.Fatal(err)
	}
	return s
}

// Set replaces all directives.
func (s *Script) Set(lines ...string) error {
	fresh := s.path + ".new"
	if err := os.WriteFile(fresh, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	s.lines = lines
	return os.Rename(fresh, s.path)
}

// Add appends directives: something happens from now on.
func (s *Script) Add(lines ...string) error {
	return s.Set(append(append([]string{}, s.lines...), lines...)...)
}

// Path of the file.
func (s *Script) Path() string { return s.path }

// Env is what the environment of a process needs for it to find the toolkit, and
// this script.
func (s *Script) Env(libraries string) []string {
	return []string{gpu.LibrariesVariable + "=" + libraries, scriptVariable + "=" + s.path}
}

// UUID of the i-th GPU that [GPU] describes.
func UUID(i int) string { return fmt.Sprintf("GPU-e0000000-0000-4000-8000-%012x", i) }

// GPU is the directive of a healthy NVIDIA H200 with the UUID of that number, and
// perhaps with other fields.
func GPU(i int, fields ...string) string {
	return strings.Join(append([]string{"gpu", "uuid=" + UUID(i), `name="NVIDIA H200"`, "memory=143771MiB", "cc=9.0"}, fields...), " ")
}
