package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers/cluster"
	"github.com/autoresearch-go/autoresearch/workflows"
)

// ongoing is one thing that is being done for an experiment that is not
// decided. A baseline that trains several seeds at once is several of them.
type ongoing struct {
	experiment.Ongoing
	step     string // prepare, propose, apply, train, evaluate, decide; "" where nothing is known
	since    time.Time
	queued   bool // no worker has taken it yet
	progress *activities.Progress
}

// campaignItself is the number of what belongs to no experiment.
const campaignItself = -1

// maxLooked bounds the experiments that are looked at in one round. A terminal
// shows no more, and each is a question to Temporal.
const maxLooked = 32

// look is what Temporal tells of a campaign's work, whether or not a worker
// answers.
type look struct {
	ongoing []ongoing
	trouble []string
}

// inspect looks at the pending activities of a campaign and its experiments.
// Without a status, which only a worker can give, the experiments are those
// that the campaign's workflow has for children.
func inspect(ctx context.Context, c *cluster.Cluster, tag string, st *experiment.Status, now time.Time) look {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	own, children := stepsOf(ctx, c, experiment.ResearchID(tag))
	all := []experiment.Ongoing{{Experiment: campaignItself}}
	if st != nil {
		all = append(all, st.Running...)
	} else {
		all = append(all, children...)
	}
	found := make([][]step, len(all))
	found[0] = own
	var wait sync.WaitGroup
	for i, o := range toLookAt(all) {
		wait.Go(func() { found[i], _ = stepsOf(ctx, c, o.WorkflowID) })
	}
	wait.Wait()
	l := look{ongoing: combine(all, found), trouble: troubles(all, found, now)}
	if st != nil && st.Device == experiment.CUDA {
		if t := unserved(ctx, c, st, all, found); t != "" {
			l.trouble = append(l.trouble, t)
		}
	}
	return l
}

// pollerGone is when a worker that does not ask for work is gone. A poll lasts
// for a minute.
const pollerGone = 75 * time.Second

// unserved says that runs wait for a GPU while no slot asks for them.
func unserved(ctx context.Context, c *cluster.Cluster, st *experiment.Status, all []experiment.Ongoing, found [][]step) string {
	waits := ""
	for i, o := range all {
		for _, s := range found[i] {
			if s.name == "train" && (s.queued || s.failing()) {
				waits += fmt.Sprintf(" #%d", o.Experiment)
			}
		}
	}
	if waits == "" {
		return ""
	}
	d, err := c.Client.DescribeTaskQueue(ctx, workflows.CUDAQueue, enumspb.TASK_QUEUE_TYPE_ACTIVITY)
	if err != nil || slices.ContainsFunc(d.GetPollers(), func(p *taskqueuepb.PollerInfo) bool { return time.Since(p.GetLastAccessTime().AsTime()) < pollerGone }) {
		return ""
	}
	if n := len(st.Unwell); n > 0 {
		return fmt.Sprintf("train%s waits for a GPU: %s not well (autoresearch status), and nobody else serves %s", waits, plural(n, "slot")+map[bool]string{true: " is", false: " are"}[n == 1], workflows.CUDAQueue)
	}
	return fmt.Sprintf("train%s waits for a GPU: no worker serves %s; start one: autoresearch worker --cuda", waits, workflows.CUDAQueue)
}

// toLookAt picks the experiments whose activities say more than their stage:
// those that train, first, and those that are being proposed, which may wait
// for a server. Keys are indices.
func toLookAt(all []experiment.Ongoing) map[int]experiment.Ongoing {
	picked := map[int]experiment.Ongoing{}
	for _, stage := range []experiment.Stage{experiment.Training, experiment.Proposing, ""} {
		for i, o := range all {
			if o.Stage == stage && o.Experiment != campaignItself && len(picked) < maxLooked {
				picked[i] = o
			}
		}
	}
	return picked
}

// stepsOf describes a workflow: its pending activities, and its children.
func stepsOf(ctx context.Context, c *cluster.Cluster, workflowID string) ([]step, []experiment.Ongoing) {
	d, err := c.Client.DescribeWorkflowExecution(ctx, workflowID, "")
	if err != nil {
		return nil, nil // it has just ended, or the engine is away
	}
	var children []experiment.Ongoing
	for _, child := range d.GetPendingChildren() {
		id := child.GetWorkflowId()
		if n, err := strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:]); err == nil {
			children = append(children, experiment.Ongoing{Experiment: n, WorkflowID: id})
		}
	}
	slices.SortFunc(children, func(a, b experiment.Ongoing) int { return cmp.Compare(a.Experiment, b.Experiment) })
	return steps(d.GetPendingActivities()), children
}

// combine joins experiments with their steps.
func combine(all []experiment.Ongoing, found [][]step) []ongoing {
	var out []ongoing
	for i, o := range all {
		for _, s := range found[i] {
			each := ongoing{Ongoing: o, step: s.name, since: s.since, queued: s.queued, progress: s.progress}
			each.Stage = cmp.Or(o.Stage, stageOf(s.name))
			out = append(out, each)
		}
		if len(found[i]) == 0 && o.Stage != "" {
			out = append(out, ongoing{Ongoing: o, since: o.StartedAt})
		}
	}
	return out
}

// stageOf is what an activity tells of its experiment's stage.
func stageOf(step string) experiment.Stage {
	switch step {
	case "train", "evaluate", "decide":
		return experiment.Training
	}
	return experiment.Proposing
}
