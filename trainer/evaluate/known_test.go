package main

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// shaped is a model that predicts from the last token alone, by a table of
// logits, and runs at ids [B,T].
func shaped(t *testing.T, table []float32, B, T int) *model {
	t.Helper()
	d, err := tensor.Open(tensor.Config{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	g, err := d.Trace(d.Ints(make([]int32, B*T), B, T), func(ids *tensor.Tensor) *tensor.Tensor {
		return d.Const("table", table, testV, testV).Embed(ids)
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := evaluation{model: saveGraph(t, g), cores: 2}.loadModel(testV)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.close)
	return m
}

// TestEveryTokenOnce: a model without memory costs what plain code says, to ten
// digits, whatever the rows and the context it runs at and wherever the text
// ends in them. The costs of the table are random: a token that were left out,
// or scored twice, or with the wrong one before it, would show.
func TestEveryTokenOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	table := make([]float32, testV*testV)
	for i := range table {
		table[i] = float32(5 * rng.NormFloat64())
	}
	b := text(20_000)
	// cost[i] is what the bytes 1 to i take, in bits.
	cost := make([]float64, len(b))
	for i := 1; i < len(b); i++ {
		row, sum := table[int(b[i-1])*testV:(int(b[i-1])+1)*testV], 0.0
		for _, v := range row {
			sum += math.Exp(float64(v))
		}
		cost[i] = cost[i-1] - math.Log2(math.Exp(float64(row[b[i]]))/sum)
	}
	for _, s := range [][2]int{{1, 1}, {1, 7}, {5, 1}, {3, 5}, {4, 16}, {2, 64}, {1, 1000}} {
		B, T := s[0], s[1]
		m := shaped(t, table, B, T)
		for _, n := range []int{2, 3, T, T + 1, T + 2, B * T, B*T + 1, B*T + 2, 3*B*T - 1, 3*B*T + T + 1, 999} {
			if n < 2 {
				continue
			}
			got, err := m.codeLength(opened(t, b[:n]), 2, maxSeconds)
			if want := cost[n-1]; err != nil || math.Abs(got-want) > 1e-10*want {
				t.Errorf("at [%d,%d], %d tokens take %v bits (%v), want %v", B, T, n, got, err, want)
			}
		}
	}
	m := shaped(t, table, 8, 100) // the sums of a long text lose nothing
	if got, err := m.codeLength(opened(t, b), 2, maxSeconds); err != nil || math.Abs(got/cost[len(b)-1]-1) > 1e-11 {
		t.Errorf("%d tokens take %v bits (%v), want %v", len(b), got, err, cost[len(b)-1])
	}
}

// The number of cores changes no bit of the sum.
func TestSumHasOneOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	logits, targets := make([]float32, 1000*testV), make([]int32, 1000)
	for i := range logits {
		logits[i] = float32(rng.NormFloat64())
	}
	for i := range targets {
		targets[i] = int32(rng.IntN(testV))
	}
	want := codeLength(logits, targets, testV, 1)
	for _, cores := range []int{2, 3, 7} {
		if got := codeLength(logits, targets, testV, cores); got != want {
			t.Errorf("%d cores: %v, one: %v", cores, got, want)
		}
	}
}

// A uniform model costs exactly log2 V for each token: eight bits for 256.
func TestUniformIsExact(t *testing.T) {
	for _, V := range []int{2, 256, 1024, 300, 8192} {
		for _, logit := range []float32{0, 3.25, -1e6} {
			row := make([]float32, V)
			for i := range row {
				row[i] = logit
			}
			if got, want := rowBits(row, int32(V-1)), math.Log2(float64(V)); got != want {
				t.Errorf("%d equal logits of %v: %v bits, want %v", V, logit, got, want)
			}
		}
	}
}
