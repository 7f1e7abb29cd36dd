// Package answer reads what language models answer as exact edits.
//
// [Parse] takes an answer, [Diff] a unified diff. Both are pure functions: no
// clock, no file, no network. What comes out is exact in the sense of
// [experiment.Edit]: every Search stands once in its file at the moment it is
// applied, after the edits before it, or it is empty and Replace is the whole
// file. What cannot be read that way is a Failure with reason invalid-edit. Its
// message goes back to the model: which block, why, the nearest real lines with
// their numbers, and what to do.
//
// # What is asked for
//
//	Title: one line
//	Hypothesis: a sentence or two
//	Expected: what should be seen (optional)
//
//	trainer/train.go
//	<<<<<<< SEARCH
//	old lines
//	=======
//	new lines
//	>>>>>>> REPLACE
//
// or the whole file in one code fence. Unified diffs, lists of NAME = value for
// tunable constants, and JSON with edits are understood as well.
//
// # Rules
//
// Tolerant about form, never about meaning: whatever is read from an answer, it
// has exactly one reading, or it is refused.
//
//  1. A line of the file is removed only if the answer shows it: in SEARCH, and
//     not in REPLACE. Lines that are in both keep their real text, so a copy
//     with other white space or quotes changes nothing but what was meant.
//  2. The search text is looked for in ever looser ways: the same lines; but for
//     white space at their ends; but for indentation, if all lines are shifted
//     alike; but for runs of white space; but for typography; a part of one
//     line; by its first and last line, if most between is the same. The first
//     way that finds anything decides: one place is the place, two are a
//     failure, and no reason to look on. See match.go, align.go.
//  3. What is changed must be copied right; what stays may be misremembered, or
//     forgotten, as long as it is clear where new lines go. See carry.go.
//  4. Blocks are applied in order. A block must be unique in the parent's file
//     too, unless it needs what an earlier block wrote; so two blocks about
//     the same lines are a failure, but for a literal repetition.
//  5. A line that stands for code left out ("// ... existing code ...") is
//     resolved when SEARCH and REPLACE have it at the same places and go on
//     alike on both sides of it, else refused. A whole file must look whole. See
//     elision.go, whole.go.
//  6. Two ways to say it in one answer (blocks and a whole file) are accepted
//     only if they come to the same file; proposals to choose from (options A
//     and B) are not.
//  7. Characters of typography count as ASCII in the search. In the
//     replacement they become ASCII only if the search text shows the same
//     substitution: typography where the real lines have none of its kind.
//     Otherwise they stay, and the compiler has its say.
//  8. Reasoning is dropped before anything is read: blocks in it are drafts.
//
// # Cost
//
// All work is linear in the answer and the files, times a bounded number of
// blocks and ways; see BenchmarkHostile. Messages and headers are bounded.
package answer

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// Limits of an answer, and of what is said about it.
const (
	maxAnswer   = 256 << 10 // bytes
	maxBlocks   = 64        // one atomic change needs a handful
	maxFile     = 1 << 20   // bytes of a file; the caller's limit is lower
	maxMessage  = 4000      // bytes of a failure
	maxFailures = 3         // blocks that one failure reports
)

// Answer is what was read. Title is never empty; there is either a Failure or at
// least one edit.
type Answer struct {
	Title, Hypothesis, Expected string
	Edits                       []experiment.Edit
	Failure                     *experiment.Failure
}

// Parse reads an answer against the editable files of the parent, by slash path.
func Parse(text string, files map[string][]byte) Answer {
	text, failure := said(text)
	var a Answer
	if failure == nil {
		p := read(text)
		a = p.header()
		a.Edits, a.Failure = p.edits(files)
		if p.settings && p.guessed { // a sentence says less than NAME = value
			a.Title = titleOf(a.Edits)
		}
	} else {
		a.Failure = failure
	}
	if a.Failure != nil {
		a.Edits = nil
	}
	if a.Title == "" {
		a.Title = titleOf(a.Edits)
	}
	return a
}

// Diff reads a unified diff as edits.
func Diff(text string, files map[string][]byte) ([]experiment.Edit, *experiment.Failure) {
	text, failure := plain(text)
	if failure != nil {
		return nil, failure
	}
	hunks, failure := parseDiff(strings.Split(text, "\n"))
	if failure != nil {
		return nil, failure
	}
	return apply(hunks, files)
}

const askBlocks = "Answer with SEARCH/REPLACE blocks whose SEARCH part is copied from the file as it stands, or with the whole file in one code fence."

// edits reads the page in the one form that it has. The forms are tried from the
// most to the least explicit.
func (p *page) edits(files map[string][]byte) ([]experiment.Edit, *experiment.Failure) {
	switch {
	case len(files) == 0:
		return nil, refuse("no file may be edited")
	case p.failure != nil:
		return nil, p.failure
	case p.object != nil:
		return p.object.edits(files)
	}
	if failure := p.alternatives(); failure != nil {
		return nil, failure
	}
	forms := p.forms(files)
	switch len(forms) {
	case 0:
		return nil, p.nothing(files)
	case 1:
		return forms[0].edits, forms[0].failure
	}
	return agree(forms, files)
}

// form is one way in which an answer says what to change.
type form struct {
	name    string
	edits   []experiment.Edit
	failure *experiment.Failure
}

func (p *page) forms(files map[string][]byte) []form {
	var out []form
	add := func(name string, edits []experiment.Edit, failure *experiment.Failure) {
		out = append(out, form{name, edits, failure})
	}
	if len(p.blocks) > 0 {
		edits, failure := apply(p.blocks, files)
		add("SEARCH/REPLACE blocks", edits, failure)
	}
	if lines := p.diffLines(); len(lines) > 0 {
		hunks, failure := parseDiff(lines)
		var edits []experiment.Edit
		if failure == nil {
			edits, failure = apply(hunks, files)
		}
		add("a diff", edits, failure)
	}
	if fences := p.wholeFences(files); len(fences) > 0 {
		edits, failure := p.wholeFiles(fences, files)
		if failure == nil || len(out) == 0 { // beside edits, an abridged file is an illustration
			add("the whole file", edits, failure)
		}
	}
	if len(out) > 0 {
		return out
	}
	if edits, failure := p.constants(files); len(edits) > 0 || failure != nil {
		p.settings = len(edits) > 0
		add("a list of constants", edits, failure)
	} else if edits, failure, ok := p.bareFile(files); ok {
		add("the whole file", edits, failure)
	}
	return out
}

// agree returns the first of several forms if all come to the same files.
func agree(forms []form, files map[string][]byte) ([]experiment.Edit, *experiment.Failure) {
	var names []string
	same := true
	first := results(forms[0].edits, files)
	for _, f := range forms {
		names = append(names, f.name)
		same = same && f.failure == nil && maps.Equal(first, results(f.edits, files))
	}
	if same {
		return forms[0].edits, nil
	}
	return nil, refuse("the answer says the change in several ways that do not come to the same file: %s. Answer with one of them.", strings.Join(names, " and "))
}

func editable(files map[string][]byte) []string { return slices.Sorted(maps.Keys(files)) }

func refuse(format string, args ...any) *experiment.Failure {
	return &experiment.Failure{Reason: experiment.InvalidEdit, Message: clip(strings.ToValidUTF8(fmt.Sprintf(format, args...), "?"), maxMessage)}
}

// clip cuts a text to at most n bytes, between characters.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n-len("…")], "") + "…"
}
