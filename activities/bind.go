package activities

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// bind ties a decision to all that it rests on, by sha256, and to the decision
// before it. What it binds is read from the store, not from the workflow's input:
// whoever checks the ledger has nothing else. The caller holds the lock of
// decisions, so that the decision before stays the newest one.
func (r *Research) bind(ctx context.Context, in DecideInput, result *experiment.Result) error {
	head, err := r.Ledger.Head(ctx, result.Campaign)
	if err != nil {
		return err
	}
	if head.Decided != result.Sequence {
		return fmt.Errorf("decision %d of campaign %s was to be recorded while %d others were: another process decides in this home", result.Sequence, result.Campaign, head.Decided)
	}
	var c experiment.Campaign
	if _, err := readJSON(ctx, r.Store, experiment.CampaignKey(result.Campaign, campaignFile), &c); err != nil {
		return err
	}
	result.Previous, result.Evaluator = head.Digest, c.Evaluator
	names, err := r.artifacts(ctx, in)
	if err != nil {
		return err
	}
	b := binder{Research: r, tag: result.Campaign, n: result.Experiment, names: names}
	proposal := newestRound(proposalKind, names)
	revision, _, _ := parseRound(proposalKind, proposal)
	if result.Records, err = b.records(ctx, revision, len(result.Measurements)); err != nil {
		return err
	}
	if result.Source, err = b.source(ctx, revision); err != nil {
		return err
	}
	if result.Proposed, err = b.digest(ctx, proposal); err != nil {
		return err
	}
	if result.Check == nil && result.Commit != "" && result.Commit != result.Parent { // else it is that of an earlier round
		result.Patch, err = b.digest(ctx, "candidate.patch")
	}
	return err
}

// binder reads what an experiment has stored.
type binder struct {
	*Research
	tag   string
	n     int
	names []string
}

// digest is the sha256 of an artifact; "" where there is none.
func (b binder) digest(ctx context.Context, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	r, err := b.Store.Open(ctx, experiment.Key(b.tag, b.n, name))
	if errors.Is(err, artifact.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer r.Close()
	return copyDigest(io.Discard, r)
}

// records are the run records and evaluations of the runs that were measured.
// Of a run that was trained again the last record counts.
func (b binder) records(ctx context.Context, revision, runs int) (map[string]string, error) {
	all := map[string]string{}
	for k := range runs {
		for _, name := range []string{b.newestRecord(revision, k), runFile("evaluation.json", revision, k)} {
			digest, err := b.digest(ctx, name)
			if err != nil {
				return nil, err
			}
			if digest != "" {
				all[name] = digest
			}
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	return all, nil
}

// newestRecord is the name of the record of a run, or "".
func (b binder) newestRecord(revision, k int) (newest string) {
	for again := 0; slices.Contains(b.names, recordName(revision, k, again)); again++ {
		newest = recordName(revision, k, again)
	}
	return newest
}

// source is the digest of the sources that were trained; of a candidate that
// was not, those that were built.
func (b binder) source(ctx context.Context, revision int) (string, error) {
	var trained runRecord
	if name := b.newestRecord(revision, 0); name != "" {
		if _, err := readJSON(ctx, b.Store, experiment.Key(b.tag, b.n, name), &trained); err != nil || trained.Source != "" {
			return trained.Source, err
		}
	}
	var applied ApplyResult
	name := newestRound(applyKind, b.names)
	if name == "" {
		return "", nil
	}
	_, err := readJSON(ctx, b.Store, experiment.Key(b.tag, b.n, name), &applied)
	return applied.Source, err
}
