//go:build bench

package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// loadExperiments is the length of the campaign: a thousand nights' worth.
const loadExperiments = 1000

// campaign and experiment have the shape of the real workflows: a parent that
// continues as new, children of five activities.
func campaign(ctx workflow.Context, n int) error {
	for ; n < loadExperiments; n++ {
		if info := workflow.GetInfo(ctx); info.GetContinueAsNewSuggested() {
			return workflow.NewContinueAsNewError(ctx, campaign, n)
		}
		child := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: fmt.Sprintf("experiment-%d", n)})
		if err := workflow.ExecuteChildWorkflow(child, experiment).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

func experiment(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	for range 5 {
		if err := workflow.ExecuteActivity(ctx, step).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

func step(context.Context) error { return nil }

// TestLoad runs a long campaign of nothing and watches the engine's resident
// memory: CGO_ENABLED=0 go test -tags bench -run TestLoad -v -ldflags='-s -w' .
func TestLoad(t *testing.T) {
	p := start(t, t.TempDir())
	c := p.client(t)
	w := worker.New(c, "load", worker.Options{})
	w.RegisterWorkflow(campaign)
	w.RegisterWorkflow(experiment)
	w.RegisterActivity(step)
	require.NoError(t, w.Start())
	defer w.Stop()
	begin := time.Now()
	run, err := c.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{ID: "load", TaskQueue: "load"}, campaign, 0)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- run.Get(context.Background(), nil) }()
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			require.NoError(t, err)
			t.Logf("%d experiments in %v", loadExperiments, time.Since(begin).Round(time.Second))
			require.Less(t, resident(t, p.state.PID), 300)
			return
		case <-tick.C:
			t.Logf("%v: %d MiB resident", time.Since(begin).Round(time.Second), resident(t, p.state.PID))
		}
	}
}

// resident is a process's resident memory in MiB.
func resident(t *testing.T, pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	_, after, _ := strings.Cut(string(b), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(after)[0])
	require.NoError(t, err)
	return kib >> 10
}
