package scorer

import (
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// Cut is one blind question: what comes after token At of a window, 0 <= At < T.
type Cut struct {
	Window, At int
}

// Source is where cuts, orders and decoys come from.
type Source struct{ rand.Source }

// Secret returns a source that nobody can foretell.
func Secret() Source {
	var seed [32]byte
	if _, err := crand.Read(seed[:]); err != nil {
		panic(err) // does not happen: crypto/rand ends the program itself
	}
	return Source{rand.NewChaCha8(seed)}
}

// Seeded returns a source for tests.
func Seeded(seed uint64) Source {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return Source{rand.NewChaCha8(key)}
}

// Draw draws the cuts of so many passes. In every pass each window is asked for
// once, in random order; over all passes no position of a window is asked for
// twice. Each position of each window is as likely as any other, and windows
// are independent: that is all the proofs need.
func Draw(s Source, windows, positions, passes int) ([][]Cut, error) {
	if passes < 0 || passes > positions {
		return nil, fmt.Errorf("%d passes of cuts over windows with %d positions: at most one for each position", passes, positions)
	}
	r := rand.New(s)
	cuts := make([][]Cut, passes)
	for k := range cuts {
		cuts[k] = make([]Cut, windows)
	}
	all, list := make([]int, positions), make([]int, passes)
	for i := range all {
		all[i] = i
	}
	for w := range windows {
		distinct(r, all, list)
		for k, at := range list {
			cuts[k][w] = Cut{w, at}
		}
	}
	for _, pass := range cuts {
		r.Shuffle(len(pass), func(i, j int) { pass[i], pass[j] = pass[j], pass[i] })
	}
	return cuts, nil
}

// distinct fills list with different numbers from 0..n-1 in random order, where
// all holds 0..n-1, as it does again afterwards.
func distinct(r *rand.Rand, all, list []int) {
	swap := make([]int, len(list))
	for i := range list {
		j := i + r.IntN(len(all)-i)
		all[i], all[j] = all[j], all[i]
		list[i], swap[i] = all[i], j
	}
	for i := len(swap) - 1; i >= 0; i-- {
		all[i], all[swap[i]] = all[swap[i]], all[i]
	}
}

// Decoys fills tokens with text of the same kind that is nowhere in the
// validation text, without a look at what it replaces.
type Decoys func(r *rand.Rand, tokens []int32)

// DecoysFrom takes decoys from a text that candidates know anyway, the training
// text, at a random place. A text that is shorter is repeated.
func DecoysFrom(text []int32) Decoys {
	return func(r *rand.Rand, tokens []int32) {
		if len(text) == 0 {
			clear(tokens)
			return
		}
		at := r.IntN(len(text))
		for i := range tokens {
			tokens[i] = text[(at+i)%len(text)]
		}
	}
}

// blind returns a copy of a window whose tokens after the cut are decoys.
func blind(r *rand.Rand, window []int32, at int, decoys Decoys) []int32 {
	out := make([]int32, len(window))
	copy(out, window[:at+1])
	decoys(r, out[at+1:])
	return out
}
