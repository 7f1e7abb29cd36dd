package repo_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/repo"
	"github.com/autoresearch-go/autoresearch/experiment"
)

func TestCommitIsDeterministic(t *testing.T) {
	// What a user may have set must not show in a commit.
	for _, v := range []string{"GIT_AUTHOR_NAME", "GIT_COMMITTER_EMAIL", "GIT_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"} {
		t.Setenv(v, "/nonsense")
	}
	t.Setenv("GIT_CONFIG_PARAMETERS", "'core.bare'='nonsense'")
	dir := t.TempDir()
	a := open(t, dir)
	os.Unsetenv("GIT_DIR")
	os.Unsetenv("GIT_INDEX_FILE")
	os.Unsetenv("GIT_OBJECT_DIRECTORY")
	os.Unsetenv("GIT_CONFIG_PARAMETERS")
	checkout := newCheckout(t)
	c, err := a.Checkout(t.Context(), checkout)
	if err != nil {
		t.Fatal(err)
	}
	base, err := c.ImportHead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first := candidate(t, a, base, "package main\n\nconst LR = 2\n")
	if again := candidate(t, a, base, "package main\n\nconst LR = 2\n"); again != first {
		t.Errorf("the same edit gave %s and %s", first, again)
	}
	b, cb, _ := imported(t, checkout)
	if other := candidate(t, b, base, "package main\n\nconst LR = 2\n"); other != first {
		t.Errorf("another home made %s, not %s", other, first)
	}
	if cb.Root() != c.Root() {
		t.Errorf("roots %s and %s", c.Root(), cb.Root())
	}
	show := gitIn(t, filepath.Join(dir, "repo.git"), "-c", "safe.directory=*", "show", "-s", "--format=%an <%ae> %at %cn %ct %P %s", first)
	if want := "autoresearch <autoresearch@localhost> 1772712000 autoresearch 1772712000 " + base + " edit"; show != want {
		t.Errorf("commit is %q, want %q", show, want)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "repo.git", "index-*")); len(left) > 0 {
		t.Errorf("temporary indexes are left: %q", left)
	}
}

func TestReadFilesAndDiff(t *testing.T) {
	r, _, base := imported(t, newCheckout(t))
	commit := candidate(t, r, base, "package main\n\nconst LR = 2\n")
	files, err := r.ReadFiles(t.Context(), commit, []string{"trainer/train.go", "go.mod"})
	if err != nil || string(files["trainer/train.go"]) != "package main\n\nconst LR = 2\n" || string(files["go.mod"]) != "module x\n" {
		t.Errorf("ReadFiles = %q, %v", files, err)
	}
	diff, err := r.Diff(t.Context(), base, commit)
	if err != nil || !strings.Contains(string(diff), "-const LR = 1\n+const LR = 2\n") {
		t.Errorf("Diff = %s, %v", diff, err)
	}
	for path, want := range map[string]error{
		"trainer/none.go": repo.ErrMissing, "trainer": repo.ErrNotRegular, "../x": repo.ErrInvalidPath, "/etc/passwd": repo.ErrInvalidPath,
		".git/config": repo.ErrInvalidPath, "a/.GIT/x": repo.ErrInvalidPath, "a//b": repo.ErrInvalidPath, "": repo.ErrInvalidPath, "a\nb": repo.ErrInvalidPath, `a\b`: repo.ErrInvalidPath,
	} {
		if _, err := r.ReadFiles(t.Context(), base, []string{path}); !errors.Is(err, want) {
			t.Errorf("ReadFiles(%q) = %v, want %v", path, err, want)
		}
		if _, err := r.Commit(t.Context(), base, map[string][]byte{path: nil}, "m", when); err == nil {
			t.Errorf("Commit of %q was not refused", path)
		}
	}
}

func TestLinksAndSubmodulesAreRefused(t *testing.T) {
	dir := newCheckout(t)
	if err := os.Symlink("train.go", filepath.Join(dir, "trainer/link.go")); err != nil {
		t.Fatal(err)
	}
	gitIn(t, dir, "submodule", "--quiet", "add", newCheckout(t), "trainer/sub")
	gitIn(t, dir, "add", "-A")
	gitIn(t, dir, "commit", "-q", "-m", "links")
	r, _, base := imported(t, dir)
	for path, kind := range map[string]string{"trainer/link.go": "symbolic link", "trainer/sub": "submodule"} {
		if _, err := r.ReadFiles(t.Context(), base, []string{path}); !errors.Is(err, repo.ErrNotRegular) || !strings.Contains(err.Error(), kind) {
			t.Errorf("ReadFiles(%s) = %v, want a refusal that says %s", path, err, kind)
		}
		if _, err := r.Commit(t.Context(), base, map[string][]byte{path: []byte("x")}, "m", when); !errors.Is(err, repo.ErrNotRegular) {
			t.Errorf("Commit over %s = %v", path, err)
		}
	}
	if _, _, err := r.Archive(t.Context(), base, []string{"trainer"}); !errors.Is(err, repo.ErrNotRegular) || !strings.Contains(err.Error(), "trainer/") {
		t.Errorf("Archive with links = %v", err)
	}
	if _, _, err := r.Archive(t.Context(), base, []string{"trainer/harness", "go.mod"}); err != nil {
		t.Errorf("Archive beside links: %v", err)
	}
}

