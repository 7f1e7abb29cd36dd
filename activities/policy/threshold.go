package policy

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// The numbers of threshold/1. Changing one makes another policy.
const (
	priorDoF       = 4    // pseudo degrees of freedom of the prior standard deviation
	confidence     = 0.95 // one-sided: of changes without effect about one in twenty is kept
	fewerTokens    = 1    // a simpler candidate has at least this percentage fewer tokens ...
	simplerLoss    = 0.25 // ... loses at most this many noise units ...
	simplerLossSum = 1.0  // ... and all in a row since the last improvement at most this many
)

// Threshold is the policy "threshold/1": keep what is better by more than the
// noise explains, and what is as good and simpler.
//
// The noise is the standard deviation of val_bpb between seeds. The baseline's k
// runs say little about it (k = 3: from half to six times the truth), so their
// variance is pooled with that of the target's prior:
//
//	sd^2 = (4 prior^2 + (k-1) s^2) / (4 + k-1),   dof = 4 + k-1
//
// and several runs of one candidate add to the estimate in the same way. A
// candidate with r runs replaces an incumbent with R runs if
//
//	incumbent - candidate > t(0.95, dof) sd sqrt(1/r + 1/R)
//
// which is Student's test for one comparison (Student, "The Probable Error of a
// Mean", Biometrika 1908).
//
// A candidate that was made from an earlier incumbent is compared in the same
// way, but is never kept for its size: part of what it is smaller by may be what
// the incumbent has gained since.
//
// # What it does not claim
//
// Each decision is one test; of a hundred changes without effect about five are
// kept. And a kept score was selected for being low, so it is optimistic, the
// more so the closer the gain is to the threshold: the winner's curse. The
// incumbent's ValBpb is the measured mean, uncorrected; only fresh seeds give a
// number to publish. For the next candidate this errs on the safe side, since
// a flattered incumbent is harder to beat.
type Threshold struct{}

var _ Policy = Threshold{}

// Name is "threshold/1".
func (Threshold) Name() string { return "threshold/1" }

// Decide applies the rules above.
func (Threshold) Decide(in Input) Decision {
	d := Decision{Noise: in.Noise}
	if in.Incumbent != nil {
		d.Incumbent = *in.Incumbent
	}
	if f := failed(in); f != nil {
		return fail(d, *f)
	}
	scores := scoresOf(in.Measurements)
	val := mean(scores)
	d.ValBpb = &val
	d.Noise = pool(d.Noise, in.PriorStdDev, scores)
	if in.Incumbent == nil {
		return baseline(d, in, len(scores))
	}
	noise := in.Noise
	if noise.DoF <= 0 {
		noise = prior(in.PriorStdDev)
	}
	return compare(d, in, noise, val, len(scores))
}

// failed finds what went wrong: before any run, or in the failed run with the
// smallest seed. A score that is no number is a failure even if nothing said so.
func failed(in Input) *experiment.Failure {
	if in.Failure != nil {
		return in.Failure
	}
	if len(in.Measurements) == 0 {
		return &experiment.Failure{Reason: experiment.Infra, Message: "no run was measured"}
	}
	for _, m := range bySeed(in.Measurements) {
		if m.Failure != nil {
			return m.Failure
		}
	}
	for _, m := range bySeed(in.Measurements) {
		if math.IsNaN(m.ValBpb) || math.IsInf(m.ValBpb, 0) {
			return &experiment.Failure{Reason: experiment.NaN, Message: fmt.Sprintf("val_bpb of the run with seed %d is %v", m.Seed, m.ValBpb)}
		}
	}
	return nil
}

func fail(d Decision, f experiment.Failure) Decision {
	d.Verdict, d.Reason, d.Message = experiment.Crash, f.Reason, f.Message
	if f.Reason == experiment.Duplicate || f.Reason == experiment.Rejected { // nothing says that it would fail
		d.Verdict = experiment.Discard
	}
	if d.Reason == "" {
		d.Reason = experiment.RunFailed
	}
	if d.Message == "" {
		d.Message = "failed with reason " + string(d.Reason)
	}
	return d
}

func baseline(d Decision, in Input, runs int) Decision {
	d.Verdict, d.Reason = experiment.Keep, experiment.Baseline
	d.Incumbent = incumbent(in, *d.ValBpb, runs)
	p := places(d.Noise.StdDev)
	d.Message = fmt.Sprintf("the baseline is %.*f over %s; the noise is %.*f, with %.0f degrees of freedom",
		p, *d.ValBpb, count(runs, "run"), p, d.Noise.StdDev, d.Noise.DoF)
	return d
}

