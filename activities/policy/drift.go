package policy

import (
	"fmt"
	"math"
	"slices"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// Drift control. A slot may change under a campaign: a GPU throttles, a
// neighbour takes its memory bandwidth. So the confirmed incumbent is trained
// again on each slot now and then, after DriftEvery runs without one of its own
// there, and when the last few candidates were all far off.
//
// A score that differs from the incumbent's fresh mean by more than the noise
// explains is repeated at once. If the two together still differ, the slot has
// drifted: everything measured there since it was last seen steady is void, and
// the slot goes on at a new level, which those two runs say. Whatever it
// measures from then on is compared at that level, so a machine that has changed
// for good is of use again, and one that recovers is seen to drift back.
//
// A level that rests on two runs is worth less than the first, which the
// standard errors take into account.

// rebaseRuns is how many runs say where a slot stands since it has drifted.
const rebaseRuns = 2

// recent is how many candidates in a row make a slot suspect, and history how
// many others they are compared with.
const (
	recent  = 6
	history = 12
)

// slot is what is known of one slot.
type slot struct {
	name   string
	class  string
	shifts []float64 // what it adds to a score since each time it has drifted
	since  []int     // experiments and checks measured there since it was last seen steady
	gaps   int       // candidates among them
	odd    *run      // a check that was off, and has to be repeated
}

// visit notes a run on its slot.
func (b *book) visit(r *experiment.Result, m experiment.Measurement) {
	if m.Slot == "" {
		return
	}
	s := b.slots[m.Slot]
	if s == nil {
		s = &slot{name: m.Slot, class: m.Class}
		b.slots[m.Slot] = s
		b.order = append(b.order, m.Slot)
	}
	if n := len(s.since); r.Against != nil && (n == 0 || s.since[n-1] != r.Experiment) {
		s.since = append(s.since, r.Experiment)
		if r.Check == nil {
			s.gaps++
		}
	}
}

func (b *book) epoch(name string) int {
	if s := b.slots[name]; s != nil {
		return len(s.shifts)
	}
	return 0
}

// settleSlot takes in what a check has said of its slot.
func (b *book) settleSlot(r *experiment.Result, of int) {
	if r.Check == nil || len(r.Measurements) == 0 {
		return
	}
	s := b.slots[r.Measurements[0].Slot]
	if s == nil || b.void[r.Experiment] {
		return
	}
	n := len(b.runs[of])
	switch {
	case r.Reason == experiment.Steady, r.Reason == experiment.Confirmed:
		s.since, s.gaps, s.odd = nil, 0, nil
	case r.Reason == experiment.Unresolved && b.done[of] && n > 0:
		odd := b.runs[of][n-1]
		b.runs[of] = b.runs[of][:n-1] // it waits for its repetition
		s.odd = &odd
	case r.Reason == experiment.Drifted && s.odd != nil && n > 0:
		b.rebase(s, of)
	}
}

// rebase gives a slot its new level: two runs of the candidate there, against
// its fresh runs before.
func (b *book) rebase(s *slot, of int) {
	n := len(b.runs[of])
	again := b.runs[of][n-1]
	b.runs[of] = b.runs[of][:n-1]
	before := b.fresh(of)
	if len(before) == 0 {
		return
	}
	// Class offsets are not known yet in this pass; a run there differs from the
	// mean before by what the slot's own earlier runs of other candidates do.
	level := 0.0
	for _, r := range before {
		level += r.score - b.shift(r)
	}
	level /= float64(len(before))
	s.shifts = append(s.shifts, (s.odd.score+again.score)/2-level)
	s.since, s.gaps, s.odd = nil, 0, nil
}

// drift decides a check of the confirmed incumbent: is the slot what it was?
func (j *judgement) drift() {
	of, val := j.in.Check.Of, *j.d.ValBpb
	s, now, before := j.book.aside(of)
	if len(before) == 0 || s == nil {
		j.book.runs[of] = append(j.book.runs[of], now)
		j.say(experiment.Keep, experiment.Steady, "fresh seeds of #%d: %.*f", of, j.places(), val)
		return
	}
	these := []run{now}
	if s.odd != nil {
		these = append(these, *s.odd)
	}
	c := j.book.compare(before, these) // without them the noise is not inflated by what they are to show
	j.book.runs[of] = append(j.book.runs[of], now)
	clear(j.book.sds)
	off, allowed := -c.gain, studentsT(c.dof).Quantile(1-j.DriftLevel/2)*c.se
	p := j.places()
	where := fmt.Sprintf("slot %s measures #%d at %.*f, %s its fresh mean", s.name, of, p, j.book.mean(these), distance(-off, p))
	switch {
	case math.Abs(off) <= allowed:
		j.say(experiment.Keep, experiment.Steady, "%s; %.*f is within the noise", where, p, allowed)
	case s.odd == nil:
		j.say(experiment.Keep, experiment.Unresolved, "%s, and the noise explains %.*f: it is measured again", where, p, allowed)
	default:
		j.d.Voids = j.voids(s)
		j.say(experiment.Discard, experiment.Drifted, "%s twice, and the noise explains %.*f: %s since it was last seen steady void",
			where, p, allowed, results(len(j.d.Voids)))
		j.forget()
	}
}

func results(n int) string {
	if n == 1 {
		return "the one result"
	}
	return fmt.Sprintf("the %d results", n)
}

// voids lists what was measured on a slot since it was last seen steady, but for
// the two checks that say where it stands now.
func (j *judgement) voids(s *slot) []int {
	var out []int
	for _, n := range s.since {
		if n != j.in.Experiment && n != s.odd.result {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// forget takes the void runs out of the book, so that this decision sees what
// the next one will see.
func (j *judgement) forget() {
	in := j.in
	past := append([]experiment.Result(nil), in.Past...)
	in.Past = append(past, experiment.Result{
		Experiment: in.Experiment, Sequence: len(in.Past), Check: in.Check, Measurements: in.Measurements, Against: in.Incumbent,
		Verdict: experiment.Discard, Reason: experiment.Drifted, Voids: j.d.Voids,
	})
	in.Measurements, in.Check = nil, nil
	j.book = read(in)
	for i := range in.Past { // what was rolled back for a reason that is void gets another test
		r := &in.Past[i]
		if r.Reason == experiment.Refuted && slices.Contains(j.d.Voids, r.Experiment) {
			j.retests = append(j.retests, experiment.Check{Of: r.Check.Of, Commit: r.Commit, Purpose: experiment.Retest, Runs: 1})
		}
	}
	for i := range j.d.Line { // what was measured on the drifted slot alone is measured again
		c := &j.d.Line[i]
		if len(j.book.fresh(c.Experiment)) == 0 {
			c.Confirmed, c.Fresh = false, nil
		}
	}
}

// aside takes the run of this decision out of the book.
func (b *book) aside(of int) (s *slot, now run, before []run) {
	runs := b.runs[of]
	n := len(runs) - 1
	now, b.runs[of] = runs[n], runs[:n:n]
	clear(b.sds)
	return b.slots[now.slot], now, b.fresh(of)
}

// due says whether a slot wants a run of the confirmed incumbent.
func (j *judgement) due(s *slot) bool {
	return s.odd != nil || len(s.since) >= j.DriftEvery || j.book.suspect(s)
}

// suspect says whether the last few candidates on a slot were all far off what
// candidates used to be: as bad as the worst tenth, or as good as the best.
func (b *book) suspect(s *slot) bool {
	if s.gaps < recent {
		return false
	}
	var here, others []float64
	for i := len(b.gaps) - 1; i >= 0; i-- {
		if g := b.gaps[i]; g.slot == s.name && len(here) < recent {
			here = append(here, g.delta)
		} else {
			others = append(others, g.delta)
		}
	}
	if len(here) < recent || len(others) < history {
		return false
	}
	slices.Sort(here)
	slices.Sort(others)
	middle := (here[recent/2-1] + here[recent/2]) / 2
	tenth := len(others) / 10
	return middle > others[len(others)-1-tenth] || middle < others[tenth]
}
