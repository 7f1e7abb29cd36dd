package scorer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// Claims is what a program has committed to.
type Claims struct {
	Windows, Positions int
	Nats               []float32 // [Windows, Positions]
}

// maxNats is the largest loss of one token that is believed to be meant: a
// probability of 1e-434. rounding is how far below 0 a loss may be, in float32.
const (
	maxNats  = 1000
	rounding = 1e-5
)

// At returns the claim at a cut.
func (c Claims) At(cut Cut) float64 { return float64(c.Nats[cut.Window*c.Positions+cut.At]) }

// Digest is the commitment: nothing of the claims changes without it.
func (c Claims) Digest() string {
	h := sha256.New()
	fmt.Fprintf(h, "autoresearch scorer claims %d %d\n", c.Windows, c.Positions)
	_ = binary.Write(h, binary.LittleEndian, c.Nats) // a hash takes everything
	return hex.EncodeToString(h.Sum(nil))
}

// check finds claims that no distribution could make, and takes off what is
// rounding.
func (c Claims) check() *experiment.Failure {
	for i, v := range c.Nats {
		at := Cut{i / c.Positions, i % c.Positions}
		switch {
		case math.IsNaN(float64(v)) || math.IsInf(float64(v), 0):
			return fault(experiment.NaN, "%v: the loss is %v, which is no number", at, v)
		case v < 0 && v > -rounding:
			c.Nats[i] = 0
		case v < 0:
			return fault(experiment.Tampered, "%v: the loss is %v nats: a probability is at most 1, so a loss is at least 0", at, v)
		case v > maxNats:
			return fault(experiment.NaN, "%v: the loss is %v nats; more than %d is taken for a number that has run away", at, v, maxNats)
		}
	}
	return nil
}

// Loss is a sum of claims, in nats: plain, and with every token's loss clamped at
// ln V, what a uniform guess costs.
type Loss struct {
	Plain   float64 `json:"nats"`
	Clamped float64 `json:"clamped_nats"`
}

// Loss adds up the claims.
func (c Claims) Loss(vocab int) Loss {
	var l Loss
	most := math.Log(float64(vocab))
	for _, v := range c.Nats {
		l.Plain += float64(v)
		l.Clamped += min(float64(v), most)
	}
	return l
}

func (c Cut) String() string { return fmt.Sprintf("window %d, position %d", c.Window, c.At) }

func fault(reason experiment.Reason, format string, args ...any) *experiment.Failure {
	return &experiment.Failure{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Audit compares claims with what was answered at the cuts.
type Audit struct {
	vocab     int
	alarm     float64
	tolerance Tolerance

	n           int
	sum, square float64 // of the differences of the clamped losses
	plain       float64 // of the plain ones
	worst       float64 // share of the tolerance
	worstAt     string
	failure     *experiment.Failure // the first that ends it
}

// NewAudit starts a comparison that accuses an honest program with probability
// alarm at most.
func NewAudit(vocab int, t Tolerance, alarm float64) *Audit {
	return &Audit{vocab: vocab, tolerance: t, alarm: alarm}
}

// Add compares one claim with the distribution [V] of logarithms of
// probabilities that was answered at its cut, where target is the true token.
// It returns the failure that ends the audit, if there is one.
func (a *Audit) Add(cut Cut, claimed float64, logProbs []float32, target int32) *experiment.Failure {
	if a.failure != nil {
		return a.failure
	}
	nats, f := blindLoss(logProbs, target, a.tolerance.Sum)
	if f != nil {
		f.Message = cut.String() + ": " + f.Message
		a.failure = f
		return f
	}
	return a.compare(cut, claimed, nats)
}

// compare takes one pair of losses into the statistics.
func (a *Audit) compare(cut Cut, claimed, blind float64) *experiment.Failure {
	uniform := math.Log(float64(a.vocab))
	allowed := a.tolerance.Outlier * max(1, min(claimed, blind)/uniform)
	difference := blind - claimed
	if share := math.Abs(difference) / allowed; share > a.worst {
		a.worst, a.worstAt = share, fmt.Sprintf("%v: claimed %.4f nats, blind %.4f", cut, claimed, blind)
	}
	if !(math.Abs(difference) <= allowed) {
		a.failure = fault(experiment.Tampered, "%v: the program claimed that the token cost it %.4f nats; without having seen the token it gives it %.4f. They may differ by %.4f. The claim must follow from the tokens before alone, and the same tokens must give the same numbers again", cut, claimed, blind, allowed)
		return a.failure
	}
	clamped := min(blind, uniform) - min(claimed, uniform)
	a.n++
	a.sum += clamped
	a.square += clamped * clamped
	a.plain += difference
	return nil
}

// blindLoss is the loss of the true token under a distribution, made to add up to
// 1 exactly.
func blindLoss(logProbs []float32, target int32, tolerance float64) (float64, *experiment.Failure) {
	top := math.Inf(-1)
	for i, v := range logProbs {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 1) {
			return 0, fault(experiment.NaN, "the logarithm of the probability of token %d is %v", i, v)
		}
		top = max(top, float64(v))
	}
	sum := 0.0
	for _, v := range logProbs {
		sum += math.Exp(float64(v) - top)
	}
	total := top + math.Log(sum)
	if !(math.Abs(total) <= tolerance) { // NaN where all are -Inf
		return 0, fault(experiment.Tampered, "the probabilities of all %d tokens add up to %.6g, not to 1: answer with the logarithms of a softmax", len(logProbs), math.Exp(total))
	}
	return total - float64(logProbs[target]), nil
}

// Finding is what an audit has found.
type Finding struct {
	Cuts          int     `json:"cuts"`
	MeanGap       float64 `json:"mean_gap"`         // nats a token, of the clamped loss, that claims are too good by
	MeanAllowed   float64 `json:"mean_gap_allowed"` // for so many cuts
	PlainGap      float64 `json:"plain_gap"`        // the same of the plain loss
	Spread        float64 `json:"spread"`           // root of the mean squared difference, in nats
	SpreadAllowed float64 `json:"spread_allowed"`
	Worst         string  `json:"worst,omitempty"` // the largest difference that there was

	Failure *experiment.Failure `json:"failure,omitempty"`
}

// Decide applies the tests of mean and spread to what was added.
func (a *Audit) Decide() Finding {
	n := float64(max(a.n, 1))
	b := a.tolerance.bounds(a.n, a.alarm)
	f := Finding{
		Cuts: a.n, MeanGap: a.sum / n, MeanAllowed: b.mean, PlainGap: a.plain / n,
		Spread: math.Sqrt(a.square / n), SpreadAllowed: math.Sqrt(b.square), Worst: a.worstAt, Failure: a.failure,
	}
	switch {
	case f.Failure != nil:
	case a.n == 0:
		f.Failure = fault(experiment.Tampered, "nothing was asked for blind, so nothing is shown")
	case f.MeanGap > f.MeanAllowed:
		f.Failure = fault(experiment.Tampered, "over %d blind cuts the claims are too good by %.2g nats a token on average; %.2g is what numerics may do", f.Cuts, f.MeanGap, f.MeanAllowed)
	case f.Spread > f.SpreadAllowed:
		f.Failure = fault(experiment.Tampered, "over %d blind cuts claims and answers are %.2g nats apart (root mean square); %.2g is what numerics may do: the same tokens must give the same numbers again", f.Cuts, f.Spread, f.SpreadAllowed)
	}
	return f
}
