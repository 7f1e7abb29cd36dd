package answer

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// Models write diffs with wrong line numbers and counts, people and git with
// right ones. So a hunk ends where its counts say if these come out even, else
// at the first line that cannot be of it; and a line number counts only to tell
// exact copies of the same lines apart.

var (
	hunkLine  = regexp.MustCompile(`^@@(?: -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@.*|.*)$`)
	patchFile = regexp.MustCompile(`^\*\*\* (Update|Add|Delete) File: (.+)$`)
)

// isDiff says whether a fence holds a diff.
func isDiff(f fence) bool {
	word, _, _ := strings.Cut(strings.ToLower(f.info), " ")
	return slices.Contains([]string{"diff", "patch", "udiff"}, word) || !f.edits && diffStart(f.lines) >= 0
}

// diffStart returns the line at which a diff begins, or -1.
func diffStart(lines []string) int {
	for i, l := range lines {
		switch {
		case strings.HasPrefix(l, "--- ") && i+1 < len(lines) && strings.HasPrefix(lines[i+1], "+++ "), strings.HasPrefix(l, "diff --git "), strings.HasPrefix(l, "*** Begin Patch"), strings.HasPrefix(l, "*** Update File: "):
			return i
		case strings.HasPrefix(l, "@@") && hunkLine.MatchString(l):
			return i
		}
	}
	return -1
}

// diffLines gathers the diffs of a page: those in fences, else one that stands
// in the open.
func (p *page) diffLines() []string {
	var out []string
	for _, f := range p.fences {
		if !f.edits && isDiff(f) {
			if f.path != "" && diffStart(f.lines) != 0 {
				out = append(out, "+++ "+f.path)
			}
			out = append(out, f.lines...)
			if !f.closed {
				out = append(out, unclosed)
			}
		}
	}
	if p.code >= 0 && diffStart(p.lines[p.code:]) == 0 {
		return p.lines[p.code:]
	}
	return out
}

// unclosed stands for the end of an answer within a diff.
const unclosed = "\x00unclosed"

// hunk is what a diff says about one place.
type hunk struct {
	block
	olds, news int // what the head says; -1: nothing
	wordless   int // blank lines at the end
}

// parseDiff reads the hunks of a unified diff as blocks.
func parseDiff(lines []string) ([]block, *experiment.Failure) {
	r := diffReader{lines: lines, headless: diffStart(lines) < 0}
	for r.at < len(lines) && r.failure == nil {
		r.line()
	}
	r.end()
	switch {
	case r.failure != nil:
		return nil, r.failure
	case len(r.blocks) == 0:
		return nil, refuse("the diff has no changed lines. %s", askBlocks)
	}
	return r.blocks, nil
}

type diffReader struct {
	lines    []string
	at       int
	path     string
	headless bool   // nothing but signed lines
	old      string // of a --- line
	open     *hunk
	blocks   []block
	failure  *experiment.Failure
}

// line reads one line: of the open hunk, of a head, or of no interest.
func (r *diffReader) line() {
	l := r.lines[r.at]
	r.at++
	next := ""
	if r.at < len(r.lines) {
		next = r.lines[r.at]
	}
	if r.open != nil && r.open.unfinished() && r.body(l) {
		return
	}
	switch {
	case l == unclosed:
		r.failure = refuse("the code fence around the diff is not closed, so the answer was probably cut off. Answer again, shorter.")
	case strings.HasPrefix(l, "--- ") && strings.HasPrefix(next, "+++ "):
		r.end()
		r.old = diffPath(l)
	case strings.HasPrefix(l, "+++ "):
		r.end()
		r.file(diffPath(l))
	case patchFile.MatchString(l):
		r.end()
		m := patchFile.FindStringSubmatch(l)
		if r.path = strings.TrimSpace(m[2]); m[1] != "Update" {
			r.failure = refuse("the patch would %s %s: only files that are there may be changed.", strings.ToLower(m[1]), r.path)
		}
	case strings.HasPrefix(l, "@@"):
		r.end()
		r.begin(l)
	case strings.HasPrefix(l, "diff "), strings.HasPrefix(l, "*** "), strings.HasPrefix(l, "index "):
		r.end()
	case strings.HasPrefix(l, "rename "), strings.HasPrefix(l, "Binary files "), strings.HasPrefix(l, "GIT binary patch"):
		r.failure = refuse("the diff renames a file or holds a binary one (%q): only lines of text may be changed.", clip(l, 80))
	case r.open != nil && !r.open.counted():
		if !r.body(l) {
			r.end()
		}
	case r.headless && r.open == nil && len(r.blocks) == 0 && sign(l) != 0:
		r.begin("@@")
		r.body(l)
	}
}

