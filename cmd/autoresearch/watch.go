package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers/cluster"
)

// pollInterval is how often the live view looks. Everything that it shows comes
// from Temporal and the ledger, so it can be stopped at any moment.
const pollInterval = time.Second

// watcher follows one campaign until it ends.
type watcher struct {
	a    *app
	c    *cluster.Cluster
	tag  string
	next int  // first experiment that has not been written
	live bool // there is a terminal to draw on
	view view

	announced int    // plain output: the experiment whose training was announced
	told      string // the trouble that was written last
}

// newWatcher starts after the experiments that are decided already, but for the
// last few, which show where the campaign was.
func newWatcher(a *app, c *cluster.Cluster, tag string, decided int) *watcher {
	const repeat = 5
	w := &watcher{a: a, c: c, tag: tag, next: max(0, decided-repeat), live: a.moves(), announced: -1}
	if a.json {
		w.next = decided // a stream of records has each one once
	}
	w.view = view{tag: tag, waiting: "waiting for the campaign to answer"}
	if w.live {
		a.screen.open(a.stderr)
	}
	return w
}

// follow writes events and draws the view until the campaign's workflow has
// ended. It returns how: nil when it is complete.
func (w *watcher) follow(ctx context.Context) error {
	defer w.a.screen.draw(nil)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		done, err := w.look(ctx)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// look is one round.
func (w *watcher) look(ctx context.Context) (done bool, err error) {
	e, away := w.execution(ctx) // before the ledger: when it has ended, the ledger is whole
	if err := w.events(ctx); err != nil {
		return true, err
	}
	if away == nil && !e.open {
		return true, w.ended(ctx, e)
	}
	if away == nil {
		w.refresh(ctx)
	}
	w.show()
	return false, nil
}

// execution looks the campaign up. A Temporal that does not answer is no
// error: the engine may be on its way back.
func (w *watcher) execution(ctx context.Context) (execution, error) {
	short, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	e, err := describe(short, w.c, w.tag)
	if err != nil {
		w.view.running = nil
		w.view.trouble = []string{"temporal does not answer at " + w.c.Address + ", waiting"}
	}
	return e, err
}

// events writes the experiments that were decided since the last round.
func (w *watcher) events(ctx context.Context) error {
	results, err := w.a.ledgerOf().Results(ctx, w.tag)
	if err != nil {
		return err
	}
	for _, r := range results[min(w.next, len(results)):] {
		w.next = r.Experiment + 1
		if w.a.json {
			if err := w.a.object(r); err != nil {
				return err
			}
			continue
		}
		w.a.line(eventLine(r, w.a.styleOf(w.a.stdout)))
	}
	return nil
}

// refresh asks what is going on.
func (w *watcher) refresh(ctx context.Context) {
	w.view.trouble = nil
	st, err := query(ctx, w.c, w.tag)
	if err == nil {
		w.view.status = &st
	}
	if st.Trouble != "" {
		w.view.trouble = append(w.view.trouble, st.Trouble)
	}
	if st.Phase == experiment.Paused {
		w.view.trouble = append(w.view.trouble, "paused; to go on: autoresearch resume --tag "+w.tag)
	}
	w.view.running = nil
	for _, child := range w.pending(ctx, experiment.ResearchID(w.tag), w.next) {
		if n, err := strconv.Atoi(child[strings.LastIndexByte(child, '-')+1:]); err == nil {
			w.pending(ctx, child, n)
		}
	}
}

// pending adds what the activities of a workflow are doing, and returns the
// workflow's children. Temporal tells that even when no worker answers.
func (w *watcher) pending(ctx context.Context, workflowID string, number int) (children []string) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	d, err := w.c.Client.DescribeWorkflowExecution(ctx, workflowID, "")
	if err != nil {
		return nil // between two experiments, or the engine is away
	}
	for _, s := range steps(d.GetPendingActivities()) {
		w.view.running = &running{number: number, step: s.name, since: s.since, queued: s.queued, progress: s.progress, title: w.title(ctx, number)}
		if t := s.trouble(number, w.a.now()); t != "" {
			w.view.trouble = append(w.view.trouble, t)
		}
	}
	for _, c := range d.GetPendingChildren() {
		children = append(children, c.GetWorkflowId())
	}
	return children
}

// title reads the running proposal's title; repairs may have changed it.
func (w *watcher) title(ctx context.Context, number int) string {
	for round := 2; round >= 0; round-- {
		var p struct {
			experiment.Proposal
			Wrapped experiment.Proposal `json:"proposal"`
		}
		ok, err := w.a.readJSON(ctx, experiment.Key(w.tag, number, fmt.Sprintf("proposal-%d.json", round)), &p)
		if err == nil && ok {
			return p.Title + p.Wrapped.Title
		}
	}
	return ""
}

// show draws the view, or writes what is new in it.
func (w *watcher) show() {
	w.view.now = w.a.now()
	if w.live {
		width, _ := w.a.size(w.a.stderr)
		w.a.screen.draw(w.view.lines(width, w.a.styleOf(w.a.stderr)))
		return
	}
	if w.a.json {
		return
	}
	s := w.a.styleOf(w.a.stderr)
	if r := w.view.running; r != nil && r.step == "train" && !r.queued && r.number > w.announced {
		w.announced = r.number
		w.a.note("#%d training: %s", r.number, s.printable(cmpOr(r.title, "the target as it stands")))
	}
	if t := strings.Join(w.view.trouble, "; "); w.newTrouble(t) {
		w.a.note("%s", s.printable(t))
	}
}

// attempts are what changes with every attempt at the same thing.
var attempts = regexp.MustCompile(`\d+`)

// newTrouble tells whether t says more than another countdown.
func (w *watcher) newTrouble(t string) bool {
	base, _, _ := strings.Cut(t, ", next try in")
	base = attempts.ReplaceAllString(strings.TrimSuffix(base, ", trying again"), "")
	if base == w.told {
		return false
	}
	if base == "" {
		w.a.note("it goes on")
	}
	w.told = base
	return base != ""
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// ended turns the end of the workflow into a result.
func (w *watcher) ended(ctx context.Context, e execution) error {
	if e.state == "completed" {
		return nil
	}
	err := w.c.Client.GetWorkflow(ctx, experiment.ResearchID(w.tag), "").Get(ctx, nil)
	return failed("'autoresearch up --tag "+w.tag+"' tries again", "campaign %s has %s: %w", w.tag, e.state, err)
}
