package policy

import (
	"math"

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
	if i > 0 && !j.urgent(i) {
		for n := range out {
			out[n].Spare = true
		}
	}
	if _, ok := j.book.unselected(base.Experiment); !ok && len(out) == 0 && j.book.fails[base.Experiment] < j.Retries {
		k := confirmation(base) // its estimate rests on the runs that have confirmed it
		k.Spare = true
		out = append(out, k)
	}
	return out
}

// urgent says whether the confirmation of member i may take a run from a
// candidate. One that is far better than the one before it will be confirmed
// when there is time.
func (j *judgement) urgent(i int) bool {
	line := j.d.Line
	if len(line)-i >= j.Tail {
		return true
	}
	all, sd := j.estimates(line), j.book.noise("").StdDev
	if !j.worthwhile() {
		return false
	}
	for n := i; n < len(line); n++ {
		own := j.book.own(line[n].Experiment)
		if len(own) == 0 || len(j.book.fresh(line[n].Experiment)) > 0 {
			return true
		}
		before := all[n-1]
		if before.value-j.book.mean(own) < j.Clear*sd*math.Sqrt(1/float64(len(own))+1/before.runs) {
			return true
		}
	}
	return false
}

func confirmation(of experiment.Incumbent) experiment.Check {
	return experiment.Check{Of: of.Experiment, Commit: of.Commit, Purpose: experiment.Confirm, Runs: 1}
}

// next is the member of the line that is to be tested; 0 is none. What was begun
// is finished. Where checks are worth their runs it is the oldest that is not
// tested, otherwise the newest, which stands for all before it.
func (j *judgement) next() int {
	line := j.d.Line
	from := confirmed(line) + 1
	for i := from; i < len(line); i++ {
		if n := len(j.book.fresh(line[i].Experiment)); n >= j.Looks {
			from = i + 1
		} else if n > 0 {
			return i
		}
	}
	switch {
	case from >= len(line):
		return 0
	case j.worthwhile():
		return from
	}
	return len(line) - 1
}

// worthwhile says whether a check is worth more than a candidate's run.
func (j *judgement) worthwhile() bool {
	return j.Worth*j.book.noise("").StdDev >= j.rate(j.tip().value)
}

// rate is what a candidate's run has gained so far.
func (j *judgement) rate(now float64) float64 {
	n := 0
	for i := range j.in.Past {
		if j.in.Past[i].Check == nil {
			n++
		}
	}
	if n < 2 {
		return math.Inf(1)
	}
	return max(0, j.in.Past[0].Incumbent.ValBpb-now) / float64(n)
}
