package scorer

import "math/rand/v2"

// DefaultShare is the share of experiments, of those that need no check, which
// are checked all the same.
const DefaultShare = 0.05

// Why says why a measurement was checked by blind cuts, or that it was not. It
// is recorded with the measurement.
type Why string

// The reasons to check, and what is said where none is.
const (
	BaselineCheck Why = "baseline"
	KeepCheck     Why = "would be a keep"
	RandomCheck   Why = "drawn at random"
	AlwaysCheck   Why = "always"
	NoCheck       Why = "unchecked"
)

// When says whether claims are checked in full: those of the baseline and of
// what they would make a keep always, and a share of the others. coin is secret,
// uniform in [0, 1), and drawn after the claims were committed to, so that
// nobody can be honest only when it counts. An unchecked claim decides nothing
// but that an experiment is discarded.
func When(baseline, wouldKeep bool, coin, share float64) Why {
	switch {
	case baseline:
		return BaselineCheck
	case wouldKeep:
		return KeepCheck
	case coin < share:
		return RandomCheck
	}
	return NoCheck
}

// Coin draws the coin for When.
func (s Source) Coin() float64 { return rand.New(s).Float64() }
