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

// run takes every step in order; each may be repeated.
func (a *application) run(ctx context.Context) error {
	files, message, err := a.edited(ctx)
	if err != nil {
		return err
	}
	if err := a.unique(ctx, files); err != nil {
		return err
	}
	if err := a.commit(ctx, files, message); err != nil {
		return err
	}
	source, err := a.source(ctx, a.t, a.result.Commit)
	if err != nil {
		return err
	}
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
// normal form, and the commit message. The baseline is checked as it stands.
func (a *application) edited(ctx context.Context) (files map[string][]byte, message string, err error) {
	parent, err := a.Repo.ReadFiles(ctx, a.in.Parent, a.t.Editable())
	if err != nil {
		return nil, "", fmt.Errorf("reading the parent's files: %w", err)
	}
	if a.in.Baseline {
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

// claim says which experiment came first with a program.
type claim struct {
	Experiment int    `json:"experiment"`
	Revision   int    `json:"revision"`
	Round      int    `json:"round"`
	Parent     string `json:"parent"`
}

// unique refuses a program that an earlier experiment of the campaign had, the
// baseline included, whatever its parent, comments and formatting. The first
// to claim a digest has it, so that experiments side by side cannot both pass.
func (a *application) unique(ctx context.Context, files map[string][]byte) error {
	digest, tokens, err := a.t.Syntax(files)
	if err != nil {
		return fmt.Errorf("reading the candidate's syntax: %w", err)
	}
	a.result.SyntaxTokens = tokens
	first := claim{a.in.Number, a.in.Revision, a.in.Round, a.in.Parent}
	if err := putOnceJSON(ctx, a.Store, experiment.CampaignKey(a.in.Campaign.Tag(), "syntax/"+digest+".json"), &first); err != nil {
		return err
	}
	if first.Experiment == a.in.Number {
		return nil
	}
	twin, known, err := a.twin(ctx, first)
	if err != nil || !known {
		return err
	}
	return breaks(&experiment.Failure{Reason: experiment.Duplicate, Message: "the same program as " + twin + "; comments and formatting do not count"})
}

// twin describes what became of the program of a claim. It is not known to be
// good or bad when our own machinery failed it: then it may be tried again.
func (a *application) twin(ctx context.Context, c claim) (text string, known bool, err error) {
	tag := a.in.Campaign.Tag()
	var applied ApplyResult
	if _, err := readJSON(ctx, a.Store, applyKey(tag, c.Experiment, c.Revision, c.Round), &applied); err != nil {
		return "", false, err
	}
	if f := applied.Failure; f != nil { // repaired since, perhaps: not what the result is about
		return fmt.Sprintf("a proposal of experiment %d that failed (%s)", c.Experiment, f.Reason), true, nil
	}
	text = fmt.Sprintf("experiment %d", c.Experiment)
	result, err := a.Ledger.Decided(ctx, tag, c.Experiment)
	switch {
	case err != nil || result == nil:
		return text, true, err
	case result.Reason == experiment.Infra:
		return "", false, nil
	case result.ValBpb == nil:
		return fmt.Sprintf("%s (%s, %s)", text, result.Verdict, result.Reason), true, nil
	}
	return fmt.Sprintf("%s (%s, %s, val_bpb %.4f)", text, result.Verdict, result.Reason, *result.ValBpb), true, nil
}

// commit makes the candidate, keeps it by its ref, and shows its patch. The
// date is the campaign's start and the number in seconds: a retry makes the
// same commit.
func (a *application) commit(ctx context.Context, files map[string][]byte, message string) (err error) {
	c := a.in.Campaign
	a.result.Commit = a.in.Parent
	if !a.in.Baseline {
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
