package activities

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// A check trains the candidate of an earlier experiment again (experiment.Check).
// It has a number of its own, and so a seed that nothing was selected by.

// checkFile says that a number is a check's, and which. It is written first, so a
// campaign that comes back knows by it what its open numbers are. Such a number
// is never given to a proposal, which would take the check's run for its own.
const checkFile = "check.json"

// subjectOf finds the result that a check is about. What it names may come from
// a workflow's input, so it is held against the ledger.
func subjectOf(c experiment.Check, number int, results []experiment.Result) (experiment.Result, error) {
	at := slices.IndexFunc(results, func(r experiment.Result) bool { return r.Experiment == c.Of })
	switch {
	case at < 0 || c.Of == number:
		return experiment.Result{}, refuse(ErrInvalidInput, "experiment %d is to measure experiment %d again, which is not decided", number, c.Of)
	case results[at].Check != nil:
		return experiment.Result{}, refuse(ErrInvalidInput, "experiment %d is to measure experiment %d again, which is such a check itself: name the one it measured, %d",
			number, c.Of, results[at].Check.Of)
	case c.Commit == "" || results[at].Commit != c.Commit:
		return experiment.Result{}, refuse(ErrInvalidInput, "experiment %d is to measure commit %q as that of experiment %d, whose commit is %q",
			number, experiment.ShortCommit(c.Commit), c.Of, experiment.ShortCommit(results[at].Commit))
	}
	return results[at], nil
}

// checked is what Apply found when it made the candidate that is measured
// again: the same sources, and the same proof that its graph is causal. It is
// nil where that is lost, and then the candidate is built and tried once more.
func (a *application) checked(ctx context.Context) (*ApplyResult, error) {
	check, tag := *a.in.Check, a.in.Campaign.Tag()
	results, err := a.Ledger.Results(ctx, tag)
	if err != nil {
		return nil, err
	}
	was, err := subjectOf(check, a.in.Number, results)
	if err == nil {
		err = a.noteCheck(ctx)
	}
	if err != nil {
		return nil, err
	}
	a.result.Commit, a.result.SyntaxTokens = was.Commit, was.SyntaxTokens
	dir := experiment.Key(tag, check.Of, "")
	keys, err := a.Store.List(ctx, dir)
	if err != nil {
		return nil, err
	}
	for _, key := range slices.Backward(keys) { // the last revision is what was trained
		var r ApplyResult
		if _, _, ok := parseRound(applyKind, strings.TrimPrefix(key, dir)); !ok {
			continue
		}
		if _, err := readJSON(ctx, a.Store, key, &r); err != nil {
			return nil, err
		}
		if r.Failure == nil && r.Commit == was.Commit && r.Source != "" {
			return &r, nil
		}
	}
	return nil, nil
}

// noteCheck writes checkFile. A number has one check, whatever happens.
func (a *application) noteCheck(ctx context.Context) error {
	noted, key := *a.in.Check, experiment.Key(a.in.Campaign.Tag(), a.in.Number, checkFile)
	if err := putOnceJSON(ctx, a.Store, key, &noted); err != nil {
		return err
	}
	if !noted.Same(*a.in.Check) || noted.Commit != a.in.Check.Commit {
		return refuse(ErrInvalidInput, "experiment %d is %s already, says %s, and not %s", a.in.Number, noted.Title(), key, a.in.Check.Title())
	}
	return nil
}

// remeasure makes the candidate of a check: the commit as it stands.
func (a *application) remeasure(ctx context.Context) error {
	was, err := a.checked(ctx)
	if err != nil {
		return err
	}
	switch {
	case was == nil:
		return a.make(ctx)
	case !a.Repo.Has(ctx, a.result.Commit): // the home lost its repository; the store has all that is needed
		a.result = *was
		return nil
	}
	if err := a.commit(ctx, nil, ""); err != nil {
		return err
	}
	if a.result.Source, err = a.source(ctx, a.t, a.result.Commit); err != nil {
		return fmt.Errorf("packing experiment %d again: %w", a.in.Check.Of, err)
	}
	a.result.SyntaxTokens, a.result.GraphDigest = was.SyntaxTokens, was.GraphDigest
	return nil
}
