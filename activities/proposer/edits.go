package proposer

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// ApplyEdits makes the edits of a proposal, one after the other, in a copy of
// the parent's editable files. What an edit may do is written at
// [experiment.Edit]; here it is exact: nothing is guessed but the line ends,
// which follow the file's. A failure has reason invalid-edit and a message that
// a proposer can act on: it names the path and shows the nearest real lines.
func ApplyEdits(files map[string][]byte, edits []experiment.Edit) (map[string][]byte, *experiment.Failure) {
	if len(edits) == 0 {
		return nil, invalid("the proposal has no edits")
	}
	out := maps.Clone(files)
	for _, e := range edits {
		old, ok := out[e.Path]
		if !ok {
			return nil, invalid("%s: not a file that may be edited; these are: %s", e.Path, strings.Join(slices.Sorted(maps.Keys(files)), ", "))
		}
		text, failure := applyEdit(e, string(old))
		if failure != nil {
			return nil, failure
		}
		out[e.Path] = []byte(text)
	}
	if maps.EqualFunc(files, out, bytes.Equal) {
		return nil, invalid("%s: the edits undo each other, so nothing changes", edits[0].Path)
	}
	return out, nil
}

func applyEdit(e experiment.Edit, old string) (string, *experiment.Failure) {
	crlf := strings.Contains(old, "\r\n")
	if e.Search == "" {
		whole := lineEnds(e.Replace, crlf)
		if whole == old {
			return "", invalid("%s: the new file is the old one, so nothing changes", e.Path)
		}
		return whole, nil
	}
	search, replace := lineEnds(e.Search, crlf), lineEnds(e.Replace, crlf)
	if plain := lineEnds(e.Search, false); crlf && !strings.Contains(old, search) && strings.Contains(old, plain) {
		search, replace = plain, lineEnds(e.Replace, false) // a stretch of a file with mixed line ends
	}
	switch n := occurrences(old, search); {
	case n == 0:
		return "", invalid("%s: the search text does not stand in the file.%s", e.Path, nearest(old, e.Search))
	case n > 1:
		return "", invalid("%s: the search text stands %d times in the file, first at line %d; it must stand exactly once: add a line before or after it",
			e.Path, n, 1+strings.Count(old[:strings.Index(old, search)], "\n"))
	case search == replace:
		return "", invalid("%s: search and replacement are the same, so nothing changes", e.Path)
	}
	return strings.Replace(old, search, replace, 1), nil
}

// occurrences counts where search stands, overlaps included: two of them are
// two places that could be meant.
func occurrences(text, search string) int {
	n := 0
	for at := 0; ; n++ {
		i := strings.Index(text[at:], search)
		if i < 0 {
			return n
		}
		at += i + 1
	}
}

func lineEnds(text string, crlf bool) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if crlf {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return text
}

func invalid(format string, args ...any) *experiment.Failure {
	return &experiment.Failure{Reason: experiment.InvalidEdit, Message: fmt.Sprintf(format, args...)}
}

// maxNearest bounds the lines that a failure quotes.
const maxNearest = 6

// nearest quotes the lines of a file that are most like a search text.
func nearest(file, search string) string {
	lines := strings.Split(lineEnds(file, false), "\n")
	want := strings.Split(strings.Trim(lineEnds(search, false), "\n"), "\n")
	want = want[:min(len(want), maxNearest)]
	wanted := make([]map[string]int, len(want))
	for i, w := range want {
		wanted[i] = bigrams(w)
	}
	grams := make([]map[string]int, len(lines))
	for i, l := range lines {
		grams[i] = bigrams(l)
	}
	best, at := 0.0, -1
	for i := range lines {
		score := 0.0
		for j := 0; j < len(want) && i+j < len(lines); j++ {
			score += dice(grams[i+j], wanted[j])
		}
		if score > best {
			best, at = score, i
		}
	}
	if at < 0 || best < 0.3*float64(len(want)) {
		return " No lines of the file are like it."
	}
	return fmt.Sprintf(" The nearest lines, from line %d:\n%s", at+1, strings.Join(lines[at:min(at+len(want), len(lines))], "\n"))
}

// bigrams counts the pairs of neighbouring bytes of a line, white space left out.
func bigrams(line string) map[string]int {
	line = strings.Join(strings.Fields(line), "")
	out := map[string]int{}
	for i := 0; i+2 <= len(line); i++ {
		out[line[i:i+2]]++
	}
	return out
}

// dice is the likeness of two lines, from 0 to 1 (Dice, Ecology 1945).
func dice(a, b map[string]int) float64 {
	common, total := 0, 0
	for g, n := range a {
		common += min(n, b[g])
		total += n
	}
	for _, n := range b {
		total += n
	}
	if total == 0 {
		return 0
	}
	return 2 * float64(common) / float64(total)
}
