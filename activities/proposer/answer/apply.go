package answer

import (
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// session applies blocks one after the other and writes down what it did.
type session struct {
	files   map[string][]byte
	parents map[string]*file
	now     map[string]*file
	edits   []experiment.Edit
	path    string // of the block before
	done    []block
}

// apply turns blocks into edits. It goes on behind a block that fails, so that
// one failure can tell about several.
func apply(blocks []block, files map[string][]byte) ([]experiment.Edit, *experiment.Failure) {
	if len(blocks) > maxBlocks {
		return nil, refuse("the answer has %d changes, at most %d are read: propose one change.", len(blocks), maxBlocks)
	}
	s := &session{files: files, parents: map[string]*file{}, now: map[string]*file{}}
	var failed []string
	for _, b := range blocks {
		if failure := s.block(b); failure != nil && len(failed) < maxFailures {
			failed = append(failed, clip(failure.Message, maxMessage/maxFailures-10))
		}
	}
	switch {
	case len(failed) > 0:
		return nil, refuse("%s", strings.Join(failed, "\n\n"))
	case len(s.edits) == 0:
		return nil, refuse("the answer changes nothing: what is searched for and what replaces it are the same. Say what is to be different.")
	}
	for name, f := range s.now {
		if f.raw != string(files[name]) {
			return s.edits, nil
		}
	}
	return nil, refuse("the blocks undo each other, so nothing changes.")
}

// file returns the present state of a file.
func (s *session) file(name string) *file {
	if s.now[name] == nil {
		f := newFile(name, string(s.files[name]))
		s.parents[name], s.now[name] = f, f
	}
	return s.now[name]
}

func (s *session) block(b block) *experiment.Failure {
	name, failure := s.target(b)
	if failure != nil {
		return failure
	}
	s.path, b.path = name, name
	if slices.Equal(b.search, b.replace) || s.repeats(b) {
		return nil
	}
	if s.contradicts(b) {
		return refuse("%s (%s) searches for the same lines as an earlier one, and replaces them by others. Answer with one of the two.", b.name, name)
	}
	s.done = append(s.done, b)
	f := s.file(name)
	if search, _, _ := trim(b.search); len(search) == 0 {
		return s.unanchored(b, f)
	}
	parts, failure := s.locate(b, f)
	if failure != nil {
		return failure
	}
	for _, c := range slices.Backward(parts) { // from the last one up, so that line numbers stay
		if failure := s.change(b, c); failure != nil {
			return failure
		}
	}
	return nil
}

// repeats says whether the same block was there before. A model that repeats
// itself means it once.
func (s *session) repeats(b block) bool {
	return slices.ContainsFunc(s.done, func(o block) bool {
		return o.path == b.path && o.line == b.line && slices.Equal(o.search, b.search) && slices.Equal(o.replace, b.replace)
	})
}

// contradicts says whether an earlier block has another replacement for the same
// search text.
func (s *session) contradicts(b block) bool {
	return slices.ContainsFunc(s.done, func(o block) bool {
		return o.path == b.path && o.line == b.line && slices.Equal(o.search, b.search)
	})
}

// target finds the file of a block: its path, else the editable one that
// the sentence above it mentions, else that of the block before, else the only one.
func (s *session) target(b block) (string, *experiment.Failure) {
	names := editable(s.files)
	if b.path != "" {
		if name, ok := resolve(b.path, s.files); ok {
			return name, nil
		}
		return "", refuse("%s is for %s, which does not name a file that may be edited; these are: %s.", b.name, b.path, strings.Join(names, ", "))
	}
	if name, ok := resolve(b.mention, s.files); ok && b.mention != "" {
		return name, nil
	}
	switch {
	case s.path != "":
		return s.path, nil
	case len(names) == 1:
		return names[0], nil
	}
	return "", refuse("%s does not say which file it is for: write the path on the line above it, one of %s.", b.name, strings.Join(names, ", "))
}

// unanchored reads a block without a search text: a whole file, or nothing.
func (s *session) unanchored(b block, f *file) *experiment.Failure {
	if replace, _, _ := trim(b.replace); len(replace) == 0 {
		return refuse("%s (%s) is empty.", b.name, f.path)
	}
	if why := notWhole(b.replace, f); why != "" {
		return refuse("%s (%s) has an empty SEARCH part, so its new lines have no place, and they are not the whole file: %s. Put lines of the file into SEARCH, and the same lines with the new ones into REPLACE.", b.name, f.path, why)
	}
	return s.write(f, wholeEdit(f, b.replace))
}

// locate finds the place of a block, or of its parts if it leaves code out.
func (s *session) locate(b block, f *file) ([]change, *experiment.Failure) {
	ways := readings(b)
	last := ways[len(ways)-1]
	for _, c := range ways {
		if found := s.places(b, c.search, f); len(found) > 0 {
			return s.located(b, c, found, f)
		}
	}
	if parts := settings(b, f); len(parts) > 0 {
		return parts, nil
	}
	if slices.ContainsFunc(b.search, elision) {
		b.search, b.replace = last.search, last.replace
		parts, failure := elidedBlock(b, f)
		for i := 0; failure == nil && i < len(parts); i++ {
			failure = s.sound(b, parts[i].search, f, parts[i].place)
		}
		return parts, failure
	}
	for _, c := range slices.Backward(ways) { // what has been undone is no error of memory
		if p, ok := f.align(c.search); ok {
			return s.located(b, c, []place{p}, f)
		}
	}
	return nil, s.absent(b, f)
}

// located takes the only place of a reading, if it holds.
func (s *session) located(b block, c change, found []place, f *file) ([]change, *experiment.Failure) {
	if len(found) > 1 {
		return nil, twice(b, f, found)
	}
	if failure := s.sound(b, c.search, f, found[0]); failure != nil {
		return nil, failure
	}
	c.place = found[0]
	return elidedReplace(b, c, f)
}

// places finds where a search text stands. A diff says the line: if that is one
// of several places, it is the one.
func (s *session) places(b block, search []string, f *file) []place {
	found := f.match(search)
	if b.line > 0 && len(found) > 1 && found[0].level <= trailing {
		for _, p := range found {
			if p.from == b.line-1+len(f.lines)-len(s.parents[f.path].lines) {
				return []place{p}
			}
		}
	}
	return found
}

// sound refuses a place that is only there because an earlier block changed
// the file: the parent had a better one, or two.
func (s *session) sound(b block, search []string, f *file, p place) *experiment.Failure {
	parent := s.parents[f.path]
	if parent == f {
		return nil
	}
	before := parent.match(search)
	switch {
	case len(before) == 1 && before[0].level < p.level:
		return overlaps(b, f, parent, before[0])
	case len(before) > 1 && before[0].level <= p.level && b.line == 0:
		return twice(b, parent, before)
	}
	return nil
}

// change makes one change and writes it down as an exact edit.
func (s *session) change(b block, c change) *experiment.Failure {
	f := s.now[b.path]
	lines, ok := f.carried(c)
	switch {
	case !ok && c.place.level == inLine:
		return refuse("%s (%s): its %s is a part of line %d, and its new text is not one line. Copy whole lines:\n%s", b.name, f.path, b.what, c.place.from+1, f.quote(c.place.from-2, c.place.to+2))
	case !ok:
		return s.absent(b, f)
	case slices.Equal(lines, f.lines[c.place.from:c.place.to]):
		return nil
	}
	e, ok := f.edit(c.place.from, c.place.to, lines)
	if !ok {
		return refuse("%s (%s): the lines around %d stand in the file so often that they cannot be told apart. Answer with the whole file.", b.name, f.path, c.place.from+1)
	}
	failure := s.write(f, e)
	s.now[b.path].inherit(f, c.place.from, c.place.to)
	return failure
}

// write applies an edit to the present state.
func (s *session) write(f *file, e experiment.Edit) *experiment.Failure {
	text, err := replaced(f.raw, e)
	switch {
	case err != nil:
		return refuse("%s: %v", f.path, err)
	case strings.Trim(text, blank+"\n") == "":
		return refuse("%s: nothing of the file would be left.", f.path)
	case text == f.raw:
		return nil
	case len(text) > maxFile:
		return refuse("%s would have %d bytes.", f.path, len(text))
	}
	s.edits = append(s.edits, e)
	s.now[f.path] = newFile(f.path, text)
	return nil
}