func TestArchive(t *testing.T) {
	dir := newCheckout(t)
	write(t, dir, map[string]string{"trainer/run.sh": "#!/bin/sh\n", ".gitattributes": "trainer/* export-ignore\n*.go text eol=crlf\n"})
	if err := os.Chmod(filepath.Join(dir, "trainer/run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	gitIn(t, dir, "add", "-A")
	gitIn(t, dir, "commit", "-q", "-m", "more")
	r, _, base := imported(t, dir)
	a, digest, err := r.Archive(t.Context(), base, []string{"trainer", "go.mod"})
	if err != nil {
		t.Fatal(err)
	}
	b, again, err := r.Archive(t.Context(), base, []string{"go.mod", "trainer"})
	if err != nil || !bytes.Equal(a, b) || digest != again || len(digest) != 64 {
		t.Errorf("the archive depends on more than its content: %s, %s, %v", digest, again, err)
	}
	var names []string
	for tr := tar.NewReader(bytes.NewReader(a)); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.FileInfo().Mode().String()+" "+h.Name)
	}
	want := "-rw-r--r-- go.mod,-rw-r--r-- trainer/harness/a.go,-rwxr-xr-x trainer/run.sh,-rw-r--r-- trainer/train.go"
	if got := strings.Join(names, ","); got != want {
		t.Errorf("archive holds %s, want %s", got, want)
	}
	_, other, err := r.Archive(t.Context(), candidate(t, r, base, "package main\n"), []string{"trainer", "go.mod"})
	if err != nil || other == digest {
		t.Errorf("other sources have the same digest: %v", err)
	}
	if _, same, err := r.Archive(t.Context(), base, []string{"trainer", "go.mod", "python"}); err != nil || same != digest {
		t.Errorf("with a path that the commit does not have, the digest is %s, %v; want %s", same, err, digest)
	}
	if _, _, err := r.Archive(t.Context(), base, []string{"python"}); !errors.Is(err, repo.ErrMissing) || !strings.Contains(err.Error(), "python") {
		t.Errorf("Archive with a missing path = %v", err)
	}
}

func TestSetRef(t *testing.T) {
	r, _, base := imported(t, newCheckout(t))
	next, ref := candidate(t, r, base, "package main\n"), experiment.CandidateRef("mar5", 1)
	if err := r.SetRef(t.Context(), ref, base, ""); err != nil {
		t.Fatal(err)
	}
	for _, old := range []string{"", next} {
		if err := r.SetRef(t.Context(), ref, next, old); !errors.Is(err, repo.ErrMoved) {
			t.Errorf("SetRef expecting %q = %v, want ErrMoved", old, err)
		}
	}
	if moved, err := r.MoveRef(t.Context(), ref, next); err != nil || !moved {
		t.Errorf("MoveRef = %v, %v", moved, err)
	}
	if moved, err := r.MoveRef(t.Context(), ref, next); err != nil || moved {
		t.Errorf("MoveRef again = %v, %v", moved, err)
	}
	refs, err := r.Refs(t.Context(), "refs/experiments/mar5/")
	if err != nil || len(refs) != 1 || refs[ref] != next {
		t.Errorf("Refs = %v, %v", refs, err)
	}
	if at, err := r.Ref(t.Context(), "refs/experiments/mar5/0009"); at != "" || err != nil {
		t.Errorf("Ref of nothing = %q, %v", at, err)
	}
}

func TestConcurrentUse(t *testing.T) {
	home, dir := t.TempDir(), newCheckout(t)
	var wg sync.WaitGroup
	for range 4 { // what several processes do at once, first start included
		wg.Go(func() {
			r, err := repo.Open(t.Context(), experiment.Home(home))
			if err != nil {
				t.Error(err)
				return
			}
			c, err := r.Checkout(t.Context(), dir)
			if err != nil {
				t.Error(err)
				return
			}
			base, err := c.ImportHead(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := r.MoveRef(t.Context(), "refs/experiments/mar5/0001", base); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestStaleLock(t *testing.T) {
	home := t.TempDir()
	r := open(t, home)
	c, err := r.Checkout(t.Context(), newCheckout(t))
	if err != nil {
		t.Fatal(err)
	}
	base, err := c.ImportHead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ref := experiment.CandidateRef("mar5", 1)
	lock := filepath.Join(home, "repo.git", ref+".lock")
	write(t, filepath.Dir(lock), map[string]string{filepath.Base(lock): ""})

	// A fresh lock belongs to somebody; it is waited for.
	time.AfterFunc(150*time.Millisecond, func() { os.Remove(lock) })
	if err := r.SetRef(t.Context(), ref, base, ""); err != nil {
		t.Errorf("with a lock that goes away: %v", err)
	}
	// One that stays is reported as ours to retry, with the file's name.
	write(t, filepath.Dir(lock), map[string]string{filepath.Base(lock): ""})
	next := candidate(t, r, base, "package main\n")
	if err := r.SetRef(t.Context(), ref, next, base); !errors.Is(err, repo.ErrBusy) || !strings.Contains(err.Error(), lock) {
		t.Errorf("with a lock that stays: %v", err)
	}
	// One that a killed git left long ago is nobody's.
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(lock, old, old); err != nil {
		t.Fatal(err)
	}
	if err := r.SetRef(t.Context(), ref, next, base); err != nil {
		t.Errorf("with an old lock: %v", err)
	}
}

func TestOpenInAnUnusableHome(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, filepath.Dir(file), map[string]string{"file": ""})
	for _, home := range []string{file, filepath.Join(file, "below")} {
		_, err := repo.Open(t.Context(), experiment.Home(home))
		if err == nil || !strings.Contains(err.Error(), home) || !strings.Contains(err.Error(), "--home") {
			t.Errorf("Open(%s) = %v", home, err)
		}
	}
}
