package search

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// mixed has every kind of dimension; its minimum 0 is at goal.
var mixed = []byte(`package p

const (
	LR      = 0.02   // range 0.001..1 log
	Momentum = 0.85  // range 0.8..0.99
	Decay   = 0.0    // range 0..0.3
	Depth   = 2      // range 1..12 int
	Batch   = 8      // one of 2, 4, 8, 16, 32
	Window  = "SSSL" // one of L, SL, SSSL
)
`)

var goal = Point{"LR": "0.2", "Momentum": "0.94", "Decay": "0.12", "Depth": "7", "Batch": "2", "Window": `"SL"`}

// bowl is a separable bowl around goal in unit coordinates.
func bowl(s Space, p Point) float64 {
	sum := 0.0
	for _, d := range s {
		if d.Kind == Nominal {
			if p[d.Name] != goal[d.Name] {
				sum += 0.05
			}
			continue
		}
		x := d.unit(p[d.Name]) - d.unit(goal[d.Name])
		sum += x * x
	}
	return sum
}

// valley couples two dimensions: the learning rate must fall as the batch grows.
func valley(s Space, p Point) float64 {
	x, y := s[0].unit(p["LR"]), s[1].unit(p["Batch"])
	return 4*(x+y-1)*(x+y-1) + (x-0.7)*(x-0.7)
}

// ridge is the bowl with LR and Batch coupled: one must fall as the other rises.
func ridge(s Space, p Point) float64 {
	x, y := s[0].unit(p["LR"])-s[0].unit(goal["LR"]), s[4].unit(p["Batch"])-s[4].unit(goal["Batch"])
	return bowl(s, p) - x*x - y*y + valley(Space{s[0], s[4]}, p)
}

func space(t testing.TB, src []byte) (Space, Point) {
	t.Helper()
	constants, err := Parse("p.go", src)
	if err != nil {
		t.Fatal(err)
	}
	s, p := SpaceOf(constants)
	return s, p
}

// campaign runs n experiments that keep whatever measures better, and returns
// the true score of the incumbent at the end, and all points tried.
func campaign(t testing.TB, s Space, start Point, f func(Space, Point) float64, noise float64, n int, seed uint64) (float64, []Trial) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	measure := func(p Point) float64 { return f(s, p) + noise*rng.NormFloat64() }
	best, score := start, measure(start)
	var trials []Trial
	for i := range n {
		p, err := Suggest(s, best, trials, seed*1000+uint64(i))
		if err != nil {
			t.Fatalf("experiment %d: %v", i, err)
		}
		got := measure(p)
		trials = append(trials, Trial{Point: p, From: best, Gain: score - got})
		if got < score-2.5*noise {
			best, score = p, got
		}
	}
	return f(s, best), trials
}

// random is the same campaign with points drawn from the whole space.
func random(s Space, start Point, f func(Space, Point) float64, noise float64, n int, seed uint64) float64 {
	rng := rand.New(rand.NewPCG(seed, 1))
	measure := func(p Point) float64 { return f(s, p) + noise*rng.NormFloat64() }
	best, score := start, measure(start)
	var levels [][]string
	for _, d := range s {
		levels = append(levels, d.levels())
	}
	for range n {
		p := Point{}
		for i, d := range s {
			p[d.Name] = levels[i][rng.IntN(len(levels[i]))]
		}
		if got := measure(p); got < score-2.5*noise {
			best, score = p, got
		}
	}
	return f(s, best)
}

func TestSuggestBeatsRandomSearch(t *testing.T) {
	bowlSpace, bowlStart := space(t, mixed)
	for _, c := range []struct {
		name      string
		s         Space
		start     Point
		f         func(Space, Point) float64
		noise     float64
		n         int
		maxMedian float64
	}{
		{"bowl of six dimensions", bowlSpace, bowlStart, bowl, 0, 50, 0.01},
		{"bowl under noise", bowlSpace, bowlStart, bowl, 0.01, 50, 0.05},
		{"ridge", bowlSpace, bowlStart, ridge, 0, 60, 0.06},
	} {
		t.Run(c.name, func(t *testing.T) {
			const seeds = 20
			wins := 0
			var ours, theirs []float64
			for seed := range uint64(seeds) {
				a, _ := campaign(t, c.s, c.start, c.f, c.noise, c.n, seed)
				b := random(c.s, c.start, c.f, c.noise, c.n, seed)
				ours, theirs = append(ours, a), append(theirs, b)
				if a < b {
					wins++
				}
			}
			slices.Sort(ours)
			slices.Sort(theirs)
			t.Logf("start %.4f; medians after %d trials: TPE %.5f, random %.5f; worst %.5f, %.5f; TPE wins %d of %d", c.f(c.s, c.start), c.n,
				ours[seeds/2], theirs[seeds/2], ours[seeds-1], theirs[seeds-1], wins, seeds)
			// Were both alike, 16 wins of 20 or more had a chance of 0.6 %.
			if wins < 16 {
				t.Errorf("wins %d of %d runs against random search; want 16 or more", wins, seeds)
			}
			if ours[seeds/2] > c.maxMedian {
				t.Errorf("median score %.4f; want at most %.4f", ours[seeds/2], c.maxMedian)
			}
		})
	}
}

// changed lists the constants in which p differs from base.
func changed(s Space, base, p Point) []string {
	var out []string
	for _, d := range s {
		if base[d.Name] != p[d.Name] {
			out = append(out, fmt.Sprintf("%s %s -> %s", d.Name, Plain(base[d.Name]), Plain(p[d.Name])))
		}
	}
	return out
}

