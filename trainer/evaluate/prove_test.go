package main

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/tensortest"
)

// TestProofIsThePlainOne: the proof in few runs, which computes no more than it
// must, says of random graphs what the plain one says, which poisons everything
// else for each single position, and which is tried for soundness with package
// tensor.
func TestProofIsThePlainOne(t *testing.T) {
	d, err := tensor.Open(tensor.Config{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	said := proofsAgree(t, d, d, false, 11, 600)
	if said[true] < 100 || said[false] < 100 {
		t.Errorf("of the graphs, %d are causal and %d are not: too few of one kind", said[true], said[false])
	}
}

// proofsAgree wants the proof on d to say of so many random graphs what the plain
// one says on the CPU, and counts what that was.
func proofsAgree(t *testing.T, cpu, d *tensor.Device, onGPU bool, seed uint64, graphs int) (said map[bool]int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, seed))
	said = map[bool]int{}
	for range graphs {
		b := tensortest.RandomGraph(rng, tensortest.Exportable(), 1+rng.IntN(8))
		g, err := b.Graph(b.Last())
		if err != nil {
			t.Fatal(err)
		}
		ids := make([]int32, tensortest.GraphB*tensortest.GraphT)
		for i := range ids {
			ids[i] = int32(rng.IntN(tensortest.GraphV))
		}
		clean, err := g.Run(cpu, ids)
		if err != nil || !allFinite(clean) {
			continue
		}
		plain, err := tensortest.ProvesCausal(cpu, g, ids)
		if err != nil {
			t.Fatal(err)
		}
		m := &model{graph: g, dev: d, onGPU: onGPU, B: tensortest.GraphB, T: tensortest.GraphT, V: g.Vocab(), cores: 1}
		err = proveCausal(m, ids, maxSeconds)
		var f *fault
		if proved := err == nil; proved != plain || !proved && (!errors.As(err, &f) || f.Reason != reasonNotCausal) {
			t.Fatalf("the proof says %v, the plain one %v of %s", err, plain, b.Text(b.Last()))
		}
		said[plain]++
	}
	return said
}
