package tensortest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// ProvesCausal is the proof of causality in its plainest form: for each row and
// position, all other rows and all later tokens are poisoned, and the logits
// there must be finite. The error is of the graph, which cannot run.
func ProvesCausal(d *tensor.Device, g *tensor.Graph, ids []int32) (bool, error) {
	B, T := g.BT()
	V := g.Vocab()
	poisoned := make([]int32, len(ids))
	for at := range B * T {
		for i := range poisoned {
			if poisoned[i] = tensor.PoisonID; i/T == at/T && i <= at {
				poisoned[i] = ids[i]
			}
		}
		logits, err := g.Run(d, poisoned)
		if err != nil {
			return false, err
		}
		for _, v := range logits[at*V : (at+1)*V] {
			if v-v != 0 {
				return false, nil
			}
		}
	}
	return true, nil
}

// Smuggle looks for logits of g that change, in any bit, with later tokens or
// with other rows. It tries so many settings of the weights, usual ones and
// extreme ones; in each, tokens change at every cut. What it finds is an error.
func Smuggle(d *tensor.Device, rng *rand.Rand, b *Builder, g *tensor.Graph, settings int) error {
	B, T := g.BT()
	V := g.Vocab()
	ids := make([]int32, B*T)
	run := func(ids []int32) ([]uint32, error) {
		logits, err := g.Run(d, ids)
		return bitsOf(logits), err
	}
	for s := range settings {
		if s > 0 {
			b.Reweigh(rng)
			g.Reload()
		}
		randomize(rng, ids, b.Bounds[0])
		base, err := run(ids)
		if err != nil {
			return nil // refused, whatever the tokens are
		}
		for cut := range B * T {
			other := slices.Clone(ids)
			randomize(rng, other, b.Bounds[0])
			keep := cut / T * T // the row, up to the cut, stays
			copy(other[keep:cut+1], ids[keep:])
			got, err := run(other)
			if err != nil {
				continue
			}
			for i := keep * V; i < (cut+1)*V; i++ {
				if got[i] != base[i] {
					return fmt.Errorf("with tokens %v in place of %v, logit %d of position %d changes from %#x to %#x", other, ids, i%V, i/V, base[i], got[i])
				}
			}
		}
		again, err := run(ids)
		if err != nil || !slices.Equal(again, base) {
			return fmt.Errorf("the same tokens %v give other logits the second time (%v)", ids, err)
		}
	}
	return nil
}

// randomize draws ids below n, the last ones of which are rare.
func randomize(rng *rand.Rand, ids []int32, n int) {
	common := 1 + rng.IntN(n)
	for i := range ids {
		if ids[i] = int32(rng.IntN(common)); rng.IntN(3) == 0 {
			ids[i] = int32(rng.IntN(n))
		}
	}
}

// Reweigh gives the weights other values: usual ones, some extremes, or extremes
// in what belongs to a single rare token.
func (g *Builder) Reweigh(rng *rand.Rand) {
	rare := rng.IntN(2) == 0
	for node := range g.nodes {
		if g.nodes[node]["op"] != "weight" {
			continue
		}
		x, shape := g.Data(node), g.Specs[node].Shape
		if !rare {
			fillWild(rng, x)
			continue
		}
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		if n := shape[len(shape)-1]; shape[0] == g.Bounds[0] && len(shape) == 2 {
			row := x[(shape[0]-1)*n:]
			for i := range row {
				if rng.IntN(2) == 0 {
					row[i] = extremes[rng.IntN(len(extremes))]
				}
			}
		}
	}
}
