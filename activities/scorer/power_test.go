package scorer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The power of blind cuts by simulation: a text whose tokens have losses as those
// of a language model, liars that take the same total off their claims in
// different ways, and the tests as they are. No process is started.

// world is the honest loss of each token, in nats, and the numerics' noise.
type world struct {
	Design
	blind []float32 // [N, T]
}

// newWorld makes losses: a third of the tokens are almost certain, the others
// spread exponentially, so that some are far beyond ln V.
func newWorld(d Design, seed uint64) *world {
	d = d.withDefaults()
	r := rand.New(Seeded(seed))
	w := &world{d, make([]float32, d.Windows*d.Positions)}
	mean := 0.4 * math.Log(float64(d.Vocab))
	for i := range w.blind {
		if w.blind[i] = float32(0.02 * r.ExpFloat64()); r.IntN(3) > 0 {
			w.blind[i] = float32(mean * r.ExpFloat64())
		}
	}
	return w
}

// liar says how much is taken off each claim, in nats, as a share of what could
// be: the first of them, in the order that it likes, until the total is reached.
type liar struct {
	name string
	// like orders tokens: high ones first. Size is what is taken off one of them.
	like func(w *world, i int, r *rand.Rand) float64
	size func(w *world, i int) float64
	// shake adds noise of this size that changes nothing on average.
	shake float64
}

// all is everything that the clamped loss of a token has to give.
func all(w *world, i int) float64 {
	return min(float64(w.blind[i]), math.Log(float64(w.Vocab)))
}

func atMost(nats float64) func(w *world, i int) float64 {
	return func(w *world, i int) float64 { return min(nats, all(w, i)) }
}

func anywhere(_ *world, _ int, r *rand.Rand) float64 { return r.Float64() }

func liars(d Design) []liar {
	tau, mean := d.Tolerance.Outlier, d.withDefaults().nats()
	place := func(i, T int) float64 { return float64(i % T) }
	return []liar{
		{name: "a few tokens, the dearest", like: func(w *world, i int, _ *rand.Rand) float64 { return float64(w.blind[i]) }, size: all},
		{name: "a few tokens, anywhere", like: anywhere, size: all},
		{name: "rare tokens", like: func(_ *world, i int, _ *rand.Rand) float64 { return -float64(uint32(i) * 2654435761 >> 8) }, size: all},
		{name: "all a little", like: anywhere, size: atMost(mean * 1.5)},
		{name: "just below the outlier", like: anywhere, size: atMost(tau * 0.99)},
		{name: "just above the outlier", like: anywhere, size: atMost(tau * 1.01)},
		{name: "some windows only", like: func(_ *world, i int, _ *rand.Rand) float64 { return -float64(i) }, size: all},
		{name: "ends of windows", like: func(w *world, i int, _ *rand.Rand) float64 { return place(i, w.Positions) }, size: all},
		{name: "starts of windows", like: func(w *world, i int, _ *rand.Rand) float64 { return -place(i, w.Positions) }, size: all},
		{name: "in proportion to the loss", like: anywhere, size: func(w *world, i int) float64 { return all(w, i) * 0.01 }},
		{name: "half small, half large", like: anywhere, size: func(w *world, i int) float64 {
			if i%499 == 0 {
				return all(w, i)
			}
			return min(mean*0.75, all(w, i))
		}},
		{name: "under noise of its own", like: anywhere, size: atMost(mean * 1.5), shake: d.Tolerance.Spread},
	}
}

// lie makes the claims of a liar: the total of what they are too good by is the
// design's lie exactly, or what the first tokens are worth where that is less.
func (l liar) lie(w *world, seed uint64) (claims []float32, nats float64) {
	r := rand.New(Seeded(seed))
	claims = slices.Clone(w.blind)
	order := make([]int32, len(claims))
	liking := make([]float64, len(claims))
	for i := range order {
		order[i], liking[i] = int32(i), l.like(w, i, r)
	}
	slices.SortFunc(order, func(a, b int32) int {
		if liking[a] != liking[b] {
			return int(math.Copysign(1, liking[b]-liking[a]))
		}
		return int(a - b)
	})
	total := w.nats() * float64(len(claims))
	for _, i := range order {
		size := l.size(w, int(i))
		if nats+size > total {
			break
		}
		// What is beyond ln V is not counted, so it has to be given up too.
		claims[i] = float32(all(w, int(i)) - size)
		nats += size
	}
	for i := range claims {
		if l.shake > 0 {
			claims[i] += float32(min(l.shake, float64(claims[i])) * (2*float64(i&1) - 1))
		}
	}
	return claims, nats / float64(len(claims))
}

