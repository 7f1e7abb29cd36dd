package answer

import "strings"

const (
	minAligned = 4   // lines of a search text that can be aligned
	alike      = 0.5 // of two lines, to be taken for each other
	faithful   = 0.8 // of a whole search text to the real lines
)

// align finds a search text whose first and last line each stand once in the
// file, with about as many lines between them, most of them the same. A line of
// context may be misremembered: see carried for why that is safe.
func (f *file) align(search []string) (place, bool) {
	search, _, _ = trim(search)
	if len(search) < minAligned {
		return place{}, false
	}
	from, to := f.standsOnce(search[0]), f.standsOnce(last(search))+1
	n := to - from
	if from < 0 || to <= from || abs(n-len(search)) > max(1, len(search)/5) || n*len(search) > maxTable {
		return place{}, false
	}
	real := f.lines[from:to]
	a, b := formsOf(search), formsOf(real)
	pairs := make([]int, len(search))
	likeness := 0.0
	var gap, realGap []int
	close := func() bool {
		sum, ok := pairGap(gap, realGap, a, b, pairs)
		likeness, gap, realGap = likeness+sum, nil, nil
		return ok
	}
	for _, s := range script(a, b) {
		switch {
		case s.replace < 0:
			gap = append(gap, s.search)
		case s.search < 0:
			realGap = append(realGap, s.replace)
		default:
			if !close() {
				return place{}, false
			}
			pairs[s.search] = s.replace
			likeness++
		}
	}
	if !close() || likeness < faithful*float64(len(search)) {
		return place{}, false
	}
	p := place{level: anchors, from: from, to: to, pairs: pairs}
	return p, shiftOf(paired(search, real, pairs)).fits(anchors, f.path)
}

// pairGap pairs the lines between two that are the same: one by one if there
// are as many, else only blank lines and comments may be too many.
func pairGap(gap, realGap []int, a, b []string, pairs []int) (likeness float64, ok bool) {
	if len(gap) == len(realGap) {
		for i := range gap {
			score := dice(a[gap[i]], b[realGap[i]])
			if score < alike {
				return 0, false
			}
			pairs[gap[i]] = realGap[i]
			likeness += score
		}
		return likeness, true
	}
	for _, i := range gap {
		if !idle(a[i]) {
			return 0, false
		}
		pairs[i] = -1
	}
	return float64(len(gap)) * alike, true
}

// idle says whether a line does nothing: it is blank or a comment.
func idle(line string) bool {
	line = strings.Trim(line, blank)
	return line == "" || strings.HasPrefix(line, "//") || strings.HasPrefix(line, "#")
}

// standsOnce returns the only line with this text, or a negative number.
func (f *file) standsOnce(line string) int {
	if f.where == nil {
		f.where = map[string][]int{}
		for i, l := range f.lines {
			if form := ascii.form(l); len(f.where[form]) < 2 {
				f.where[form] = append(f.where[form], i)
			}
		}
	}
	if at := f.where[ascii.form(line)]; len(at) == 1 {
		return at[0]
	}
	return -len(f.lines) - 2
}

func formsOf(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = ascii.form(l)
	}
	return out
}

// dice is the likeness of two lines by their pairs of bytes, from 0 to 1 (Dice,
// Ecology 1945). Only the start of long lines counts.
func dice(a, b string) float64 {
	a, b = a[:min(len(a), 200)], b[:min(len(b), 200)]
	if len(a) < 2 || len(b) < 2 {
		if a == b {
			return 1
		}
		return 0
	}
	count := map[string]int{}
	for i := range len(a) - 1 {
		count[a[i:i+2]]++
	}
	common := 0
	for i := range len(b) - 1 {
		if count[b[i:i+2]] > 0 {
			count[b[i:i+2]]--
			common++
		}
	}
	return 2 * float64(common) / float64(len(a)+len(b)-2)
}

func abs(n int) int { return max(n, -n) }
