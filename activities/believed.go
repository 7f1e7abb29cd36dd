package activities

import (
	"fmt"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// believed is the past as proposers should learn it: one result for each
// proposal, with the best that is known of it now.
//
//   - A check is no proposal. What it has measured belongs to its candidate,
//     whose score is the mean of its fresh seeds as soon as there is one: the
//     run that it was selected by flatters it. (The baseline's runs selected
//     nothing, and it keeps them.)
//   - A keep that fresh seeds have refuted is none any more.
//   - A result of a slot that had drifted has no score. That it was tried stays
//     known: the same program would be refused as a duplicate.
//
// What it is given stays as it is.
func believed(results []experiment.Result) (out []experiment.Result) {
	b := beliefs{fresh: map[int][]float64{}, refuted: map[int]experiment.Result{}, void: map[int]bool{}}
	for _, r := range results {
		for _, n := range r.Voids {
			b.void[n] = true
		}
	}
	for _, r := range results {
		b.learn(r)
	}
	scores := map[string]float64{} // means of fresh seeds, by commit
	for _, r := range results {
		if r.Check != nil {
			continue
		}
		if mean, ok := b.mean(r.Experiment); ok && r.ValBpb != nil && r.Experiment > 0 {
			scores[r.Commit] = mean
		}
		out = append(out, b.now(r, scores))
	}
	return out
}

type beliefs struct {
	fresh   map[int][]float64         // scores of fresh seeds, by experiment
	refuted map[int]experiment.Result // the check that did it, by experiment
	void    map[int]bool
}

func (b beliefs) learn(r experiment.Result) {
	if r.Check == nil || r.ValBpb == nil || r.Reason == experiment.Drifted || b.void[r.Experiment] {
		return
	}
	for _, m := range r.Measurements {
		b.fresh[r.Check.Of] = append(b.fresh[r.Check.Of], m.ValBpb)
	}
	if r.Reason == experiment.Refuted {
		b.refuted[r.Check.Of] = r
	}
}

func (b beliefs) mean(n int) (float64, bool) {
	sum := 0.0
	for _, v := range b.fresh[n] {
		sum += v
	}
	return sum / float64(len(b.fresh[n])), len(b.fresh[n]) > 0
}

// now is a result as it looks from the present.
func (b beliefs) now(r experiment.Result, scores map[string]float64) experiment.Result {
	if mean, ok := scores[r.Commit]; ok && r.ValBpb != nil {
		r.ValBpb = &mean
	}
	if r.Against != nil {
		if score, ok := scores[r.Against.Commit]; ok {
			against := *r.Against
			against.ValBpb = score
			r.Against = &against
		}
	}
	if check, ok := b.refuted[r.Experiment]; ok && r.Verdict == experiment.Keep {
		r.Verdict, r.Reason = experiment.Discard, experiment.Refuted
		r.Message = fmt.Sprintf("kept, then refuted by fresh seeds (#%d): %s", check.Experiment, check.Message)
	}
	if b.void[r.Experiment] && r.Experiment > 0 {
		r.ValBpb = nil
		r.Message = "void: the slot that measured it had drifted"
		if r.Verdict == experiment.Discard {
			r.Reason = experiment.Drifted
		}
	}
	return r
}
