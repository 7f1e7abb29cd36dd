package answer

import (
	"regexp"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

var (
	// A comment or a bare line that begins with dots and has nothing of a
	// program in it.
	dotted = regexp.MustCompile(`^(\.\.\.|…)[\w\s,'’()/.…-]*$`)
	// A comment that says what a lazy writer says.
	omitted = regexp.MustCompile(`(?i)^[(\[<]*((the )?(rest|remainder) of (the )?(code|file|function|method|implementation|body|model|block|class|constants|imports|program|loop)\b|(all )?(the )?(other )?(existing|previous|original|remaining|other) (code|lines|imports|constants|functions|methods|implementation)\b|(code |lines )?(un|not )changed\b|(same|identical) as (before|above|the original)|(code |lines )?omitted|no changes?\b|keep (the )?(rest|existing|other|everything)\b|(everything|all) else\b|(rest|remaining) (is |are |stays? |remains? )?(unchanged|the same|as (is|before)))`)
	leaders = regexp.MustCompile(`^\s*(//+|#+|/\*+|\*|--|<!--|;)\s*`)
)

// elision says whether a line stands for lines that are left out.
func elision(line string) bool {
	if len(line) > 200 {
		return false
	}
	text := strings.TrimSpace(line)
	lead := leaders.FindString(text)
	text = strings.Trim(text[len(lead):], " \t*/<>-")
	if text == "" {
		return false
	}
	if dotted.MatchString(strings.TrimLeft(text, "([{<")) {
		return true
	}
	return lead != "" && omitted.MatchString(text)
}

// novel lists the elisions that are not lines of the file.
func novel(lines []string, f *file) []int {
	var out []int
	for i, line := range lines {
		if elision(line) && !slices.ContainsFunc(f.lines, func(l string) bool { return strings.TrimSpace(l) == strings.TrimSpace(line) }) {
			out = append(out, i)
		}
	}
	return out
}

// elidedBlock reads a block that leaves lines out in SEARCH: the same number of
// times in REPLACE, then each part between is a change of its own, and the parts
// stand in the file in this order.
func elidedBlock(b block, f *file) ([]change, *experiment.Failure) {
	olds, news := parts(b.search), parts(b.replace)
	if len(olds) != len(news) {
		return nil, refuse("%s (%s) leaves lines out %s in SEARCH and %s in REPLACE, so it is not clear which lines stay. Copy the lines in full, or write a block for each place.", b.name, f.path, times(len(olds)-1), times(len(news)-1))
	}
	var out []change
	low := 0
	for i := range olds {
		old, front, back := trim(olds[i])
		c := change{search: old, replace: trimLike(news[i], front, back)}
		if slices.EqualFunc(c.search, c.replace, func(a, b string) bool { return strings.TrimRight(a, blank) == strings.TrimRight(b, blank) }) {
			continue
		}
		if len(old) == 0 {
			return nil, refuse("%s (%s): the new lines beside the line that leaves code out have no place. Copy the lines around them in full.", b.name, f.path)
		}
		found := f.match(old)
		switch {
		case len(found) == 0:
			b.search = old
			return nil, notThere(b, f)
		case len(found) > 1:
			return nil, twice(b, f, found)
		case found[0].from < low:
			return nil, refuse("%s (%s): its parts around the lines left out stand in the file in another order. Write a block for each place.", b.name, f.path)
		}
		c.place, low = found[0], found[0].to
		out = append(out, c)
	}
	return out, nil
}

// elidedReplace resolves elisions in REPLACE by the search text, which is in
// full: one stands for the lines between its neighbours, if those are lines of
// the search text, each once.
func elidedReplace(b block, c change, f *file) ([]change, *experiment.Failure) {
	real := f.lines[c.place.from:c.place.to]
	var out []string
	holes := 0
	for i, line := range c.replace {
		if !elision(line) || slices.ContainsFunc(real, func(l string) bool { return strings.TrimSpace(l) == strings.TrimSpace(line) }) {
			out = append(out, line)
			continue
		}
		holes++
		from, to := -1, -1
		if i > 0 && i+1 < len(c.replace) {
			from, to = onlyLine(c.search, c.replace[i-1]), onlyLine(c.search, c.replace[i+1])
		}
		if from < 0 || to <= from {
			return nil, refuse("%s (%s): its REPLACE part leaves code out (%q), and it is not clear which lines stay. Write the new lines in full; nothing is filled in.", b.name, f.path, strings.TrimSpace(line))
		}
		out = append(out, c.search[from+1:to]...)
	}
	if holes > 0 {
		c.replace = out
	}
	return []change{c}, nil
}

// onlyLine returns where a line stands, if it stands there once.
func onlyLine(lines []string, line string) int {
	at := -1
	for i, l := range lines {
		if strings.TrimRight(l, blank) == strings.TrimRight(line, blank) && strings.Trim(l, blank) != "" {
			if at >= 0 {
				return -1
			}
			at = i
		}
	}
	return at
}

// parts splits lines at elisions.
func parts(lines []string) [][]string {
	out := [][]string{nil}
	for _, line := range lines {
		if elision(line) {
			out = append(out, nil)
			continue
		}
		out[len(out)-1] = append(out[len(out)-1], line)
	}
	return out
}

func times(n int) string {
	switch n {
	case 0:
		return "nowhere"
	case 1:
		return "once"
	}
	return itoa(n) + " times"
}
