package activities

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/repo"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// campaignFile records what a campaign was started with.
const campaignFile = "campaign.json"

// Prepare resolves a campaign: it begins a new one, or finds the recorded one
// and what its ledger holds. Settings are as the user gave them, without
// defaults: on a recorded campaign, fields that were left out agree with
// whatever it has. Bad input is refused before anything is made.
func (r *Research) Prepare(ctx context.Context, in PrepareInput) (PrepareResult, error) {
	defer keepAlive(ctx)()
	result, err := r.prepare(ctx, in.Settings)
	return result, edge(err)
}

func (r *Research) prepare(ctx context.Context, given experiment.Settings) (PrepareResult, error) {
	if err := given.Validate(); err != nil {
		return PrepareResult{}, refuse(ErrInvalidSettings, "%w", err)
	}
	if err := r.checkHome(); err != nil {
		return PrepareResult{}, err
	}
	c, err := r.campaign(ctx, given)
	if err != nil {
		return PrepareResult{}, err
	}
	state, err := r.Ledger.State(ctx, c.Tag())
	if err != nil {
		return PrepareResult{}, err
	}
	if err := r.provideIncumbent(ctx, c, state.Incumbent); err != nil {
		return PrepareResult{}, err
	}
	notices, err := r.Ledger.Repair(ctx, c.Tag())
	if err != nil {
		return PrepareResult{}, err
	}
	notify(ctx, notices)
	open, next, err := r.open(ctx, c, state)
	if err != nil {
		return PrepareResult{}, err
	}
	incumbent := state.Incumbent
	if incumbent != nil {
		all, err := r.Ledger.Results(ctx, c.Tag())
		if err != nil {
			return PrepareResult{}, err
		}
		in := timed(*incumbent, all)
		incumbent = &in
	}
	return PrepareResult{Campaign: c, Ledger: LedgerState{
		Next: next, Decided: state.Decided, Open: open, Incumbent: incumbent, Baseline: state.Baseline,
		Noise: state.Noise, Tally: state.Tally, Recent: state.Recent,
		Line: state.Line, Checks: firstChecks(state.Checks), FalseKeepRate: state.FalseKeepRate, RawMinimum: state.RawMinimum,
	}}, err
}

// campaign returns the recorded campaign, begun now if there is none, with
// everything on this host that its experiments need.
func (r *Research) campaign(ctx context.Context, given experiment.Settings) (experiment.Campaign, error) {
	var c experiment.Campaign
	found, err := readJSON(ctx, r.Store, experiment.CampaignKey(given.Tag, campaignFile), &c)
	if err != nil {
		return c, err
	}
	if !found {
		if c, err = r.begin(ctx, given.WithDefaults()); err != nil {
			return c, err
		}
	}
	if conflict := c.Settings.Conflict(given); conflict != "" {
		return c, refuse(ErrSettingsConflict, "campaign %s exists with other settings: %s; choose another tag", c.Tag(), conflict)
	}
	t, err := r.checkNames(c.Settings)
	if err != nil {
		return c, err
	}
	// These two are how to go on, not what the campaign is: they hold as given now.
	c.Settings.Limits, c.Settings.Approval = given.Limits, given.Approval
	return c, r.provide(ctx, t, c)
}

// checkNames looks up everything that settings name.
func (r *Research) checkNames(s experiment.Settings) (target.Target, error) {
	t, err := r.Targets(s.Target)
	if err != nil {
		return nil, refuse(ErrInvalidSettings, "target is %q: %w", s.Target, err)
	}
	shares, err := experiment.ParseProposers(s.Proposer)
	if err != nil {
		return nil, refuse(ErrInvalidSettings, "%w", err)
	}
	for _, share := range shares {
		if _, err := r.Proposers(share.Proposer); err != nil {
			return nil, refuse(ErrInvalidSettings, "proposer is %q: %w", s.Proposer, err)
		}
	}
	if _, err := r.Policies(s.Policy); err != nil {
		return nil, refuse(ErrInvalidSettings, "policy is %q: %w", s.Policy, err)
	}
	return t, nil
}