// caught is one audit: are these claims refused?
func (w *world) caught(claims []float32, passes int, s Source, noise float64) bool {
	cuts, err := Draw(s, w.Windows, w.Positions, passes)
	if err != nil {
		panic(err)
	}
	r := rand.New(s)
	a := NewAudit(w.Vocab, w.Tolerance, w.FalseAlarm)
	for _, pass := range cuts {
		for _, c := range pass {
			i := c.Window*w.Positions + c.At
			// A token that is almost certain has little to be wrong by.
			loss := float64(w.blind[i])
			n := noise * min(1, loss/2) * max(-2, min(2, r.NormFloat64()))
			if a.compare(c, float64(claims[i]), loss+n) != nil {
				return true
			}
		}
	}
	return a.Decide().Failure != nil
}

// escapes counts the audits, of so many, that claims survive.
func (w *world) escapes(claims []float32, passes, trials int, noise float64) int {
	n := 0
	for seed := range uint64(trials) {
		if !w.caught(claims, passes, Seeded(1000+seed), noise) {
			n++
		}
	}
	return n
}

// The plan's promise at sizes that a test can afford: whoever lies is caught, and
// whoever does not is left alone.
func TestPower(t *testing.T) {
	const trials = 300
	for _, c := range []struct {
		name string
		d    Design
	}{
		{"bytes, float32", Design{Windows: 256, Positions: 256, Vocab: 256, BytesPerToken: 1, Lie: 0.008, Tolerance: tolerances["float32"]}},
		{"8192 tokens, bfloat16", Design{Windows: 2048, Positions: 128, Vocab: 8192, BytesPerToken: 4, Tolerance: tolerances["bfloat16"]}},
	} {
		passes, err := c.d.Passes()
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(c.d, 1)
		if n := w.escapes(w.blind, passes, trials, w.Tolerance.Spread*0.9); n != trials {
			t.Errorf("%s: %d of %d honest programs are accused", c.name, trials-n, trials)
		}
		for _, l := range liars(c.d) {
			claims, nats := l.lie(w, 2)
			if nats < 0.95*w.nats() {
				t.Fatalf("%s: %s lies by %.3g nats a token only", c.name, l.name, nats)
			}
			// Of 300 that escape with probability 0.001, more than 4 do once in
			// 100,000 times; the seeds are fixed.
			if n := w.escapes(claims, passes, trials, w.Tolerance.Spread*0.5); n > 4 {
				t.Errorf("%s, %d passes: %s escapes %d times of %d", c.name, passes, l.name, n, trials)
			}
			if n := w.escapes(claims, 1, trials, w.Tolerance.Spread*0.5); passes > 3 && strings.HasPrefix(l.name, "a few tokens") && n == 0 {
				t.Errorf("%s, 1 pass: %s never escapes, so the simulation shows nothing", c.name, l.name)
			}
		}
	}
}

