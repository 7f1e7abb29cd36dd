package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/workers/cluster"
)

// newEngine makes "engine" and what is below it.
func newEngine(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "engine", Short: "the embedded Temporal engine: build, status, stop",
		Long: "The engine is the Temporal server and its web UI in one process, with a SQLite\ndatabase in the home. 'up' and 'worker' build and start it; nobody else has to.\nWith TEMPORAL_ADDRESS or a Temporal profile that cluster is used instead.",
	}
	c.AddCommand(
		&cobra.Command{Use: "build", Short: "build the engine (about 10 minutes of CPU time, once per machine)", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return a.buildEngine(cmd.Context()) }},
		&cobra.Command{Use: "status", Short: "where Temporal answers", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return a.engineStatus(cmd.Context()) }},
		&cobra.Command{Use: "stop", Short: "stop the engine of the home", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return a.stopEngine(cmd.Context()) }},
	)
	return c
}

func (a *app) buildEngine(ctx context.Context) error {
	path, err := cluster.BuildEngine(ctx, a.engineOptions())
	if err != nil {
		return err
	}
	if a.json {
		return a.object(map[string]string{"engine": path})
	}
	a.line(path)
	return nil
}

func (a *app) engineStatus(ctx context.Context) error {
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if a.json {
		return a.object(struct {
			Address   string `json:"address"`
			Namespace string `json:"namespace"`
			UIURL     string `json:"ui_url"`
			Embedded  bool   `json:"embedded"`
			PID       int    `json:"pid"`
		}{c.Address, c.Namespace, c.UIURL, c.Embedded, c.PID})
	}
	a.line(whereTemporal(c))
	return nil
}

func (a *app) stopEngine(ctx context.Context) error {
	c, err := a.connect(ctx)
	if errors.Is(err, cluster.ErrNotRunning) {
		a.note("no engine runs in the home %s", a.home())
		return nil
	}
	if err != nil {
		return err
	}
	defer c.Close()
	if !c.Embedded {
		return usage("unset TEMPORAL_ADDRESS to stop the engine of the home", "the cluster at %s is not ours to stop", c.Address)
	}
	if err := c.StopEngine(ctx); err != nil {
		return err
	}
	a.note("the engine at %s has stopped", c.Address)
	return nil
}

// whereTemporal is one line about a cluster.
func whereTemporal(c *cluster.Cluster) string {
	if !c.Embedded {
		return fmt.Sprintf("%s, namespace %s", c.Address, c.Namespace)
	}
	return fmt.Sprintf("%s (embedded engine, pid %d), UI %s", c.Address, c.PID, c.UIURL)
}

// engineOptions let a build and a start show what they do.
func (a *app) engineOptions() cluster.Options {
	return cluster.Options{
		Home: string(a.home()), Start: true, Progress: a.showProgress,
		Logf: func(format string, args ...any) { a.note(format, args...) },
	}
}
