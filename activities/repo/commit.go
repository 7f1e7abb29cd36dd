package repo

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Commit makes a commit of parent with some of its files changed, and returns
// it. Files must exist in the parent as regular files: a candidate edits what
// is there. No ref is moved.
//
// The same arguments give the same commit: author and committer are fixed and
// dated when, in whole seconds, UTC.
func (r *Repo) Commit(ctx context.Context, parent string, files map[string][]byte, message string, when time.Time) (commit string, err error) {
	paths := slices.Sorted(maps.Keys(files))
	entries, err := r.files(ctx, parent, paths)
	if err != nil {
		return "", err
	}
	index, err := os.MkdirTemp(r.dir, "index-")
	if err != nil {
		return "", fmt.Errorf("making a temporary index: %w", err)
	}
	defer os.RemoveAll(index)
	env := []string{"GIT_INDEX_FILE=" + filepath.Join(index, "index")}
	if _, err := r.git.run(ctx, call{args: []string{"read-tree", parent}, env: env}); err != nil {
		return "", fmt.Errorf("reading commit %s: %w", parent, err)
	}
	var lines bytes.Buffer
	for _, e := range entries {
		object, err := r.store(ctx, files[e.path])
		if err != nil {
			return "", fmt.Errorf("storing %s: %w", e.path, err)
		}
		fmt.Fprintf(&lines, "%s %s\t%s\x00", e.mode, object, e.path)
	}
	if _, err := r.git.run(ctx, call{args: []string{"update-index", "-z", "--index-info"}, env: env, stdin: bytes.NewReader(lines.Bytes())}); err != nil {
		return "", fmt.Errorf("staging %s: %w", strings.Join(paths, ", "), err)
	}
	return r.commitIndex(ctx, parent, env, message, when)
}

func (r *Repo) commitIndex(ctx context.Context, parent string, env []string, message string, when time.Time) (string, error) {
	tree, err := r.git.run(ctx, call{args: []string{"write-tree"}, env: env})
	if err != nil {
		return "", fmt.Errorf("writing the tree: %w", err)
	}
	date := fmt.Sprintf("@%d +0000", when.Unix())
	out, err := r.git.run(ctx, call{
		args:  []string{"commit-tree", "-p", parent, "-F", "-", string(bytes.TrimSpace(tree))},
		env:   []string{"GIT_AUTHOR_DATE=" + date, "GIT_COMMITTER_DATE=" + date},
		stdin: strings.NewReader(cleanMessage(message)),
	})
	if err != nil {
		return "", fmt.Errorf("writing the commit: %w", err)
	}
	return string(bytes.TrimSpace(out)), nil
}

// store writes a blob.
func (r *Repo) store(ctx context.Context, content []byte) (string, error) {
	out, err := r.git.run(ctx, call{args: []string{"hash-object", "-w", "--no-filters", "--stdin"}, stdin: bytes.NewReader(content)})
	return string(bytes.TrimSpace(out)), err
}

// cleanMessage takes what git refuses out of a message.
func cleanMessage(m string) string {
	m = strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(m, "?"), "\x00", ""))
	if m == "" {
		m = "candidate"
	}
	return m + "\n"
}
