package policy

import (
	"fmt"

	"github.com/autoresearch-go/autoresearch/experiment"
)

func (j *judgement) say(v experiment.Verdict, r experiment.Reason, format string, args ...any) {
	j.d.Verdict, j.d.Reason, j.d.Message = v, r, fmt.Sprintf(format, args...)
}

func (j *judgement) places() int { return places(j.book.noise("").StdDev) }

// check decides one more run of an earlier candidate.
func (j *judgement) check() {
	of := j.in.Check.Of
	val := mean(scoresOf(j.in.Measurements))
	j.d.ValBpb = &val
	i := indexOf(j.d.Line, of)
	switch {
	case j.in.Check.Purpose == experiment.Retest && i < 0:
		j.retest(of)
	case i < 0:
		j.say(experiment.Discard, experiment.WithinNoise, "#%d is not in the line any more; its run counts for the noise", of)
	case j.in.Check.Purpose == experiment.Drift, i <= confirmed(j.d.Line):
		j.drift()
	default:
		j.confirm(i)
	}
}

// confirm tests member i of the line with its fresh runs.
func (j *judgement) confirm(i int) {
	line := j.d.Line
	base := confirmed(line)
	it := j.book.fresh(line[i].Experiment)
	against := j.book.fresh(line[base].Experiment)
	if len(against) == 0 {
		j.say(experiment.Keep, experiment.Unresolved, "fresh seeds of #%d: %.*f; #%d before it has none yet", line[i].Experiment, j.places(), j.book.mean(it), line[base].Experiment)
		return
	}
	c := j.book.compare(against, it)
	j.d.Threshold = j.needs(c, line[i])
	before := c
	if p := j.before(i); p != base {
		before = j.book.compare(j.book.fresh(line[p].Experiment), it)
	}
	p := j.places()
	facts := fmt.Sprintf("#%d is %s #%d over %s; %.*f confirms it", line[i].Experiment, distance(c.gain, p), line[base].Experiment, count(len(it), "fresh run"), p, j.d.Threshold)
	switch {
	case c.gain > j.d.Threshold:
		j.say(experiment.Keep, experiment.Confirmed, "%s", facts)
		line[i].Confirmed = true
		j.d.Line = append(append([]experiment.Incumbent(nil), line[:base+1]...), line[i:]...)
		j.confirmed(line[i].Experiment)
	case before.z() < j.refuteAt(len(it), line[i]):
		j.rollBack(i, facts)
	case len(it) >= j.Looks:
		j.say(experiment.Keep, experiment.Unresolved, "%s: that is as many as it gets, so it stays, and is not claimed", facts)
	default:
		j.say(experiment.Keep, experiment.Unresolved, "%s: it takes more of them", facts)
	}
}

// confirmed notes it in the book, as the next decision will find it there.
func (j *judgement) confirmed(of int) { j.book.done[of], j.book.when[of] = true, len(j.in.Past) }

// before is the nearest member of the line before i that fresh seeds have
// measured.
func (j *judgement) before(i int) int {
	for i--; i > 0; i-- {
		if len(j.book.fresh(j.d.Line[i].Experiment)) > 0 {
			return i
		}
	}
	return 0
}

// needs is the gain that confirms. The level is spent in equal parts over the
// runs. A simplification claims no gain but that it loses less than one noise
// unit, at the stated rate each time.
func (j *judgement) needs(c comparison, it experiment.Incumbent) float64 {
	if j.book.simple[it.Experiment] {
		return studentsT(c.dof).Quantile(1-j.FalseKeepRate)*c.se - simplerLossSum*j.book.noise("").StdDev
	}
	level := j.book.level(it.Experiment, j.FalseKeepRate) / float64(j.Looks)
	return studentsT(c.dof).Quantile(1-level) * c.se
}

// refuteAt is the z below which a keep is refuted, after so many fresh runs.
func (j *judgement) refuteAt(runs int, it experiment.Incumbent) float64 {
	at := j.RefuteFirst
	if j.Looks > 1 {
		at += (j.RefuteLast - j.RefuteFirst) * float64(min(runs, j.Looks)-1) / float64(j.Looks-1)
	}
	if j.book.simple[it.Experiment] {
		at -= 1.5
	}
	return at
}

