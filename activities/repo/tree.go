package repo

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode"
)

// entry is one file of a commit.
type entry struct{ mode, object, path string }

// Modes of regular files in a tree; all others are links and submodules.
const (
	modeFile = "100644"
	modeExec = "100755"
)

func (e entry) regular() bool { return e.mode == modeFile || e.mode == modeExec }

// kind is what people call a mode.
func (e entry) kind() string {
	switch e.mode {
	case "120000":
		return "a symbolic link"
	case "160000":
		return "a submodule"
	}
	return "not a regular file"
}

// CheckPath says whether a path can name a file of a repository: relative,
// normal, outside .git, without control characters.
func CheckPath(p string) error {
	bad := p == "" || path.IsAbs(p) || path.Clean(p) != p || p == "." || p == ".." || strings.HasPrefix(p, "../") ||
		strings.ContainsFunc(p, func(r rune) bool { return r == '\\' || r == ':' || r == unicode.ReplacementChar || !unicode.IsPrint(r) })
	for _, part := range strings.Split(p, "/") {
		bad = bad || strings.EqualFold(part, ".git")
	}
	if bad {
		return fmt.Errorf("%w: %q is not a plain path below the repository's root", ErrInvalidPath, p)
	}
	return nil
}

// list returns the files of a commit at or below the paths, sorted by path.
// Every path must be there.
func (g git) list(ctx context.Context, commit string, paths []string) ([]entry, error) {
	for _, p := range paths {
		if err := CheckPath(p); err != nil {
			return nil, err
		}
	}
	args := append([]string{"ls-tree", "-r", "-z", "--full-tree", commit, "--"}, paths...)
	out, err := g.run(ctx, call{args: args})
	if err != nil {
		return nil, fmt.Errorf("listing commit %s: %w", commit, err)
	}
	var entries []entry
	for _, line := range strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		meta, name, ok := strings.Cut(line, "\t")
		if f := strings.Fields(meta); ok && len(f) == 3 {
			entries = append(entries, entry{f[0], f[2], name})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	for _, p := range paths {
		if !slices.ContainsFunc(entries, func(e entry) bool { return e.path == p || strings.HasPrefix(e.path, p+"/") }) {
			return entries, fmt.Errorf("%w: %s has no %s", ErrMissing, commit, p)
		}
	}
	return entries, nil
}

// contents reads the entries' blobs, in order.
func (g git) contents(ctx context.Context, entries []entry) ([][]byte, error) {
	var names strings.Builder
	for _, e := range entries {
		fmt.Fprintln(&names, e.object)
	}
	out, err := g.run(ctx, call{args: []string{"cat-file", "--batch"}, stdin: strings.NewReader(names.String())})
	if err != nil {
		return nil, fmt.Errorf("reading %d files: %w", len(entries), err)
	}
	r, all := bufio.NewReader(bytes.NewReader(out)), make([][]byte, len(entries))
	for i, e := range entries {
		var object, kind string
		var size int
		if _, err := fmt.Fscanf(r, "%s %s %d\n", &object, &kind, &size); err != nil || object != e.object || kind != "blob" {
			return nil, fmt.Errorf("reading %s: git gave %q %q: %v; the repository is damaged: git fsck tells more", e.path, object, kind, err)
		}
		all[i] = make([]byte, size)
		if _, err := io.ReadFull(r, all[i]); err != nil {
			return nil, fmt.Errorf("reading %s: %w", e.path, err)
		}
		if _, err := r.Discard(1); err != nil {
			return nil, fmt.Errorf("reading %s: %w", e.path, err)
		}
	}
	return all, nil
}

// ReadFiles reads files of a commit. Each must be there ([ErrMissing]) and be
// a regular file ([ErrNotRegular]): a link would lead an edit elsewhere.
func (r *Repo) ReadFiles(ctx context.Context, commit string, paths []string) (map[string][]byte, error) {
	entries, err := r.files(ctx, commit, paths)
	if err != nil {
		return nil, err
	}
	contents, err := r.git.contents(ctx, entries)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte, len(entries))
	for i, e := range entries {
		files[e.path] = contents[i]
	}
	return files, nil
}

// files is regular for paths that must be files themselves.
func (r *Repo) files(ctx context.Context, commit string, paths []string) ([]entry, error) {
	entries, err := r.regular(ctx, commit, paths)
	if err != nil {
		return nil, err
	}
	for _, p := range paths {
		if !slices.ContainsFunc(entries, func(e entry) bool { return e.path == p }) {
			return nil, fmt.Errorf("%w: %s is a directory in %s", ErrNotRegular, p, commit)
		}
	}
	return entries, nil
}

// regular lists files at or below the paths, all of which must be regular.
func (r *Repo) regular(ctx context.Context, commit string, paths []string) ([]entry, error) {
	entries, err := r.git.list(ctx, commit, paths)
	for _, e := range entries {
		if !e.regular() {
			return nil, fmt.Errorf("%w: %s is %s in %s; put the file itself there", ErrNotRegular, e.path, e.kind(), commit)
		}
	}
	return entries, err
}

// sources is regular for the paths that the commit has, of which there must be
// one: a target that gains a directory still builds its commits of old.
func (r *Repo) sources(ctx context.Context, commit string, paths []string) ([]entry, error) {
	entries, err := r.regular(ctx, commit, paths)
	if errors.Is(err, ErrMissing) && len(entries) > 0 {
		return entries, nil
	}
	return entries, err
}

// Archive packs the files of a commit at or below the paths into a tar whose
// bytes depend on their names, contents and execute bits alone: the same
// sources give the same digest (sha256) on any machine, at any time. Paths that
// the commit does not have are left out.
func (r *Repo) Archive(ctx context.Context, commit string, paths []string) (archive []byte, digest string, err error) {
	entries, err := r.sources(ctx, commit, paths)
	if err != nil {
		return nil, "", err
	}
	contents, err := r.git.contents(ctx, entries)
	if err != nil {
		return nil, "", err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i, e := range entries {
		if err := pack(w, e, contents[i]); err != nil {
			return nil, "", err
		}
	}
	if err := w.Close(); err != nil {
		return nil, "", fmt.Errorf("packing commit %s: %w", commit, err)
	}
	sum := sha256.Sum256(b.Bytes())
	return b.Bytes(), hex.EncodeToString(sum[:]), nil
}

// Diff is the patch from one commit to another, as git writes it.
func (r *Repo) Diff(ctx context.Context, from, to string) ([]byte, error) {
	out, err := r.git.run(ctx, call{args: []string{"diff", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--binary", from, to, "--"}})
	if err != nil {
		return nil, fmt.Errorf("comparing %s with %s: %w", from, to, err)
	}
	return out, nil
}
