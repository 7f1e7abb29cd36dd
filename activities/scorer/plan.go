package scorer

import (
	"fmt"
	"math"
)

// Defaults of a [Design].
const (
	DefaultLie        = 0.002 // bits per byte
	DefaultPower      = 0.999
	DefaultFalseAlarm = 1e-6
)

// Design says what is measured and how sure one wants to be.
type Design struct {
	Windows       int     // N
	Positions     int     // T: tokens of a window that are scored
	Vocab         int     // V
	BytesPerToken float64 // of text, on average; 1 for bytes
	Lie           float64 // bits per byte of the clamped loss; 0 is DefaultLie
	Power         float64 // probability to catch it; 0 is DefaultPower
	FalseAlarm    float64 // probability to accuse an honest program; 0 is DefaultFalseAlarm
	Tolerance     Tolerance
}

// Plan returns how many passes of blind cuts catch a total lie (bits per byte of
// the clamped loss) with the given probability, for byte tokens and float32.
func Plan(windows, T, V int, lie, power float64) (int, error) {
	return Design{Windows: windows, Positions: T, Vocab: V, BytesPerToken: 1, Lie: lie, Power: power, Tolerance: tolerances["float32"]}.Passes()
}

func (d Design) withDefaults() Design {
	for p, value := range map[*float64]float64{&d.Lie: DefaultLie, &d.Power: DefaultPower, &d.FalseAlarm: DefaultFalseAlarm, &d.BytesPerToken: 1} {
		if *p == 0 {
			*p = value
		}
	}
	return d
}

func (d Design) check() error {
	switch {
	case d.Windows < 1 || d.Positions < 1 || d.Vocab < 2:
		return fmt.Errorf("%d windows of %d tokens of a vocabulary of %d are nothing to score", d.Windows, d.Positions, d.Vocab)
	case !(d.Lie > 0) || !(d.BytesPerToken > 0):
		return fmt.Errorf("a lie of %v bits per byte at %v bytes per token is none", d.Lie, d.BytesPerToken)
	case !(d.Power > 0 && d.Power < 1) || !(d.FalseAlarm > 0 && d.FalseAlarm < 1):
		return fmt.Errorf("power %v and false alarms %v are probabilities between 0 and 1", d.Power, d.FalseAlarm)
	}
	return nil
}

// nats is the lie as a mean over all tokens.
func (d Design) nats() float64 { return d.Lie * math.Ln2 * d.BytesPerToken }

// Passes returns the smallest number of passes of blind cuts that catches the
// lie with the power that is wanted, whoever makes it and wherever it lies.
// With as many passes as positions, every token has been asked for.
func (d Design) Passes() (int, error) {
	d = d.withDefaults()
	if err := d.check(); err != nil {
		return 0, err
	}
	for k := 1; k <= d.Positions; k++ {
		if d.Miss(k) <= 1-d.Power {
			return k, nil
		}
	}
	return 0, fmt.Errorf("no number of passes over %d windows of %d tokens catches a lie of %v bits per byte with probability %v: numerics hide it; score more text", d.Windows, d.Positions, d.Lie, d.Power)
}

// Miss is an upper bound of the probability that the lie escapes so many
// passes. docs/scorer.md has the proof. A lie is the sum of small differences,
// which pass for numerics one by one, and of large ones, each of which is an
// outlier where a cut meets it.
//
//   - If the small ones make up what the mean test sees, it escapes with
//     probability 1-Power at most.
//   - Else the large ones make up the rest, and since none is larger than ln V,
//     there are many: no cut meets one with probability (1 - passes/T)^M.
func (d Design) Miss(passes int) float64 {
	d = d.withDefaults()
	rest := d.nats() - d.seen(passes)
	if rest <= 0 {
		return 1
	}
	M := math.Ceil(rest / math.Log(float64(d.Vocab)) * d.tokens())
	return max(1-d.Power, d.avoid(passes, M))
}

// MissPlain is the same for a lie about the plain loss, which has no largest
// value. It holds for the expected gain over any honest program: claims beyond a
// share f of all tokens are worth f (ln(V/f) + 1) nats a token at most.
func (d Design) MissPlain(passes int) float64 {
	d = d.withDefaults()
	rest := d.nats() - d.seen(passes)
	if rest <= 0 {
		return 1
	}
	V := float64(d.Vocab)
	low, high := 0.0, 1.0 // the smallest share that is worth the rest
	for range 100 {
		if f := (low + high) / 2; f*(math.Log(V/f)+1) < rest {
			low = f
		} else {
			high = f
		}
	}
	return max(1-d.Power, d.avoid(passes, math.Ceil(high*d.tokens())))
}

func (d Design) tokens() float64 { return float64(d.Windows) * float64(d.Positions) }

// avoid is the probability that no cut meets one of M tokens, at most: within a
// window no position is asked for twice, and windows are independent.
func (d Design) avoid(passes int, M float64) float64 {
	return math.Exp(M * math.Log1p(-float64(passes)/float64(d.Positions)))
}

// seen is the mean of small differences that the mean test catches with the
// power that is wanted.
func (d Design) seen(passes int) float64 {
	n := float64(passes) * float64(d.Windows)
	tau, miss := d.Tolerance.Outlier, math.Log(1/(1-d.Power))
	b := d.Tolerance.bounds(int(n), d.FalseAlarm)
	// The second moment that the spread test lets through with probability
	// 1-Power at most: v - sqrt(2 v tau^2 miss/n) = bound.
	h := tau * math.Sqrt(2*miss/n) / 2
	root := h + math.Sqrt(h*h+b.square)
	v := min(root*root, tau*tau)
	return b.mean + math.Sqrt(2*v*miss/n) + 2*tau*miss/(3*n)
}

// bounds are what the statistics of an honest program stay below.
type bounds struct {
	mean   float64 // of the differences
	square float64 // of their squares' mean
}

// bounds of n cuts. Each is crossed by an honest program with probability
// alarm/2 at most, by Bernstein's inequality: its differences are bounded by
// Outlier, their mean by Bias, the mean of their squares by the square of Spread.
func (t Tolerance) bounds(n int, alarm float64) bounds {
	N, miss := float64(max(n, 1)), math.Log(2/alarm)
	return bounds{
		mean:   t.Bias + t.Spread*math.Sqrt(2*miss/N) + (t.Outlier+t.Bias)*miss/(3*N),
		square: t.Spread*t.Spread + t.Outlier*t.Spread*math.Sqrt(2*miss/N) + t.Outlier*t.Outlier*miss/(3*N),
	}
}

// Cost is the share of a run's budget that scoring takes beside what any
// evaluation takes, which is one pass over the text: a process start and a pass
// for each pass of cuts, and the distributions that it writes. All times are in
// seconds; budget is that of the run.
func Cost(passes int, start, pass, answers, budget float64) float64 {
	return float64(passes) * (start + pass + answers) / budget
}
