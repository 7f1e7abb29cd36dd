package answer

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// readings are the ways to read a block, the plain one first. The others undo
// what happens to code on its way through a chat, one upon the other; each needs
// its traces in the search text.
func readings(b block) []change {
	c := change{search: b.search, replace: b.replace}
	out := []change{c}
	if joined := strings.Join(c.search, "\n"); unescapeHTML(joined) != joined {
		c = change{search: each(c.search, unescapeHTML), replace: each(c.replace, unescapeHTML)}
		out = append(out, c)
	}
	if search, ok := unnumbered(c.search); ok {
		replace, ok := unnumbered(c.replace)
		if !ok {
			replace = c.replace
		}
		if ok || !slices.ContainsFunc(c.replace, numbered.MatchString) {
			c = change{search: search, replace: replace}
			out = append(out, c)
		}
	}
	if search, ok := unprefixed(c.search, "-"); ok {
		if replace, ok := unprefixed(c.replace, "+"); ok {
			out = append(out, change{search: search, replace: replace})
		}
	}
	return out
}

func itoa(n int) string { return strconv.Itoa(n) }

func each(lines []string, f func(string) string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = f(l)
	}
	return out
}

var numbered = regexp.MustCompile(`^\s*(\d{1,6})(?:[:|│→] ?|\t)(.*)$`)

// unnumbered takes line numbers away, if all lines have one and they count up
// by one. A blank line may have lost its number.
func unnumbered(lines []string) ([]string, bool) {
	out := make([]string, len(lines))
	count, want := 0, 0
	for i, line := range lines {
		m := numbered.FindStringSubmatch(line)
		if m == nil {
			if strings.Trim(line, blank) != "" {
				return nil, false
			}
			want++
			continue
		}
		n, _ := strconv.Atoi(m[1])
		if count > 0 && n != want {
			return nil, false
		}
		count, want = count+1, n+1
		out[i] = m[2]
	}
	return out, count > 0
}

// unprefixed takes the sign of a diff away, if all lines have it.
func unprefixed(lines []string, sign string) ([]string, bool) {
	out := make([]string, len(lines))
	any := false
	for i, line := range lines {
		rest, ok := strings.CutPrefix(line, sign)
		if !ok && strings.Trim(line, blank) != "" {
			return nil, false
		}
		any = any || ok
		out[i] = rest
	}
	return out, any
}
