package policy

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// book is what all decisions so far say, and the runs of the present one. It is
// read anew for each decision, in one pass, so a decision depends on nothing
// but its input.
type book struct {
	prior float64
	void  map[int]bool  // experiments and checks whose runs count no more
	runs  map[int][]run // by candidate, in order of decision
	fails map[int]int   // checks of a candidate that failed, in a row
	slots map[string]*slot
	order []string // of the slots

	simple map[int]bool // candidates that were kept for their size

	tests int          // candidates that were tested with fresh seeds
	test  map[int]int  // which test, from 1, by candidate
	found []int        // tests that have confirmed, ascending
	done  map[int]bool // candidates that are confirmed
	when  map[int]int  // the decision that has confirmed them

	gaps    []gap // of screened candidates to their incumbent
	sds     map[string]experiment.Noise
	offsets map[string]float64 // of classes
}

// run is one measured score of a candidate.
type run struct {
	sequence int     // of the decision
	result   int     // experiment or check that measured it
	score    float64 // as measured
	fresh    bool    // of a seed that had no part in selecting the candidate
	slot     string
	class    string
	epoch    int  // of the slot: how often it had drifted
	rebase   bool // it says where its slot stands since it drifted, and nothing of the candidate
	audit    float64
}

// gap is how a screened candidate compared with its incumbent.
type gap struct {
	slot  string
	delta float64 // positive is worse
}

func read(in Input) *book {
	b := &book{
		prior: in.PriorStdDev, void: map[int]bool{}, runs: map[int][]run{}, fails: map[int]int{}, slots: map[string]*slot{},
		simple: map[int]bool{}, test: map[int]int{}, done: map[int]bool{}, when: map[int]int{}, sds: map[string]experiment.Noise{}, offsets: map[string]float64{},
	}
	for i := range in.Past {
		for _, n := range in.Past[i].Voids {
			b.void[n] = true
		}
	}
	for i := range in.Past {
		b.add(&in.Past[i])
	}
	b.add(&experiment.Result{
		Experiment: in.Experiment, Sequence: len(in.Past), Check: in.Check, Measurements: in.Measurements, Against: in.Incumbent,
	})
	return b
}

// add takes in a decision. The present one has no verdict yet.
func (b *book) add(r *experiment.Result) {
	of, fresh := r.Experiment, r.Against == nil
	if r.Check != nil {
		of, fresh = r.Check.Of, true
	}
	if r.Against == nil {
		b.done[of] = true // the baseline is what it is
	}
	good := 0
	for _, m := range bySeed(r.Measurements) {
		b.visit(r, m)
		if m.Failure != nil || math.IsNaN(m.ValBpb) || math.IsInf(m.ValBpb, 0) {
			continue
		}
		good++
		if !b.void[r.Experiment] {
			b.runs[of] = append(b.runs[of], run{sequence: r.Sequence, result: r.Experiment, score: m.ValBpb, fresh: fresh, slot: m.Slot, class: m.Class, epoch: b.epoch(m.Slot), audit: m.AuditBpb})
		}
	}
	b.settleSlot(r, of)
	switch {
	case b.void[r.Experiment] || r.Verdict == "": // the present one is counted when it is asked for
	case r.Check == nil:
		b.simple[of] = r.Reason == experiment.Simpler
		if good > 0 && r.Against != nil && r.ValBpb != nil {
			b.gaps = append(b.gaps, gap{r.Measurements[0].Slot, *r.ValBpb - r.Against.ValBpb})
		}
	case good == 0:
		b.fails[of]++
	default:
		b.fails[of] = 0
		b.tested(r, of)
	}
}

// tested counts the candidates that were put to the test of fresh seeds.
func (b *book) tested(r *experiment.Result, of int) {
	if r.Check.Purpose == experiment.Drift || b.done[of] {
		return
	}
	if b.done[of] = r.Reason == experiment.Confirmed; b.done[of] {
		b.when[of] = r.Sequence
	}
	if b.simple[of] { // it claims no gain
		return
	}
	b.number(of)
	if b.done[of] {
		b.found = append(b.found, b.test[of])
	}
}

