package repo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// Checkout is the user's repository, as seen from a home's.
type Checkout struct {
	dir  string // as the user gave it
	root string // top of the work tree
	git  git
	repo *Repo
}

// Checkout finds the repository around dir. The error is [ErrNotRepository]
// when there is none.
func (r *Repo) Checkout(ctx context.Context, dir string) (*Checkout, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("finding the checkout %s: %w", dir, err)
	}
	if info, err := os.Stat(abs); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%w: there is no directory %s", ErrNotRepository, abs)
	}
	c := &Checkout{dir: abs, git: git{at: []string{"-C", abs}, config: r.git.config}, repo: r}
	c.root, err = c.git.text(ctx, "rev-parse", "--show-toplevel")
	var failed *gitError
	if errors.As(err, &failed) && failed.code == 128 {
		return nil, fmt.Errorf("%w: %s (%s); run in a clone of the target, or make it one: git init && git add -A && git commit -m base", ErrNotRepository, abs, firstLine(failed.stderr))
	}
	if err != nil {
		return nil, fmt.Errorf("finding the repository at %s: %w", abs, err)
	}
	c.git.at = []string{"-C", c.root}
	return c, nil
}

// Root is the top of the work tree.
func (c *Checkout) Root() string { return c.root }

// Head is the commit that is checked out; [ErrNoCommit] when there is none.
func (c *Checkout) Head(ctx context.Context) (string, error) {
	commit, err := c.git.ref(ctx, "HEAD")
	if err == nil && commit == "" {
		err = fmt.Errorf("%w: %s has nothing committed; commit the target first: git add -A && git commit -m base", ErrNoCommit, c.root)
	}
	return commit, err
}

// Dirty lists the files at or below the paths that differ from HEAD: changed,
// staged, deleted, or untracked and not ignored. It leaves the index as it is.
func (c *Checkout) Dirty(ctx context.Context, paths []string) ([]string, error) {
	args := append([]string{"status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--"}, paths...)
	out, err := c.git.run(ctx, call{args: args})
	if err != nil {
		return nil, fmt.Errorf("looking for uncommitted changes in %s: %w", c.root, err)
	}
	var dirty []string
	for _, line := range strings.Split(string(out), "\x00") {
		if len(line) > 3 {
			dirty = append(dirty, line[3:])
		}
	}
	return dirty, nil
}

// ImportHead fetches the commit that is checked out into the home's repository
// and returns it. Shallow clones work: their history ends there too.
func (c *Checkout) ImportHead(ctx context.Context) (string, error) {
	commit, err := c.Head(ctx)
	if err != nil {
		return "", err
	}
	return commit, c.Import(ctx, commit)
}

// Import fetches one commit, and keeps it from garbage collection.
func (c *Checkout) Import(ctx context.Context, commit string) error {
	ref := "refs/imports/" + commit
	if at, err := c.repo.Ref(ctx, ref); err != nil || at == commit {
		return err
	}
	_, err := c.repo.git.text(ctx, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
		"--update-shallow", "--end-of-options", c.root, commit+":"+ref)
	if err != nil {
		return fmt.Errorf("copying commit %s from %s: %w", experiment.ShortCommit(commit), c.root, err)
	}
	return nil
}

// Exclude keeps a home inside the checkout out of git status, through the
// repository's own info/exclude; homes elsewhere need nothing.
func (c *Checkout) Exclude(ctx context.Context, home experiment.Home) error {
	line, inside := c.excludeLine(string(home))
	if !inside {
		return nil
	}
	file, err := c.git.text(ctx, "rev-parse", "--path-format=absolute", "--git-path", "info/exclude")
	if err != nil {
		return fmt.Errorf("finding info/exclude of %s: %w", c.root, err)
	}
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("excluding %s from git: %w", line, err)
	}
	for _, have := range strings.Split(string(text), "\n") {
		if strings.TrimSpace(have) == line {
			return nil
		}
	}
	if len(text) > 0 && !strings.HasSuffix(string(text), "\n") {
		line = "\n" + line
	}
	if err := appendLine(file, line+"\n"); err != nil {
		return fmt.Errorf("excluding %s from git: %w", strings.TrimSpace(line), err)
	}
	return nil
}

func (c *Checkout) excludeLine(home string) (line string, inside bool) {
	rel, err := filepath.Rel(c.root, resolved(home))
	if err != nil || rel == "." || !filepath.IsLocal(rel) {
		return "", false
	}
	return "/" + filepath.ToSlash(rel) + "/", true
}

// resolved follows links, because git gives the work tree's real path.
func resolved(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real
	}
	if real, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil { // the home may not exist yet
		return filepath.Join(real, filepath.Base(abs))
	}
	return abs
}

func appendLine(file, line string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
