package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// ledgerOf is a reader of the home's ledger. It remembers what it has read, so
// that the live view can ask again and again.
func (a *app) ledgerOf() *ledger.Ledger {
	if a.ledger == nil {
		home := a.home()
		a.ledger = &ledger.Ledger{Home: home, Store: artifact.NewFile(home.Artifacts())}
	}
	return a.ledger
}

// recorded lists the campaigns of the ledger, the oldest first.
func (a *app) recorded(ctx context.Context) ([]experiment.Campaign, error) {
	dirs, err := os.ReadDir(a.home().Artifacts())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, homeFailure(string(a.home()), err)
	}
	var out []experiment.Campaign
	for _, d := range dirs {
		if experiment.ValidateTag(d.Name()) != nil {
			continue
		}
		c, ok, err := a.campaign(ctx, d.Name())
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(x, y experiment.Campaign) int { return x.StartedAt.Compare(y.StartedAt) })
	return out, nil
}

// campaign is what a campaign was started with; ok is false when the ledger
// has none with this tag.
func (a *app) campaign(ctx context.Context, tag string) (c experiment.Campaign, ok bool, err error) {
	ok, err = a.readJSON(ctx, experiment.CampaignKey(tag, "campaign.json"), &c)
	return c, ok, err
}

// results answers a reading command: the campaign that is meant, and its
// records in order of decision, the baseline first.
func (a *app) results(ctx context.Context, tag string) (string, []experiment.Result, error) {
	tag, err := a.readTag(ctx, tag)
	if err != nil {
		return "", nil, err
	}
	results, err := a.ledgerOf().Results(ctx, tag)
	if err != nil || len(results) > 0 {
		return tag, results, err
	}
	if _, ok, err := a.campaign(ctx, tag); ok || err != nil {
		return tag, nil, err
	}
	return "", nil, a.unknownTag(ctx, tag)
}

// readTag finds the campaign that a reading command is about.
func (a *app) readTag(ctx context.Context, tag string) (string, error) {
	if tag != "" {
		return tag, checkTag(tag)
	}
	all, err := a.recorded(ctx)
	if err != nil {
		return "", err
	}
	if len(all) == 0 {
		return "", notFound("'autoresearch up' starts one; --home DIR names another home", "no campaign in the home %s", a.home())
	}
	return all[len(all)-1].Tag(), nil
}

// unknownTag names the campaigns that there are.
func (a *app) unknownTag(ctx context.Context, tag string) error {
	all, err := a.recorded(ctx)
	if err != nil {
		return err
	}
	tags := make([]string, len(all))
	for i, c := range all {
		tags[i] = c.Tag()
	}
	hint := "'autoresearch up --tag " + tag + "' starts it"
	if len(tags) > 0 {
		hint = "the campaigns there are: " + strings.Join(tags, ", ")
	}
	return notFound(hint, "no campaign %s in the home %s", tag, a.home())
}

// readJSON decodes an artifact; ok is false where there is none.
func (a *app) readJSON(ctx context.Context, key string, v any) (ok bool, err error) {
	b, ok, err := a.read(ctx, key)
	if err != nil || !ok {
		return ok, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, failed("the file is damaged: restore it from a backup, or choose another home", "read artifact %s in %s: %w", key, a.home().Artifacts(), err)
	}
	return true, nil
}

// read returns a small artifact whole; ok is false where there is none.
func (a *app) read(ctx context.Context, key string) (b []byte, ok bool, err error) {
	r, err := a.ledgerOf().Store.Open(ctx, key)
	if errors.Is(err, artifact.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read artifact %s: %w", key, err)
	}
	defer r.Close()
	b, err = io.ReadAll(r)
	if err != nil {
		return nil, false, fmt.Errorf("read artifact %s: %w", key, err)
	}
	return b, true, nil
}
