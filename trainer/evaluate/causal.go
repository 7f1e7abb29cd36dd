package main

import (
	"math"
	"slices"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// proveCausal proves that no logit depends on a later token or on another row
// of the batch. The error is a fault when one does.
//
// It is a proof for all inputs and all weights, not a sample, because of the
// NaN rule of package tensor: an element is NaN whenever an element that it
// could depend on is, whatever masks, indices and zeros stand in between. A
// graph has no control flow, so where a poisoned token (its embedding is NaN)
// reaches is a matter of structure alone. A logit that stays finite while all
// later tokens and all other rows are poisoned cannot depend on them.
//
// So what has passed once need not be proved again for a graph of the same
// Digest, which covers operations, attributes, shapes and constant indices,
// whatever the weights have become by then. Weights could only add NaNs of
// their own, and scoring refuses those.
//
// text is a real input [B, T]: logits must be finite on it to begin with.
//
// It may take limit seconds by the model's meter.
func proveCausal(m *model, text []int32, limit float64) error { return tryCausal(m, text, limit, 0) }

// tryCausal is proveCausal for so many positions, all over the context: what is
// done where a proof takes too long, and one follows before anything is believed.
// With 0 it is the proof.
func tryCausal(m *model, text []int32, limit float64, cuts int) error {
	p := prover{model: m, text: text, ids: make([]int32, len(text)), spent: m.meter(), limit: limit}
	if err := p.rows(); err != nil {
		return err
	}
	return p.cuts(positions(p.T, cuts))
}

// positions lists all but the last of a context of T, which has no later one, or
// about so many of them, spread evenly, the first and the last among them.
func positions(T, cuts int) (at []int) {
	last := T - 2
	for t := 0; t <= last; t++ {
		if cuts == 0 || cuts > last || t == 0 || t == last || t*(cuts-1)/last != (t-1)*(cuts-1)/last {
			at = append(at, t)
		}
	}
	return at
}

type prover struct {
	*model
	text, ids []int32 // [B, T]
	spent     func() float64
	limit     float64 // what the proof may take, by spent
	zeros     []int32 // [B, T]
}

// run computes logits with the tokens poisoned that poison picks, and reports
// the first place that must be finite and is not. With at set that is judged at
// position at[row] of each row only.
func (p *prover) run(poison, finite func(row, t int) bool, at []int) (row, t int, found bool, err error) {
	for i, id := range p.text {
		if p.ids[i] = id; poison(i/p.T, i%p.T) {
			p.ids[i] = tensor.PoisonID
		}
	}
	isFinite, err := p.look(at)
	if err != nil {
		return 0, 0, false, err
	}
	if spent := p.spent(); spent > p.limit {
		return 0, 0, false, faultf(reasonTimeout, "the proof that the model is causal did not end within %.2f %s: after %.2f s it goes on; make the model smaller, or its context of %d tokens shorter", p.limit, p.unit(), spent, p.T)
	}
	for i := range p.B * p.T {
		if row, t := i/p.T, i%p.T; finite(row, t) && !isFinite(i) {
			return row, t, true, nil
		}
	}
	return 0, 0, false, nil
}

// look runs the model on p.ids, and tells of each position whether its logits are
// finite. On a GPU they stay there: a code length is NaN for those that are not,
// whatever is to be encoded.
func (p *prover) look(at []int) (isFinite func(i int) bool, err error) {
	if !p.onGPU {
		logits, err := p.forwardAt(p.ids, at)
		return func(i int) bool { return allFinite(logits[i*p.V : (i+1)*p.V]) }, err
	}
	if p.zeros == nil {
		p.zeros = make([]int32, len(p.ids))
	}
	nats, err := p.codes(p.ids, p.zeros)
	return func(i int) bool { return !math.IsNaN(nats[i]) }, err
}

// clean wants finite logits when nothing is poisoned. Only what fails with
// poison, or never ran, needs to be run without it.
func (p *prover) clean() error {
	all := func(int, int) bool { return true }
	_, t, found, err := p.run(func(int, int) bool { return false }, all, nil)
	if err == nil && found {
		err = faultf(reasonNaN, "the logits at position %d are not finite; was the training stable?", t)
	}
	return err
}

// rows proves that the rows of a batch do not see each other: for any two rows
// there is a run in which the first lives and the second is poisoned.
func (p *prover) rows() error {
	if p.B == 1 {
		return p.clean()
	}
	pairs, runs := rowPairs(p.B)
	for i := range runs {
		lives := func(row, _ int) bool { return pairs[row][0] == i || pairs[row][1] == i }
		row, _, found, err := p.run(func(row, t int) bool { return !lives(row, t) }, lives, nil)
		if err != nil {
			return err
		}
		if found {
			if err := p.clean(); err != nil {
				return err
			}
			return faultf(reasonNotCausal, "row %d of a batch depends on other rows; each row must be computed by itself", row)
		}
	}
	return nil
}

// rowPairs gives each row the pair of runs in which it lives, a pair of its own.
// So two rows share at most one run. Living twice, instead of once in as many
// runs as there are rows, costs little and needs about sqrt(2B) runs only.
func rowPairs(rows int) (pairs [][2]int, runs int) {
	for runs = 1; len(pairs) < rows; runs++ {
		for i := range runs {
			pairs = append(pairs, [2]int{i, runs})
		}
	}
	return pairs, runs
}

// cuts proves that no logit at the given positions, all but the last, depends on a
// later token: the logits there are finite with all tokens after it poisoned. Rows
// are independent by now, so a run serves as many positions as it has rows.
//
// A run first computes no more than these logits should need. What it leaves
// out is NaN, which cannot make a dependent logit finite. If a logit is not, it
// may need more than we thought, and a whole run decides, now and from then on.
func (p *prover) cuts(positions []int) error {
	at := make([]int, p.B)
	narrow := at
	for part := range slices.Chunk(positions, p.B) {
		for row := range at {
			at[row] = p.T - 1
		}
		copy(at, part)
		poison := func(row, t int) bool { return t > at[row] }
		finite := func(row, t int) bool { return t == at[row] }
		row, t, found, err := p.run(poison, finite, narrow)
		if found && narrow != nil {
			narrow = nil
			row, t, found, err = p.run(poison, finite, narrow)
		}
		if err != nil {
			return err
		}
		if found {
			return faultf(reasonNotCausal, "the logits at position %d of row %d depend on tokens after it; a position may see itself and what comes before it", t, row)
		}
	}
	return nil
}

// allFinite reports whether no element is NaN or infinite.
func allFinite(x []float32) bool {
	for _, v := range x {
		if d := v - v; d != 0 { // NaN for NaN and for infinities
			return false
		}
	}
	return true
}
