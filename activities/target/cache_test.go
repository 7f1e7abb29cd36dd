package target

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
)

// A candidate's build begins with what the evaluator's has compiled, and nothing
// that it writes is seen by the evaluator's.
func TestCaches(t *testing.T) {
	g := NewGoGPT(Options{GoCache: t.TempDir()})
	trusted, err := g.cacheOf(Evaluator)
	if err != nil {
		t.Fatal(err)
	}
	entry := filepath.Join(trusted, "0a", "entry-d")
	write(t, entry, "compiled")
	write(t, filepath.Join(trusted, "README"), "not an entry")
	for range 2 { // the second time it is there
		own, err := g.cacheOf(Candidate)
		if err != nil || own == trusted {
			t.Fatalf("the candidate's cache is %s, %v", own, err)
		}
		copied := filepath.Join(own, "0a", "entry-d")
		if text, err := os.ReadFile(copied); err != nil || string(text) != "compiled" && string(text) != "poisoned" {
			t.Errorf("the copy holds %q, %v", text, err)
		}
		write(t, copied, "poisoned")
		if text, _ := os.ReadFile(entry); string(text) != "compiled" {
			t.Errorf("what a candidate writes is in the evaluator's cache: %q", text)
		}
		if _, err := os.Stat(filepath.Join(own, "README")); err == nil {
			t.Error("more than entries was copied")
		}
	}
	if left, _ := filepath.Glob(filepath.Join(trusted, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What lies beside the sources is not there for a build.
func TestBuildIsConfined(t *testing.T) {
	if sandbox.Probe().Missing() != nil {
		t.Skip("this machine confines nothing")
	}
	dir := t.TempDir()
	src := filepath.Join(dir, "src")
	if err := os.CopyFS(src, os.DirFS("testdata/fake")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "secret.go"), "package main\n\nconst secret = 1\n")
	write(t, filepath.Join(src, "trainer", "reader.go"), "package main\n\nconst read = secret\n")
	if err := os.Symlink(filepath.Join(dir, "secret.go"), filepath.Join(src, "trainer", "link.go")); err != nil {
		t.Fatal(err)
	}
	for _, confined := range []bool{false, true} {
		g, out := newGoGPT(), t.TempDir()
		if !confined {
			g.sandbox = sandbox.Process{}
		}
		f, err := g.Build(t.Context(), Candidate, src, out, io.Discard)
		if built := f == nil && err == nil; built == confined {
			t.Errorf("confined %v: %+v, %v", confined, f, err)
		}
	}
}
