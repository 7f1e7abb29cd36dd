package repo_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/repo"
	"github.com/autoresearch-go/autoresearch/experiment"
)

const branch = "autoresearch/mar5"

func TestCheckoutErrors(t *testing.T) {
	r := open(t, t.TempDir())
	plain := t.TempDir()
	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(plain))
	for _, dir := range []string{plain, filepath.Join(plain, "none")} {
		if _, err := r.Checkout(t.Context(), dir); !errors.Is(err, repo.ErrNotRepository) || !strings.Contains(err.Error(), dir) {
			t.Errorf("Checkout(%s) = %v", dir, err)
		}
	}
	gitIn(t, plain, "init", "-q")
	c, err := r.Checkout(t.Context(), plain)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ImportHead(t.Context()); !errors.Is(err, repo.ErrNoCommit) || !strings.Contains(err.Error(), "git commit") {
		t.Errorf("ImportHead without a commit = %v", err)
	}
}

func TestCheckoutOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("giving files away needs root")
	}
	dir := newCheckout(t)
	if err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, 12345, 12345))
	}); err != nil {
		t.Fatal(err)
	}
	r, c, base := imported(t, dir)
	if got, err := c.Publish(t.Context(), branch, candidate(t, r, base, "package main\n")); err != nil || got != repo.Moved {
		t.Errorf("Publish = %q, %v", got, err)
	}
}

func TestDirty(t *testing.T) {
	dir := newCheckout(t)
	_, c, _ := imported(t, dir)
	paths := []string{"trainer", "go.mod"}
	if dirty, err := c.Dirty(t.Context(), paths); err != nil || len(dirty) > 0 {
		t.Fatalf("Dirty of a clean checkout = %q, %v", dirty, err)
	}
	write(t, dir, map[string]string{"trainer/train.go": "changed\n", "trainer/new file.go": "x", "README.md": "not a source\n", "go.mod": "staged\n"})
	gitIn(t, dir, "add", "go.mod")
	if err := os.Remove(filepath.Join(dir, "trainer/harness/a.go")); err != nil {
		t.Fatal(err)
	}
	index, err := os.ReadFile(filepath.Join(dir, ".git/index"))
	if err != nil {
		t.Fatal(err)
	}
	dirty, err := c.Dirty(t.Context(), paths)
	slices.Sort(dirty)
	if want := []string{"go.mod", "trainer/harness/a.go", "trainer/new file.go", "trainer/train.go"}; err != nil || !slices.Equal(dirty, want) {
		t.Errorf("Dirty = %q, %v; want %q", dirty, err, want)
	}
	if after, err := os.ReadFile(filepath.Join(dir, ".git/index")); err != nil || string(after) != string(index) {
		t.Errorf("Dirty changed the user's index: %v", err)
	}
}

func TestImportFromAShallowClone(t *testing.T) {
	origin := newCheckout(t)
	write(t, origin, map[string]string{"trainer/train.go": "package main\n"})
	gitIn(t, origin, "commit", "-qam", "second")
	shallow := filepath.Join(t.TempDir(), "shallow")
	gitIn(t, origin, "clone", "-q", "--depth=1", "file://"+origin, shallow)
	r, c, base := imported(t, shallow)
	commit := candidate(t, r, base, "package main\n\nconst LR = 3\n")
	if got, err := c.Publish(t.Context(), branch, commit); err != nil || got != repo.Moved {
		t.Fatalf("Publish to a shallow clone = %q, %v", got, err)
	}
	gitIn(t, shallow, "fsck")
	// The same home then serves a full clone.
	full, err := r.Checkout(t.Context(), origin)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := full.Publish(t.Context(), branch, commit); err != nil || got != repo.Moved {
		t.Fatalf("Publish to the full clone = %q, %v", got, err)
	}
	if n := gitIn(t, origin, "rev-list", "--count", branch); n != "3" {
		t.Errorf("the full clone's branch has %s commits, want 3", n)
	}
	if _, err := os.Stat(filepath.Join(origin, ".git/shallow")); err == nil {
		t.Error("the full clone was made shallow")
	}
}

