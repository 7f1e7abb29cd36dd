package tensor_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/cpu"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/tensortest"
)

// smuggled makes random graphs and looks for one that is proved causal and is
// not. It returns how many were proved.
func smuggled(t *testing.T, d *tensor.Device, rng *rand.Rand, ops []*tensor.Op, graphs int) (proved int, err error) {
	for range graphs {
		b := tensortest.RandomGraph(rng, ops, 1+rng.IntN(8))
		g, err := b.Graph(b.Last())
		if err != nil {
			t.Fatalf("%v: %s", err, b.Text(b.Last()))
		}
		ids := make([]int32, tensortest.GraphB*tensortest.GraphT)
		for i := range ids {
			ids[i] = int32(rng.IntN(tensortest.GraphV))
		}
		if ok, err := tensortest.ProvesCausal(d, g, ids); err != nil || !ok {
			continue
		}
		proved++
		if err := tensortest.Smuggle(d, rng, b, g, 4); err != nil {
			return proved, fmt.Errorf("%w\n%s", err, b.Text(b.Last()))
		}
	}
	return proved, nil
}

// smuggleGraphs is how many graphs to try, usually n.
func smuggleGraphs(n int) int {
	if set, err := strconv.Atoi(os.Getenv("SMUGGLE_GRAPHS")); err == nil {
		return set
	}
	return n
}

// TestNoGraphSmuggles: of random graphs, those that the proof lets pass do not
// change a bit before a token that changes, whatever weights and tokens are.
// SMUGGLE_GRAPHS sets how many are tried.
func TestNoGraphSmuggles(t *testing.T) {
	graphs := smuggleGraphs(1500)
	seed := uint64(graphs)
	for _, kernels := range cpu.Names() {
		d, err := tensor.Open(tensor.Config{Threads: 1, Kernels: kernels})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		proved, err := smuggled(t, d, rand.New(rand.NewPCG(seed, 5)), tensortest.Exportable(), graphs)
		if err != nil {
			t.Errorf("%s: %v", kernels, err)
		} else if proved < graphs/8 {
			t.Errorf("%s: only %d of %d graphs are proved causal", kernels, proved, graphs)
		}
		t.Logf("%s: %d of %d graphs are proved causal", kernels, proved, graphs)
		seed++
	}
}

// TestSmugglersAreCaught: with an operation that hides NaN among the others, a
// graph that looks ahead is proved causal, and is found out.
func TestSmugglersAreCaught(t *testing.T) {
	planted, remove := tensor.PlantUnsound()
	defer remove()
	d := open(t, 1)
	for _, op := range planted {
		// The others that it needs: one that looks ahead, and few that pass it on.
		ops := []*tensor.Op{op, op}
		for _, other := range tensortest.Exportable() {
			switch other.Name {
			case "shift", "permute", "cumsum", "add":
				ops = append(ops, other)
			}
		}
		proved, err := smuggled(t, d, rand.New(rand.NewPCG(1, 2)), ops, 10_000)
		if err == nil {
			t.Errorf("%s: %d graphs are proved causal, and none is found out", op.Name, proved)
		}
	}
}
