package workflows

import (
	"cmp"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// Checks: what was measured before is trained again with a fresh seed
// (experiment.Check), so that a keep is true and a slot is what it was. Which are
// wanted, each decision says (DecideResult.Checks); here is when they are made.
//
// A check is a child like any other, with a number of its own, but it has no
// proposal and waits for no order: it begins when it gets a slot. A slot that no
// ready candidate waits for is free for it. Where one waits, a check may take the
// slot as long as checks have at most their share of all runs, counted since the
// campaign began (Limits.CheckShare).
//
// A refuted keep moves the incumbent back. What is prepared on it has lost its
// parent then, and is made again on the restored one like after any other
// decision; what trains is measured as it is.
//
// When the search ends by itself (limit of experiments, plateau, nothing left to
// propose), checks of keeps are finished first: their slots are idle anyway. Who
// stops a campaign, and the wall time, do not wait for them. The plateau counts
// proposals: a check is no experiment without a keep, and takes no keep back.

// nextCheck is the most urgent check that nobody makes yet. One that is paid for
// already comes first. One that can wait for an idle slot is none while a
// candidate waits.
func (r *research) nextCheck(idle bool) (Entry, bool) {
	for _, open := range r.Open {
		if open.Check != nil && open.Trained {
			return checkEntry(*open.Check, open.Number), true
		}
	}
	for _, c := range r.Checks {
		if r.lacks(c) && (idle || !c.Spare) {
			return checkEntry(c, r.openCheck(c)), true
		}
	}
	return Entry{}, false
}

// checkEntry is the experiment that makes one run of a check. Number 0 is none.
func checkEntry(c experiment.Check, number int) Entry {
	c.Runs, c.Spare = 0, false
	return Entry{
		Number: number, Stage: experiment.Training, Check: &c, Title: c.Title(), Commit: c.Commit,
		Parent: experiment.Incumbent{Experiment: c.Of, Commit: c.Commit},
	}
}

// lacks says whether more runs of a check are wanted than are under way.
func (r *research) lacks(c experiment.Check) bool {
	if r.searchEnded() && c.Purpose == experiment.Drift {
		return false
	}
	underway := 0
	for _, run := range r.running {
		if run.Check != nil && run.Check.Same(c) && !run.settled() {
			underway++
		}
	}
	return underway < max(1, c.Runs)
}

// openCheck is the number under which a check was begun before and never
// decided; 0 is none.
func (r *research) openCheck(c experiment.Check) int {
	for _, open := range r.Open {
		if open.Check != nil && open.Check.Same(c) {
			return open.Number
		}
	}
	return 0
}

// mayDelay says whether a check may take a slot that a candidate waits for.
func (r *research) mayDelay() bool {
	return float64(r.CheckRuns+1) <= r.Limits.CheckShare()*float64(r.Runs+1)
}

// checksLeft says whether a check of a keep is wanted that nobody makes.
func (r *research) checksLeft() bool {
	return slices.ContainsFunc(r.Checks, func(c experiment.Check) bool { return c.Purpose != experiment.Drift && r.lacks(c) })
}

// searchEnded: no candidate is proposed or begins to train any more.
func (r *research) searchEnded() bool { return r.ending() != "" || r.fatal != nil }

// ending is why the campaign is about to end, or "".
func (r *research) ending() string { return cmp.Or(r.StopReason, r.Closing) }

// enforce finds the reason to end the campaign, if there is one. Whoever goes on
// gets a baseline at least.
func (r *research) enforce(ctx workflow.Context) {
	if r.StopReason != "" || r.fatal != nil {
		return
	}
	if r.Baseline != nil || r.Paused {
		r.Closing = cmp.Or(r.Closing, r.limit())
		r.StopReason = r.overtime(workflow.Now(ctx))
	}
	if r.undecided() > 0 || r.checksLeft() {
		return
	}
	if r.ending() == "" && !r.Paused && len(r.Ideas) == 0 {
		r.Closing = r.Exhausted
	}
	r.StopReason = r.ending()
}

// overtime says that the wall time is over, or "".
func (s *State) overtime(now time.Time) string {
	if limit := s.Limits.WallTime; limit > 0 && now.Sub(s.StartedAt) >= limit.Std() {
		return cmp.Or(s.Closing, "the wall time of "+limit.String()+" is over")
	}
	return ""
}