func (b *book) number(of int) int {
	if b.test[of] == 0 {
		b.tests++
		b.test[of] = b.tests
	}
	return b.test[of]
}

// level is what the test of a candidate may spend: LORD++.
func (b *book) level(of int, rate float64) float64 {
	t := b.number(of)
	start := rate / 2
	sum := start * gamma(t)
	first := true
	for _, at := range b.found {
		if at >= t {
			continue
		}
		share := rate
		if first {
			share, first = rate-start, false
		}
		sum += share * gamma(t-at)
	}
	return sum
}

// gamma is a series that sums to 1 and falls slowly, so that late tests keep
// some power.
func gamma(t int) float64 {
	const total = 2.1097 // of 1/((t+1) ln^2(t+1))
	l := math.Log(float64(t + 1))
	return 1 / (float64(t+1) * l * l * total)
}

// fresh lists the runs of a candidate that had no part in selecting it.
func (b *book) fresh(of int) (out []run) {
	for _, r := range b.runs[of] {
		if r.fresh && !r.rebase {
			out = append(out, r)
		}
	}
	return out
}

// unselected lists the fresh runs that had no part in confirming a candidate
// either: what was confirmed early may have been lucky twice. Where there are none
// yet it is all fresh runs.
func (b *book) unselected(of int) (out []run, ok bool) {
	all := b.fresh(of)
	at, confirmed := b.when[of]
	if !confirmed {
		return all, b.done[of]
	}
	for _, r := range all {
		if r.sequence > at {
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return all, false
	}
	return out, true
}

// own lists the runs that selected a candidate.
func (b *book) own(of int) (out []run) {
	for _, r := range b.runs[of] {
		if !r.fresh {
			out = append(out, r)
		}
	}
	return out
}

func classOf(runs []run) string {
	if len(runs) == 0 {
		return ""
	}
	return runs[0].class
}

// mean of runs, each as it would have been on the reference slot.
func (b *book) mean(runs []run) float64 {
	sum := 0.0
	for _, r := range runs {
		sum += b.adjusted(r)
	}
	return sum / float64(len(runs))
}

// estimate is the mean of fresh runs with its 95 % confidence interval.
func (b *book) estimate(runs []run) *experiment.Estimate {
	noise := b.noise(classOf(runs))
	m := b.mean(runs)
	half := studentsT(noise.DoF).Quantile(0.975) * noise.StdDev * math.Sqrt(1/float64(len(runs))+b.rebased(runs))
	return &experiment.Estimate{ValBpb: m, Runs: len(runs), Low: m - half, High: m + half}
}

func studentsT(dof float64) distuv.StudentsT { return distuv.StudentsT{Mu: 0, Sigma: 1, Nu: dof} }

// noise is the spread between fresh runs of one candidate, pooled over all
// candidates, with the target's prior as four degrees of freedom. Where several
// classes of slots have been measured each has its own.
func (b *book) noise(class string) experiment.Noise {
	if n, ok := b.sds[class]; ok {
		return n
	}
	squares, dof := map[string]float64{}, map[string]float64{}
	for _, of := range sortedKeys(b.runs) {
		b.spread(of, squares, dof)
	}
	var all, alldof float64
	for _, c := range sortedKeys(dof) {
		all, alldof = all+squares[c], alldof+dof[c]
	}
	out := prior(b.prior)
	if len(dof) > 1 && dof[class] > 0 {
		all, alldof = squares[class], dof[class]
	}
	out = experiment.Noise{StdDev: math.Sqrt((out.DoF*out.StdDev*out.StdDev + all) / (out.DoF + alldof)), DoF: out.DoF + alldof}
	b.sds[class] = out
	return out
}