// rollBack ends the line before member i. What came after it was never compared
// with what is now the incumbent: the newest of it is tested again.
func (j *judgement) rollBack(i int, why string) {
	line := j.d.Line
	rest := line[i+1:]
	j.d.Line = append([]experiment.Incumbent(nil), line[:i]...)
	tail := ""
	if n := len(rest); n > 0 {
		last := rest[n-1]
		j.retests = append(j.retests, experiment.Check{Of: last.Experiment, Commit: last.Commit, Purpose: experiment.Retest, Runs: 1})
		tail = fmt.Sprintf(", and #%d, which rests on it, is tested again", last.Experiment)
	}
	j.say(experiment.Discard, experiment.Refuted, "%s: it is rolled back to #%d%s", why, line[i-1].Experiment, tail)
}

// retest compares a descendant of what was rolled back with the incumbent.
func (j *judgement) retest(of int) {
	it := j.book.fresh(of)
	last := j.d.Line[len(j.d.Line)-1]
	c, have := j.against(last, it)
	p := j.places()
	facts := fmt.Sprintf("#%d is %s the incumbent #%d over %s", of, distance(c.gain, p), last.Experiment, count(len(it), "fresh run"))
	switch {
	case !have:
		j.say(experiment.Keep, experiment.Unresolved, "fresh seeds of #%d: %.*f", of, p, j.book.mean(it))
	case c.z() >= j.Clear || c.z() >= j.Screen && len(it) >= 2:
		j.place(of)
		j.say(experiment.Keep, experiment.Improved, "%s: it holds without what was rolled back, and is the incumbent again", facts)
		if base := j.d.Line[confirmed(j.d.Line)]; base.Experiment == last.Experiment && c.gain > j.needs(c, experiment.Incumbent{Experiment: of}) {
			j.d.Reason = experiment.Confirmed
			j.d.Line[len(j.d.Line)-1].Confirmed = true
			j.confirmed(of)
		}
	case c.z() < 0 || len(it) >= (j.Looks+1)/2:
		j.dropped = of
		j.say(experiment.Discard, experiment.WithinNoise, "%s: it does not hold without what was rolled back", facts)
	default:
		j.say(experiment.Keep, experiment.Unresolved, "%s: it takes more of them", facts)
	}
}

// against compares fresh runs with a member of the line, whether or not that has
// any itself.
func (j *judgement) against(last experiment.Incumbent, it []run) (comparison, bool) {
	if runs := j.book.fresh(last.Experiment); len(runs) > 0 {
		return j.book.compare(runs, it), true
	}
	tip := j.tip()
	c := j.book.compare(it, it)
	c.gain = tip.value - j.book.mean(it)
	return c, true
}

// place puts a candidate back at the end of the line.
func (j *judgement) place(of int) {
	j.dropped = of
	for i := range j.in.Past {
		r := &j.in.Past[i]
		if r.Experiment != of || r.Check != nil {
			continue
		}
		j.d.Line = append(j.d.Line, experiment.Incumbent{Experiment: of, Commit: r.Commit, Title: r.Title, SyntaxTokens: r.SyntaxTokens})
		return
	}
}

// failedCheck decides a check whose run has failed. That says nothing of the
// score, but a keep that fails again and again is of no use.
func (j *judgement) failedCheck(f experiment.Failure) {
	of := j.in.Check.Of
	j.book.fails[of]++
	i := indexOf(j.d.Line, of)
	fails := j.book.fails[of]
	switch {
	case fails < j.Retries || i >= 0 && i <= confirmed(j.d.Line):
		j.d = fail(j.d, f)
		j.d.Message = fmt.Sprintf("%s (of #%d, %s in a row)", j.d.Message, of, count(fails, "failed check"))
	case i >= 0:
		j.rollBack(i, fmt.Sprintf("#%d does not train reliably: %s in a row, the last with %s", of, count(fails, "failed check"), f.Reason))
	default:
		j.dropped = of
		j.say(experiment.Discard, experiment.Refuted, "#%d does not train reliably: %s in a row, the last with %s", of, count(fails, "failed check"), f.Reason)
	}
}
