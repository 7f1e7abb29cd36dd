package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// Notice tells people about something derived that was left as it is.
type Notice string

// Repair makes everything derived from the results of a campaign again, where
// it differs: the table, every candidate's ref, the branches.
func (l *Ledger) Repair(ctx context.Context, tag string) ([]Notice, error) {
	c, err := l.read(ctx, tag)
	if err != nil || len(c.results) == 0 {
		return nil, err
	}
	if l.Repo != nil {
		have, err := l.Repo.Refs(ctx, "refs/experiments/"+tag+"/")
		if err != nil {
			return nil, err
		}
		for _, r := range c.results {
			if have[experiment.CandidateRef(tag, r.Experiment)] != r.Commit {
				if err := l.keepCandidate(ctx, r); err != nil {
					return nil, err
				}
			}
		}
	}
	notices, err := l.derive(ctx, tag, c)
	if err != nil {
		return nil, err
	}
	unsigned, err := l.signMissing(ctx, tag, c)
	notices = append(notices, unsigned...)
	if c.broken != "" {
		notices = append([]Notice{Notice(fmt.Sprintf("%s does not follow the decision before it: one of the two was changed; 'autoresearch verify %s' tells more", c.broken, tag))}, notices...)
	}
	return notices, err
}

// Follow makes what is derived from one decision and from the newest one:
// Repair without the look at all other candidates, whose number grows.
func (l *Ledger) Follow(ctx context.Context, decided experiment.Result) ([]Notice, error) {
	c, err := l.read(ctx, decided.Campaign)
	if err != nil || len(c.results) == 0 {
		return nil, err
	}
	if err := l.keepCandidate(ctx, decided); err != nil {
		return nil, err
	}
	notices, err := l.derive(ctx, decided.Campaign, c)
	if err != nil {
		return nil, err
	}
	unsigned, err := l.sign(ctx, decided.Campaign, decided.Experiment)
	return append(notices, unsigned...), err
}

// keepCandidate sets a candidate's ref. Apply has done it; a home whose
// repository was lost no longer has the commit, and goes on without.
func (l *Ledger) keepCandidate(ctx context.Context, r experiment.Result) error {
	if l.Repo == nil || r.Commit == "" || !l.Repo.Has(ctx, r.Commit) {
		return nil
	}
	_, err := l.Repo.MoveRef(ctx, experiment.CandidateRef(r.Campaign, r.Experiment), r.Commit)
	return err
}

func (l *Ledger) derive(ctx context.Context, tag string, c view) ([]Notice, error) {
	if err := writeWhole(l.Home.Results(tag), c.table); err != nil {
		return nil, err
	}
	last := c.results[len(c.results)-1]
	if l.Repo == nil || last.Incumbent.Commit == "" {
		return nil, nil
	}
	return l.branch(ctx, tag, last.Incumbent.Commit)
}

// branch moves the incumbent's branch, here and in the user's checkout.
func (l *Ledger) branch(ctx context.Context, tag, commit string) ([]Notice, error) {
	if !l.Repo.Has(ctx, commit) {
		return []Notice{Notice(fmt.Sprintf("branch %s: %s has no commit %s", experiment.Branch(tag), l.Home.Repo(), commit))}, nil
	}
	if _, err := l.Repo.MoveRef(ctx, "refs/heads/"+experiment.Branch(tag), commit); err != nil {
		return nil, err
	}
	if l.Checkout == "" {
		return nil, nil
	}
	// The user's checkout may be gone, locked or read-only. The branch in it is
	// a view, and the campaign does not depend on it.
	checkout, err := l.Repo.Checkout(ctx, l.Checkout)
	if err == nil {
		published, publishErr := checkout.Publish(ctx, experiment.Branch(tag), commit)
		if publishErr == nil && !published.Skipped() {
			return nil, nil
		}
		if err = publishErr; err == nil {
			err = errors.New(string(published))
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return []Notice{Notice(fmt.Sprintf("branch %s of %s: %v", experiment.Branch(tag), l.Checkout, err))}, nil
}

// writeWhole replaces a file by rename, so that a reader never sees half of
// it, unless it holds the text already.
func writeWhole(name string, text []byte) error {
	if have, err := os.ReadFile(name); err == nil && bytes.Equal(have, text) {
		return nil
	}
	if err := replace(name, text); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

func replace(name string, text []byte) error {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".tmp-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	if err := errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if info, err := os.Lstat(name); err == nil && info.IsDir() {
		return &fs.PathError{Op: "replace", Path: name, Err: errors.New("it is a directory; move it away")}
	}
	// Not followed by a flush of the directory: the table can be made again.
	return os.Rename(tmp.Name(), name)
}