func compare(d Decision, in Input, noise experiment.Noise, val float64, runs int) Decision {
	gain := in.Incumbent.ValBpb - val
	d.Threshold = threshold(noise, runs, in.Incumbent.Runs)
	p := places(noise.StdDev)
	d.Message = fmt.Sprintf("%.*f is %s the incumbent's %.*f; a keep needs %.*f", p, val, distance(gain, p), p, in.Incumbent.ValBpb, p, d.Threshold)
	simpler, givenAway := simplification(in, noise, gain)
	switch {
	case gain > d.Threshold:
		d.Verdict, d.Reason = experiment.Keep, experiment.Improved
		d.Incumbent = incumbent(in, val, runs)
	case simpler:
		d.Verdict, d.Reason = experiment.Keep, experiment.Simpler
		d.Incumbent = incumbent(in, val, runs)
		d.Incumbent.GivenAway = givenAway
		d.Message += fmt.Sprintf(", but it is simpler: %d tokens instead of %d, %.*f of at most %.*f given away",
			in.SyntaxTokens, in.Incumbent.SyntaxTokens, p, givenAway, p, simplerLossSum*noise.StdDev)
	case gain >= -d.Threshold:
		d.Verdict, d.Reason = experiment.Discard, experiment.WithinNoise
	default:
		d.Verdict, d.Reason = experiment.Discard, experiment.Worse
	}
	return d
}

// simplification says whether a candidate is kept for its size, and what has
// then been given away since the last improvement. A gain inside the noise
// gives nothing away, and gives nothing back: it may be luck, and luck must not
// pay for the next loss.
func simplification(in Input, noise experiment.Noise, gain float64) (ok bool, givenAway float64) {
	loss := max(0, -gain)
	givenAway = in.Incumbent.GivenAway + loss
	ok = in.SyntaxTokens > 0 && in.Parent == in.Incumbent.Commit &&
		100*in.SyntaxTokens <= (100-fewerTokens)*in.Incumbent.SyntaxTokens &&
		loss <= simplerLoss*noise.StdDev &&
		givenAway <= simplerLossSum*noise.StdDev
	return ok, givenAway
}

func incumbent(in Input, val float64, runs int) experiment.Incumbent {
	return experiment.Incumbent{
		Experiment: in.Experiment, Commit: in.Commit, Title: in.Title,
		ValBpb: val, Runs: runs, SyntaxTokens: in.SyntaxTokens,
	}
}

// threshold is the gain that luck alone reaches in one of twenty comparisons.
func threshold(n experiment.Noise, runs, incumbentRuns int) float64 {
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n.DoF}.Quantile(confidence)
	return t * n.StdDev * math.Sqrt(1/float64(runs)+1/float64(max(incumbentRuns, 1)))
}

func prior(sd float64) experiment.Noise { return experiment.Noise{StdDev: sd, DoF: priorDoF} }

// pool adds what the runs of one candidate say about the noise; one run says
// nothing. Without an estimate it starts from the prior.
func pool(n experiment.Noise, priorStdDev float64, scores []float64) experiment.Noise {
	if n.DoF <= 0 {
		n = prior(priorStdDev)
	}
	if len(scores) < 2 {
		return n
	}
	m, squares := mean(scores), 0.0
	for _, s := range scores {
		squares += (s - m) * (s - m)
	}
	dof := n.DoF + float64(len(scores)-1)
	return experiment.Noise{StdDev: math.Sqrt((n.DoF*n.StdDev*n.StdDev + squares) / dof), DoF: dof}
}

// bySeed makes the order of runs irrelevant, to the last bit of a sum.
func bySeed(runs []experiment.Measurement) []experiment.Measurement {
	runs = slices.Clone(runs)
	slices.SortFunc(runs, func(a, b experiment.Measurement) int {
		return cmp.Or(cmp.Compare(a.Seed, b.Seed), cmp.Compare(a.ValBpb, b.ValBpb))
	})
	return runs
}

func scoresOf(runs []experiment.Measurement) []float64 {
	var out []float64
	for _, m := range bySeed(runs) {
		out = append(out, m.ValBpb)
	}
	return out
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// places is the number of decimals that shows a noise of this size.
func places(sd float64) int {
	if sd <= 0 {
		return 6
	}
	return min(max(2-int(math.Floor(math.Log10(sd))), 4), 8)
}

func distance(gain float64, places int) string {
	switch half := math.Pow10(-places) / 2; {
	case gain > half:
		return fmt.Sprintf("%.*f better than", places, gain)
	case gain < -half:
		return fmt.Sprintf("%.*f worse than", places, -gain)
	}
	return "equal to"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
