package proposer

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/search"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// editable is the tunable constants of a candidate's files.
type editable struct {
	files     map[string][]byte
	constants []tunable
	skeleton  string // of all files: the same for candidates that differ in constants alone
	malformed error
}

// tunable is a constant and the file it stands in.
type tunable struct {
	search.Constant
	path string
}

// loadEditable reads the constants of all Go files. Malformed ones are left out
// and kept aside; a file that does not parse, and none at all, are errors.
func loadEditable(files map[string][]byte) (*editable, error) {
	e := &editable{files: files}
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		if path.Ext(name) != ".go" {
			e.skeleton += name + "\x00" + string(files[name]) + "\x00"
			continue
		}
		constants, err := search.Parse(name, files[name])
		e.malformed = errors.Join(e.malformed, err)
		for _, c := range constants {
			if other, ok := e.constant(c.Name); ok {
				e.malformed = errors.Join(e.malformed, fmt.Errorf("%s:%d: %s is tunable in %s as well", name, c.Line, c.Name, other.path))
				continue
			}
			e.constants = append(e.constants, tunable{c, name})
		}
		e.skeleton += name + "\x00" + search.Skeleton(files[name], constants) + "\x00"
	}
	if len(e.constants) == 0 {
		return nil, errors.Join(fmt.Errorf("no tunable constants in %s: one looks like  MatrixLR = 0.02 // range 0.001..0.1 log", strings.Join(names, ", ")), e.malformed)
	}
	return e, nil
}

func (e *editable) constant(name string) (tunable, bool) {
	for _, c := range e.constants {
		if c.Name == name {
			return c, true
		}
	}
	return tunable{}, false
}

func (e *editable) space() search.Space {
	var s search.Space
	for _, c := range e.constants {
		s = append(s, c.Dim)
	}
	return s
}

func (e *editable) point() search.Point {
	p := search.Point{}
	for _, c := range e.constants {
		p[c.Name] = c.Value
	}
	return p
}

// change is a constant and its new value.
type change struct {
	tunable
	to string
}

// changes lists what a point changes, in the order of the file.
func (e *editable) changes(p search.Point) []change {
	var out []change
	for _, c := range e.constants {
		if p[c.Name] != c.Value {
			out = append(out, change{c, p[c.Name]})
		}
	}
	return out
}

// edits writes the changes as search and replacement of whole lines.
func (e *editable) edits(p search.Point) ([]experiment.Edit, error) {
	var out []experiment.Edit
	files := e.files
	for _, c := range e.changes(p) {
		src := files[c.path]
		next, err := search.Set(src, map[string]string{c.Name: c.to})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.path, err)
		}
		edit := lineEdit(c.path, string(src), string(next), c.Line)
		out = append(out, edit)
		files = maps.Clone(files)
		files[c.path] = next
	}
	return out, nil
}

// lineEdit turns a change of one line into an edit, with as many lines around
// it as make the search text unique.
func lineEdit(name, before, after string, line int) experiment.Edit {
	a, b := strings.Split(lineEnds(before, false), "\n"), strings.Split(lineEnds(after, false), "\n")
	from, to := line-1, line
	for {
		searched := strings.Join(a[from:to], "\n")
		if from == 0 && to == len(a) || occurrences(lineEnds(before, false), searched) == 1 {
			return experiment.Edit{Path: name, Search: searched, Replace: strings.Join(b[from:to], "\n")}
		}
		from, to = max(from-1, 0), min(to+1, len(a))
	}
}

// maxTitle is the length of a title that still reads in one line.
const maxTitle = 100

// title says what is changed, as a person would: "halve BatchSize from 8 to 4".
func title(changes []change) string {
	var parts []string
	for _, c := range changes {
		parts = append(parts, c.String())
	}
	text := strings.Join(parts, " and ")
	if len(text) <= maxTitle {
		return text
	}
	parts = parts[:0]
	for _, c := range changes {
		parts = append(parts, c.Name)
	}
	text = "change " + strings.Join(parts, ", ")
	return text[:min(len(text), maxTitle)]
}

// String is the change in the imperative.
func (c change) String() string {
	return fmt.Sprintf("%s %s from %s to %s", c.verb(), c.Name, search.Plain(c.Value), search.Plain(c.to))
}

func (c change) verb() string {
	from, okFrom := search.Number(c.Value)
	to, okTo := search.Number(c.to)
	switch {
	case c.Kind == search.Nominal || !okFrom || !okTo:
		return "switch"
	case from > 0 && to == 2*from:
		return "double"
	case from > 0 && 2*to == from:
		return "halve"
	case to > from:
		return "raise"
	}
	return "lower"
}
