package policy

import (
	"github.com/autoresearch-go/autoresearch/experiment"
)

// wanted lists the checks that the line as it stands calls for, most urgent
// first: a slot that may have drifted, since everything rests on it; then
// retests and the confirmation of the oldest provisional keep; then the slots
// that are due.
func (j *judgement) wanted() []experiment.Check {
	line := j.d.Line
	base := line[confirmed(line)]
	var odd, due []experiment.Check
	for _, name := range j.book.order {
		s := j.book.slots[name]
		if !j.due(s) || j.book.fails[base.Experiment] >= j.Retries || len(j.book.fresh(base.Experiment)) == 0 {
			continue
		}
		c := experiment.Check{Of: base.Experiment, Commit: base.Commit, Purpose: experiment.Drift, Runs: 1, Slot: name}
		if s.odd != nil || j.book.suspect(s) {
			odd = append(odd, c)
		} else {
			due = append(due, c)
		}
	}
	out := append(odd, j.pendingRetests()...)
	out = append(out, j.confirmations()...)
	return append(out, due...)
}

// pendingRetests are those of the decision before that are not over, and those
// of this one.
func (j *judgement) pendingRetests() (out []experiment.Check) {
	if n := len(j.in.Past); n > 0 {
		for _, c := range j.in.Past[n-1].Checks {
			if c.Purpose == experiment.Retest && c.Of != j.dropped && indexOf(j.d.Line, c.Of) < 0 {
				c.Runs = 1
				out = append(out, c)
			}
		}
	}
	return append(out, j.retests...)
}

// confirmations are the runs that the next question to fresh seeds takes: of
// the keep, and of the confirmed one before it where that has fewer.
func (j *judgement) confirmations() (out []experiment.Check) {
	line := j.d.Line
	at := confirmed(line)
	base := line[at]
	i := j.next()
	if have := j.book.fresh(base.Experiment); len(have) == 0 { // of an old ledger, or void: nothing can be claimed without
		return []experiment.Check{confirmation(base)}
	} else if i > 0 && len(have) <= len(j.book.fresh(line[i].Experiment)) && j.book.fails[base.Experiment] < j.Retries {
		out = append(out, confirmation(base))
	}
	if i > 0 {
		out = append(out, confirmation(line[i]))
	}
	return out
}

func confirmation(of experiment.Incumbent) experiment.Check {
	return experiment.Check{Of: of.Experiment, Commit: of.Commit, Purpose: experiment.Confirm, Runs: 1}
}

// next is the member of the line that is to be tested: the oldest provisional
// one that is not given up as undecided; 0 is none.
func (j *judgement) next() int {
	line := j.d.Line
	for i := confirmed(line) + 1; i < len(line); i++ {
		if len(j.book.fresh(line[i].Experiment)) < j.Looks {
			return i
		}
	}
	return 0
}