// file takes the path of a +++ line.
func (r *diffReader) file(path string) {
	switch {
	case path == "/dev/null":
		r.failure = refuse("the diff would delete %s: only its lines may be changed.", r.old)
	case r.old == "/dev/null":
		r.failure = refuse("the diff would create %s: only files that are there may be changed.", path)
	}
	r.path, r.old = path, ""
}

func (r *diffReader) begin(head string) {
	r.open = &hunk{olds: -1, news: -1}
	r.open.what = "text (its context and old lines)"
	r.open.name, r.open.path = "hunk "+itoa(len(r.blocks)+1), r.path
	m := hunkLine.FindStringSubmatch(head)
	if m == nil || m[1] == "" {
		return
	}
	number := func(text string) int {
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
		return 1
	}
	r.open.line, r.open.olds, r.open.news = number(m[1]), number(m[2]), number(m[4])
	if !r.open.even(r.lines[r.at:]) {
		r.open.olds, r.open.news = -1, -1
	}
}

// even says whether the counts of a head agree with the lines that follow it.
func (h *hunk) even(lines []string) bool {
	olds, news := h.olds, h.news
	for _, l := range lines {
		if olds == 0 && news == 0 {
			break
		}
		switch sign(l) {
		case ' ':
			olds, news = olds-1, news-1
		case '-':
			olds--
		case '+':
			news--
		case '\\':
		default:
			return false
		}
	}
	return olds == 0 && news == 0
}

func (h *hunk) counted() bool { return h.olds >= 0 }

func (h *hunk) unfinished() bool {
	return h.counted() && (len(h.search) < h.olds || len(h.replace) < h.news)
}

// sign is what a line of a hunk begins with. An empty line is context that has
// lost its space, and so is one that begins with a tab.
func sign(l string) byte {
	switch {
	case l == "" || l[0] == '\t':
		return ' '
	case strings.IndexByte(" +-\\", l[0]) >= 0:
		return l[0]
	}
	return 0
}

// body takes a line into the open hunk, unless it cannot be of it.
func (r *diffReader) body(l string) bool {
	h := r.open
	switch s := sign(l); s {
	case '\\':
	case 0:
		return false
	default:
		text := strings.TrimPrefix(l, " ")
		if s != ' ' {
			text = l[1:]
		}
		if s != '+' {
			h.search = append(h.search, text)
		}
		if s != '-' {
			h.replace = append(h.replace, text)
		}
		if h.wordless++; l != "" {
			h.wordless = 0
		}
	}
	return true
}

// end closes the open hunk.
func (r *diffReader) end() {
	h := r.open
	if r.open = nil; h == nil || r.failure != nil {
		return
	}
	if !h.counted() { // blank lines between hunks are none of theirs
		h.search, h.replace = h.search[:len(h.search)-h.wordless], h.replace[:len(h.replace)-h.wordless]
	}
	switch search, _, _ := trim(h.search); {
	case slices.Equal(h.search, h.replace):
	case len(search) == 0:
		r.failure = refuse("%s adds lines without any context, so they have no place. Give it three lines of context on each side.", h.name)
	default:
		r.blocks = append(r.blocks, h.block)
	}
}

// diffPath reads the path of a --- or +++ line: without a/ or b/, and without
// the time behind a tab.
func diffPath(line string) string {
	name, _, _ := strings.Cut(line[4:], "\t")
	name = strings.Trim(strings.TrimSpace(name), `"`)
	if rest, ok := strings.CutPrefix(name, "a/"); ok {
		return rest
	}
	return strings.TrimPrefix(name, "b/")
}
