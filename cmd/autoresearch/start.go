package main

import (
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
