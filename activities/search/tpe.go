package search

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// ErrExhausted is returned when every change of one or two constants of the
// incumbent has been tried.
var ErrExhausted = errors.New("every change of one or two constants has been tried")

// Trial is a candidate that was measured, or failed, at some point of the space.
type Trial struct {
	Point Point
	// From is the point of the candidate's parent. Nil says that more than
	// constants changed, so that nothing can be learned about them.
	From Point
	// Gain is the parent's score less the candidate's: positive is better.
	Gain float64
	// Failed says that it has no score: it crashed.
	Failed bool
	// Pending says that it is being measured: the point is taken, and that is
	// all that is known. From is nil.
	Pending bool
	// Elsewhere says that the code around the constants was not the
	// incumbent's, so that the point may be tried again.
	Elsewhere bool
}

// The model's constants. A distance is a share of a dimension's range.
const (
	goodShare   = 0.25 // gamma of the paper: the best quarter of all moves is good, if better than its parent
	priorWeight = 1.0  // the prior counts as one observation in each dimension
	localShare  = 0.7  // part of the prior that lies around the incumbent; the rest is uniform
	localWidth  = 0.15 // standard deviation of that part
	minStep     = 0.03 // smaller steps drown in noise
	kernelTail  = 0.15 // part of each observation that speaks of its dimension as a whole
	maxWidth    = 0.20 // kernel width with few observations in a dimension ...
	minWidth    = 0.05 // ... and with many
	draws       = 32   // candidates drawn from the good density
	pairShare   = 0.5  // how often two constants change at once when single changes no longer help
	pairAfter   = 12   // trials without a good one until then; the share grows evenly
)

// Suggest returns the next point to try: the incumbent with one constant
// changed, now and then two. It is a pure function of its arguments.
//
// The method is the Tree-structured Parzen Estimator (Bergstra, Bardenet,
// Bengio, Kegl, "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011)
// over the tree of moves: its root picks a constant, the leaf below picks that
// constant's new value. Past moves are split into good and bad ones, a Parzen
// density is put over each kind (l and g), candidates are drawn from l, and the
// one with the greatest l/g, which has the greatest expected improvement, wins.
// Three things differ from the paper. Moves are judged against their own
// parent, so that a campaign whose incumbent improves does not credit whatever
// is tried last. A value that a good move left counts as bad. And the prior is
// mostly local, so that the first suggestions are small steps from the incumbent.
//
// What it is not good at is a narrow valley across two constants and nothing
// else to improve: there it is no better than random search.
func Suggest(space Space, incumbent Point, trials []Trial, seed uint64) (Point, error) {
	if len(space) == 0 {
		return nil, ErrExhausted
	}
	m := newModel(space, incumbent, trials)
	rng := rand.New(rand.NewPCG(seed, 0x7470652f31)) // "tpe/1"
	moves := m.draw(rng)
	if len(moves) > 0 {
		best := moves[0]
		if rng.Float64() < pairs(trials) {
			for _, i := range rng.Perm(len(moves)) {
				second := moves[i]
				if p := m.apply(best, second); second.dim != best.dim && m.untried(p) {
					return p, nil
				}
			}
		}
		return m.apply(best), nil
	}
	return m.walk()
}

// pairs is how often two constants should change at once: rarely while single
// changes help, since one change teaches more, and often when they no longer do,
// since then what is left is where two constants go together.
func pairs(trials []Trial) float64 {
	bar, dry := threshold(trials), 0
	for _, t := range trials {
		if t.Pending {
			continue
		}
		dry++
		if t.From != nil && t.good(bar) {
			dry = 0
		}
	}
	return pairShare * min(1, float64(dry)/pairAfter)
}

// good says whether a move is one of the best share and better than its parent.
func (t Trial) good(bar float64) bool { return !t.Failed && t.Gain > 0 && t.Gain >= bar }

