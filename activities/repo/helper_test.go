package repo_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/repo"
	"github.com/autoresearch-go/autoresearch/experiment"
)

var when = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

// gitIn runs the user's git, as the user would.
func gitIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=u", "-c", "user.email=u@x", "-c", "protocol.file.allow=always"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// newCheckout makes a repository with one commit.
func newCheckout(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "checkout")
	write(t, dir, map[string]string{"go.mod": "module x\n", "trainer/train.go": "package main\n\nconst LR = 1\n", "trainer/harness/a.go": "package harness\n", "README.md": "hello\n"})
	gitIn(t, dir, "init", "-q", "-b", "main")
	gitIn(t, dir, "add", "-A")
	gitIn(t, dir, "commit", "-q", "-m", "base")
	return dir
}

func open(t *testing.T, home string) *repo.Repo {
	t.Helper()
	r, err := repo.Open(t.Context(), experiment.Home(home))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// imported gives a home's repository that has the checkout's commit.
func imported(t *testing.T, dir string) (r *repo.Repo, c *repo.Checkout, base string) {
	t.Helper()
	r = open(t, filepath.Join(t.TempDir(), "home"))
	c, err := r.Checkout(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	base, err = c.ImportHead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r, c, base
}

// candidate commits an edit of trainer/train.go.
func candidate(t *testing.T, r *repo.Repo, parent, text string) string {
	t.Helper()
	commit, err := r.Commit(t.Context(), parent, map[string][]byte{"trainer/train.go": []byte(text)}, "edit", when)
	if err != nil {
		t.Fatal(err)
	}
	return commit
}
