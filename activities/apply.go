package activities

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Apply turns the proposal of a round into a candidate: a commit that edits
// what it may, is no duplicate, builds, and survives a smoke run. What is wrong
// with it comes back as a Failure, in full in failure-<revision>-<round>.json.
func (r *Research) Apply(ctx context.Context, in ApplyInput) (ApplyResult, error) {
	defer keepAlive(ctx)()
	result, err := r.apply(ctx, in)
	return result, edge(err)
}

func (r *Research) apply(ctx context.Context, in ApplyInput) (ApplyResult, error) {
	var result ApplyResult
	if err := checkNumbers(in.Campaign, in.Number, in.Revision, in.Round); err != nil {
		return result, err
	}
	key := applyKey(in.Campaign.Tag(), in.Number, in.Revision, in.Round)
	if found, err := readJSON(ctx, r.Store, key, &result); found || err != nil {
		return result, err
	}
	began := time.Now()
	t, err := r.target(in.Campaign)
	if err != nil {
		return result, err
	}
	if err := r.checkSpace(candidateSpace); err != nil {
		return result, err
	}
	a := &application{Research: r, in: in, t: t}
	err = a.run(ctx)
	var b *broken
	if errors.As(err, &b) {
		// The complaint first: whoever finds the result looks for it.
		if err := putOnceJSON(ctx, r.Store, failureKey(in.Campaign.Tag(), in.Number, in.Revision, in.Round), &b.failure); err != nil {
			return result, err
		}
		a.result.Failure = &experiment.Failure{Reason: b.failure.Reason, Message: firstLines(b.failure.Message)}
	} else if err != nil {
		return result, err
	}
	result = a.result
	result.Seconds = inMillis(time.Since(began).Seconds())
	return result, putOnceJSON(ctx, r.Store, key, &result)
}

// broken carries the full complaint about a candidate out of the steps below.
// It becomes a result and never leaves Apply.
type broken struct{ failure experiment.Failure }

func (b *broken) Error() string { return string(b.failure.Reason) + ": " + b.failure.Message }

func breaks(f *experiment.Failure) error {
	if f == nil {
		return nil
	}
	return &broken{*f}
}

// application is one proposal on its way to a candidate.
type application struct {
	*Research
	in     ApplyInput
	t      target.Target
	result ApplyResult
}

func (a *application) run(ctx context.Context) error {
	if a.in.Check != nil {
		return a.remeasure(ctx)
	}
	return a.make(ctx)
}

// asItStands: there is no proposal, and the candidate is the parent.
func (in ApplyInput) asItStands() bool { return in.Baseline || in.Check != nil }

// make takes every step in order; each may be repeated.
func (a *application) make(ctx context.Context) error {
	files, message, err := a.edited(ctx)
	if err != nil {
		return err
	}
	if a.in.Check == nil { // which is the same program on purpose
		if err := a.unique(ctx, files); err != nil {
			return err
		}
	}
	if err := a.commit(ctx, files, message); err != nil {
		return err
	}
	source, err := a.source(ctx, a.t, a.result.Commit)
	if err != nil {
		return err
	}
	release, err := a.buildSlot(ctx)
	if err != nil {
		return err
	}
	defer release()
	program, err := a.build(ctx, source)
	if err != nil {
		return err
	}
	graph, err := a.smoke(ctx, program)
	if err != nil {
		return err
	}
	a.result.Source, a.result.GraphDigest = source, graph
	return nil
}

// edited returns the editable files as the proposal wants them, checked and in
// normal form, and the commit message. What has no proposal is checked as it stands.
func (a *application) edited(ctx context.Context) (files map[string][]byte, message string, err error) {
	parent, err := a.Repo.ReadFiles(ctx, a.in.Parent, a.t.Editable())
	if err != nil {
		return nil, "", fmt.Errorf("reading the parent's files: %w", err)
	}
	if a.in.asItStands() {
		for _, path := range slices.Sorted(maps.Keys(parent)) {
			if err := breaks(a.t.Guard(path, parent[path])); err != nil {
				return nil, "", err
			}
		}
		return parent, "", nil
	}
	var p storedProposal
	key := proposalKey(a.in.Campaign.Tag(), a.in.Number, a.in.Revision, a.in.Round)
	if found, err := readJSON(ctx, a.Store, key, &p); err != nil {
		return nil, "", err
	} else if !found {
		return nil, "", refuse(ErrInvalidInput, "there is no proposal %s to apply", key)
	}
	if p.Failure != nil { // the answer was no usable edit, and its proposer has said why
		return nil, "", breaks(p.Failure)
	}
	files, failure := editFiles(a.t, parent, p.Edits)
	return files, commitMessage(a.in, p.Proposal), breaks(failure)
}

func commitMessage(in ApplyInput, p experiment.Proposal) string {
	m := p.Title + "\n"
	if p.Hypothesis != "" {
		m += "\n" + p.Hypothesis + "\n"
	}
	return m + fmt.Sprintf("\nCampaign: %s\nExperiment: %d\nProposer: %s\n", in.Campaign.Tag(), in.Number, p.Proposer)
}

// commit makes the candidate, keeps it by its ref, and shows its patch. The
// date is the campaign's start and the number in seconds: a retry makes the
// same commit.
//
// An experiment has one ref, which a later revision moves. The commit that it
// leaves may be the parent of a candidate that was prepared on it; it stays,
// because nothing collects garbage in the home's repository (gc.auto is 0 there).
func (a *application) commit(ctx context.Context, files map[string][]byte, message string) (err error) {
	c := a.in.Campaign
	a.result.Commit = a.in.Parent
	if !a.in.asItStands() {
		when := c.StartedAt.Add(time.Duration(a.in.Number) * time.Second)
		if a.result.Commit, err = a.Repo.Commit(ctx, a.in.Parent, files, message, when); err != nil {
			return fmt.Errorf("committing the candidate: %w", err)
		}
		patch, err := a.Repo.Diff(ctx, a.in.Parent, a.result.Commit)
		if err != nil {
			return err
		}
		if err := a.Store.Put(ctx, experiment.Key(c.Tag(), a.in.Number, "candidate.patch"), bytes.NewReader(patch)); err != nil {
			return err
		}
	}
	_, err = a.Repo.MoveRef(ctx, experiment.CandidateRef(c.Tag(), a.in.Number), a.result.Commit)
	return err
}
