package policy

import (
	"cmp"
	"math"
	"slices"

	"github.com/autoresearch-go/autoresearch/experiment"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// spread adds up the squares within each candidate, by class of slot.
func (b *book) spread(of int, squares, dof map[string]float64) {
	byClass := map[string][]run{}
	for _, r := range b.fresh(of) {
		byClass[r.class] = append(byClass[r.class], r)
	}
	for _, class := range sortedKeys(byClass) {
		runs := byClass[class]
		if len(runs) < 2 {
			continue
		}
		m := b.mean(runs)
		for _, r := range runs {
			d := b.adjusted(r) - m
			squares[class] += d * d
		}
		dof[class] += float64(len(runs) - 1)
	}
}

// reference is the class of the baseline's first run: what every score is
// expressed in.
func (b *book) reference() string {
	if runs := b.runs[0]; len(runs) > 0 {
		return runs[0].class
	}
	return ""
}

// offset is what another class of slots adds to a score: the mean difference of
// candidates that both have measured with fresh seeds. Without any it is 0, and
// a check of the incumbent there is wanted (drift.go).
func (b *book) offset(class string) float64 {
	ref := b.reference()
	if class == ref {
		return 0
	}
	var sum, weight float64
	for _, of := range sortedKeys(b.runs) {
		var here, there []float64
		for _, r := range b.fresh(of) {
			switch r.class {
			case class:
				here = append(here, r.score-b.shift(r))
			case ref:
				there = append(there, r.score-b.shift(r))
			}
		}
		if h, t := float64(len(here)), float64(len(there)); h > 0 && t > 0 {
			w := h * t / (h + t)
			sum, weight = sum+w*(mean(here)-mean(there)), weight+w
		}
	}
	if weight == 0 {
		return 0
	}
	return sum / weight
}

// shift is what the slot of a run adds since it has drifted.
func (b *book) shift(r run) float64 {
	if s := b.slots[r.slot]; s != nil && r.epoch > 0 && r.epoch <= len(s.shifts) {
		return s.shifts[r.epoch-1]
	}
	return 0
}

// adjusted is a score as it would have been on the reference slot.
func (b *book) adjusted(r run) float64 { return r.score - b.shift(r) - b.classOffset(r.class) }

func (b *book) classOffset(class string) float64 {
	if b.reference() == class {
		return 0
	}
	v, ok := b.offsets[class]
	if !ok {
		v = b.offset(class)
		b.offsets[class] = v
	}
	return v
}

// rebased is what the error of a slot's new level adds to the variance of a
// mean, in units of the noise's: it was taken from that many runs.
func (b *book) rebased(runs []run) float64 {
	for _, r := range runs {
		if r.epoch > 0 {
			return 1.0 / rebaseRuns
		}
	}
	return 0
}

// comparison is Student's test of two candidates' fresh runs.
type comparison struct {
	gain, se float64 // positive: the second is better
	dof      float64
}

func (b *book) compare(before, after []run) comparison {
	noise := b.noise(classOf(after))
	extra := 0.0
	if (b.rebased(before) > 0) != (b.rebased(after) > 0) {
		extra = 1.0 / rebaseRuns
	}
	return comparison{
		gain: b.mean(before) - b.mean(after), dof: noise.DoF,
		se: noise.StdDev * math.Sqrt(1/float64(len(before))+1/float64(len(after))+extra),
	}
}

func (c comparison) z() float64 { return c.gain / c.se }

// audit compares what a candidate has gained on the validation split with what
// it has gained on the audit split, both against the baseline. The two scores of
// one model share most of their noise, so that the error is that of their
// difference between seeds.
func (b *book) audit(of int) *experiment.Audit {
	base, its := audited(b.runs[0]), audited(b.fresh(of))
	if len(base) == 0 || len(its) == 0 {
		return nil
	}
	var squares, dof float64
	for _, c := range sortedKeys(b.runs) {
		if d := differences(audited(b.fresh(c))); len(d) > 1 {
			m := mean(d)
			for _, x := range d {
				squares += (x - m) * (x - m)
			}
			dof += float64(len(d) - 1)
		}
	}
	sd := math.Sqrt((priorDoF*auditPrior*auditPrior*b.prior*b.prior + squares) / (priorDoF + dof))
	a := experiment.Audit{
		Runs: len(its), Gap: mean(differences(base)) - mean(differences(its)),
		StdErr: sd * math.Sqrt(1/float64(len(base))+1/float64(len(its))),
	}
	sum := 0.0
	for _, r := range its {
		sum += r.audit
	}
	a.ValBpb = sum / float64(len(its))
	a.Overfit = of != 0 && a.Gap > overfitAt*a.StdErr
	return &a
}

// auditPrior is the spread of val less audit between seeds before it is known,
// in units of the noise: models of one program differ alike on both.
const auditPrior = 0.5

// overfitAt is how many standard errors a gap may have.
const overfitAt = 3

func audited(runs []run) (out []run) {
	for _, r := range runs {
		if r.audit != 0 {
			out = append(out, r)
		}
	}
	return out
}

// differences are validation less audit.
func differences(runs []run) (out []float64) {
	for _, r := range runs {
		out = append(out, r.score-r.audit)
	}
	return out
}
