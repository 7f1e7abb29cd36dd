// Command record makes the histories that the replay tests of package workflows
// replay. It runs campaigns of every kind on the embedded engine, with doubled
// activities, and writes what Temporal recorded:
//
//	go run ./workflows/record -out workflows/testdata/histories/v2 -only confirmed,refuted,rechecked,drifting,vacated
//	go run ./workflows/record -out workflows/testdata/histories/v3 -only cuda
//
// Record a new folder beside the old ones when workflow logic has changed, with
// the scenarios that take the new turns, and never delete the folder of a
// released version. It takes about a minute; it fails with the scenario that did
// not come to its end.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/api/temporalproto"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers/cluster"
	"github.com/autoresearch-go/autoresearch/workflows"
	"github.com/autoresearch-go/autoresearch/workflows/double"
)

func main() {
	out := flag.String("out", "workflows/testdata/histories/v3", "`folder` to write to")
	only := flag.String("only", "", "the `scenarios` to record, by comma; all if empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := record(ctx, *out, *only); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

func record(ctx context.Context, out, only string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, s := range scenarios {
		if only != "" && !slices.Contains(strings.Split(only, ","), s.name) {
			continue
		}
		if err := run(ctx, s, out); err != nil {
			return fmt.Errorf("scenario %s: %w", s.name, err)
		}
	}
	return nil
}

// warnings says why a workflow task failed, which otherwise only looks slow.
func warnings() log.Logger {
	return log.NewStructuredLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
}

func progress(line string, final bool) {
	fmt.Fprint(os.Stderr, "\r", line, map[bool]string{true: "\n"}[final])
}

// run plays one scenario, on an engine of its own, and saves every history it
// made.
func run(ctx context.Context, s scenario, out string) error {
	home, err := os.MkdirTemp("", "record-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	c, err := cluster.Connect(ctx, cluster.Options{Home: home, Start: true, Progress: progress, Logger: warnings()})
	if err != nil {
		return err
	}
	defer c.Close()
	defer c.StopEngine(context.WithoutCancel(ctx))
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	p := &play{Client: c.Client, ctx: ctx, tag: s.name, d: &double.Double{Start: time.Now()}}
	if s.double != nil {
		s.double(p.d)
	}
	for _, queue := range []string{workflows.ResearchQueue, workflows.TrainQueue, servedSlot, workflows.CUDAQueue, servedGPU} {
		w := worker.New(c.Client, queue, worker.Options{Identity: "research@laptop/1a2b3c4d/12345-dcx9q2b7k1ab", BuildID: "1a2b3c4", WorkerStopTimeout: time.Second, MaxHeartbeatThrottleInterval: 100 * time.Millisecond})
		w.RegisterWorkflow(workflows.Research)
		w.RegisterWorkflow(workflows.Experiment)
		double.Register(w, p.d)
		if err := w.Start(); err != nil {
			return err
		}
		defer w.Stop()
	}
	if err := s.act(p); err != nil {
		p.lookBack()
		return err
	}
	return p.save(out)
}

// lookBack shows where a campaign stands that did not come to its end.
func (p *play) lookBack() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), 5*time.Second)
	defer cancel()
	var s experiment.Status
	v, err := p.QueryWorkflow(ctx, experiment.ResearchID(p.tag), "", workflows.QueryStatus)
	if err == nil {
		err = v.Get(&s)
	}
	text, _ := json.MarshalIndent(s, "", "  ")
	fmt.Fprintf(os.Stderr, "status: %s %v\n", text, err)
}

// play is one campaign.
type play struct {
	client.Client
	ctx context.Context
	tag string
	d   *double.Double
}

// start starts the campaign's workflow.
func (p *play) start(limits experiment.Limits, seeds int, state *workflows.State) (client.WorkflowRun, error) {
	return p.startWith(experiment.Settings{Tag: p.tag, Seeds: seeds, Limits: limits}, state)
}

func (p *play) startWith(s experiment.Settings, state *workflows.State) (client.WorkflowRun, error) {
	return p.ExecuteWorkflow(p.ctx, client.StartWorkflowOptions{
		ID: experiment.ResearchID(p.tag), TaskQueue: workflows.ResearchQueue,
	}, workflows.Research, s, state)
}

func (p *play) signal(name string, arg any) error {
	return p.SignalWorkflow(p.ctx, experiment.ResearchID(p.tag), "", name, arg)
}

func (p *play) update(name string, args ...any) error {
	h, err := p.UpdateWorkflow(p.ctx, client.UpdateWorkflowOptions{
		WorkflowID: experiment.ResearchID(p.tag), UpdateName: name, Args: args, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return err
	}
	return h.Get(p.ctx, nil)
}

// until polls until the status is as wanted.
func (p *play) until(ok func(experiment.Status) bool) error {
	for {
		v, err := p.QueryWorkflow(p.ctx, experiment.ResearchID(p.tag), "", workflows.QueryStatus)
		var s experiment.Status
		if err == nil {
			err = v.Get(&s)
		}
		if err == nil && ok(s) {
			return nil
		}
		select {
		case <-p.ctx.Done():
			return fmt.Errorf("waiting for a status: %w", p.ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// save writes the histories of all workflows of the campaign.
func (p *play) save(out string) error {
	query := fmt.Sprintf("Campaign = %q", p.tag)
	var list *workflowservice.ListWorkflowExecutionsResponse
	for open := true; open; { // until visibility has them all, ended
		var err error
		if list, err = p.ListWorkflow(p.ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query}); err != nil {
			return err
		}
		var running []string
		for _, e := range list.Executions {
			if e.Status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
				running = append(running, e.Execution.WorkflowId)
			}
		}
		open = len(list.Executions) < 2 || len(running) > 0
		select {
		case <-p.ctx.Done():
			return fmt.Errorf("waiting for %v, of %d workflows, to be listed as ended: %w", running, len(list.Executions), p.ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
	seen := map[string]int{}
	for _, e := range list.Executions {
		id := e.Execution.WorkflowId
		seen[id]++
		var h historypb.History
		iter := p.GetWorkflowHistory(p.ctx, id, e.Execution.RunId, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for iter.HasNext() {
			event, err := iter.Next()
			if err != nil {
				return err
			}
			h.Events = append(h.Events, event)
		}
		text, err := temporalproto.CustomJSONMarshalOptions{}.Marshal(&h)
		if err != nil {
			return err
		}
		name := filepath.Join(out, fmt.Sprintf("%s-run%d.json", id, seen[id]))
		if err := os.WriteFile(name, append(text, '\n'), 0o644); err != nil {
			return err
		}
		fmt.Println(name, len(h.Events), "events")
	}
	return nil
}
