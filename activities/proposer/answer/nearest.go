package answer

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// Limits of what a failure quotes.
const (
	maxQuoted = 15  // lines
	maxWidth  = 160 // bytes of a line
)

// quote shows lines of the file with their numbers.
func (f *file) quote(from, to int) string {
	from, to = max(from, 0), min(to, len(f.lines))
	to = min(to, from+maxQuoted)
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "%5d| %s\n", i+1, clip(f.lines[i], maxWidth))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// twice says that a search text has several places, and shows two.
func twice(b block, f *file, found []place) *experiment.Failure {
	show := func(p place) string { return f.quote(p.from-2, min(p.to, p.from+3)+1) }
	many := itoa(len(found))
	if len(found) == maxPlaces {
		many += " or more"
	}
	how := ""
	if found[0].level > exact {
		how = " (white space and typography apart)"
	}
	return refuse("%s (%s): its %s stands at %s places%s, and must stand at one. Add lines above or below to it. Two of them:\n%s\nand\n%s",
		b.name, f.path, b.what, many, how, show(found[0]), show(found[1]))
}

// overlaps says that an earlier block has changed the lines of a block.
func overlaps(b block, f, parent *file, p place) *experiment.Failure {
	return refuse("%s (%s) is about lines that an earlier one has changed already. They are applied in order, each to the result of those before it: make one of them for these lines:\n%s",
		b.name, f.path, parent.quote(p.from, p.to))
}

// absent says that a search text does not stand in the file, and why.
func (s *session) absent(b block, f *file) *experiment.Failure {
	if parent := s.parents[f.path]; parent != f {
		if before := parent.match(b.search); len(before) == 1 {
			return overlaps(b, f, parent, before[0])
		}
	}
	if p, ok := f.applied(b); ok {
		return refuse("%s (%s): its %s does not stand in the file, but its new lines do, at line %d: this change is made already. Propose another one.", b.name, f.path, b.what, p.from+1)
	}
	return notThere(b, f)
}

// applied says whether the replacement stands in the file as it is.
func (f *file) applied(b block) (place, bool) {
	replace, _, _ := trim(b.replace)
	text := strings.Join(replace, "")
	if len(strings.Trim(text, blank+"(){}[]")) < minPart {
		return place{}, false
	}
	found := f.match(replace)
	if len(found) == 0 || found[0].level >= inLine {
		return place{}, false
	}
	return found[0], true
}

// notThere quotes the lines that are most like the search text.
func notThere(b block, f *file) *experiment.Failure {
	search, _, _ := trim(b.search)
	at, ok := f.nearest(search)
	if !ok {
		return refuse("%s (%s): its %s does not stand in the file, and nothing in the file is like it. It must be copied from the file as it stands now. The file has:\n%s", b.name, f.path, b.what, f.outline())
	}
	detail := " It differs in its indentation, or in blank lines and comments."
	for i, line := range search {
		if real := at + i; real >= 0 && real < len(f.lines) && ascii.form(f.lines[real]) != ascii.form(line) {
			detail = fmt.Sprintf(" Line %d of it is %q; line %d of the file is %q.", i+1, clip(strings.Trim(line, blank), maxWidth), real+1, clip(strings.Trim(f.lines[real], blank), maxWidth))
			break
		}
	}
	return refuse("%s (%s): its %s does not stand in the file.%s Copy the lines as they stand, without the numbers. The nearest lines:\n%s",
		b.name, f.path, b.what, detail, f.quote(at-2, at+len(search)+3))
}

// word is where a word stands in the file.
type word struct{ line int }

const (
	maxWanted  = 40   // lines of a search text that are compared
	maxWords   = 30   // words of a line
	maxStands  = 300  // lines that a word may stand in and still tell something
	minNearest = 0.15 // share of the search text's weight
)

// nearest returns the line at which the search text would begin if it stood
// where the file is most like it: every word of it votes for the distances to
// the lines that have it, rare words with more weight.
func (f *file) nearest(search []string) (int, bool) {
	if f.index == nil {
		f.index = map[string][]word{}
		for i, line := range f.lines {
			for _, w := range wordsOf(line) {
				if at := f.index[w]; len(at) <= maxStands && (len(at) == 0 || at[len(at)-1].line != i) {
					f.index[w] = append(at, word{i})
				}
			}
		}
	}
	votes := map[int]float64{}
	total := 0.0
	for i, line := range search[:min(len(search), maxWanted)] {
		seen := map[string]bool{}
		for _, w := range wordsOf(line) {
			stands := f.index[w]
			if seen[w] || len(stands) > maxStands {
				continue
			}
			seen[w] = true
			weight := math.Log(2 + float64(len(f.lines))/float64(1+len(stands)))
			total += weight
			for _, s := range stands {
				votes[s.line-i] += weight
			}
		}
	}
	best, at := 0.0, 0
	for offset, v := range votes {
		if v > best || v == best && offset < at {
			best, at = v, offset
		}
	}
	return at, best > 0 && best >= minNearest*total
}

// wordsOf returns the words of a line, and the line itself as one.
func wordsOf(line string) []string {
	line = clip(ascii.form(clip(line, 1000)), 500)
	words := strings.FieldsFunc(line, func(r rune) bool { return !wordRune(r) })
	words = words[:min(len(words), maxWords)]
	if len(line) >= minPart {
		words = append(words, "\x00"+line)
	}
	return words
}

// outline shows the file's declarations.
func (f *file) outline() string {
	var b strings.Builder
	n := 0
	for i, line := range f.lines {
		if slices.ContainsFunc(declarations, func(d string) bool { return strings.HasPrefix(line, d) }) {
			if n++; n > maxQuoted {
				break
			}
			fmt.Fprintf(&b, "%5d| %s\n", i+1, clip(line, maxWidth))
		}
	}
	if n == 0 {
		return f.quote(0, maxQuoted)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

var declarations = []string{"func ", "type ", "const ", "var ", "class ", "def ", "import "}
