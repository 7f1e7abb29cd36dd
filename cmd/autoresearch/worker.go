package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/workers"
)

const workerHelp = `Worker does the work of campaigns until Ctrl-C. --research serves the loop itself
(proposals, commits, decisions) and needs the repository and the home; there is
one per home. --train serves one training slot, on any machine that reaches
Temporal and the artifacts. Without either it does both.`

// newWorker makes "worker".
func newWorker(a *app) *cobra.Command {
	var research, train bool
	var cores int
	c := &cobra.Command{
		Use: "worker", Short: "work for campaigns that were started elsewhere", Long: workerHelp, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkCores(cores); err != nil {
				return err
			}
			return a.worker(cmd.Context(), cores, rolesOf(research, train))
		},
	}
	c.Flags().BoolVar(&research, "research", false, "serve the loop: proposals, commits, decisions")
	c.Flags().BoolVar(&train, "train", false, "serve one training slot")
	coresFlag(c, &cores)
	return c
}

// rolesOf is what the flags mean.
func rolesOf(research, train bool) []workers.Role {
	switch {
	case research && !train:
		return []workers.Role{workers.Research}
	case train && !research:
		return []workers.Role{workers.Train}
	}
	return []workers.Role{workers.Research, workers.Train}
}

// worker runs until ctx ends. The engine stays: others may be using it.
func (a *app) worker(ctx context.Context, cores int, roles []workers.Role) error {
	top, err := a.checkWorker(ctx, roles)
	if err != nil {
		return err
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	err = s.work(top, cores, roles...)
	if err == nil {
		a.note("working   as %s; Ctrl-C stops, a training run keeps its checkpoint", roleNames(roles))
		err = s.during(ctx, func(ctx context.Context) error { <-ctx.Done(); return nil })
	}
	if c := s.cluster; c.Embedded && err == nil {
		a.note("the engine at %s goes on; to stop it: autoresearch engine stop", c.Address)
	}
	stopErr := s.close(ctx, err != nil && !s.adopted)
	if err != nil {
		return err
	}
	return stopErr
}

// checkWorker is what 'up' checks too, as far as the roles need it.
func (a *app) checkWorker(ctx context.Context, roles []workers.Role) (top string, err error) {
	if err := checkTools(); err != nil {
		return "", err
	}
	for _, r := range roles {
		if r != workers.Research {
			continue
		}
		t, err := defaultTarget()
		if err != nil {
			return "", err
		}
		// Uncommitted changes matter to a new campaign alone, which Prepare
		// refuses with the same words.
		if top, err = checkCheckout(ctx, a.dir, t); err != nil && top == "" {
			return "", err
		}
	}
	return top, a.checkHome()
}

func roleNames(roles []workers.Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return strings.Join(names, " and ")
}