func TestPublish(t *testing.T) {
	dir := newCheckout(t)
	// Hooks of the user's repository must not run for us.
	write(t, dir, map[string]string{".git/hooks/reference-transaction": "#!/bin/sh\nexit 1\n"})
	if err := os.Chmod(filepath.Join(dir, ".git/hooks/reference-transaction"), 0o755); err != nil {
		t.Fatal(err)
	}
	r, c, base := imported(t, dir)
	one, two := candidate(t, r, base, "package main // 1\n"), candidate(t, r, base, "package main // 2\n")
	publish := func(commit string, want repo.Published, at string) {
		t.Helper()
		got, err := c.Publish(t.Context(), branch, commit)
		if err != nil || got != want {
			t.Fatalf("Publish = %q, %v; want %q", got, err, want)
		}
		if have := gitIn(t, dir, "rev-parse", branch); have != at {
			t.Fatalf("the branch is at %s, want %s", have, at)
		}
	}
	publish(one, repo.Moved, one)
	publish(one, repo.Current, one)
	publish(two, repo.Moved, two)
	if err := os.Remove(filepath.Join(dir, ".git/hooks/reference-transaction")); err != nil {
		t.Fatal(err)
	}
	gitIn(t, dir, "branch", "-f", branch, "main") // moved by the user, to a commit we know
	publish(two, repo.Moved, two)

	other := filepath.Join(t.TempDir(), "worktree")
	gitIn(t, dir, "worktree", "add", "-q", other, branch)
	publish(one, repo.CheckedOut, two)
	write(t, other, map[string]string{"mine.txt": "x"})
	gitIn(t, other, "add", "-A")
	gitIn(t, other, "commit", "-q", "-m", "the user's own")
	mine := gitIn(t, other, "rev-parse", "HEAD")
	gitIn(t, dir, "worktree", "remove", other)
	publish(one, repo.NotOurs, mine)

	gitIn(t, dir, "branch", "-D", branch)
	publish(one, repo.Moved, one)
	if status := gitIn(t, dir, "status", "--porcelain"); status != "" {
		t.Errorf("the checkout was touched: %s", status)
	}
	if refs := gitIn(t, dir, "for-each-ref", "--format=%(refname)"); refs != "refs/heads/"+branch+"\nrefs/heads/main" {
		t.Errorf("refs of the checkout: %s", refs)
	}
	if _, err := os.Stat(filepath.Join(dir, ".git/FETCH_HEAD")); err == nil {
		t.Error("FETCH_HEAD of the checkout was written")
	}
}

func TestPublishKeepsAwayFromARebase(t *testing.T) {
	dir := newCheckout(t)
	r, c, base := imported(t, dir)
	one := candidate(t, r, base, "package main // 1\n")
	if _, err := c.Publish(t.Context(), branch, one); err != nil {
		t.Fatal(err)
	}
	gitIn(t, dir, "checkout", "-q", branch)
	gitIn(t, dir, "-c", "sequence.editor=sed -i s/^pick/edit/", "rebase", "-q", "-i", "--root")
	if got, err := c.Publish(t.Context(), branch, base); err != nil || got != repo.CheckedOut {
		t.Errorf("Publish during a rebase = %q, %v", got, err)
	}
}

func TestExclude(t *testing.T) {
	dir := newCheckout(t)
	worktree := filepath.Join(t.TempDir(), "worktree")
	gitIn(t, dir, "worktree", "add", "-q", "--detach", worktree)
	for _, root := range []string{dir, worktree} {
		home := filepath.Join(root, experiment.HomeDir)
		write(t, home, map[string]string{"file": "x"})
		r := open(t, home)
		c, err := r.Checkout(t.Context(), filepath.Join(root, "trainer"))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := c.Exclude(t.Context(), experiment.Home(home)); err != nil {
				t.Fatal(err)
			}
		}
		if status := gitIn(t, root, "status", "--porcelain"); status != "" {
			t.Errorf("git status in %s: %s", root, status)
		}
		if err := c.Exclude(t.Context(), experiment.Home(t.TempDir())); err != nil {
			t.Errorf("a home elsewhere: %v", err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, ".git/info/exclude"))
	if err != nil || strings.Count(string(text), "autoresearch") != 1 {
		t.Errorf("info/exclude holds %q, %v", text, err)
	}
}