// Other ways to choose what is asked, which do not do: see docs/scorer.md.
func TestWeightingByGainIsBlind(t *testing.T) {
	d := Design{Windows: 2048, Positions: 128, Vocab: 8192, BytesPerToken: 4, Tolerance: tolerances["float32"]}
	w := newWorld(d, 1)
	// The incumbent is another model: as good on average, better at some tokens.
	r := rand.New(Seeded(5))
	incumbent := make([]float64, len(w.blind))
	for i, v := range w.blind {
		incumbent[i] = max(0, float64(v)+0.3*r.NormFloat64())
	}
	// The liar takes back what it is worse by, and no more.
	claims, lie := slices.Clone(w.blind), 0.0
	for i := range claims {
		if worse := float64(claims[i]) - incumbent[i]; worse > w.Tolerance.Outlier && lie < w.nats()*float64(len(claims)) {
			claims[i] = float32(incumbent[i])
			lie += worse
		}
	}
	asked, met := 0, 0
	for i := range claims {
		if gain := incumbent[i] - float64(claims[i]); gain > 1e-5 {
			asked++
			if claims[i] != w.blind[i] {
				met++
			}
		}
	}
	if lie < w.nats()*float64(len(claims)) || asked < len(claims)/10 || met > 0 {
		t.Errorf("a lie of %.3g nats a token: %d tokens have a claimed gain, %d of them are lies", lie/float64(len(claims)), asked, met)
	}
	passes, err := d.Passes()
	if err != nil || w.escapes(claims, passes, 100, 0) > 0 {
		t.Errorf("blind cuts let it through (%d passes, %v)", passes, err)
	}
}

// BenchmarkPower prints the tables of docs/scorer.md:
//
//	go test ./activities/scorer -run xxx -bench Power/small -benchtime 1x
//	go test ./activities/scorer -run xxx -bench Power/karpathy -benchtime 1x
//
// The second one orders 21 million tokens for each liar, which takes minutes.
func BenchmarkPower(b *testing.B) {
	for _, c := range []struct {
		name   string
		d      Design
		passes []int
	}{
		{"small", Design{Windows: 256, Positions: 256, Vocab: 256, BytesPerToken: 1, Tolerance: tolerances["float32"]}, []int{45, 90}},
		{"karpathy", karpathy, []int{1, 2}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				powerTable(b, c.name, c.d, c.passes, 1000)
			}
		})
	}
}

// BenchmarkPasses prints how many passes of cuts a lie of 0.002 bpb takes.
func BenchmarkPasses(b *testing.B) {
	for b.Loop() {
		fmt.Printf("\n| N | T | V | bytes a token | float32 | bfloat16 | cuts, of all tokens |\n")
		for _, d := range []Design{
			{Windows: 10240, Positions: 2048, Vocab: 8192, BytesPerToken: 4},
			{Windows: 10240, Positions: 2048, Vocab: 256, BytesPerToken: 1},
			{Windows: 1024, Positions: 1024, Vocab: 8192, BytesPerToken: 4},
			{Windows: 2048, Positions: 128, Vocab: 8192, BytesPerToken: 4},
			{Windows: 1024, Positions: 256, Vocab: 256, BytesPerToken: 1},
			{Windows: 256, Positions: 256, Vocab: 256, BytesPerToken: 1},
		} {
			fmt.Printf("| %d | %d | %d | %g |", d.Windows, d.Positions, d.Vocab, d.BytesPerToken)
			share := 0.0
			for _, arithmetic := range []string{"float32", "bfloat16"} {
				d.Tolerance = tolerances[arithmetic]
				if k, err := d.Passes(); err != nil {
					fmt.Printf(" none |")
				} else {
					fmt.Printf(" %d |", k)
					share = 100 * float64(k) / float64(d.Positions)
				}
			}
			fmt.Printf(" %.2f %% |\n", share)
		}
	}
}

func powerTable(b *testing.B, name string, d Design, passes []int, trials int) {
	w := newWorld(d, 1)
	fmt.Printf("\n%s, a lie of %v bpb (%.2g nats a token): escapes of %d\n| who | passes %v | \n", name, w.Lie, w.nats(), trials, passes)
	row := func(who string, claims []float32, noise float64) {
		fmt.Printf("| %s |", who)
		for _, k := range passes {
			fmt.Printf(" %d |", w.escapes(claims, k, trials, noise))
		}
		fmt.Println()
	}
	row("honest", w.blind, w.Tolerance.Spread*0.9)
	for _, l := range liars(d) {
		claims, _ := l.lie(w, 2)
		row(l.name, claims, w.Tolerance.Spread*0.5)
	}
	for _, k := range passes {
		fmt.Printf("bound at %d passes: %.2g clamped, %.2g plain\n", k, d.Miss(k), d.MissPlain(k))
	}
}