// move sets one dimension to one of its levels.
type move struct {
	dim, level int
	ratio      float64 // log of l/g
}

// model is the densities l and g over all moves from the incumbent.
type model struct {
	space     Space
	incumbent Point
	axes      []axis
	tried     map[string]bool
}

func newModel(space Space, incumbent Point, trials []Trial) *model {
	m := &model{space: space, incumbent: incumbent, tried: map[string]bool{space.Key(incumbent): true}}
	for _, t := range trials {
		if !t.Elsewhere {
			m.tried[space.Key(t.Point)] = true
		}
	}
	bar := threshold(trials)
	for _, d := range space {
		a := newAxis(d, incumbent[d.Name])
		for _, t := range trials {
			from, errFrom := d.Canonical(t.From[d.Name])
			to, errTo := d.Canonical(t.Point[d.Name])
			if errFrom != nil || errTo != nil || from == to {
				continue
			}
			if t.good(bar) {
				a.good, a.bad = append(a.good, to), append(a.bad, from)
			} else {
				a.bad = append(a.bad, to)
			}
		}
		a.fit()
		m.axes = append(m.axes, a)
	}
	return m
}

// threshold is the gain that the best share of moves reach.
func threshold(trials []Trial) float64 {
	var gains []float64
	n := 0
	for _, t := range trials {
		if t.From == nil {
			continue
		}
		n++
		if !t.Failed {
			gains = append(gains, t.Gain)
		}
	}
	if len(gains) == 0 {
		return 0
	}
	sort.Sort(sort.Reverse(sort.Float64Slice(gains)))
	return gains[min(int(math.Ceil(goodShare*float64(n))), len(gains))-1]
}

// draw samples moves from l and returns the untried ones, the best l/g first.
// Equal ones stay in the order of drawing.
func (m *model) draw(rng *rand.Rand) []move {
	var total float64
	for _, a := range m.axes {
		total += a.mass
	}
	var out []move
	for range draws {
		at := rng.Float64() * total
		d := 0
		for d < len(m.axes)-1 && at >= m.axes[d].mass {
			at -= m.axes[d].mass
			d++
		}
		a := m.axes[d]
		level := sort.Search(len(a.cumulative)-1, func(j int) bool { return a.cumulative[j] > at })
		mv := move{d, level, a.ratio(level)}
		if a.far(level) && m.untried(m.apply(mv)) {
			out = append(out, mv)
		}
	}
	slices.SortStableFunc(out, byRatio)
	return out
}

// byRatio sorts descending. Ratios are rounded so that the last bits of the
// arithmetic, which differ between machines, decide nothing.
func byRatio(x, y move) int {
	a, b := math.Round(x.ratio*1e9), math.Round(y.ratio*1e9)
	switch {
	case a > b:
		return -1
	case a < b:
		return 1
	}
	return 0
}

// walk goes through all moves, and then through all pairs of moves, until one
// is untried. It ends after as many steps as there are trials.
func (m *model) walk() (Point, error) {
	var all []move
	for d, a := range m.axes {
		for level := range a.levels {
			all = append(all, move{d, level, a.ratio(level)})
		}
	}
	slices.SortStableFunc(all, byRatio)
	for _, mv := range all {
		if p := m.apply(mv); m.untried(p) {
			return p, nil
		}
	}
	for i, first := range all {
		for _, second := range all[i+1:] {
			if p := m.apply(first, second); first.dim != second.dim && m.untried(p) {
				return p, nil
			}
		}
	}
	return nil, ErrExhausted
}

func (m *model) apply(moves ...move) Point {
	p := Point{}
	for _, d := range m.space {
		p[d.Name] = m.incumbent[d.Name]
	}
	for _, mv := range moves {
		p[m.space[mv.dim].Name] = m.axes[mv.dim].levels[mv.level]
	}
	return p
}

func (m *model) untried(p Point) bool { return !m.tried[m.space.Key(p)] }
