package policy

import (
	"fmt"
	"math"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// Rules are the numbers of a policy that confirms. Changing one of
// [ConfirmRules] makes another policy; others serve simulations (bench/decide).
type Rules struct {
	FalseKeepRate float64 // of the confirmed keeps of a campaign, at most this share is expected to be none
	Screen        float64 // a keep is better than the incumbent by this many standard errors
	Shrink        float64 // a lone run's gain of z standard errors counts z^2/(z^2+Shrink)
	Clear         float64 // a keep that is better by this many waits for spare capacity with its confirmation ...
	Tail          int     // ... unless so many wait
	Worth         float64
	Looks         int     // fresh runs that a keep gets at most
	RefuteFirst   float64 // it is refuted if it is not better by this many after the first fresh run ...
	RefuteLast    float64 // ... and by this many after the last
	DriftEvery    int     // runs on a slot without one of the confirmed incumbent's among them
	DriftLevel    float64 // of slots that are as they were, this share is suspected at each check
	Retries       int     // failed checks in a row after which a keep does not train reliably
}

// ConfirmRules are those of "confirm/1".
var ConfirmRules = Rules{
	FalseKeepRate: 0.05,
	Screen:        0.25,
	Shrink:        1,
	Clear:         3,
	Tail:          5,
	Worth:         0.5,
	Looks:         6,
	RefuteFirst:   -0.25,
	RefuteLast:    0.5,
	DriftEvery:    30,
	DriftLevel:    0.01,
	Retries:       3,
}

// Confirm is the policy "confirm/1": search goes on from keeps that were
// measured once, and fresh seeds say which of them are true. docs/decisions.md
// has the model and what it gives in simulation.
//
// # Screening
//
// A candidate is measured once. It is a provisional keep if its score is below
// the estimate of the incumbent by Screen standard errors. The estimate is the
// mean of the incumbent's fresh runs; without any, its screening score moved
// towards the one before it, because a score that was selected for being low is
// optimistic.
//
// # Confirmation
//
// The line is a confirmed keep and the provisional ones after it. The oldest
// provisional keep is trained again with fresh seeds, and the fresh runs of both
// are compared by Student's test, after each run. Its level follows the rule of
// Ramdas, Yang, Wainwright and Jordan ("Online control of the false discovery
// rate with decaying memory", 2017; LORD++): each confirmed keep earns some, each
// test spends some, so that of the keeps of one campaign that are called
// confirmed at most the stated share is expected to be none. A keep that
// fresh seeds do not find better is refuted, and the line ends before it. One
// that stays undecided after Looks runs stays in the line and is not claimed.
//
// # Drift
//
// See drift.go. Results that were measured on a slot that has drifted are void.
type Confirm struct {
	Rules *Rules // nil is ConfirmRules
}

var _ Policy = Confirm{}

// Name is "confirm/1".
func (c Confirm) Name() string {
	if c.Rules != nil && *c.Rules != ConfirmRules {
		return "confirm/1 with other rules"
	}
	return "confirm/1"
}

func (c Confirm) rules() Rules {
	if c.Rules != nil {
		return *c.Rules
	}
	return ConfirmRules
}

// Decide applies the rules above.
func (c Confirm) Decide(in Input) Decision {
	j := judgement{Rules: c.rules(), in: in, book: read(in)}
	j.d = Decision{Noise: in.Noise, Line: lineOf(in), FalseKeepRate: j.FalseKeepRate}
	if in.Incumbent != nil {
		j.d.Incumbent = *in.Incumbent
	}
	switch f := failed(in); {
	case f != nil && in.Check != nil:
		j.failedCheck(*f)
	case f != nil:
		j.d = fail(j.d, *f)
	case in.Incumbent == nil:
		j.baseline()
	case in.Check == nil:
		j.screen()
	default:
		j.check()
	}
	if in.Check != nil && j.d.Reason != experiment.Drifted {
		j.book.settleSlot(&experiment.Result{Experiment: in.Experiment, Check: in.Check, Measurements: in.Measurements, Reason: j.d.Reason}, in.Check.Of)
	}
	if len(j.d.Line) == 0 { // a baseline that failed
		return j.d
	}
	j.refresh()
	j.d.Checks = j.wanted()
	return j.d
}

// judgement is one decision while it is made.
type judgement struct {
	Rules
	in   Input
	book *book // with the runs of this decision
	d    Decision

	retests []experiment.Check // of descendants of what this decision has rolled back
	dropped int                // a candidate whose retest is over; 0 is none
}

// lineOf is the line before this decision; of a ledger that has none, its
// incumbent alone.
func lineOf(in Input) []experiment.Incumbent {
	if len(in.Line) > 0 || in.Incumbent == nil {
		return append([]experiment.Incumbent(nil), in.Line...)
	}
	return []experiment.Incumbent{*in.Incumbent}
}

func (j *judgement) baseline() {
	scores := scoresOf(j.in.Measurements)
	val := mean(scores)
	j.d.ValBpb = &val
	j.d.Noise = j.book.noise("")
	j.d = baseline(j.d, j.in, len(scores))
	j.d.Incumbent.Confirmed = true
	j.d.Line = []experiment.Incumbent{j.d.Incumbent}
}

// screen decides a new candidate from its first run.
func (j *judgement) screen() {
	runs := j.book.own(j.in.Experiment)
	val := j.book.mean(runs)
	j.d.ValBpb = &val
	class := classOf(runs)
	noise := j.book.noise(class)
	tip := j.tip()
	gain := tip.value - val
	se := noise.StdDev * math.Sqrt(1/float64(len(runs))+1/tip.runs)
	j.d.Threshold = j.Screen * se
	p := places(noise.StdDev)
	j.d.Message = fmt.Sprintf("%.*f is %s the incumbent's %.*f; a provisional keep needs %.*f", p, val, distance(gain, p), p, tip.value, p, j.d.Threshold)
	simpler, givenAway := simplification(j.in, noise, gain)
	switch {
	case gain > j.d.Threshold:
		j.keep(experiment.Improved, val, len(runs), 0)
	case simpler:
		j.keep(experiment.Simpler, val, len(runs), givenAway)
		j.d.Message += fmt.Sprintf(", but it is simpler: %d tokens instead of %d, %.*f of at most %.*f given away",
			j.in.SyntaxTokens, j.in.Incumbent.SyntaxTokens, p, givenAway, p, simplerLossSum*noise.StdDev)
	case gain >= -threshold(noise, len(runs), int(tip.runs)):
		j.d.Verdict, j.d.Reason = experiment.Discard, experiment.WithinNoise
	default:
		j.d.Verdict, j.d.Reason = experiment.Discard, experiment.Worse
	}
}

func (j *judgement) keep(why experiment.Reason, val float64, runs int, givenAway float64) {
	j.d.Verdict, j.d.Reason = experiment.Keep, why
	next := incumbent(j.in, val, runs)
	next.GivenAway = givenAway
	j.d.Line = append(j.d.Line, next)
}

// estimate is what is known of a member of the line: a value, and of how many
// runs it is worth.
type estimate struct{ value, runs float64 }

func (j *judgement) tip() estimate {
	all := j.estimates(j.d.Line)
	return all[len(all)-1]
}

// estimates gives the members of a line their values. What has been measured
// with fresh seeds has their mean. A lone screening run was selected for being
// low, and its gain is shrunk.
func (j *judgement) estimates(line []experiment.Incumbent) []estimate {
	out := make([]estimate, len(line))
	sd := j.book.noise("").StdDev
	for i, c := range line {
		fresh, own := j.book.fresh(c.Experiment), j.book.own(c.Experiment)
		switch {
		case len(fresh) > 0:
			out[i] = estimate{j.book.mean(fresh), float64(len(fresh))}
		case i == 0:
			out[i] = estimate{c.ValBpb, float64(max(1, c.Runs))}
		case len(own) == 0: // void
			out[i] = out[i-1]
		default:
			before := out[i-1]
			gain := before.value - j.book.mean(own)
			z := gain / (sd * math.Sqrt(1/float64(len(own))+1/before.runs))
			out[i] = estimate{before.value - gain*z*z/(z*z+j.Shrink), float64(len(own))}
		}
	}
	return out
}

// refresh brings the line up to date with what is known of its members now.
func (j *judgement) refresh() {
	j.d.Noise = j.book.noise("")
	line := j.d.Line
	if i := confirmed(line); i > 1 { // one confirmed keep before the last is enough to fall back on
		line = append([]experiment.Incumbent(nil), line[i-1:]...)
	}
	for i := range line {
		j.renew(&line[i])
	}
	j.d.Line, j.d.Incumbent = line, line[len(line)-1]
}

func (j *judgement) renew(c *experiment.Incumbent) {
	fresh := j.book.fresh(c.Experiment)
	if len(fresh) == 0 {
		if c.Fresh != nil { // void
			c.Fresh, c.Confirmed = nil, false
		}
		return
	}
	fresh, _ = j.book.unselected(c.Experiment)
	c.Fresh = j.book.estimate(fresh)
	c.ValBpb, c.Runs = c.Fresh.ValBpb, c.Fresh.Runs
	c.Audit = j.book.audit(c.Experiment)
}

// confirmed is the index of the last confirmed member of a line: what claims
// rest on. Where none is, it is the first.
func confirmed(line []experiment.Incumbent) int {
	for i := len(line) - 1; i > 0; i-- {
		if line[i].Confirmed {
			return i
		}
	}
	return 0
}

func indexOf(line []experiment.Incumbent, number int) int {
	for i, c := range line {
		if c.Experiment == number {
			return i
		}
	}
	return -1
}
