package scorer

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The validation text of karpathy/autoresearch: 40 batches of 2^19 tokens, in
// rows of 2048. Its vocabulary of 8192 makes about four bytes of a token.
var karpathy = Design{Windows: 10240, Positions: 2048, Vocab: 8192, BytesPerToken: 4, Tolerance: tolerances["bfloat16"]}

func TestPasses(t *testing.T) {
	bytes := Design{Windows: 10240, Positions: 2048, Vocab: 256, BytesPerToken: 1, Tolerance: tolerances["float32"]}
	small := Design{Windows: 256, Positions: 256, Vocab: 256, BytesPerToken: 1, Tolerance: tolerances["float32"]}
	coarse, tiny := small, small
	coarse.Lie = 0.02
	tiny.Windows, tiny.Positions = 4, 8
	for _, c := range []struct {
		name string
		d    Design
		want int // 0: none is enough
	}{
		{"karpathy", karpathy, 2},
		{"as many bytes", bytes, 3},
		{"small", small, 90},
		{"small, a coarser lie", coarse, 11},
		{"a text too short to say", tiny, 0},
	} {
		got, err := c.d.Passes()
		if got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%s: %d passes, %v; want %d", c.name, got, err, c.want)
		}
	}
	if k, err := Plan(10240, 2048, 256, 0.002, 0.999); k != 3 || err != nil {
		t.Errorf("Plan gave %d, %v", k, err)
	}
	for _, d := range []Design{{}, {Windows: 1, Positions: 1, Vocab: 1}, {Windows: 1, Positions: 1, Vocab: 2, Power: 1}, {Windows: 1, Positions: 1, Vocab: 2, Lie: -1}, {Windows: 1, Positions: 1, Vocab: 2, FalseAlarm: 2}} {
		if k, err := d.Passes(); err == nil {
			t.Errorf("%+v takes %d passes", d, k)
		}
	}
}

// One pass is not enough for the clamped loss, two are; the plain loss, which has
// no largest value, takes four.
func TestMissAtFullSize(t *testing.T) {
	if one, two := karpathy.Miss(1), karpathy.Miss(2); one <= 0.001 || two > 0.00101 {
		t.Errorf("a lie escapes one pass with probability %.2g, two with %.2g", one, two)
	}
	if three, four := karpathy.MissPlain(3), karpathy.MissPlain(4); three <= 0.001 || four > 0.00101 {
		t.Errorf("a lie about the plain loss escapes three passes with probability %.2g, four with %.2g", three, four)
	}
}

func TestMoreOfAnythingHelps(t *testing.T) {
	base := Design{Windows: 1000, Positions: 500, Vocab: 1000, BytesPerToken: 4, Lie: 0.004, Power: 0.999, Tolerance: tolerances["float32"]}
	for name, change := range map[string]func(*Design){
		"windows": func(d *Design) { d.Windows *= 2 },
		"lie":     func(d *Design) { d.Lie *= 2 },
		"alarms":  func(d *Design) { d.FalseAlarm = 0.01 },
		"V":       func(d *Design) { d.Vocab = 100 },
		"bytes":   func(d *Design) { d.BytesPerToken = 8 },
	} {
		better := base
		change(&better)
		for k := 1; k < 30; k++ {
			if better.Miss(k) > base.Miss(k) || base.Miss(k+1) > base.Miss(k) {
				t.Errorf("more %s at %d passes: a lie escapes with %.3g, before with %.3g; one more pass: %.3g", name, k, better.Miss(k), base.Miss(k), base.Miss(k+1))
			}
		}
	}
}

