package repo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Published says what became of a branch in the user's checkout.
type Published string

// The ends of [Checkout.Publish]. Skipping is no error: the branch is a view,
// and the next call tries again.
const (
	Current    Published = "current"                                     // it was there already
	Moved      Published = "moved"                                       // it is there now
	CheckedOut Published = "skipped: checked out"                        // moving it would turn the work tree upside down
	NotOurs    Published = "skipped: holds commits that are not ours"    // the user's work
	Contended  Published = "skipped: another process is moving the same" // compare-and-swap lost
)

// Skipped tells whether the branch is not where it should be.
func (p Published) Skipped() bool { return p != Current && p != Moved }

// Publish sets a branch of the user's checkout to a commit of the home's
// repository: objects first, then the ref, by compare-and-swap with the value
// that was looked at. It stays away from a branch that is checked out in any
// work tree and from commits that the home's repository does not know, and
// touches nothing else.
func (c *Checkout) Publish(ctx context.Context, branch, commit string) (Published, error) {
	ref := "refs/heads/" + branch
	old, err := c.git.ref(ctx, ref)
	if err != nil || old == commit {
		return Current, err
	}
	if old != "" && !c.repo.Has(ctx, old) {
		return NotOurs, nil
	}
	if used, err := c.inUse(ctx, ref); err != nil || used {
		return CheckedOut, err
	}
	_, err = c.git.text(ctx, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance",
		"--refmap=", "--end-of-options", c.repo.dir, commit)
	if err != nil {
		return "", fmt.Errorf("copying commit %s to %s: %w", commit, c.root, err)
	}
	if used, err := c.inUse(ctx, ref); err != nil || used { // the copy took a moment
		return CheckedOut, err
	}
	switch err := c.git.setRef(ctx, ref, commit, old); {
	case errors.Is(err, ErrMoved):
		return Contended, nil
	case err != nil:
		return "", fmt.Errorf("publishing branch %s in %s: %w", branch, c.root, err)
	}
	return Moved, nil
}

// inUse tells whether a branch is checked out, being rebased or bisected in
// any work tree of the repository.
func (c *Checkout) inUse(ctx context.Context, ref string) (bool, error) {
	out, err := c.git.run(ctx, call{args: []string{"worktree", "list", "--porcelain"}})
	if err != nil {
		return false, fmt.Errorf("listing the work trees of %s: %w", c.root, err)
	}
	for _, line := range strings.Split(string(out), "\n") {
		if line == "branch "+ref {
			return true, nil
		}
	}
	common, err := c.git.text(ctx, "rev-parse", "--path-format=absolute", "--git-common-dir")
	if err != nil {
		return false, fmt.Errorf("finding the git directory of %s: %w", c.root, err)
	}
	dirs, _ := filepath.Glob(filepath.Join(common, "worktrees", "*"))
	for _, dir := range append(dirs, common) {
		for _, state := range []string{"rebase-merge/head-name", "rebase-apply/head-name", "BISECT_START"} {
			if b, err := os.ReadFile(filepath.Join(dir, state)); err == nil && names(string(b), ref) {
				return true, nil
			}
		}
	}
	return false, nil
}

// names tells whether git's note of where to return to means ref.
func names(note, ref string) bool {
	note = strings.TrimSpace(note)
	return note == ref || "refs/heads/"+note == ref
}
