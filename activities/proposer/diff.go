package proposer

import (
	"maps"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// EditsBetween writes the difference between two states of the editable files
// as edits: searches of whole lines, as few as make each unique, or the whole
// new file where that is shorter. Applied to before they give after, to the byte
// but for the line ends of a file that mixes them.
func EditsBetween(before, after map[string][]byte) []experiment.Edit {
	var all []experiment.Edit
	for _, path := range slices.Sorted(maps.Keys(after)) {
		old, want := string(before[path]), string(after[path])
		if old == want {
			continue
		}
		edits := searches(path, old, want)
		size := 0
		for _, e := range edits {
			size += len(e.Search) + len(e.Replace)
		}
		if size >= len(want) || !gives(edits, old, want) {
			edits = []experiment.Edit{{Path: path, Replace: want}}
		}
		all = append(all, edits...)
	}
	return all
}

// gives checks edits by making them: what is stored must not depend on how
// well searches was thought out.
func gives(edits []experiment.Edit, old, want string) bool {
	for _, e := range edits {
		text, failure := applyEdit(e, old)
		if failure != nil || e.Search == "" {
			return false
		}
		old = text
	}
	return old == want
}

// searches makes an edit of each stretch of changed lines. They are made one
// after the other, so each must be unique in what the ones before it have left:
// the new lines above it, the old ones below.
func searches(path, old, want string) []experiment.Edit {
	a, b := strings.SplitAfter(old, "\n"), strings.SplitAfter(want, "\n")
	var edits []experiment.Edit
	for _, h := range hunks(a, b) {
		above, below := b[:h.fromB], a[h.toA:]
		now := strings.Join(above, "") + strings.Join(a[h.fromA:], "")
		for n := 0; ; n++ {
			up := strings.Join(above[len(above)-min(n, len(above)):], "")
			down := strings.Join(below[:min(n, len(below))], "")
			search := up + strings.Join(a[h.fromA:h.toA], "") + down
			if search != "" && occurrences(now, search) == 1 || n > len(above)+len(below) {
				edits = append(edits, tidy(now, experiment.Edit{Path: path, Search: search, Replace: up + strings.Join(b[h.fromB:h.toB], "") + down}))
				break
			}
		}
	}
	return edits
}

// tidy leaves out a last line end that both sides have: people read edits.
func tidy(now string, e experiment.Edit) experiment.Edit {
	search, endsA := strings.CutSuffix(e.Search, "\n")
	replace, endsB := strings.CutSuffix(e.Replace, "\n")
	if endsA && endsB && search != "" && occurrences(now, search) == 1 {
		e.Search, e.Replace = search, replace
	}
	return e
}

// hunk says that lines fromA..toA of one text are lines fromB..toB of another.
type hunk struct{ fromA, toA, fromB, toB int }

// maxTable bounds the work of hunks: two stretches of 2,000 lines that have
// nothing in common. Beyond it the whole stretch counts as changed.
const maxTable = 4 << 20

// hunks finds the changed stretches of lines, in order, by a longest common
// subsequence of what lies between the common start and the common end.
func hunks(a, b []string) []hunk {
	head := 0
	for head < min(len(a), len(b)) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < min(len(a), len(b))-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	x, y := a[head:len(a)-tail], b[head:len(b)-tail]
	if len(x)*len(y) > maxTable {
		return []hunk{{head, len(a) - tail, head, len(b) - tail}}
	}
	var out []hunk
	common := lcs(x, y)
	for i, j := 0, 0; i < len(x) || j < len(y); {
		if i < len(x) && j < len(y) && x[i] == y[j] {
			i, j = i+1, j+1
			continue
		}
		h := hunk{fromA: head + i, fromB: head + j}
		for (i < len(x) || j < len(y)) && !(i < len(x) && j < len(y) && x[i] == y[j]) {
			if j == len(y) || i < len(x) && common(i+1, j) >= common(i, j+1) {
				i++
			} else {
				j++
			}
		}
		h.toA, h.toB = head+i, head+j
		out = append(out, h)
	}
	return out
}

// lcs returns the length of the longest common subsequence of x[i:] and y[j:].
func lcs(x, y []string) func(i, j int) int32 {
	w := len(y) + 1
	table := make([]int32, (len(x)+1)*w)
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i] == y[j] {
				table[i*w+j] = table[(i+1)*w+j+1] + 1
			} else {
				table[i*w+j] = max(table[(i+1)*w+j], table[i*w+j+1])
			}
		}
	}
	return func(i, j int) int32 { return table[i*w+j] }
}