// A bound that is checked against what it bounds: M marked tokens anywhere, and
// the probability that no cut meets them, which is hypergeometric per window.
func TestAvoid(t *testing.T) {
	r := rand.New(Seeded(1))
	d := Design{Windows: 20, Positions: 30, Vocab: 10}
	for range 200 {
		passes, marked := 1+r.IntN(10), make([]int, d.Windows)
		M := 1 + r.IntN(40)
		for range M {
			w := r.IntN(1 + r.IntN(d.Windows))
			marked[w] = min(marked[w]+1, d.Positions)
		}
		exact, total := 0.0, 0
		for _, m := range marked {
			total += m
			for i := range passes { // no cut of the window meets any of m
				exact += math.Log(max(0, float64(d.Positions-m-i)) / float64(d.Positions-i))
			}
		}
		if bound := d.avoid(passes, float64(total)); math.Exp(exact) > bound*(1+1e-9) {
			t.Errorf("%d passes miss %v with probability %.4g, more than the bound %.4g", passes, marked, math.Exp(exact), bound)
		}
	}
}

func TestDraw(t *testing.T) {
	const N, T, K = 40, 7, 5
	count := [T]int{}
	for seed := range uint64(200) {
		cuts, err := Draw(Seeded(seed), N, T, K)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[Cut]bool{}
		for _, pass := range cuts {
			windows := map[int]bool{}
			for _, c := range pass {
				if seen[c] || windows[c.Window] || c.At < 0 || c.At >= T {
					t.Fatalf("%v is asked for twice, or twice in a pass", c)
				}
				seen[c], windows[c.Window] = true, true
				count[c.At]++
			}
			if len(pass) != N {
				t.Fatalf("%d windows in a pass", len(pass))
			}
		}
	}
	// 40,000 cuts over 7 positions: 5714 each, standard deviation 70 at most.
	for at, n := range count {
		if n < 5714-350 || n > 5714+350 {
			t.Errorf("position %d was drawn %d times of 40000", at, n)
		}
	}
	a, _ := Draw(Seeded(1), N, T, K)
	b, _ := Draw(Seeded(1), N, T, K)
	c, _ := Draw(Secret(), N, T, K)
	if a[0][0] != b[0][0] || a[4][N-1] != b[4][N-1] {
		t.Error("a seed does not give the same cuts again")
	}
	same := 0
	for i := range c[0] {
		if c[0][i] == a[0][i] {
			same++
		}
	}
	if same > N/2 {
		t.Error("secret cuts are those of seed 1")
	}
	if _, err := Draw(Seeded(1), 1, 3, 4); err == nil {
		t.Error("four cuts of three positions were drawn")
	}
}

func TestDecoysHideWhatTheyReplace(t *testing.T) {
	r := rand.New(Seeded(2))
	window := []int32{10, 11, 12, 13, 14}
	train := []int32{1, 2, 3}
	for at := range 4 {
		got := blind(r, window, at, DecoysFrom(train))
		for i, v := range got {
			if i <= at && v != window[i] || i > at && (v < 1 || v > 3) {
				t.Errorf("cut at %d: %v", at, got)
			}
		}
	}
	if got := blind(r, window, 0, DecoysFrom(nil)); got[0] != 10 || got[4] != 0 {
		t.Errorf("without a text: %v", got)
	}
	if window[4] != 14 {
		t.Error("the window itself was changed")
	}
}

func TestWhen(t *testing.T) {
	for _, c := range []struct {
		baseline, keep bool
		coin           float64
		want           Why
	}{
		{true, false, 0.9, BaselineCheck}, {true, true, 0, BaselineCheck}, {false, true, 0.9, KeepCheck},
		{false, false, 0.049, RandomCheck}, {false, false, 0.05, NoCheck}, {false, false, 0.9, NoCheck},
	} {
		if got := When(c.baseline, c.keep, c.coin, DefaultShare); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	s, low := Seeded(3), 0
	for range 10000 {
		if s.Coin() < DefaultShare {
			low++
		}
	}
	if low < 400 || low > 600 {
		t.Errorf("%d of 10000 coins are below %v", low, DefaultShare)
	}
}

func TestCost(t *testing.T) {
	// Two passes, each with a start of 1 s, 4 s forward and 1 s of answers.
	if got := Cost(2, 1, 4, 1, 300); math.Abs(got-0.04) > 1e-12 {
		t.Errorf("got %v", got)
	}
}
