package activities

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/repo"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// change is a proposal that is to be carried over to another parent: the
// editable files that it was made from, and what it made of them.
type change struct {
	storedProposal
	base, theirs map[string][]byte
	failure      *experiment.Failure // why there is nothing to carry over
}

// carry carries an earlier proposal of the experiment over to its parent, or
// the idea that a person sent. Without one to carry, first is the proposer who
// is asked anew, if there was one.
func (q *question) carry(ctx context.Context) (carried *storedProposal, first string, err error) {
	c, err := q.earlier(ctx)
	if err != nil || c == nil {
		return nil, "", err
	}
	if c.Proposer != experiment.Person {
		who, err := q.proposer(c.Proposer)
		if err != nil || renews(who) {
			return nil, c.Proposer, err
		}
	}
	p, err := q.rebase(ctx, c)
	if err != nil {
		return nil, "", err
	}
	if p.Failure != nil && p.Proposer != experiment.Person {
		return nil, p.Proposer, nil
	}
	return p, "", nil // nobody can be asked for a person's idea: its failure stands
}

// earlier finds the idea of a person, or the newest proposal of an earlier
// revision. There may be none: the experiment was never proposed.
func (q *question) earlier(ctx context.Context) (*change, error) {
	tag, n := q.in.Campaign.Tag(), q.in.Number
	if q.in.Idea != "" {
		idea, err := q.idea(ctx, tag, q.in.Idea)
		if err != nil {
			return nil, err
		}
		c := &change{storedProposal: storedProposal{Proposal: idea, Program: q.program}}
		return c, q.load(ctx, c, ApplyResult{})
	}
	if q.in.Revision == 0 {
		return nil, nil
	}
	revision, round, err := q.newest(ctx, tag, n)
	if err != nil || revision < 0 {
		return nil, err
	}
	c := &change{}
	if _, err := readJSON(ctx, q.Store, proposalKey(tag, n, revision, round), &c.storedProposal); err != nil {
		return nil, err
	}
	var applied ApplyResult
	if _, err := readJSON(ctx, q.Store, applyKey(tag, n, revision, round), &applied); err != nil {
		return nil, err
	}
	return c, q.load(ctx, c, applied)
}

// load reads the files of a change: of its candidate, or of what its edits give
// when they were not applied yet.
func (q *question) load(ctx context.Context, c *change, applied ApplyResult) (err error) {
	if c.failure = c.Failure; c.failure == nil {
		c.failure = applied.Failure
	}
	if c.failure != nil {
		return nil
	}
	c.base, err = q.files(ctx, c.Parent)
	switch {
	case err != nil:
	case applied.Commit != "":
		c.theirs, err = q.files(ctx, applied.Commit)
	default:
		c.theirs, c.failure = editFiles(q.t, c.base, c.Edits)
	}
	if errors.Is(err, proposer.ErrLost) {
		c.failure, err = invalidEdit("what it was made from is no longer in the home: %v", err), nil
	}
	return err
}

// rebase makes the same change on the parent of the question, by a three-way
// merge of each editable file. It costs nothing. What cannot be carried over
// has a Failure.
func (q *question) rebase(ctx context.Context, c *change) (*storedProposal, error) {
	p := c.storedProposal
	p.Rebased = p.Parent != q.in.Parent.Commit || q.in.Revision > 0
	p.Parent, p.Of, p.Spent, p.Failure = q.in.Parent.Commit, q.in.Parent.Experiment, experiment.Spent{}, c.failure
	if p.Failure != nil || c.Parent == p.Parent {
		return &p, nil
	}
	ours, err := q.files(ctx, p.Parent)
	if err != nil {
		return nil, fmt.Errorf("reading the parent's files: %w", err)
	}
	merged, where, err := q.merge(ctx, ours, c)
	if err != nil {
		return nil, err
	}
	if own, edits := q.repeat(ours, c.Edits); own != nil && (where != "" || q.alike(own, merged)) {
		merged, where, p.Edits = own, "", edits
	} else {
		p.Edits = proposer.EditsBetween(ours, merged)
	}
	switch {
	case where != "":
		p.Failure = invalidEdit("the change conflicts with %s, %s", q.rival(), where)
	case maps.EqualFunc(merged, ours, bytes.Equal):
		p.Failure = &experiment.Failure{Reason: experiment.Duplicate, Message: "nothing is left of the change: it is the same as " + q.rival()}
	}
	return &p, nil
}

