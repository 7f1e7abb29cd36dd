package answer

import (
	"regexp"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// block is one replacement of lines: a SEARCH/REPLACE block, a hunk of a diff,
// or an edit in JSON.
type block struct {
	name            string // "block 2", as a failure calls it
	what            string // "text" it looks for, likewise
	path            string // as written; "" if none
	mention         string // a path in the sentence above; counts only if it may be edited
	search, replace []string
	line            int // of a diff: where the parent's file should have it, from 1; 0: unknown
	at              int // line of the answer
}

// fence is a piece of code between ``` lines.
type fence struct {
	info, path, mention string
	lines               []string
	at                  int // line of the answer
	closed, edits       bool
}

// page is an answer taken apart into lines.
type page struct {
	lines   []string
	prose   []bool // by line: neither code nor block
	within  []int  // by line: the fence that it is a line of, from 1
	blocks  []block
	fences  []fence
	code    int     // where a diff or file without a fence begins; -1: nowhere
	object  *object // the answer is JSON
	failure *experiment.Failure

	guessed  bool // the title is the first sentence
	settings bool // the edits are a list of constants
}

// read takes an answer apart. What is between markers is a block wherever it
// stands; other lines between fences are code; the rest is prose.
func read(text string) *page {
	p := &page{lines: strings.Split(text, "\n"), code: -1}
	p.prose, p.within = make([]bool, len(p.lines)), make([]int, len(p.lines))
	if p.object, p.failure = parseObject(text); p.object != nil || p.failure != nil {
		return p
	}
	for i, above := 0, 0; i < len(p.lines); i++ {
		line := p.lines[i]
		switch kind, words := marker(line); {
		case kind == opens:
			end := p.block(i, above, words)
			if p.failure != nil {
				return p
			}
			i, above = end, end+1
		case kind == ends:
			p.failure = refuse("line %d of the answer is %q, but no block is open there. A block is a line <<<<<<< SEARCH, the old lines, a line =======, the new lines, and a line >>>>>>> REPLACE.", i+1, clip(line, 80))
			return p
		default:
			p.line(i, above)
		}
	}
	if n := max(len(p.blocks), len(p.fences)); n > maxBlocks {
		p.failure = refuse("the answer has %d pieces of code, at most %d are read: propose one change.", n, maxBlocks)
	}
	p.bare()
	return p
}

// bare finds the diff or the Go file that an answer without fences ends with:
// its lines are no prose.
func (p *page) bare() {
	if len(p.blocks) > 0 || len(p.fences) > 0 {
		return
	}
	at := diffStart(p.lines)
	if at < 0 {
		at = slices.IndexFunc(p.lines, packageLine.MatchString)
		for ; at > 0 && strings.HasPrefix(p.lines[at-1], "//"); at-- {
		}
	}
	if at >= 0 {
		p.code = at
		clear(p.prose[at:])
	}
}

// line files a line outside of blocks.
func (p *page) line(i, above int) {
	open := len(p.fences) > 0 && !p.fences[len(p.fences)-1].closed
	tick, info := fenceLine(p.lines[i])
	switch {
	case open:
		f := &p.fences[len(p.fences)-1]
		if start, _ := fenceLine(p.lines[f.at]); tick != "" && info == "" && tick[0] == start[0] && len(tick) >= len(start) {
			f.closed = true
		} else {
			f.lines = append(f.lines, p.lines[i])
			p.within[i] = len(p.fences)
		}
	case tick != "":
		f := fence{info: info, at: i}
		f.path, f.mention = p.pathAbove(i-1, above)
		if named := pathOfInfo(info); named != "" {
			f.path = named
		}
		p.fences = append(p.fences, f)
	default:
		p.prose[i] = true
	}
}

// block reads the block whose first marker is line i, and returns its last line.
func (p *page) block(i, above int, words string) (end int) {
	b := block{name: "block " + itoa(len(p.blocks)+1), what: "SEARCH text", at: i}
	b.path, b.mention = p.pathAbove(i-1, above)
	if name := pathAlone(words); name != "" {
		b.path = name
	}
	if n := len(p.fences); n > 0 && !p.fences[n-1].closed {
		p.fences[n-1].edits = true
	}
	divided := 0
	for end = i + 1; end < len(p.lines); end++ {
		line := p.lines[end]
		kind, words := marker(line)
		if kind == opens && divided > 0 && replaceWord.MatchString(words) {
			kind = ends // <<<<<<< REPLACE
		}
		switch {
		case kind == divides && divided > 0:
			p.failure = refuse("%s has two lines =======, at lines %d and %d of the answer, so it is not clear where its new lines begin. Write each block with one.", b.name, divided+1, end+1)
		case kind == divides:
			divided = end
			b.search = p.lines[i+1 : end]
		case kind == opens:
			p.failure = refuse("%s is not closed: line %d of the answer begins another one. Close each block with a line >>>>>>> REPLACE.", b.name, end+1)
		case kind == ends && divided == 0:
			p.failure = refuse("%s has no line ======= between its old and its new lines.", b.name)
		case kind == ends:
			b.replace = p.lines[divided+1 : end]
			b.unfence()
			p.blocks = append(p.blocks, b)
			return end
		}
		if p.failure != nil {
			return end
		}
	}
	part := "SEARCH"
	if divided > 0 {
		part = "REPLACE"
	}
	p.failure = refuse("%s is not closed: the answer ends within its %s part, so it was probably cut off. Answer again, shorter, and close each block with a line >>>>>>> REPLACE.", b.name, part)
	return end
}

// unfence drops fence lines at the edges of the parts.
func (b *block) unfence() {
	edges := func(part []string, front, back bool) []string {
		if t, _ := fenceLine(first(part)); front && t != "" {
			part = part[1:]
		}
		if t, info := fenceLine(last(part)); back && t != "" && info == "" {
			part = part[:len(part)-1]
		}
		return part
	}
	b.search = edges(b.search, true, true)
	b.replace = edges(b.replace, true, true)
}

func first(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[0]
}

func last(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[len(lines)-1]
}

// What a line is to a block.
type markerKind int

const (
	none markerKind = iota
	opens
	divides
	ends
)

var (
	searchWord  = regexp.MustCompile(`(?i)^(search|original|old|before|find|head)(:|\s|$)\s*`)
	replaceWord = regexp.MustCompile(`(?i)^(replace|updated?|new|after)\b`)
)

// marker says which marker a line is, with the words behind its 5 to 9 signs.
func marker(line string) (markerKind, string) {
	line = strings.Trim(line, blank)
	if line == "" || len(line) > 200 || strings.IndexByte("<=>+-", line[0]) < 0 {
		return none, ""
	}
	words := strings.TrimLeft(line, line[:1])
	if n := len(line) - len(words); n < 5 || n > 9 {
		return none, ""
	}
	words = strings.Trim(words, blank+":")
	switch {
	case line[0] == '<', line[0] == '-' && searchWord.MatchString(words):
		return opens, words
	case line[0] == '=' && words == "":
		return divides, ""
	case line[0] == '>', line[0] == '+' && replaceWord.MatchString(words):
		return ends, ""
	}
	return none, ""
}

// fenceLine returns the fence characters of a line, and the info behind them.
func fenceLine(line string) (ticks, info string) {
	line = strings.TrimSpace(line)
	for _, c := range []string{"`", "~"} {
		rest := strings.TrimLeft(line, c)
		if n := len(line) - len(rest); n >= 3 && !strings.Contains(rest, c) {
			return line[:n], strings.TrimSpace(rest)
		}
	}
	return "", ""
}
