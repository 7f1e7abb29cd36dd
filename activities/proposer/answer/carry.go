package answer

import "strings"

// change is a block as it was read, and the place that was found for it.
type change struct {
	search, replace []string
	place           place
}

// carried makes the change on the real lines at its place: what SEARCH and
// REPLACE have in common keeps its real text, what is only in SEARCH goes, and
// what is only in REPLACE comes, in the file's indentation. Real lines that
// SEARCH leaves out stay. Not ok: it cannot be done without a guess.
func (f *file) carried(c change) (lines []string, ok bool) {
	real := f.lines[c.place.from:c.place.to]
	if c.place.level == inLine {
		return f.carriedInLine(c, real[0])
	}
	search, replace := c.search, c.replace
	if c.place.level > exact {
		var front, back int
		search, front, back = trim(c.search)
		replace = trimLike(c.replace, front, back)
	}
	pairs := c.place.pairs
	if pairs == nil {
		pairs = oneToOne(len(search))
	}
	indent, these := shiftOf(paired(search, real, pairs)), substituted(search, real)
	shown := 0                       // real lines up to here are dealt with
	inserted, hidden := false, false // since the last line that stays: new lines; real ones that the answer does not show
	upTo := func(n int) {
		if shown < n {
			lines, hidden, shown = append(lines, real[shown:n]...), true, n
		}
	}
	for _, op := range script(search, replace) {
		at := -1
		if op.search >= 0 {
			if at = pairs[op.search]; at >= 0 {
				upTo(at)
				shown = at + 1
			}
		}
		switch {
		case op.search < 0:
			inserted = true
			lines = append(lines, indent.line(toASCII(replace[op.replace], these), op.replace == 0))
		case at < 0: // a comment or blank line that the file does not have
		case op.replace < 0 && ascii.form(real[at]) != ascii.form(search[op.search]):
			return nil, false // it would remove a line that the answer does not show
		case op.replace >= 0 && inserted && hidden:
			return nil, false // the new lines may belong before or behind hidden ones
		case op.replace >= 0:
			lines = append(lines, real[at])
			inserted, hidden = false, false
		}
	}
	upTo(len(real))
	return lines, !inserted || !hidden
}

// carriedInLine replaces a part of one line by a part of one line.
func (f *file) carriedInLine(c change, real string) ([]string, bool) {
	replace, _, _ := trim(c.replace)
	if len(replace) != 1 {
		return nil, false
	}
	part := strings.Trim(replace[0], blank)
	search, _, _ := trim(c.search)
	old, okOld := wishOf(search[0])
	if w, ok := wishOf(part); ok && okOld && w.name == old.name { // the literal alone: the columns and the comment stay
		if at := strings.LastIndex(real[c.place.start:c.place.end], old.value); at >= 0 {
			at += c.place.start
			return []string{real[:at] + w.value + real[at+len(old.value):]}, true
		}
	}
	return []string{real[:c.place.start] + part + real[c.place.end:]}, true
}

func oneToOne(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// paired lists the search lines that have a real line, and these.
func paired(search, real []string, pairs []int) (a, b []string) {
	for i, at := range pairs {
		if at >= 0 {
			a, b = append(a, search[i]), append(b, real[at])
		}
	}
	return a, b
}

// step is one step of an edit script: a line that both sides have, or a line of
// one side; the other is -1.
type step struct{ search, replace int }

// maxTable bounds the table of the longest common subsequence.
const maxTable = 250_000

// script returns the steps from the search to the replacement, by a longest
// common subsequence of their lines. Beyond maxTable only what they begin and
// end with is common.
func script(search, replace []string) []step {
	same := func(i, j int) bool {
		return strings.TrimRight(search[i], blank) == strings.TrimRight(replace[j], blank)
	}
	var out []step
	n, m, i := len(search), len(replace), 0
	for ; i < n && i < m && same(i, i); i++ {
		out = append(out, step{i, i})
	}
	tail := 0
	for ; n-tail > i && m-tail > i && same(n-tail-1, m-tail-1); tail++ {
	}
	out = append(out, middle(i, n-tail, m-tail, same)...)
	for k := tail; k > 0; k-- {
		out = append(out, step{n - k, m - k})
	}
	return out
}

func middle(low, n, m int, same func(i, j int) bool) []step {
	rows, cols := n-low, m-low
	var out []step
	var table [][]int32 // table[i][j]: common lines from low+i and low+j on
	if rows*cols <= maxTable {
		table = make([][]int32, rows+1)
		for i := range table {
			table[i] = make([]int32, cols+1)
		}
		for i := rows - 1; i >= 0; i-- {
			for j := cols - 1; j >= 0; j-- {
				if table[i][j] = max(table[i+1][j], table[i][j+1]); same(low+i, low+j) {
					table[i][j] = table[i+1][j+1] + 1
				}
			}
		}
	}
	i, j := 0, 0
	for i < rows || j < cols {
		switch {
		case table != nil && i < rows && j < cols && same(low+i, low+j):
			out = append(out, step{low + i, low + j})
			i, j = i+1, j+1
		case i < rows && (j == cols || table == nil || table[i+1][j] >= table[i][j+1]):
			out = append(out, step{low + i, -1})
			i++
		default:
			out = append(out, step{-1, low + j})
			j++
		}
	}
	return out
}
