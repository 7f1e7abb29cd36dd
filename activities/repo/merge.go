package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Conflict is a place where both sides of a merge changed the same lines.
type Conflict struct{ Ours, Theirs string }

// Merge makes one text of two that were both made from base, as git merges
// files. With conflicts there is no text. It reads and writes no object, so
// that the three texts need not be in the repository.
func (r *Repo) Merge(ctx context.Context, ours, base, theirs []byte) (merged []byte, conflicts []Conflict, err error) {
	switch { // most calls are one of these
	case bytes.Equal(base, theirs), bytes.Equal(ours, theirs):
		return ours, nil, nil
	case bytes.Equal(base, ours):
		return theirs, nil, nil
	}
	dir, err := os.MkdirTemp(r.dir, "merge-")
	if err != nil {
		return nil, nil, fmt.Errorf("making a directory to merge in: %w", err)
	}
	defer os.RemoveAll(dir)
	args := []string{"merge-file", "-p", "-q", "-L", marked, "-L", marked, "-L", marked}
	for name, text := range map[string][]byte{"ours": ours, "base": base, "theirs": theirs} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return nil, nil, fmt.Errorf("writing what is to be merged: %w", err)
		}
	}
	for _, name := range []string{"ours", "base", "theirs"} {
		args = append(args, filepath.Join(dir, name))
	}
	out, err := r.git.run(ctx, call{args: args})
	var failed *gitError
	switch {
	case err == nil:
		return out, nil, nil
	case errors.As(err, &failed) && failed.code > 0 && failed.code < 128: // how many conflicts there are
		return nil, readConflicts(string(failed.out)), nil
	}
	return nil, nil, fmt.Errorf("merging: %w", err)
}

// marked is the label of our conflict markers: a marker that stands in a file
// has another.
const marked = "autoresearch-merge"

// readConflicts finds both sides of each conflict in the output of merge-file.
func readConflicts(text string) []Conflict {
	var all []Conflict
	side := 0 // 1 in ours, 2 in theirs
	for line := range strings.Lines(text) {
		switch mark := strings.TrimRight(line, "\r\n"); {
		case mark == "<<<<<<< "+marked:
			all, side = append(all, Conflict{}), 1
		case mark == "=======" && side == 1:
			side = 2
		case mark == ">>>>>>> "+marked:
			side = 0
		case side == 1:
			all[len(all)-1].Ours += line
		case side == 2:
			all[len(all)-1].Theirs += line
		}
	}
	return all
}
