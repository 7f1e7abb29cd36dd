package double

import (
	"slices"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Confirms plays a policy that confirms what it keeps, without any arithmetic:
// every keep wants Runs fresh seeds, the oldest first, and the last of them says
// what Refuted says. A refuted keep and those made on it leave the line, and
// each of these is measured once more.
type Confirms struct {
	Refuted func(n int) bool // is the keep of experiment n to be refuted? Nil: none is
	Runs    int              // 0 is 1
	Spare   bool             // confirmations can wait for an idle slot
	Drift   string           // slot that is measured again after every third experiment; empty is none
}

// Judge is for [Double].Judge.
func (c Confirms) Judge(in activities.DecideInput, past []activities.DecideResult, r *activities.DecideResult) {
	l := &line{c: c, seeds: map[int]int{}}
	for _, p := range past {
		l.add(p.Brief, p.Incumbent)
	}
	if check := in.Check; check != nil && r.Brief.Verdict != experiment.Crash {
		r.Brief.Verdict, r.Brief.Reason = c.verdict(*check, l.seeds[check.Of]+1)
	}
	l.add(r.Brief, r.Incumbent)
	if len(l.keeps) == 0 {
		return // the baseline has crashed
	}
	r.Incumbent, r.Checks, r.FalseKeepRate = l.keeps[len(l.keeps)-1], l.wanted(), 0.05
	for i := range l.keeps {
		if l.keeps[i].Confirmed {
			r.Confirmed = &l.keeps[i]
		}
	}
}

func (c Confirms) verdict(check experiment.Check, seeds int) (experiment.Verdict, experiment.Reason) {
	switch {
	case check.Purpose == experiment.Drift:
		return experiment.Keep, experiment.Steady
	case check.Purpose == experiment.Confirm && seeds < c.Runs:
		return experiment.Keep, experiment.Unresolved
	case check.Purpose == experiment.Retest || c.Refuted != nil && c.Refuted(check.Of):
		return experiment.Discard, experiment.Refuted
	}
	return experiment.Keep, experiment.Confirmed
}

// line is what the decisions so far come to.
type line struct {
	c          Confirms
	keeps      []experiment.Incumbent
	retests    []experiment.Check
	seeds      map[int]int // fresh ones, by experiment
	candidates int         // decided, since the last drift check
}

func (l *line) add(b experiment.Brief, in experiment.Incumbent) {
	if check := b.Check; check != nil {
		l.check(*check, b.Reason)
		return
	}
	if l.candidates++; b.Verdict == experiment.Keep {
		in.Confirmed = b.Experiment == 0
		l.keeps = append(l.keeps, in)
	}
}

func (l *line) check(check experiment.Check, reason experiment.Reason) {
	at := slices.IndexFunc(l.keeps, func(k experiment.Incumbent) bool { return k.Experiment == check.Of })
	switch {
	case check.Purpose == experiment.Drift:
		l.candidates = 0
	case check.Purpose == experiment.Retest:
		l.retests = slices.DeleteFunc(l.retests, check.Same)
	case at < 0: // it left the line meanwhile
	case reason == experiment.Refuted:
		for _, k := range l.keeps[at+1:] {
			l.retests = append(l.retests, experiment.Check{Of: k.Experiment, Commit: k.Commit, Purpose: experiment.Retest})
		}
		l.keeps = l.keeps[:at]
	default:
		l.seeds[check.Of]++
		l.keeps[at].Confirmed = l.keeps[at].Confirmed || reason == experiment.Confirmed
	}
}

func (l *line) wanted() (all []experiment.Check) {
	for _, k := range l.keeps {
		if !k.Confirmed {
			all = append(all, experiment.Check{Of: k.Experiment, Commit: k.Commit, Purpose: experiment.Confirm, Runs: max(1, l.c.Runs) - l.seeds[k.Experiment], Spare: l.c.Spare})
			break // the oldest
		}
	}
	all = append(all, l.retests...)
	if l.c.Drift != "" && l.candidates > 3 {
		k := l.keeps[len(l.keeps)-1]
		all = append(all, experiment.Check{Of: k.Experiment, Commit: k.Commit, Purpose: experiment.Drift, Slot: l.c.Drift})
	}
	return all
}
