package main

import (
	"context"
	"fmt"
	"regexp"
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
	skip int          // results that are not written again
	seen map[int]bool // experiments whose results need not be written any more
	live bool         // there is a terminal to draw on
	view view

	announced map[string]bool // plain output: what was said and need not be said again
	told      map[string]bool // the troubles that there were in the last round
}

// newWatcher starts after the experiments that are decided already, but for the
// last few, which show where the campaign was.
func newWatcher(a *app, c *cluster.Cluster, tag string, decided int) *watcher {
	const repeat = 5
	w := &watcher{a: a, c: c, tag: tag, skip: max(0, decided-repeat), live: a.moves(), seen: map[int]bool{}, announced: map[string]bool{}, told: map[string]bool{}}
	if a.json {
		w.skip = decided // a stream of records has each one once
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
		w.view.ongoing = nil
		w.view.trouble = []string{"temporal does not answer at " + w.c.Address + ", waiting"}
	}
	return e, err
}

// events writes the experiments that were decided since the last round, in the
// order of their decisions.
func (w *watcher) events(ctx context.Context) error {
	results, err := w.a.ledgerOf().Results(ctx, w.tag)
	if err != nil {
		return err
	}
	for _, r := range w.unseen(results) {
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

// unseen picks the results that were not written yet.
func (w *watcher) unseen(results []experiment.Result) []experiment.Result {
	for ; w.skip > 0 && len(results) > 0; w.skip-- {
		w.seen[results[0].Experiment] = true
		results = results[1:]
	}
	var fresh []experiment.Result
	for _, r := range results {
		if !w.seen[r.Experiment] {
			w.seen[r.Experiment] = true
			fresh = append(fresh, r)
		}
	}
	return fresh
}

// refresh asks what is going on.
func (w *watcher) refresh(ctx context.Context) {
	st, err := query(ctx, w.c, w.tag)
	w.view.trouble = nil
	if err == nil {
		w.view.status = &st
		if st.Trouble != "" {
			w.view.trouble = append(w.view.trouble, st.Trouble)
		}
		if st.Phase == experiment.Paused {
			w.view.trouble = append(w.view.trouble, "paused; to go on: autoresearch resume --tag "+w.tag)
		}
	}
	var answered *experiment.Status
	if err == nil {
		answered = &st
	}
	l := inspect(ctx, w.c, w.tag, answered, w.a.now())
	w.view.ongoing = l.ongoing
	w.view.trouble = append(w.view.trouble, l.trouble...)
}

// show draws the view, or writes what is new in it.
func (w *watcher) show() {
	w.view.now = w.a.now()
	if w.live {
		width, _ := w.a.size(w.a.stderr)
		w.a.screen.draw(w.view.lines(width, w.a.height(w.a.stderr), w.a.styleOf(w.a.stderr)))
		return
	}
	s := w.a.styleOf(w.a.stderr)
	for _, o := range w.view.ongoing {
		if o.Stage == experiment.Awaiting && w.first(fmt.Sprintf("approve %d/%d", o.Experiment, o.Revision)) {
			w.a.note("%s", s.printable(askLine(o.Ongoing, w.view.approval(), w.tag)))
		}
		if o.step == "train" && !o.queued && !w.a.json && w.first(fmt.Sprintf("train %d", o.Experiment)) {
			w.a.note("#%d training: %s", o.Experiment, s.printable(cmpOr(o.Title, untitled(o.Experiment))))
		}
	}
	if !w.a.json {
		w.tell(s)
	}
}

// untitled stands for a title that is not known: the baseline has none, and just
// after a restart the campaign has not yet told those of others.
func untitled(experiment int) string {
	if experiment == 0 {
		return "the target as it stands"
	}
	return "the candidate"
}

// first tells whether something is to be said now, and remembers that it was.
func (w *watcher) first(what string) bool {
	if w.announced[what] {
		return false
	}
	w.announced[what] = true
	return true
}

// attempts are what changes with every attempt at the same thing.
var attempts = regexp.MustCompile(`\d+`)

// tell writes the troubles that are new, and that there are none any more.
func (w *watcher) tell(s style) {
	now := map[string]bool{}
	for _, t := range w.view.trouble {
		base, _, _ := strings.Cut(t, ", next try in")
		base = attempts.ReplaceAllString(strings.TrimSuffix(base, ", trying again"), "")
		if !w.told[base] && !now[base] {
			w.a.note("%s", s.printable(t))
		}
		now[base] = true
	}
	if len(w.told) > 0 && len(now) == 0 {
		w.a.note("it goes on")
	}
	w.told = now
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
