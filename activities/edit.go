package activities

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/repo"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// maxEdited bounds an edited file, whatever the target: a program, not data.
const maxEdited = 64 << 10

// editFiles applies edits to a copy of the parent's editable files. Only those
// can be edited at all; what comes out is text of bounded size, in the target's
// normal form and within its rules.
func editFiles(t target.Target, parent map[string][]byte, edits []experiment.Edit) (map[string][]byte, *experiment.Failure) {
	for _, e := range edits {
		if f := checkEdit(t, e); f != nil {
			return nil, f
		}
	}
	files, f := proposer.ApplyEdits(parent, edits)
	if f != nil {
		return nil, f
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if bytes.Equal(files[path], parent[path]) {
			continue
		}
		if f := checkText(path, files[path]); f != nil {
			return nil, f
		}
		if f := t.Guard(path, files[path]); f != nil {
			return nil, f
		}
		if files[path], f = t.Format(path, files[path]); f != nil {
			return nil, f
		}
	}
	return files, nil
}

func checkEdit(t target.Target, e experiment.Edit) *experiment.Failure {
	if err := repo.CheckPath(e.Path); err != nil {
		return invalidEdit("edit of %q: %v", e.Path, err)
	}
	if !slices.Contains(t.Editable(), e.Path) {
		return invalidEdit("%s may not be edited; the files that may: %s", e.Path, strings.Join(t.Editable(), ", "))
	}
	return nil
}

func checkText(path string, src []byte) *experiment.Failure {
	switch {
	case len(src) > maxEdited:
		return invalidEdit("%s would have %d bytes; at most %d are allowed", path, len(src), maxEdited)
	case !utf8.Valid(src) || bytes.IndexByte(src, 0) >= 0:
		return invalidEdit("%s would not be text: it has a NUL byte or invalid UTF-8", path)
	}
	return nil
}

func invalidEdit(format string, args ...any) *experiment.Failure {
	return &experiment.Failure{Reason: experiment.InvalidEdit, Message: fmt.Sprintf(format, args...)}
}
