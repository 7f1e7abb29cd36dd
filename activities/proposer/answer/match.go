package answer

import (
	"slices"
	"strings"
)

// The ways to look for a search text, from strict to loose. Each compares whole
// lines, but for inLine, which finds a part of one line.
type level int

const (
	exact       level = iota // the same lines
	trailing                 // white space at line ends and blank lines around do not count
	indentation              // nor does the indentation, if all lines are shifted alike
	spaces                   // nor do runs of white space within lines
	ascii                    // nor does typography
	inLine                   // a part of a single line, white space runs as above
	anchors                  // first and last line fit; see align
	levels
)

// file is one state of an editable file.
type file struct {
	path  string
	raw   string
	lines []string          // without line ends; nothing stands for what follows the last one
	forms [inLine][]string  // the lines as a level compares them
	views [inLine]string    // the same, each between line feeds
	where map[string][]int  // anchors: lines by their ascii form
	index map[string][]word // nearest: where a word stands
}

func newFile(path, raw string) *file {
	f := &file{path: path, raw: raw}
	text := strings.ReplaceAll(raw, "\r\n", "\n")
	if f.lines = strings.Split(text, "\n"); last(f.lines) == "" {
		f.lines = f.lines[:len(f.lines)-1]
	}
	return f
}

// form writes a line as a level compares it.
func (l level) form(line string) string {
	switch l {
	case exact:
		return line
	case trailing:
		return strings.TrimRight(line, blank)
	case indentation:
		return strings.Trim(line, blank)
	case spaces:
		return collapse(line)
	}
	return collapse(toASCII(line, everything))
}

// blank is the white space that does not count. Unicode's is typography.
const blank = " \t\r"

func collapse(line string) string {
	return strings.Join(strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' }), " ")
}

// joined puts every line between line feeds.
func joined(lines []string) string { return "\n" + strings.Join(append(lines, ""), "\n") }

func (f *file) view(l level) string {
	if f.views[l] == "" {
		if f.forms[l] == nil {
			f.forms[l] = each(f.lines, l.form)
		}
		f.views[l] = joined(slices.Clip(f.forms[l]))
	}
	return f.views[l]
}

// inherit takes over what is known about the lines of an earlier state, all but
// those from from to to.
func (f *file) inherit(old *file, from, to int) {
	tail := len(old.lines) - to
	if old == f || len(f.lines) < from+tail {
		return
	}
	for l, forms := range old.forms {
		if forms != nil {
			f.forms[l] = slices.Concat(forms[:from], each(f.lines[from:len(f.lines)-tail], level(l).form), forms[to:])
		}
	}
}

// maxPlaces is how many places of a search text are of interest.
const maxPlaces = 3

// find returns the first lines where the search lines stand at a level.
func (f *file) find(l level, search []string) []int {
	hay, needle := f.view(l), joined(each(search, l.form))
	var out []int
	line := 0
	for at := 0; len(out) < maxPlaces; {
		i := strings.Index(hay[at:], needle)
		if i < 0 {
			break
		}
		line += strings.Count(hay[at:at+i], "\n")
		out = append(out, line)
		at, line = at+i+1, line+1
	}
	return out
}

// place is where a search text stands: lines from to to, exclusive.
type place struct {
	level    level
	from, to int
	pairs    []int // by search line: the real line, relative to from; -1 for none. Nil: one to one
	start    int   // inLine: the part of the line
	end      int
}

// match returns the places of the first level that has any, all but anchors. The
// search lines have no blank lines around them from level trailing on; see trim.
func (f *file) match(search []string) []place {
	for l := range inLine {
		wanted := search
		if l > exact {
			wanted, _, _ = trim(search)
		}
		if len(wanted) == 0 || l > trailing && !telling(wanted) {
			continue
		}
		var out []place
		for _, at := range f.find(l, wanted) {
			p := place{level: l, from: at, to: at + len(wanted)}
			if l < indentation || shiftOf(wanted, f.lines[p.from:p.to]).fits(l, f.path) {
				out = append(out, p)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return f.partOfLine(search)
}

// telling says whether lines say enough to be looked for loosely: brackets alone
// stand everywhere.
func telling(lines []string) bool {
	text := strings.Join(lines, "")
	return strings.ContainsFunc(text, wordRune) && len(collapse(text)) >= minPart
}

// trim drops the blank lines around lines, and says how many there were.
func trim(lines []string) (trimmed []string, front, back int) {
	for len(lines) > 0 && strings.Trim(lines[0], blank) == "" {
		lines, front = lines[1:], front+1
	}
	for len(lines) > 0 && strings.Trim(last(lines), blank) == "" {
		lines, back = lines[:len(lines)-1], back+1
	}
	return lines, front, back
}

// trimLike drops at most as many blank lines around lines.
func trimLike(lines []string, front, back int) []string {
	for ; front > 0 && len(lines) > 0 && strings.Trim(lines[0], blank) == ""; front-- {
		lines = lines[1:]
	}
	for ; back > 0 && len(lines) > 0 && strings.Trim(last(lines), blank) == ""; back-- {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// minPart is the length of the shortest text that can be meant loosely.
const minPart = 4

// partOfLine finds a single search line within longer lines, between words:
// "Depth = 2" does not stand in "Depth = 20", nor in "MaxDepth = 2".
func (f *file) partOfLine(search []string) []place {
	search, _, _ = trim(search)
	if len(search) != 1 {
		return nil
	}
	needle := collapse(search[0])
	if !telling(search) || !strings.Contains(f.view(spaces), needle) {
		return nil
	}
	var out []place
	for i, line := range f.lines {
		if len(out) == maxPlaces {
			break
		}
		if form := collapse(line); strings.Contains(form, needle) {
			out = append(out, partsOf(line, form, needle, i)...)
		}
	}
	return out
}

func partsOf(line, form, needle string, number int) []place {
	var out []place
	for at := 0; len(out) < maxPlaces; at++ {
		i := strings.Index(form[at:], needle)
		if i < 0 {
			break
		}
		at += i
		if between(form, at, at+len(needle)) {
			out = append(out, place{level: inLine, from: number, to: number + 1, start: uncollapsed(line, at), end: uncollapsed(line, at+len(needle)-1) + 1})
		}
	}
	return out
}

// uncollapsed returns the offset in a line of offset n of its collapsed form,
// which is not a space.
func uncollapsed(line string, n int) int {
	form, gap := 0, false
	for i := range len(line) {
		if strings.IndexByte(blank, line[i]) >= 0 {
			gap = form > 0
			continue
		}
		if gap {
			form, gap = form+1, false
		}
		if form == n {
			return i
		}
		form++
	}
	return len(line)
}

// between says whether text[from:to] begins and ends between words.
func between(text string, from, to int) bool {
	word := func(a, b byte) bool { return wordByte(a) && wordByte(b) }
	if from > 0 && (word(text[from-1], text[from]) || text[from-1] == '.' && digit(text[from])) {
		return false
	}
	return to == len(text) || !word(text[to-1], text[to]) && !(text[to] == '.' && digit(text[to-1]))
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

func wordByte(c byte) bool {
	return c == '_' || digit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' || c >= 0x80
}

func wordRune(r rune) bool { return r >= 0x80 || wordByte(byte(r)) }
