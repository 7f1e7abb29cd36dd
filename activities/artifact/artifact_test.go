package artifact_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/artifact/artifacttest"
)

func TestMemory(t *testing.T) {
	artifacttest.Conformance(t, func() artifact.Store { return new(artifact.Memory) })
}

func TestFile(t *testing.T) {
	artifacttest.Conformance(t, func() artifact.Store { return artifact.NewFile(filepath.Join(t.TempDir(), "artifacts")) })
}

// TestMain lets this test binary play the other processes.
func TestMain(m *testing.M) {
	if dir := os.Getenv("ARTIFACT_WRITER"); dir != "" {
		stored, err := artifact.NewFile(dir).PutOnce(context.Background(), "mar5/0001/result.json", fmt.Appendf(nil, "writer %d", os.Getpid()))
		fmt.Print(string(stored))
		if err != nil {
			fmt.Print(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir := os.Getenv("ARTIFACT_FULL"); dir != "" {
		writeBeyondLimit(dir)
	}
	os.Exit(m.Run())
}

// TestProcesses has several processes decide the same thing.
func TestProcesses(t *testing.T) {
	dir := t.TempDir()
	answers := make(chan string)
	for range 6 {
		go func() {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "ARTIFACT_WRITER="+dir)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("a writer failed: %v: %s", err, out)
			}
			answers <- string(out)
		}()
	}
	first := <-answers
	for range 5 {
		if a := <-answers; a != first {
			t.Errorf("one process was told %q, another %q", first, a)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "mar5/0001/.tmp-*")); len(left) > 0 {
		t.Errorf("temporary files are left: %q", left)
	}
}

// TestLeftovers: what a killed writer leaves is neither listed nor in the way.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "mar5/0001"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "mar5/0001/.tmp-123"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := artifact.NewFile(dir)
	if keys, err := s.List(t.Context(), ""); err != nil || len(keys) != 0 {
		t.Errorf("List = %q, %v", keys, err)
	}
	if stored, err := s.PutOnce(t.Context(), "mar5/0001/result.json", []byte("x")); err != nil || string(stored) != "x" {
		t.Errorf("PutOnce = %q, %v", stored, err)
	}
}

// TestUnusableDirectory stands for a read-only home, in ways that stop root too.
func TestUnusableDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for dir, hint := range map[string]string{file: "move it away", filepath.Join(file, "below"): "move it away", "/proc/autoresearch": ""} {
		s := artifact.NewFile(dir)
		err := s.Put(t.Context(), "mar5/campaign.json", strings.NewReader("x"))
		if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "mar5/campaign.json") || !strings.Contains(err.Error(), hint) {
			t.Errorf("Put in %s = %v; want key, path and %q", dir, err, hint)
		}
		if _, err := s.PutOnce(t.Context(), "mar5/campaign.json", []byte("x")); err == nil {
			t.Errorf("PutOnce in %s succeeded", dir)
		}
		if keys, err := s.List(t.Context(), ""); err != nil || len(keys) != 0 {
			t.Errorf("List in %s = %q, %v", dir, keys, err)
		}
	}
}

// TestDiskFull runs a writer whose files may not grow beyond a limit: a write
// fails half-way, and what was there before stays.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := artifact.NewFile(dir).Put(t.Context(), "mar5/log", strings.NewReader("old")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "ARTIFACT_FULL="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "mar5/log")); err != nil || string(b) != "old" {
		t.Errorf("after a failed Put: %q, %v", b, err)
	}
	if files, _ := os.ReadDir(filepath.Join(dir, "mar5")); len(files) != 1 {
		t.Errorf("a failed Put left %v", files)
	}
}

func writeBeyondLimit(dir string) {
	limit := syscall.Rlimit{Cur: 4096, Max: 4096}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		fmt.Print(err)
		os.Exit(1)
	}
	s, big := artifact.NewFile(dir), strings.Repeat("x", 1<<20)
	putErr := s.Put(context.Background(), "mar5/log", strings.NewReader(big))
	_, onceErr := s.PutOnce(context.Background(), "mar5/0001/result.json", []byte(big))
	if !errors.Is(putErr, syscall.EFBIG) || !errors.Is(onceErr, syscall.EFBIG) {
		fmt.Print(putErr, onceErr)
		os.Exit(1)
	}
	_ = os.Remove(filepath.Join(dir, "mar5/0001"))
	os.Exit(0)
}
