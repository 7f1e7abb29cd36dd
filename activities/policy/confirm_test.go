package policy

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// night drives a policy as a campaign does: candidates, and the most urgent
// check after every other one. effect is the true gain of a candidate; broken
// says whether a run fails.
type night struct {
	policy Policy
	sd     float64
	effect func(n int) float64
	shift  func(run int) float64 // what the slot adds
	broken func(run int) bool
	runs   int
	wanted []experiment.Check
	past   []experiment.Result
	truth  map[int]float64
	rng    *rand.Rand
}

func (w *night) measure(truth float64) experiment.Measurement {
	w.runs++
	m := experiment.Measurement{Slot: "train-cpu", Seed: uint64(w.runs), ValBpb: truth + w.sd*w.rng.NormFloat64()}
	if w.shift != nil {
		m.ValBpb += w.shift(w.runs)
	}
	if w.broken != nil && w.broken(w.runs) {
		m.Failure = &experiment.Failure{Reason: experiment.Timeout, Message: "no step for 60 s"}
	}
	return m
}

func (w *night) decide(in Input) Decision {
	in.PriorStdDev, in.Past, in.SyntaxTokens = w.sd, w.past, 1000
	if n := len(w.past); n > 0 {
		last := w.past[n-1]
		in.Incumbent, in.Noise, in.Line = &last.Incumbent, last.NoiseAfter, last.Line
	}
	d := w.policy.Decide(in)
	r := experiment.Result{
		Experiment: in.Experiment, Sequence: len(w.past), Commit: in.Commit, Parent: in.Parent, Title: in.Title, Measurements: in.Measurements,
		SyntaxTokens: 1000, Check: in.Check,
	}
	w.past = append(w.past, d.recorded(r, in.Incumbent, w.policy.Name(), in.Noise))
	w.wanted = d.Checks
	return d
}

func (w *night) run(total int) {
	w.truth = map[int]float64{0: 2.5}
	w.decide(Input{Commit: "c0", Title: "baseline", Measurements: []experiment.Measurement{w.measure(2.5), w.measure(2.5), w.measure(2.5)}})
	for n := 1; n < total; n++ {
		if len(w.wanted) > 0 && n%2 == 0 {
			k := w.wanted[0]
			w.decide(Input{Experiment: n, Commit: k.Commit, Parent: k.Commit, Check: &k, Measurements: []experiment.Measurement{w.measure(w.truth[k.Of])}})
			continue
		}
		parent := w.past[len(w.past)-1].Incumbent
		w.truth[n] = w.truth[parent.Experiment] - w.effect(n)
		w.decide(Input{Experiment: n, Commit: fmt.Sprintf("c%d", n), Parent: parent.Commit, Title: "idea", Measurements: []experiment.Measurement{w.measure(w.truth[n])}})
	}
}

// Whatever happens, a decision keeps the promises of its types.
func TestDecisionsOfConfirmAreSound(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := night{policy: Confirm{}, sd: 0.002, rng: rng, effect: func(int) float64 { return 0.004 * (rng.Float64() - 0.7) }}
		if seed%2 == 1 {
			w.shift = func(run int) float64 { return 0.02 * float64(run/60%2) }
		}
		if seed%4 == 2 {
			w.broken = func(run int) bool { return run > 3 && run%3 == 0 }
		}
		w.run(150)
		void := map[int]bool{}
		for i, r := range w.past {
			for _, n := range r.Voids {
				if void[n] || n >= r.Experiment || n == 0 {
					t.Fatalf("seed %d, decision %d: voids %v", seed, i, r.Voids)
				}
				void[n] = true
			}
			if last := r.Line[len(r.Line)-1]; !reflect.DeepEqual(last, r.Incumbent) {
				t.Fatalf("seed %d, decision %d: the line ends with %+v, the incumbent is %+v", seed, i, last, r.Incumbent)
			}
			provisional := false
			for _, c := range r.Line {
				if provisional && c.Confirmed {
					t.Fatalf("seed %d, decision %d: confirmed after provisional in %+v", seed, i, r.Line)
				}
				provisional = provisional || !c.Confirmed
			}
			for _, k := range r.Checks {
				if k.Commit != fmt.Sprintf("c%d", k.Of) || k.Runs != 1 || (k.Purpose == experiment.Drift) != (k.Slot != "") {
					t.Fatalf("seed %d, decision %d: wants %+v", seed, i, k)
				}
			}
			if r.FalseKeepRate != ConfirmRules.FalseKeepRate || r.Message == "" || r.Reason == "" {
				t.Fatalf("seed %d, decision %d: %+v", seed, i, r)
			}
		}
		replayed := Replay(Confirm{}, w.sd, w.past)
		for i, d := range replayed {
			if r := w.past[i]; d.Message != r.Message || !reflect.DeepEqual(d.Line, r.Line) || !reflect.DeepEqual(d.Checks, r.Checks) {
				t.Fatalf("seed %d, decision %d is replayed as %+v, was %+v", seed, i, d, r)
			}
		}
	}
}