// rival names the parent that a change does not fit to.
func (q *question) rival() string {
	if q.in.Parent.Runs == 0 {
		return fmt.Sprintf("experiment %d, which is still being measured", q.in.Parent.Experiment)
	}
	return fmt.Sprintf("experiment %d, which was kept meanwhile", q.in.Parent.Experiment)
}

// merge merges all files; where says where that is not possible.
func (q *question) merge(ctx context.Context, ours map[string][]byte, c *change) (merged map[string][]byte, where string, err error) {
	merged = map[string][]byte{}
	for _, path := range slices.Sorted(maps.Keys(ours)) {
		text, conflicts, err := q.Repo.Merge(ctx, ours[path], c.base[path], c.theirs[path])
		if err != nil {
			return nil, "", err
		}
		if len(conflicts) > 0 && where == "" {
			where = place(path, string(ours[path]), conflicts[0])
		}
		merged[path] = text
	}
	return merged, where, nil
}

// repeat makes the proposal's own edits again. Git calls changes of neighbouring
// lines a conflict, and tunable constants are neighbours, which the formatter
// even realigns for one another. If each text that the proposal searches for
// still stands there once, white space apart, the proposal means what it meant
// before; and in its own words it can be carried on to the next parent, too. It
// returns nil where that is not so.
func (q *question) repeat(ours map[string][]byte, edits []experiment.Edit) (map[string][]byte, []experiment.Edit) {
	files, edits := ours, slices.Clone(edits)
	for i := range edits {
		e := &edits[i]
		if e.Search == "" {
			return nil, nil
		}
		e.Search = realLines(string(files[e.Path]), e.Search)
		next, failure := proposer.ApplyEdits(files, edits[i:i+1])
		if failure != nil {
			return nil, nil
		}
		files = next
	}
	return files, edits
}

// alike compares files in the target's normal form.
func (q *question) alike(a, b map[string][]byte) bool {
	for path := range a {
		x, failX := q.t.Format(path, a[path])
		y, failY := q.t.Format(path, b[path])
		if failX != nil || failY != nil || !bytes.Equal(x, y) {
			return false
		}
	}
	return true
}

// realLines returns the lines of text that are those of search but for white
// space, if there is one such place, and search itself otherwise.
func realLines(text, search string) string {
	if strings.Count(text, search) == 1 {
		return search
	}
	search, ended := strings.CutSuffix(search, "\n")
	lines, want := strings.Split(text, "\n"), strings.Split(search, "\n")
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	end := map[bool]string{true: "\n"}[ended]
	found := search + end
	for at, places := 0, 0; at+len(want) <= len(lines); at++ {
		if slices.EqualFunc(lines[at:at+len(want)], want, func(a, b string) bool { return squeeze(a) == squeeze(b) }) {
			if places++; places > 1 {
				return search + end
			}
			found = strings.Join(lines[at:at+len(want)], "\n") + end
		}
	}
	return found
}

// place shows a conflict: where it is in the parent's file, and both sides.
func place(path, ours string, c repo.Conflict) string {
	where := "in " + path
	if at := strings.Index(ours, c.Ours); c.Ours != "" && at >= 0 {
		where = fmt.Sprintf("at line %d of %s", 1+strings.Count(ours[:at], "\n"), path)
	}
	return fmt.Sprintf("%s. There stands:\n%sWhere the change has:\n%s", where, side(c.Ours), side(c.Theirs))
}

// side is one side of a conflict, with its end cut off if it is long.
func side(text string) string {
	switch {
	case text == "":
		return "(nothing)\n"
	case !strings.HasSuffix(text, "\n"):
		text += "\n"
	}
	const most = 10
	if lines := strings.SplitAfter(text, "\n"); len(lines) > most+1 {
		return strings.Join(lines[:most], "") + "...\n"
	}
	return text
}