// checkHome finds out now whether the home can be written and has room.
func (r *Research) checkHome() error {
	err := os.MkdirAll(string(r.Home), 0o755)
	if err == nil {
		err = probe(string(r.Home))
	}
	if err == nil {
		err = r.checkSpace(campaignSpace)
	}
	switch {
	case isDiskFull(err): // refused here, and waited for once a campaign runs
		return refuse(ErrDiskFull, "%w", err)
	case err != nil:
		return refuse(ErrHome, "the home %s cannot be written: %w; choose another with --home DIR or AUTORESEARCH_HOME", r.Home, err)
	}
	return nil
}

func probe(dir string) error {
	f, err := os.CreateTemp(dir, ".probe-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString("x")
	return errors.Join(err, f.Sync(), f.Close())
}

// begin starts a campaign from the user's checkout, and records it last.
func (r *Research) begin(ctx context.Context, s experiment.Settings) (experiment.Campaign, error) {
	if s.Cores == 0 { // a slot of the same size as this worker's, wherever it trains
		s.Cores = r.Cores
	}
	c := experiment.Campaign{Settings: s, StartedAt: r.now().Truncate(time.Second)}
	t, err := r.checkNames(s)
	if err != nil {
		return c, err
	}
	checkout, err := r.checkout(ctx)
	if err != nil {
		return c, err
	}
	if c.Base, err = r.base(ctx, checkout, t); err != nil {
		return c, err
	}
	c.PriorStdDev = t.PriorStdDev(s.Budget)
	if c.Settings.OnGPU() {
		if err := r.forGPU(ctx, t, &c); err != nil {
			return c, err
		}
	}
	if c.Evaluator, err = r.source(ctx, t, c.Base); err != nil {
		return c, err
	}
	if c.Program, err = r.program(ctx, s.Tag, checkout.Root()); err != nil {
		return c, err
	}
	if c.Data, err = r.makeData(ctx, t, c.Evaluator, s); err != nil {
		return c, err
	}
	if err := r.sameData(ctx, c); err != nil {
		return c, err
	}
	err = putOnceJSON(ctx, r.Store, experiment.CampaignKey(s.Tag, campaignFile), &c)
	return c, err
}

// forGPU begins a campaign on GPUs as its target does there: the sizes of the
// checkout's files are for a CPU, if they are the released ones. The change is the
// first commit of the campaign's own line, so that it is seen where all others are.
func (r *Research) forGPU(ctx context.Context, t target.Target, c *experiment.Campaign) error {
	there, ok := t.(target.ForGPUs)
	if !ok {
		return nil
	}
	c.PriorStdDev = there.PriorStdDevOnGPU(c.Settings.Budget)
	files, err := r.Repo.ReadFiles(ctx, c.Base, t.Editable())
	if err != nil {
		return fmt.Errorf("reading the files that are edited: %w", err)
	}
	sized, changes, err := there.SizedForGPU(files)
	if err != nil || sized == nil {
		return err
	}
	message := fmt.Sprintf("Sizes for a GPU\n\nThe campaign trains on GPUs, and its base is as it was released, for a CPU.\n\n%s\nCampaign: %s\n", changes, c.Tag())
	if c.Base, err = r.Repo.Commit(ctx, c.Base, sized, message, c.StartedAt); err != nil {
		return fmt.Errorf("committing the sizes for a GPU: %w", err)
	}
	return nil
}

func (r *Research) checkout(ctx context.Context) (*repo.Checkout, error) {
	if r.Checkout == "" {
		return nil, refuse(ErrRepository, "this worker has no checkout to start a campaign from; start it in a git clone of the target")
	}
	checkout, err := r.Repo.Checkout(ctx, r.Checkout)
	if err != nil {
		return nil, err
	}
	// Where info/exclude cannot be written, git status shows one more line; that
	// is no reason to refuse a campaign.
	_ = checkout.Exclude(ctx, r.Home)
	return checkout, nil
}

// base checks the checkout for what the target needs, and fetches its commit.
func (r *Research) base(ctx context.Context, checkout *repo.Checkout, t target.Target) (string, error) {
	if _, err := checkout.Head(ctx); err != nil {
		return "", err
	}
	dirty, err := checkout.Dirty(ctx, t.Sources())
	if err != nil {
		return "", err
	}
	if len(dirty) > 0 {
		return "", refuse(ErrRepository, "uncommitted changes in %s: %s; a campaign starts from a commit: git commit or git stash them", checkout.Root(), someOf(dirty))
	}
	commit, err := checkout.ImportHead(ctx)
	if err != nil {
		return "", err
	}
	if _, err := r.Repo.ReadFiles(ctx, commit, t.Editable()); err != nil {
		return "", fmt.Errorf("target %s edits %s, which %s does not offer: %w; run in a checkout of the target, or choose another target",
			t.Name(), strings.Join(t.Editable(), ", "), checkout.Root(), err)
	}
	return commit, nil
}

// someOf lists names, but not hundreds.
func someOf(names []string) string {
	const most = 8
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// source puts the source archive of a commit into the artifact store and
// returns its digest.
func (r *Research) source(ctx context.Context, t target.Target, commit string) (string, error) {
	archive, digest, err := r.Repo.Archive(ctx, commit, t.Sources())
	if err != nil {
		return "", fmt.Errorf("packing the sources of target %s: %w", t.Name(), err)
	}
	_, err = r.Store.PutOnce(ctx, sourceKey(digest), archive)
	return digest, err
}

// provide makes sure that this host has what the experiments of a campaign
// need, also after its cache or its repository was deleted.
func (r *Research) provide(ctx context.Context, t target.Target, c experiment.Campaign) error {
	if !r.Repo.Has(ctx, c.Base) {
		checkout, err := r.checkout(ctx)
		if err != nil {
			return err
		}
		if err := checkout.Import(ctx, c.Base); err != nil {
			return fmt.Errorf("campaign %s starts from a commit that %s no longer has: %w", c.Tag(), r.Home.Repo(), err)
		}
	}
	if _, err := r.evaluator(ctx, t, c.Evaluator); err != nil {
		return err
	}
	_, err := fetchData(ctx, r.Home, r.Store, c.Data)
	return err
}

// provideIncumbent makes sure that there is something to improve. Of a home
// whose repository was deleted the incumbent alone survives, as the branch in
// the user's checkout.
func (r *Research) provideIncumbent(ctx context.Context, c experiment.Campaign, in *experiment.Incumbent) error {
	if in == nil || r.Repo.Has(ctx, in.Commit) {
		return nil
	}
	checkout, err := r.checkout(ctx)
	if err == nil {
		err = checkout.Import(ctx, in.Commit)
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	return refuse(ErrLedger, "the best candidate of campaign %s, %s, is neither in %s nor in %s; restore one of them from a copy, or start another campaign",
		c.Tag(), experiment.ShortCommit(in.Commit), r.Home.Repo(), r.Checkout)
}

// evaluator builds the trusted program of a campaign. Its base not building is
// no candidate's failure.
func (r *Research) evaluator(ctx context.Context, t target.Target, digest string) (string, error) {
	program, failure, err := build(ctx, r.Home, r.Store, t, digest, target.Evaluator)
	if failure != nil {
		if noSpace(failure.Message) {
			return "", errDiskFull("building the evaluator")
		}
		return "", refuse(ErrTarget, "the evaluator of target %s does not build: %s; the log is %s", t.Name(), failure.Message, buildLog(r.Home, digest, target.Evaluator))
	}
	return program, err
}
