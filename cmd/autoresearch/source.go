package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/serviceerror"

	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers/cluster"
	"github.com/autoresearch-go/autoresearch/workflows"
)

// A person who asks for the best score does not want to wait for machines that
// are not there: after answerTimeout the ledger answers.
const answerTimeout = 2 * time.Second

// offline is the phase that the ledger answers with: nobody can tell more.
const offline experiment.Phase = "offline"

// connect finds Temporal without starting it.
func (a *app) connect(ctx context.Context) (*cluster.Cluster, error) {
	return cluster.Connect(ctx, cluster.Options{Home: string(a.home())})
}

// query asks the workflow for its status, briefly.
func query(ctx context.Context, c *cluster.Cluster, tag string) (experiment.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var st experiment.Status
	v, err := c.Client.QueryWorkflow(ctx, experiment.ResearchID(tag), "", workflows.QueryStatus)
	if err == nil {
		err = v.Get(&st)
	}
	if err != nil {
		return st, fmt.Errorf("ask campaign %s for its status: %w", tag, err)
	}
	st.Slots = st.Slots.At(time.Now()) // a workflow does not know how late it is
	return st, nil
}

// status is the workflow's own answer, or what the ledger knows.
func (a *app) status(ctx context.Context, tag string) (experiment.Status, error) {
	return a.statusAnd(ctx, tag, func(*cluster.Cluster, experiment.Status) {})
}

// statusAnd asks more of a Temporal whose workflow has answered.
func (a *app) statusAnd(ctx context.Context, tag string, more func(*cluster.Cluster, experiment.Status)) (experiment.Status, error) {
	if tag != "" {
		if err := checkTag(tag); err != nil {
			return experiment.Status{}, err
		}
	}
	dialing, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	c, err := a.connect(dialing)
	if err != nil {
		if ctx.Err() != nil {
			return experiment.Status{}, ctx.Err()
		}
		return a.ledgerStatus(ctx, tag, offline, whyNoCluster(err))
	}
	defer c.Close()
	tag = a.latest(ctx, c, tag)
	if tag != "" {
		st, err := query(ctx, c, tag)
		if err == nil {
			more(c, st)
		}
		if err == nil || ctx.Err() != nil {
			return st, err
		}
		return a.ledgerStatus(ctx, tag, a.phaseOf(ctx, c, tag), whyNoAnswer(err))
	}
	return a.ledgerStatus(ctx, tag, offline, nil)
}

// latest is tag, or else the campaign that reading commands are about: the
// latest of the ledger, or one that runs but has not come that far.
func (a *app) latest(ctx context.Context, c *cluster.Cluster, tag string) string {
	if tag != "" {
		return tag
	}
	if tag, err := a.readTag(ctx, ""); err == nil {
		return tag
	}
	open, err := openCampaigns(ctx, c)
	if err != nil || len(open) == 0 || !c.Embedded {
		return ""
	}
	return open[len(open)-1].tag
}

// whyNoCluster is the short form for the note beside the ledger's answer.
func whyNoCluster(err error) error {
	if errors.Is(err, cluster.ErrNotRunning) {
		return cluster.ErrNotRunning
	}
	return err
}

// whyNoAnswer is the short form for the note beside the ledger's answer.
func whyNoAnswer(err error) error {
	var missing *serviceerror.NotFound
	if errors.As(err, &missing) {
		return errors.New("temporal does not know the campaign")
	}
	return errors.New("no worker answers")
}

// phaseOf is what can be told of a campaign's phase without a worker.
func (a *app) phaseOf(ctx context.Context, c *cluster.Cluster, tag string) experiment.Phase {
	e, err := describe(ctx, c, tag)
	switch {
	case err != nil || e.open:
		return offline
	case e.state == "completed":
		return experiment.Complete
	}
	return experiment.Failed
}

// ledgerStatus answers from the ledger, and says so on standard error.
func (a *app) ledgerStatus(ctx context.Context, tag string, phase experiment.Phase, why error) (experiment.Status, error) {
	tag, results, err := a.results(ctx, tag)
	if err != nil {
		return experiment.Status{}, err
	}
	campaign, _, err := a.campaign(ctx, tag)
	if err != nil {
		return experiment.Status{}, err
	}
	if why != nil {
		a.note("%s: reading the ledger of %s", why, a.home())
	}
	st := statusOf(campaign, results)
	st.Campaign, st.Phase = tag, phase
	if phase == offline && len(results) > 0 && reached(st.Limits, st.Tally) {
		st.Phase = experiment.Complete
	}
	return st, nil
}

// statusOf sums up what the ledger has of a campaign, over all of its workflows.
func statusOf(c experiment.Campaign, results []experiment.Result) experiment.Status {
	st := experiment.Status{
		Limits: c.Settings.Limits, Budget: c.Settings.Budget, Proposer: c.Settings.Proposer, StartedAt: c.StartedAt,
		Approval: c.Settings.Approval,
	}
	st.Best = ledger.Best(results)
	for _, r := range results {
		st.Recent = append(st.Recent, r.Brief())
		st.Spent.Add(r.Spent)
		for _, m := range r.Measurements {
			st.Slots.Add(m.SlotSeconds, m.IdleSeconds)
		}
		if r.Experiment == 0 && r.ValBpb != nil {
			b := r.Incumbent
			st.Baseline = &b
		}
	}
	st.Recent = st.Recent[max(0, len(st.Recent)-10):]
	if len(results) == 0 {
		return st
	}
	last := results[len(results)-1]
	st.Noise = last.NoiseAfter
	return st
}
