package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/experiment"
)

const startHelp = `Start starts or continues a campaign on a Temporal that runs already: a cluster
(TEMPORAL_ADDRESS), or the engine of the home. It starts no worker: 'autoresearch
worker', here or on other machines, does the work. 'autoresearch up' does both.`

// newStart makes "start".
func newStart(a *app) *cobra.Command {
	var s experiment.Settings
	c := &cobra.Command{
		Use: "start", Short: "start a campaign whose work is done by workers elsewhere", Long: startHelp, Args: settingsArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			a.away = true
			if err := a.checkDataset(&s, cmd.Flags()); err != nil {
				return err
			}
			if _, err := checkSettings(s, cmd.Flags()); err != nil {
				return err
			}
			if err := a.checkConflict(ctx, s); err != nil {
				return err
			}
			g := givenIn(cmd.Flags())
			if err := a.checkEarly(ctx, s, g); err != nil {
				return err
			}
			c, err := a.connect(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			settings, k, err := a.find(ctx, c, s)
			if err != nil {
				return err
			}
			what, settings, err := plan(settings, g, k)
			if err != nil {
				return err
			}
			if what == begin {
				settings = a.complete(settings)
				if err := a.checkNew(ctx, settings, g); err != nil {
					return err
				}
				if err := a.provideHere(ctx, settings); err != nil {
					return err
				}
			} else if what == goOn {
				if err := a.checkModel(ctx, settings, true); err != nil {
					return err
				}
			}
			if err := a.carryOut(ctx, c, what, settings, k, g); err != nil {
				return err
			}
			return a.started(what, settings)
		},
	}
	settingsFlags(c.Flags(), &s)
	return c
}

// provideHere makes the data set of a new campaign if its worker's home is this
// one, as far as we can tell: it is there, and so is a checkout.
func (a *app) provideHere(ctx context.Context, s experiment.Settings) error {
	if s.OnDefaultData() {
		return nil
	}
	t, err := defaultTarget()
	if err != nil {
		return err
	}
	top, _ := checkCheckout(ctx, a.dir, t)
	_, homeErr := os.Stat(string(a.home()))
	_, dataErr := os.Stat(s.Dataset)
	if top == "" || homeErr != nil || filepath.IsAbs(s.Dataset) && dataErr != nil {
		a.note("note      the worker's home must have the data: autoresearch prepare%s", dataArgs(s))
		return nil
	}
	return a.provideData(ctx, top, s)
}

// started tells what was done, and what is still needed.
func (a *app) started(what action, s experiment.Settings) error {
	if a.json {
		return a.object(struct {
			Campaign   string `json:"campaign"`
			WorkflowID string `json:"workflow_id"`
			Started    bool   `json:"started"`
		}{s.Tag, experiment.ResearchID(s.Tag), what == begin || what == goOn})
	}
	a.line(experiment.ResearchID(s.Tag))
	switch what {
	case attach:
		a.note("it runs already: nothing was started")
	case begin, goOn:
		a.note("it needs a worker: autoresearch worker")
	}
	return nil
}
