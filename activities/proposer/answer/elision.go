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
	dotted = regexp.MustCompile(`^(\.\.\.|…)[\w\s,'’()/.…#-]*$`)
	// A comment that says what a lazy writer says.
	omitted = regexp.MustCompile(`(?i)^[(\[<]*(?:` +
		`(?:the )?(?:rest|remainder)(?: of (?:the |this )?(?:code|file|function|method|implementation|body|model|block|class|struct|constants|definitions|imports|program|script|loop|lines))?` +
		`|(?:all )?(?:the )?(?:other |existing |previous |original |remaining )+(?:code|lines|imports|constants|functions|methods|implementation|logic|body|fields)` +
		`|(?:code |lines )?(?:un|not )changed|(?:the )?(?:same|identical)(?: code)?(?: (?:as|to) (?:before|above|the original))?|as before|(?:code |lines )?omitted|no changes?|everything else|all else` +
		`|keep (?:the )?(?:rest|existing|other|everything)(?: \w+){0,3})` +
		`(?:[ ,]+(?:of|the|code|file|function|here|below|above|unchanged|same|as|is|are|before|remains?|stays?|goes|continues|for|brevity|follows|omitted|not|shown|untouched|intact))*\W*$`)
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

// novel returns the first elision that is not one of the real lines, or -1.
func novel(lines, real []string) int {
	known := map[string]bool{}
	for _, l := range real {
		known[strings.TrimSpace(l)] = true
	}
	return slices.IndexFunc(lines, func(l string) bool { return !known[strings.TrimSpace(l)] && elision(l) })
}

// elidedBlock reads a block that leaves lines out in SEARCH: the same number of
// times in REPLACE, then each part between is a change of its own, and the parts
// stand in the file in this order.
func elidedBlock(b block, f *file) ([]change, *experiment.Failure) {
	olds, news := parts(b.search), parts(b.replace)
	if len(olds) != len(news) {
		return nil, refuse("%s (%s) leaves lines out %s in SEARCH and %s in REPLACE, so it is not clear which lines stay. Copy the lines in full, or write a block for each place.", b.name, f.path, times(len(olds)-1), times(len(news)-1))
	}
	var out, shown []change
	low := 0
	for i := range olds {
		old, front, back := trim(olds[i])
		c := change{search: old, replace: trimLike(news[i], front, back)}
		found := f.match(old)
		if slices.EqualFunc(c.search, c.replace, func(a, b string) bool { return strings.TrimRight(a, blank) == strings.TrimRight(b, blank) }) {
			if len(found) == 1 {
				c.place = found[0]
				shown = append(shown, c)
			}
			continue
		}
		fresh, _, _ := trim(c.replace)
		if shrinks(old, fresh) || !meets(old, fresh, i > 0) || !meets(reversed(old), reversed(fresh), i+1 < len(olds)) {
			return nil, refuse("%s (%s): beside the line that leaves code out, SEARCH and REPLACE go on with different lines, so it is not clear what stays. Copy the lines there in full.", b.name, f.path)
		}
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
	spell(out, append(shown, out...), f)
	return out, nil
}

// spell writes the parts of a block in ASCII as far as what is shown of the file
// shows that the answer substitutes characters.
func spell(parts, shown []change, f *file) {
	var search, real []string
	for _, c := range shown {
		search, real = append(search, c.search...), append(real, f.lines[c.place.from:c.place.to]...)
	}
	these := substituted(search, real)
	for i, c := range parts {
		ascii := func(l string) string { return toASCII(l, these) }
		parts[i].search, parts[i].replace = each(c.search, ascii), each(c.replace, ascii)
	}
}

// meets says whether old and new lines begin with the same line, or with two
// versions of it, so that what is left out before them ends at the same place.
func meets(old, fresh []string, elided bool) bool {
	if !elided {
		return len(old) > 0
	}
	if len(old) == 0 || len(fresh) == 0 {
		return false
	}
	like := func(l string) bool { return ascii.form(l) == ascii.form(fresh[0]) }
	if slices.ContainsFunc(old[1:], like) {
		return false
	}
	return like(old[0]) || dice(ascii.form(old[0]), ascii.form(fresh[0])) >= alike
}

// shrinks says whether lines go and nothing comes in their place. Beside what is
// left out they may as well be part of it.
func shrinks(old, fresh []string) bool {
	gone, came := false, false
	for _, s := range script(old, fresh) {
		switch {
		case s.replace < 0:
			gone = true
		case s.search < 0:
			came = true
		case gone && !came:
			return true
		default:
			gone, came = false, false
		}
	}
	return gone && !came
}

func reversed(lines []string) []string {
	out := slices.Clone(lines)
	slices.Reverse(out)
	return out
}

// elidedReplace resolves elisions in REPLACE by the search text, which is in
// full: one stands for the lines between its neighbours, if those are lines of
// the search text, each once, and in this order.
func elidedReplace(b block, c change, f *file) ([]change, *experiment.Failure) {
	real := f.lines[c.place.from:c.place.to]
	var out []string
	only, low := onlyLines(c.search), 0
	for rest, i := c.replace, 0; ; i++ {
		n := novel(rest, real)
		if n < 0 && (i == 0 || !shrinks(c.search, append(out, rest...))) {
			c.replace = append(out, rest...)
			return []change{c}, nil
		}
		if n < 0 {
			return nil, refuse("%s (%s): its REPLACE part leaves code out, and has fewer lines than SEARCH elsewhere, so it is not clear which lines stay. Write the new lines in full.", b.name, f.path)
		}
		from, okFrom := -1, false
		to, okTo := -1, false
		if n > 0 && n+1 < len(rest) {
			from, okFrom = only[strings.TrimRight(rest[n-1], blank)]
			to, okTo = only[strings.TrimRight(rest[n+1], blank)]
		}
		if !okFrom || !okTo || from < low || to <= from+1 || i == maxBlocks {
			return nil, refuse("%s (%s): its REPLACE part leaves code out (%q), and it is not clear which lines stay. Write the new lines in full; nothing is filled in.", b.name, f.path, clip(strings.TrimSpace(rest[n]), maxWidth))
		}
		out = append(append(out, rest[:n]...), c.search[from+1:to]...)
		rest, low = rest[n+1:], to
	}
}

// onlyLines says where the lines stand that stand there once.
func onlyLines(lines []string) map[string]int {
	out, count := map[string]int{}, map[string]int{}
	for i, l := range lines {
		l = strings.TrimRight(l, blank)
		if count[l]++; count[l] > 1 || l == "" {
			delete(out, l)
		} else {
			out[l] = i
		}
	}
	return out
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
