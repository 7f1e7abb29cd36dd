package answer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// maxContext is how many lines on each side an edit may take in to be unique.
const maxContext = 100

// edit writes the replacement of lines as an exact edit, with as many lines
// around them as make it unique.
func (f *file) edit(from, to int, lines []string) (experiment.Edit, bool) {
	text := strings.ReplaceAll(f.raw, "\r\n", "\n")
	for before, after := 0, 0; ; before, after = before+1, after+1 {
		a, z := max(from-before, 0), min(to+after, len(f.lines))
		head, tail := f.lines[a:from], f.lines[to:z]
		e := experiment.Edit{
			Path:    f.path,
			Search:  strings.Join(f.lines[a:z], "\n"),
			Replace: strings.Join(slices.Concat(head, lines, tail), "\n"),
		}
		if len(lines) == 0 && a == from && z == to { // the lines go, and a line end with them
			e.Search += "\n"
			if z == len(f.lines) && !strings.HasSuffix(text, "\n") {
				e.Search = "\n" + strings.TrimSuffix(e.Search, "\n")
			}
		}
		if e.Search != "" && occurs(text, e.Search) == 1 {
			return e, true
		}
		if a == 0 && z == len(f.lines) || before == maxContext {
			return e, false
		}
	}
}

// occurs counts where a text stands, overlaps included, up to two.
func occurs(text, search string) int {
	i := strings.Index(text, search)
	if i < 0 {
		return 0
	}
	if strings.Contains(text[i+1:], search) {
		return 2
	}
	return 1
}

// replaced is the file after an exact edit, as package proposer makes it: line
// ends follow the file's.
func replaced(old string, e experiment.Edit) (string, error) {
	crlf := strings.Contains(old, "\r\n")
	if e.Search == "" {
		return lineEnds(e.Replace, crlf), nil
	}
	search, replace := lineEnds(e.Search, crlf), lineEnds(e.Replace, crlf)
	if crlf && !strings.Contains(old, search) && strings.Contains(old, e.Search) {
		search, replace = e.Search, e.Replace
	}
	if occurs(old, search) != 1 {
		return "", fmt.Errorf("the file has lines that end in both ways, LF and CRLF, where the edit is: answer with the whole file")
	}
	return strings.Replace(old, search, replace, 1), nil
}

func lineEnds(text string, crlf bool) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if crlf {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return text
}

// results applies exact edits, for a comparison.
func results(edits []experiment.Edit, files map[string][]byte) map[string]string {
	out := map[string]string{}
	for name, data := range files {
		out[name] = string(data)
	}
	for _, e := range edits {
		if text, err := replaced(out[e.Path], e); err == nil {
			out[e.Path] = text
		}
	}
	return out
}
