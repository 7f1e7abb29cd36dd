package activities

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/dataset"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// PrepareCorpus makes the corpus that a campaign with these settings would be
// trained on, from the checkout as it is committed, and downloads what that
// takes. It may be called beside a worker of the same home. What is being done
// goes to report. A data set that cannot be used is a *dataset.Error.
func PrepareCorpus(ctx context.Context, r *Research, s experiment.Settings, report func(line string)) (target.Corpus, error) {
	s = s.WithDefaults()
	t, err := r.Targets(s.Target)
	if err != nil {
		return target.Corpus{}, err
	}
	checkout, err := r.checkout(ctx)
	if err != nil {
		return target.Corpus{}, err
	}
	report("looking at the data set and building the evaluator")
	commit, err := checkout.ImportHead(ctx)
	if err != nil {
		return target.Corpus{}, err
	}
	source, err := r.source(ctx, t, commit)
	if err != nil {
		return target.Corpus{}, err
	}
	return r.makeCorpus(ctx, t, source, s, true, report)
}

// makeData makes the corpus of a new campaign. It downloads nothing: that takes
// long and needs somebody who sees how far it is.
func (r *Research) makeData(ctx context.Context, t target.Target, evaluator string, s experiment.Settings) (string, error) {
	c, err := r.makeCorpus(ctx, t, evaluator, s, false, nil)
	var unusable *dataset.Error
	if errors.As(err, &unusable) && !isDiskFull(err) {
		hint := strings.ReplaceAll(unusable.Hint(), "autoresearch prepare", "autoresearch prepare --home "+string(r.Home))
		return "", refuse(ErrDataset, "%w; %s", err, hint)
	}
	if err != nil {
		return "", fmt.Errorf("preparing the data of target %s: %w", t.Name(), err)
	}
	// What it is made from (the Go installation, a user's files) may change while
	// the campaign runs.
	return c.Fingerprint, pinData(ctx, r.Home, r.Store, c.Fingerprint)
}

// sameData refuses to begin a campaign whose ledger has results that were
// measured on other data: the record of what it was has been lost.
func (r *Research) sameData(ctx context.Context, c experiment.Campaign) error {
	results, err := r.Ledger.Results(ctx, c.Tag())
	if err != nil {
		return err
	}
	for _, result := range results {
		if result.Data != "" && result.Data != c.Data {
			return refuse(ErrLedger, "experiment %d of campaign %s was measured on the data %s, and %s is lost: now it would be %s, and the two cannot be compared; restore it from a copy, or choose another tag",
				result.Experiment, c.Tag(), short(result.Data), experiment.CampaignKey(c.Tag(), campaignFile), short(c.Data))
		}
	}
	return nil
}

func (r *Research) makeCorpus(ctx context.Context, t target.Target, evaluator string, s experiment.Settings, fetch bool, report func(string)) (target.Corpus, error) {
	set, err := experiment.ParseDataset(s.Dataset)
	if err != nil {
		return target.Corpus{}, refuse(ErrInvalidSettings, "%w", err)
	}
	if set.Name != experiment.GoSource { // before anything is built
		source, err := dataset.Find(set, dataset.Options{Cache: r.Home.Downloads(), Fetch: fetch})
		if err == nil {
			err = source.Look(ctx)
		}
		if err != nil {
			return target.Corpus{}, err
		}
	}
	program, err := r.evaluator(ctx, t, evaluator)
	if err != nil {
		return target.Corpus{}, err
	}
	dir := filepath.Dir(r.Home.Data("x"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return target.Corpus{}, fmt.Errorf("making the data directory: %w", err)
	}
	log, err := os.Create(filepath.Join(dir, ".data.log"))
	if err != nil {
		return target.Corpus{}, fmt.Errorf("opening the log of the data set: %w", err)
	}
	defer log.Close()
	return t.Data(ctx, target.DataSpec{
		Evaluator: program, Dir: dir, Downloads: r.Home.Downloads(), Dataset: set, Vocab: s.Tokens(), Fetch: fetch, Report: report, Log: log,
	})
}
