package main

import (
	"context"
	"errors"
	"time"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers"
	"github.com/autoresearch-go/autoresearch/workers/cluster"
)

// startWorkflow starts the campaign's workflow. The same id may be used again
// when it has ended: the ledger is the state, so it goes on where it was.
func (a *app) startWorkflow(ctx context.Context, c *cluster.Cluster, s experiment.Settings) error {
	_, err := workers.StartCampaign(ctx, c.Client, s)
	var running *workers.AlreadyRunningError
	if errors.As(err, &running) {
		return nil // somebody else was faster this moment
	}
	return err
}

// patience is how long a worker that has just started may take to answer.
const patience = 20 * time.Second

// patiently asks until a worker answers.
func patiently(ctx context.Context, c *cluster.Cluster, tag string) (experiment.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		st, err := query(ctx, c, tag)
		if err == nil {
			return st, nil
		}
		select {
		case <-ctx.Done():
			return st, err
		case <-time.After(200 * time.Millisecond):
		}
	}
}