func TestSuggestIsDeterministic(t *testing.T) {
	s, start := space(t, mixed)
	_, trials := campaign(t, s, start, bowl, 0.01, 25, 7)
	_, again := campaign(t, s, start, bowl, 0.01, 25, 7)
	var b strings.Builder
	for i, trial := range trials {
		if !maps.Equal(trial.Point, again[i].Point) {
			t.Fatalf("suggestion %d differs between two runs: %v and %v", i, trial.Point, again[i].Point)
		}
		fmt.Fprintf(&b, "%2d  %-44s gain %+.3f\n", i+1, strings.Join(changed(s, trial.From, trial.Point), ", "), trial.Gain)
	}
	golden(t, "testdata/suggest.golden", b.String())
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; go test -update rewrites it\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

func TestSuggestionsAreAtomicValidAndNew(t *testing.T) {
	s, start := space(t, mixed)
	for seed := range uint64(5) {
		_, trials := campaign(t, s, start, bowl, 0.02, 60, seed)
		seen := map[string]bool{s.Key(start): true}
		for i, trial := range trials {
			if seen[s.Key(trial.Point)] {
				t.Errorf("seed %d, suggestion %d was tried before: %v", seed, i, trial.Point)
			}
			seen[s.Key(trial.Point)] = true
			if n := len(changed(s, trial.From, trial.Point)); n < 1 || n > 2 {
				t.Errorf("seed %d, suggestion %d changes %d constants", seed, i, n)
			}
			for _, d := range s {
				if c, err := d.Canonical(trial.Point[d.Name]); err != nil || c != trial.Point[d.Name] {
					t.Errorf("suggestion %d: %v is not canonical: %q, %v", i, trial.Point[d.Name], c, err)
				}
			}
		}
	}
}

func TestFirstSuggestionsAreSmallSteps(t *testing.T) {
	s, start := space(t, []byte("package p\nconst LR = 0.02 // range 0.0002..2 log\n"))
	small := 0
	for seed := range uint64(200) {
		p, err := Suggest(s, start, nil, seed)
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := Number(p["LR"]); v > 0.02/4 && v < 0.02*4 {
			small++
		}
	}
	// The uniform prior alone would give 0.3, the local one alone 0.68.
	if small < 90 || small > 160 {
		t.Errorf("%d of 200 first suggestions are within a factor of 4; want 90 to 160", small)
	}
}

func TestSuggestAvoidsWhatFailed(t *testing.T) {
	s, start := space(t, []byte("package p\nconst Depth = 6 // range 1..12 int\n"))
	trials := []Trial{
		{Point: Point{"Depth": "9"}, From: start, Failed: true},
		{Point: Point{"Depth": "11"}, From: start, Failed: true},
	}
	deeper := 0
	for seed := range uint64(100) {
		p, err := Suggest(s, start, trials, seed)
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := Number(p["Depth"]); v > 6 {
			deeper++
		}
	}
	if deeper > 10 {
		t.Errorf("%d of 100 suggestions go where two trials crashed; want at most 10", deeper)
	}
}

func TestSuggestFollowsAGain(t *testing.T) {
	s, start := space(t, mixed)
	up := Point(maps.Clone(start))
	up["LR"] = "0.05"
	trials := []Trial{{Point: up, From: start, Gain: 0.3}}
	more := 0
	for seed := range uint64(100) {
		p, err := Suggest(s, up, trials, seed)
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := Number(p["LR"]); v > 0.05 {
			more++
		}
	}
	if more < 70 {
		t.Errorf("%d of 100 suggestions go further where the first step helped; want 70 or more", more)
	}
}

func TestSuggestEndsWhenAllIsTried(t *testing.T) {
	s, start := space(t, []byte("package p\nconst A = 2 // range 1..4 int\nvar B = \"x\" // one of x, y, z\n"))
	var trials []Trial
	for i := range uint64(11) {
		p, err := Suggest(s, start, trials, i)
		if err != nil {
			t.Fatalf("after %d of 11 other points: %v", i, err)
		}
		trials = append(trials, Trial{Point: p, From: start, Gain: -1})
	}
	if _, err := Suggest(s, start, trials, 99); !errors.Is(err, ErrExhausted) {
		t.Errorf("after all 12 points: %v; want ErrExhausted", err)
	}
	for i := range trials {
		trials[i].Elsewhere = true // the code has changed, so they may be tried again
	}
	if _, err := Suggest(s, start, trials, 99); err != nil {
		t.Errorf("after a change of code: %v", err)
	}
	if _, err := Suggest(nil, nil, nil, 1); !errors.Is(err, ErrExhausted) {
		t.Errorf("empty space: %v; want ErrExhausted", err)
	}
}

// What is being measured is not proposed again, and says nothing else: neither
// that changes of one constant no longer help, nor where better values are.
func TestPendingTrials(t *testing.T) {
	space := Space{{Name: "A", Kind: Integer, Lo: 1, Hi: 4}, {Name: "B", Kind: Integer, Lo: 1, Hi: 4}}
	at := Point{"A": "2", "B": "2"}
	var trials []Trial
	for i := 0; ; i++ {
		p, err := Suggest(space, at, trials, uint64(i))
		if errors.Is(err, ErrExhausted) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range trials {
			if space.Key(other.Point) == space.Key(p) {
				t.Fatalf("%v is proposed while it is being measured", p)
			}
		}
		trials = append(trials, Trial{Point: p, Pending: true})
	}
	if len(trials) != 15 {
		t.Errorf("%d points were proposed; want all but the incumbent's, 15", len(trials))
	}
	if got := pairs(trials); got != 0 {
		t.Errorf("pairs = %v of trials that are all pending", got)
	}
}
