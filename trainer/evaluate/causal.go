package main

import (
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
func proveCausal(m *model, text []int32) error {
	p := prover{model: m, text: text, ids: make([]int32, len(text))}
	if err := p.clean(); err != nil {
		return err
	}
	if err := p.rows(); err != nil {
		return err
	}
	return p.cuts()
}

type prover struct {
	*model
	text, ids []int32 // [B, T]
}

// run computes logits with the tokens poisoned that poison picks, and reports
// the first place that must be finite and is not.
func (p *prover) run(poison, finite func(row, t int) bool) (row, t int, found bool, err error) {
	for i, id := range p.text {
		if p.ids[i] = id; poison(i/p.T, i%p.T) {
			p.ids[i] = tensor.PoisonID
		}
	}
	logits, err := p.forward(p.ids)
	if err != nil {
		return 0, 0, false, err
	}
	for i := range p.B * p.T {
		if row, t := i/p.T, i%p.T; finite(row, t) && !allFinite(logits[i*p.V:(i+1)*p.V]) {
			return row, t, true, nil
		}
	}
	return 0, 0, false, nil
}

// clean wants finite logits when nothing is poisoned.
func (p *prover) clean() error {
	all := func(int, int) bool { return true }
	_, t, found, err := p.run(func(int, int) bool { return false }, all)
	if err == nil && found {
		err = faultf(reasonNaN, "the logits at position %d are not finite; was the training stable?", t)
	}
	return err
}

// rows proves that the rows of a batch do not see each other. Any two rows
// differ in a bit of their number, so two runs for each bit, one half poisoned
// in each, decide about all pairs.
func (p *prover) rows() error {
	for bit := 1; bit < p.B; bit <<= 1 {
		for _, half := range []int{0, bit} {
			row, _, found, err := p.run(
				func(row, _ int) bool { return row&bit != half },
				func(row, _ int) bool { return row&bit == half })
			if err != nil {
				return err
			}
			if found {
				return faultf(reasonNotCausal, "row %d of a batch depends on other rows; each row must be computed by itself", row)
			}
		}
	}
	return nil
}

// cuts proves that no logit depends on a later token: for each cut, with all
// tokens from there on poisoned, the logits before it are finite. Rows are
// independent by now, so a run serves as many cuts as it has rows.
func (p *prover) cuts() error {
	for first := 1; first < p.T; first += p.B {
		row, t, found, err := p.run(
			func(row, t int) bool { return t >= first+row },
			func(row, t int) bool { return t < first+row && first+row < p.T })
		if err != nil {
			return err
		}
		if found {
			return faultf(reasonNotCausal, "the logits at position %d depend on tokens from position %d on; a position may see itself and what comes before it", t, first+row)
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
