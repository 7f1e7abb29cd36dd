package policy

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/experiment"
)

var nan = math.NaN()

func runs(scores ...float64) []experiment.Measurement { return ran("", 0, scores...).Measurements }

func against(val float64, runs int) Input {
	return Input{
		Experiment: 1, Commit: "c1", Parent: "c0", SyntaxTokens: 1000, PriorStdDev: 0.02,
		Incumbent: &experiment.Incumbent{Commit: "c0", ValBpb: val, Runs: runs, SyntaxTokens: 1000},
		Noise:     experiment.Noise{StdDev: 0.02, DoF: 6},
	}
}

func decide(in Input, scores ...float64) Decision {
	in.Measurements = runs(scores...)
	return Threshold{}.Decide(in)
}

func TestThresholdIsStudents(t *testing.T) {
	// t(0.95, 6) = 1.943 and t(0.95, 4) = 2.132, from printed tables.
	for _, c := range []struct {
		noise experiment.Noise
		r, k  int
		want  float64
	}{
		{experiment.Noise{StdDev: 0.02, DoF: 6}, 1, 3, 1.943 * 0.02 * math.Sqrt(4.0/3)},
		{experiment.Noise{StdDev: 0.02, DoF: 4}, 1, 1, 2.132 * 0.02 * math.Sqrt2},
		{experiment.Noise{StdDev: 0.001, DoF: 1e6}, 4, 4, 1.645 * 0.001 * math.Sqrt(0.5)},
	} {
		if got := threshold(c.noise, c.r, c.k); math.Abs(got/c.want-1) > 5e-4 {
			t.Errorf("threshold(%+v, %d, %d) = %g; want %g", c.noise, c.r, c.k, got, c.want)
		}
	}
}

func TestNoiseIsPooledWithThePrior(t *testing.T) {
	d := Threshold{}.Decide(Input{PriorStdDev: 0.02, Measurements: runs(2.56, 2.50, 2.53)})
	want := math.Sqrt((4*0.02*0.02 + 2*0.03*0.03) / 6) // s = 0.03
	if math.Abs(d.Noise.StdDev-want) > 1e-12 || d.Noise.DoF != 6 {
		t.Errorf("noise %+v; want sd %g with 6 degrees of freedom", d.Noise, want)
	}
	if d := (Threshold{}).Decide(Input{PriorStdDev: 0.02, Measurements: runs(2.5)}); d.Noise != (experiment.Noise{StdDev: 0.02, DoF: 4}) {
		t.Errorf("one baseline run gives noise %+v; want the prior", d.Noise)
	}
}

func TestVerdictIsMonotoneInTheScore(t *testing.T) {
	rank := map[experiment.Reason]int{experiment.Improved: 0, experiment.WithinNoise: 1, experiment.Worse: 2}
	last := 0
	for val := 2.3; val < 2.7; val += 0.0007 {
		d := decide(against(2.5, 3), val)
		if r, ok := rank[d.Reason]; !ok || r < last {
			t.Fatalf("score %g gives %s after a rank of %d", val, d.Reason, last)
		} else {
			last = r
		}
		if d.Threshold != decide(against(2.5, 3), 2.5).Threshold {
			t.Fatalf("the threshold moves with the candidate's score, at %g", val)
		}
	}
	if last != 2 {
		t.Errorf("the worst score gives rank %d; want 2", last)
	}
}

func TestShiftAndOrderDoNotMatter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		in := against(2.5, 1+rng.IntN(4))
		in.SyntaxTokens = 900 + rng.IntN(110)
		in.Incumbent.GivenAway = 0.02 * rng.Float64()
		var scores []float64
		for range 1 + rng.IntN(4) {
			scores = append(scores, 2.5+0.05*rng.NormFloat64())
		}
		d := decide(in, scores...)

		moved := in
		inc := *in.Incumbent
		inc.ValBpb += 0.25
		moved.Incumbent = &inc
		up := slices.Clone(scores)
		for i := range up {
			up[i] += 0.25
		}
		if m := decide(moved, up...); m.Reason != d.Reason || m.Verdict != d.Verdict || math.Abs(m.Threshold-d.Threshold) > 1e-12 {
			t.Errorf("shifted by 0.25, %s becomes %s", d.Reason, m.Reason)
		}

		in.Measurements = runs(scores...)
		rng.Shuffle(len(scores), func(i, j int) {
			in.Measurements[i], in.Measurements[j] = in.Measurements[j], in.Measurements[i]
		})
		given := slices.Clone(in.Measurements)
		if got := (Threshold{}).Decide(in); !reflect.DeepEqual(got, d) {
			t.Errorf("in another order the decision is %+v; want %+v", got, d)
		}
		if !reflect.DeepEqual(in.Measurements, given) {
			t.Error("a decision reorders its caller's measurements")
		}
	}
}

