package repo_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/repo"
)

// What is read of many commits at once is what is read of each alone, on a copy
// that cannot be written.
func TestView(t *testing.T) {
	dir := newCheckout(t)
	r, _, base := imported(t, dir)
	paths, editable := []string{"go.mod", "trainer"}, []string{"trainer/train.go"}
	var pairs [][2]string
	var commits []string
	parent := base
	for i := range 7 {
		c := candidate(t, r, parent, fmt.Sprintf("package main\n\nconst LR = %d\n\x00no text, no end", i))
		pairs, commits = append(pairs, [2]string{c, parent}), append(commits, c)
		if i%2 == 0 {
			parent = c
		}
	}
	pairs, commits = append(pairs, [2]string{base, base}), append(commits, base)
	copied := filepath.Join(t.TempDir(), "repo.git")
	if err := os.CopyFS(copied, os.DirFS(repo.Dir(r))); err != nil {
		t.Fatal(err)
	}
	v, err := repo.View(copied)
	if err != nil {
		t.Fatal(err)
	}
	before := listing(t, copied)
	seen := 0
	err = v.Changes(t.Context(), pairs, func(commit string, c repo.Change) {
		want, err := r.Diff(t.Context(), pairs[seen][1], commit)
		if err != nil || !bytes.Equal(c.Patch, want) || commit != commits[seen] {
			t.Errorf("the patch of %d is %q, %v; want %q", seen, c.Patch, err, want)
		}
		if edited := len(c.Files) == 1 && c.Files[0] == (repo.Changed{Path: "trainer/train.go", Edited: true}); edited != (commit != base) {
			t.Errorf("%d changes %v", seen, c.Files)
		}
		seen++
	})
	if err != nil || seen != len(pairs) {
		t.Errorf("Changes gave %d of %d, %v", seen, len(pairs), err)
	}
	p, err := v.Packer(t.Context(), base, paths, editable)
	if err != nil {
		t.Fatal(err)
	}
	seen = 0
	err = p.Digests(t.Context(), append([]string{strings.Repeat("0", 40)}, commits...), func(commit, digest string) {
		if _, want, err := r.Archive(t.Context(), commit, paths); err != nil || digest != want {
			t.Errorf("the archive of %s is %s, %v; want %s", commit, digest, err, want)
		}
		seen++
	})
	if err != nil || seen != len(commits) {
		t.Errorf("Digests gave %d of %d, %v", seen, len(commits), err)
	}
	all, err := v.Commits(t.Context(), append([]string{strings.Repeat("0", 40)}, commits...))
	if err != nil || len(all) != len(commits) {
		t.Errorf("Commits gave %d of %d, %v", len(all), len(commits), err)
	}
	if c := all[commits[1]]; len(c.Parents) != 1 || c.Parents[0] != commits[0] || c.Message != "edit\n" || !c.Whole {
		t.Errorf("Commits gave %+v", c)
	}
	if after := listing(t, copied); after != before {
		t.Errorf("reading has written:\n%s\nbefore\n%s", after, before)
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		fmt.Fprintln(&b, path, info.Size(), info.ModTime())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Files that are added, removed, made executable or made links are no edits.
func TestChangesThatAreNoEdits(t *testing.T) {
	dir := newCheckout(t)
	for what, do := range map[string]func() error{
		"added":      func() error { return os.WriteFile(filepath.Join(dir, "new file"), []byte("x"), 0o644) },
		"removed":    func() error { return os.Remove(filepath.Join(dir, "README.md")) },
		"executable": func() error { return os.Chmod(filepath.Join(dir, "go.mod"), 0o755) },
		"link": func() error {
			return errors.Join(os.Remove(filepath.Join(dir, "trainer/train.go")), os.Symlink("/etc/passwd", filepath.Join(dir, "trainer/train.go")))
		},
	} {
		parent := gitIn(t, dir, "rev-parse", "HEAD")
		if err := do(); err != nil {
			t.Fatal(err)
		}
		gitIn(t, dir, "add", "-A")
		gitIn(t, dir, "commit", "-q", "-m", what)
		v, err := repo.View(filepath.Join(dir, ".git"))
		if err != nil {
			t.Fatal(err)
		}
		commit := gitIn(t, dir, "rev-parse", "HEAD")
		err = v.Changes(t.Context(), [][2]string{{commit, parent}}, func(_ string, c repo.Change) {
			if len(c.Files) != 1 || c.Files[0].Edited {
				t.Errorf("%s: %+v", what, c.Files)
			}
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// A commit whose bytes were replaced is noticed, which git does not.
func TestReplacedCommit(t *testing.T) {
	dir := newCheckout(t)
	commit := gitIn(t, dir, "rev-parse", "HEAD")
	write(t, dir, map[string]string{"README.md": "other"})
	gitIn(t, dir, "commit", "-qam", "another")
	other := gitIn(t, dir, "rev-parse", "HEAD")
	object := func(id string) string { return filepath.Join(dir, ".git/objects", id[:2], id[2:]) }
	b, err := os.ReadFile(object(other))
	if err == nil {
		err = errors.Join(os.Chmod(object(commit), 0o644), os.WriteFile(object(commit), b, 0o444))
	}
	if err != nil {
		t.Fatal(err)
	}
	v, err := repo.View(filepath.Join(dir, ".git"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := v.Commits(t.Context(), []string{commit, other})
	if err != nil || all[commit].Whole || !all[other].Whole {
		t.Errorf("Commits = %+v, %v", all, err)
	}
}

func TestViewOfNothing(t *testing.T) {
	if _, err := repo.View(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("View = %v", err)
	}
}
