package proposer

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ApplyPatch makes the changes of a unified diff in a copy of the editable
// files: what git diff, git format-patch or diff -u write. A hunk stands where
// its lines stand in the file; its line number only chooses between several
// such places. Nothing else is guessed, but the line ends, which follow the
// file's: tools write exact diffs, unlike the language models whose answers
// package answer reads. The subject is that of git format-patch. Errors are for
// the person who sent the patch.
func ApplyPatch(text string, files map[string][]byte) (subject string, out map[string][]byte, err error) {
	p := patch{files: files, lines: strings.Split(strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n")}
	if err := p.read(); err != nil {
		return "", nil, err
	}
	if len(p.changes) == 0 {
		return "", nil, fmt.Errorf("the patch has no hunks: it must be a unified diff, as git diff writes it, of %s", p.editable())
	}
	out = maps.Clone(files)
	for _, c := range p.changes {
		if out[c.path], err = c.apply(out[c.path]); err != nil {
			return "", nil, err
		}
	}
	return p.subject, out, nil
}

// patch is a unified diff while it is read.
type patch struct {
	files   map[string][]byte
	lines   []string
	at      int // the line to read next
	subject string
	changes []*fileChange
}

// fileChange is the part of a patch that changes one file.
type fileChange struct {
	path  string
	hunks []patchHunk
}

// patchHunk is lines that are there and lines that take their place, each with
// its line end.
type patchHunk struct {
	header   string
	line     int // where old starts, from 0
	old, new []string
	last     byte // the mark of the line before
}

// Lines of a patch, before its first hunk, that say what we do not do.
var refusals = []struct{ prefix, what string }{
	{"new file mode", "makes a new file"},
	{"deleted file mode", "deletes a file"},
	{"rename from", "renames a file"},
	{"copy from", "copies a file"},
	{"GIT binary patch", "changes a binary file"},
	{"Binary files", "changes a binary file"},
	{"@@@", "is the combined diff of a merge"},
}

func (p *patch) read() error {
	for p.at < len(p.lines) {
		line := p.lines[p.at]
		for _, r := range refusals {
			if strings.HasPrefix(line, r.prefix) {
				return fmt.Errorf("line %d: the patch %s; a candidate only changes %s", p.at+1, r.what, p.editable())
			}
		}
		switch {
		case strings.HasPrefix(line, "Subject: ") && p.subject == "":
			p.readSubject()
		case strings.HasPrefix(line, "--- ") && p.at+1 < len(p.lines) && strings.HasPrefix(p.lines[p.at+1], "+++ "):
			if err := p.readFile(); err != nil {
				return err
			}
		case strings.HasPrefix(line, "@@ "):
			return fmt.Errorf("line %d: a hunk before any file: the lines --- and +++ that name it are missing", p.at+1)
		default:
			p.at++
		}
	}
	return nil
}

var subjectPrefix = regexp.MustCompile(`^(\[[^\]]*\]\s*)+`)

// readSubject reads a header that may go on in lines that start with a space.
func (p *patch) readSubject() {
	text := strings.TrimPrefix(p.lines[p.at], "Subject: ")
	for p.at++; p.at < len(p.lines) && strings.HasPrefix(p.lines[p.at], " "); p.at++ {
		text += p.lines[p.at]
	}
	p.subject = strings.TrimSpace(subjectPrefix.ReplaceAllString(text, ""))
}

// readFile reads the names of a file, and its hunks.
func (p *patch) readFile() error {
	from, to := patchName(p.lines[p.at], "--- "), patchName(p.lines[p.at+1], "+++ ")
	switch {
	case from == "/dev/null":
		return fmt.Errorf("line %d: the patch makes the new file %s; a candidate only changes %s", p.at+2, to, p.editable())
	case to == "/dev/null":
		return fmt.Errorf("line %d: the patch deletes %s; a candidate only changes %s", p.at+2, from, p.editable())
	}
	name, ok := p.editableOf(to)
	if !ok {
		name, ok = p.editableOf(from)
	}
	if !ok {
		return fmt.Errorf("line %d: the patch changes %s; a candidate only changes %s", p.at+2, to, p.editable())
	}
	if slices.ContainsFunc(p.changes, func(c *fileChange) bool { return c.path == name }) {
		return fmt.Errorf("line %d: the patch changes %s a second time; make one diff of both", p.at+1, name)
	}
	c := &fileChange{path: name}
	for p.at += 2; p.at < len(p.lines) && strings.HasPrefix(p.lines[p.at], "@@ "); {
		h, err := p.readHunk()
		if err != nil {
			return err
		}
		c.hunks = append(c.hunks, h)
	}
	if len(c.hunks) == 0 {
		return fmt.Errorf("line %d: no hunk, such as @@ -10,7 +10,8 @@, follows the name of %s", p.at+1, name)
	}
	p.changes = append(p.changes, c)
	return nil
}

// patchName is the file name of a --- or +++ line: diff -u puts a time after
// it, git puts it in quotes when it holds anything unusual.
func patchName(line, prefix string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(line, prefix), "\t")
	name = strings.TrimSpace(name)
	if plain, err := strconv.Unquote(name); err == nil {
		name = plain
	}
	return name
}

// gitPrefix is what git puts before the two names of a file.
var gitPrefix = regexp.MustCompile(`^[abciow12]/`)

// editableOf finds the file that a name means: the path from the repository's
// root, or the only one that it is the end of, or that is the end of it, where
// the diff was made in another directory.
func (p *patch) editableOf(name string) (string, bool) {
	name = path.Clean(name)
	names := []string{name, gitPrefix.ReplaceAllString(name, "")}
	var found []string
	for file := range p.files {
		if slices.Contains(names, file) {
			return file, true
		}
		if slices.ContainsFunc(names, func(n string) bool {
			return strings.HasSuffix(file, "/"+n) || strings.HasSuffix(n, "/"+file)
		}) {
			found = append(found, file)
		}
	}
	if len(found) != 1 {
		return "", false
	}
	return found[0], true
}

func (p *patch) editable() string {
	return strings.Join(slices.Sorted(maps.Keys(p.files)), ", ")
}

var hunkHeader = regexp.MustCompile(`^@@ -(\d{1,9})(?:,(\d{1,9}))? \+\d{1,9}(?:,(\d{1,9}))? @@`)

// readHunk reads as many lines as the header says. An empty one is an empty
// line of context whose space an editor has taken away.
func (p *patch) readHunk() (patchHunk, error) {
	start := p.at
	m := hunkHeader.FindStringSubmatch(p.lines[start])
	if m == nil {
		return patchHunk{}, fmt.Errorf("line %d: %.60q is no hunk header such as @@ -10,7 +10,8 @@", start+1, p.lines[start])
	}
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			return 1 // left out
		}
		return n
	}
	line, nOld, nNew := number(m[1]), number(m[2]), number(m[3])
	h := patchHunk{header: m[0], line: line - 1}
	if nOld == 0 {
		h.line = line // lines that are added stand after this one
	}
	for p.at++; len(h.old) < nOld || len(h.new) < nNew || p.at < len(p.lines) && strings.HasPrefix(p.lines[p.at], `\`); p.at++ {
		if p.at == len(p.lines) || !h.take(p.lines[p.at]) || len(h.old) > nOld || len(h.new) > nNew {
			return h, fmt.Errorf("line %d: the hunk %s has other lines than its header says: %d and %d are expected; take the patch as git diff writes it", p.at+1, h.header, nOld, nNew)
		}
	}
	return h, nil
}

// take adds one line of a patch, unless it is none.
func (h *patchHunk) take(line string) bool {
	mark, text := byte(' '), "\n"
	if line != "" {
		mark, text = line[0], line[1:]+"\n"
	}
	inOld, inNew := mark == ' ' || mark == '-', mark == ' ' || mark == '+'
	if mark == '\\' { // the line before has no line end
		inOld, inNew = h.last == ' ' || h.last == '-', h.last == ' ' || h.last == '+'
		cut := func(lines []string, in bool) {
			if in && len(lines) > 0 {
				lines[len(lines)-1] = strings.TrimSuffix(lines[len(lines)-1], "\n")
			}
		}
		cut(h.old, inOld)
		cut(h.new, inNew)
		return true
	}
	if inOld {
		h.old = append(h.old, text)
	}
	if inNew {
		h.new = append(h.new, text)
	}
	h.last = mark
	return inOld || inNew
}

// apply makes the changes of all hunks, which stand in the file in their order.
func (c *fileChange) apply(src []byte) ([]byte, error) {
	crlf := strings.Contains(string(src), "\r\n")
	lines := splitLines(lineEnds(string(src), false))
	var out []string
	done, shift := 0, 0 // lines of the file that are behind us; how far the last hunk stood from its line number
	for _, h := range c.hunks {
		at, err := h.find(lines, done, h.line+shift)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.path, err)
		}
		out = append(append(out, lines[done:at]...), h.new...)
		done, shift = at+len(h.old), at-h.line
	}
	text := strings.Join(append(out, lines[done:]...), "")
	return []byte(lineEnds(text, crlf)), nil
}

// splitLines keeps the line ends; there is no line after the last one.
func splitLines(text string) []string {
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// find returns where the old lines of a hunk stand, from line start on: of
// several places the one nearest to where it should be.
func (h *patchHunk) find(lines []string, start, expected int) (int, error) {
	if len(h.old) == 0 { // nothing but its number says where
		if expected < start || expected > len(lines) {
			return 0, fmt.Errorf("the hunk %s adds lines after line %d, which is not there", h.header, expected)
		}
		return expected, nil
	}
	var found []int
	for at := start; at+len(h.old) <= len(lines); at++ {
		if slices.Equal(lines[at:at+len(h.old)], h.old) {
			found = append(found, at)
		}
	}
	distance := func(at int) int { return max(at-expected, expected-at) }
	slices.SortStableFunc(found, func(a, b int) int { return distance(a) - distance(b) })
	switch {
	case len(found) == 0:
		return 0, fmt.Errorf("the lines of the hunk %s do not stand in the file.%s", h.header, nearest(strings.Join(lines, ""), strings.Join(h.old, "")))
	case len(found) > 1 && distance(found[0]) == distance(found[1]):
		return 0, fmt.Errorf("the lines of the hunk %s stand in two places, lines %d and %d; make the diff with more context (git diff -U10)", h.header, found[0]+1, found[1]+1)
	}
	return found[0], nil
}