// Results may be listed by number; they are decided again in the order in which
// they were decided.
func TestReplayFollowsTheSequence(t *testing.T) {
	var parallel []experiment.Result
	for _, tr := range traces {
		if tr.name == "parallel" {
			parallel = numbered(tr.results)
		}
	}
	want := Replay(Threshold{}, 0.02, parallel)
	byNumber := slices.Clone(parallel)
	slices.SortFunc(byNumber, func(a, b experiment.Result) int { return a.Experiment - b.Experiment })
	if got := Replay(Threshold{}, 0.02, byNumber); !reflect.DeepEqual(got, want) {
		t.Errorf("by number the replay is %+v, want %+v", got, want)
	}
	if byNumber[1].Experiment != 1 || byNumber[1].Sequence != 2 {
		t.Error("a replay reorders its caller's results")
	}
}

func TestFailuresLeaveTheIncumbent(t *testing.T) {
	in := against(2.5, 3)
	in.Failure = &experiment.Failure{Reason: experiment.Duplicate, Message: "as experiment 3"}
	d := Threshold{}.Decide(in)
	if d.Verdict != experiment.Discard || d.Reason != experiment.Duplicate || d.ValBpb != nil || d.Incumbent != *in.Incumbent || d.Noise != in.Noise {
		t.Errorf("a duplicate gives %+v", d)
	}
	in.Failure.Reason = experiment.Rejected
	if d := (Threshold{}).Decide(in); d.Verdict != experiment.Discard || d.Reason != experiment.Rejected || d.Message != "as experiment 3" || d.Incumbent != *in.Incumbent {
		t.Errorf("a rejected candidate gives %+v", d)
	}
	for _, score := range []float64{nan, math.Inf(1), math.Inf(-1)} {
		d := decide(against(2.5, 3), 2.4, score)
		if d.Verdict != experiment.Crash || d.Reason != experiment.NaN || d.ValBpb != nil || d.Incumbent.Commit != "c0" {
			t.Errorf("a score of %v gives %+v", score, d)
		}
	}
	if d := decide(Input{PriorStdDev: 0.02}, 2.5, nan); d.Verdict != experiment.Crash || d.Incumbent != (experiment.Incumbent{}) {
		t.Errorf("a baseline that fails gives %+v", d)
	}
}

func TestMessageHasTheNumbers(t *testing.T) {
	got := decide(against(2.5743, 3), 2.5132).Message
	if want := "2.5132 is 0.0611 better than the incumbent's 2.5743; a keep needs 0.0449"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// simulate runs campaigns of five experiments whose true effect is known, with
// noise as large as the prior says, and returns the share that was kept.
func simulate(campaigns int, effect float64) float64 {
	const sd = 0.02
	rng := rand.New(rand.NewPCG(3, uint64(1000*effect)))
	measure := func(mean float64) experiment.Measurement {
		return experiment.Measurement{ValBpb: mean + sd*rng.NormFloat64()}
	}
	kept := 0
	for range campaigns {
		base := Threshold{}.Decide(Input{PriorStdDev: sd, Measurements: []experiment.Measurement{measure(2.5), measure(2.5), measure(2.5)}})
		inc, noise := base.Incumbent, base.Noise
		for n := 1; n <= 5; n++ {
			d := Threshold{}.Decide(Input{Experiment: n, PriorStdDev: sd, Incumbent: &inc, Noise: noise, Measurements: []experiment.Measurement{measure(2.5 - effect*sd)}})
			if d.Verdict == experiment.Keep {
				kept++
			}
			if effect == 0 { // a false keep makes the next one harder, as in a campaign
				inc, noise = d.Incumbent, d.Noise
			}
		}
	}
	return float64(kept) / float64(5*campaigns)
}

func TestFalseKeepsAreRareAndRealEffectsAreFound(t *testing.T) {
	none, real := simulate(200, 0), simulate(200, 3)
	t.Logf("kept: %.1f %% of 1000 changes without effect, %.1f %% of 1000 with an effect of 3 sd", 100*none, 100*real)
	if none > 0.07 || none < 0.01 {
		t.Errorf("%.1f %% false keeps; want 1 %% to 7 %%", 100*none)
	}
	if real < 0.70 {
		t.Errorf("%.1f %% of real effects found; want 70 %% or more", 100*real)
	}
}

func TestReplayStartsFromTheRecord(t *testing.T) {
	results := numbered(traces[0].results)
	first := Replay(Threshold{}, 0.02, results)
	if !reflect.DeepEqual(first, Replay(Threshold{}, 0.02, results)) {
		t.Error("two replays differ")
	}
	if strict := Replay(Threshold{}, 0.2, results); strict[1].Verdict != experiment.Discard || first[1].Verdict != experiment.Keep {
		t.Errorf("with a larger prior the first gain is %s, before it was %s", strict[1].Verdict, first[1].Verdict)
	}
}

func TestByName(t *testing.T) {
	for _, name := range Names() {
		if p, err := ByName(name); err != nil || p.Name() != name {
			t.Errorf("%s gives %v, %v", name, p, err)
		}
	}
	if _, err := ByName("greedy"); err == nil || !strings.Contains(err.Error(), "threshold/1") {
		t.Errorf("an unknown name gives %v", err)
	}
}
