package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workflows"
)

// known is what there is of a campaign before 'up' or 'start' touches it.
type known struct {
	recorded *experiment.Settings // from the ledger; nil: it has not come that far
	tally    experiment.Tally
	decided  int        // results, the baseline's included
	checks   bool       // keeps are still to be measured again
	workflow *execution // nil: Temporal does not know it
}

// action is what 'up' does with a campaign.
type action int

const (
	begin    action = iota // start a new campaign
	attach                 // it runs: give it workers
	goOn                   // it does not run: start its workflow again over the ledger
	finished               // nothing to do but to print the result
)

// plan decides what to do. given holds the settings of the command line, and
// g tells which of those that may change were on it. The settings that come
// back are those to start the workflow with; a new campaign's have no defaults
// yet (see [app.complete]).
func plan(given experiment.Settings, g given, k known) (action, experiment.Settings, error) {
	if k.recorded == nil {
		if k.workflow != nil && k.workflow.open {
			return attach, given, nil
		}
		return begin, given, nil
	}
	if why := k.recorded.Conflict(given); why != "" {
		return 0, given, conflict("results of different settings cannot be compared: choose another --tag, or leave the flag out",
			"campaign %s exists with other settings: %s", k.recorded.Tag, why)
	}
	settings := *k.recorded
	settings.Limits = g.merge(settings.Limits, given.Limits)
	settings.Approval = g.approval(settings.Approval, given.Approval)
	switch {
	case k.workflow != nil && k.workflow.open:
		return attach, settings, nil
	case k.workflow == nil && (!reached(settings.Limits, k.tally) || k.checks):
		return goOn, settings, nil // Temporal has lost it
	case k.workflow != nil && k.workflow.state != "completed":
		return goOn, settings, nil // it failed, or somebody terminated it
	case g.extend(*k.recorded, settings.Limits, k.tally):
		return goOn, settings, nil
	}
	return finished, settings, nil
}

// given tells which of the settings that may change were on the command line.
type given struct {
	experiments, wallTime, plateau, parallel bool
	confirmShare                             bool
	approve, within                          bool
}

// any is about the limits alone.
func (g given) any() bool {
	return g.experiments || g.wallTime || g.plateau || g.parallel || g.confirmShare
}

// merge is old with what was given of l.
func (g given) merge(old, l experiment.Limits) experiment.Limits {
	if g.experiments {
		old.Experiments = l.Experiments
	}
	if g.wallTime {
		old.WallTime = l.WallTime
	}
	if g.plateau {
		old.Plateau = l.Plateau
	}
	if g.parallel {
		old.Parallel = l.Parallel
	}
	if g.confirmShare {
		old.ConfirmShare = l.ConfirmShare
	}
	return old
}

// approval is old with what was given of a.
func (g given) approval(old, a experiment.Approval) experiment.Approval {
	if g.approve {
		old.Approve = a.Approve
	}
	if g.within {
		old.ApproveWithin = a.ApproveWithin
	}
	return old
}

// change is a set_budget with what was given of l; the rest stays as it is.
func (g given) change(l experiment.Limits) workflows.SetBudget {
	var b workflows.SetBudget
	if g.experiments {
		b.Experiments = &l.Experiments
	}
	if g.wallTime {
		b.WallTime = &l.WallTime
	}
	if g.plateau {
		b.Plateau = &l.Plateau
	}
	if g.parallel {
		b.Parallel = &l.Parallel
	}
	if g.confirmShare {
		b.ConfirmShare = &l.ConfirmShare
	}
	return b
}

// extend tells whether the limits l let a complete campaign do more.
func (g given) extend(recorded experiment.Settings, l experiment.Limits, t experiment.Tally) bool {
	larger := func(limit, used int) bool { return limit == 0 || limit > used }
	more := g.experiments && larger(l.Experiments, t.Experiments) ||
		g.plateau && larger(l.Plateau, t.SinceKeep) ||
		g.wallTime && (l.WallTime == 0 || l.WallTime > recorded.WallTime)
	return more && !reached(l, t)
}

// dateTag is the default tag: mar5, and mar5-2, mar5-3 where that is taken.
func dateTag(now time.Time, taken func(string) (bool, error)) (string, error) {
	base := strings.ToLower(now.Format("Jan2"))
	tag := base
	for n := 2; ; n++ {
		used, err := taken(tag)
		if err != nil || !used {
			return tag, err
		}
		tag = fmt.Sprintf("%s-%d", base, n)
	}
}
