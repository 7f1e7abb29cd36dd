package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// Repo is the bare repository of a home. It is safe for concurrent use, by
// several processes too.
type Repo struct {
	dir string
	git git
}

// configText is the whole git configuration beside a repository's own. Git
// refuses checkouts of another user, because their configuration could run
// commands; the one we work on was named by the user, our commands switch hooks
// and monitors off, and in a container the owner is always another.
const configText = "[safe]\n\tdirectory = *\n[init]\n\tdefaultBranch = main\n[protocol \"file\"]\n\tallow = always\n"

// Open returns the home's repository, made if there is none.
func Open(ctx context.Context, home experiment.Home) (*Repo, error) {
	dir, err := filepath.Abs(home.Repo())
	if err != nil {
		return nil, fmt.Errorf("finding the repository %s: %w", home.Repo(), err)
	}
	r := &Repo{dir: dir, git: git{at: []string{"--git-dir=" + dir}, config: filepath.Join(dir, "autoresearch.config"), ours: true}}
	if _, err := os.Stat(r.git.config); err == nil {
		return r, nil
	}
	if err := r.init(ctx); err != nil {
		return nil, homeError(dir, err)
	}
	return r, nil
}

// init is safe to repeat and to interrupt: the configuration file comes last.
func (r *Repo) init(ctx context.Context) error {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	first := git{at: r.git.at, config: os.DevNull, ours: true}
	for _, args := range [][]string{
		{"init", "--quiet", "--bare", "--template="},
		{"config", "uploadpack.allowAnySHA1InWant", "true"},
		{"config", "core.logAllRefUpdates", "always"},
		{"config", "gc.auto", "0"},
	} {
		if _, err := first.text(ctx, args...); err != nil {
			return err
		}
	}
	tmp, err := os.CreateTemp(r.dir, "autoresearch.config.")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(configText)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), r.git.config)
}

func homeError(dir string, err error) error {
	err = fmt.Errorf("making the repository %s: %w", dir, err)
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%w; choose another home with --home DIR or AUTORESEARCH_HOME", err)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w; free some disk space", err)
	}
	return err
}

// Ref returns the commit a ref names, or "" when there is no such ref.
func (r *Repo) Ref(ctx context.Context, ref string) (string, error) { return r.git.ref(ctx, ref) }

func (g git) ref(ctx context.Context, ref string) (string, error) {
	commit, err := g.text(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
	var failed *gitError
	if errors.As(err, &failed) && failed.code == 1 {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading ref %s: %w", ref, err)
	}
	return commit, nil
}

// Has tells whether the repository holds a commit.
func (r *Repo) Has(ctx context.Context, commit string) bool {
	_, err := r.git.text(ctx, "cat-file", "-e", commit+"^{commit}")
	return err == nil
}

// Refs returns every ref below a prefix such as "refs/experiments/mar5/".
func (r *Repo) Refs(ctx context.Context, prefix string) (map[string]string, error) {
	out, err := r.git.text(ctx, "for-each-ref", "--format=%(refname) %(objectname)", prefix)
	if err != nil {
		return nil, fmt.Errorf("listing refs %s: %w", prefix, err)
	}
	refs := map[string]string{}
	for _, line := range strings.Split(out, "\n") {
		if name, commit, ok := strings.Cut(line, " "); ok {
			refs[name] = commit
		}
	}
	return refs, nil
}

// SetRef moves a ref from old to new, and fails with [ErrMoved] if it is not
// at old. An old of "" means that the ref must not exist.
func (r *Repo) SetRef(ctx context.Context, ref, new, old string) error {
	return r.git.setRef(ctx, ref, new, old)
}

// zeroOID is git's "no object", as long as sha256 repositories need it; git
// takes the empty string for it in update-ref as well.
func (g git) setRef(ctx context.Context, ref, new, old string) error {
	_, err := g.text(ctx, "update-ref", "--create-reflog", "-m", "autoresearch", ref, new, old)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("setting %s to %s: %w", ref, experiment.ShortCommit(new), err)
	if at, refErr := g.ref(ctx, ref); refErr == nil && at != old && !errors.Is(err, ErrBusy) {
		return fmt.Errorf("%w: it is at %q: %w", ErrMoved, experiment.ShortCommit(at), err)
	}
	return err
}

// MoveRef sets a ref wherever it is; nothing happens when it is there already.
func (r *Repo) MoveRef(ctx context.Context, ref, new string) (moved bool, err error) {
	for range 3 {
		old, err := r.Ref(ctx, ref)
		if err != nil || old == new {
			return false, err
		}
		if err = r.SetRef(ctx, ref, new, old); !errors.Is(err, ErrMoved) {
			return err == nil, err
		}
	}
	return false, fmt.Errorf("setting %s: %w: another process keeps moving it", ref, ErrBusy)
}
