package main

import (
	"math"
	"math/rand/v2"
	"slices"
)

// observed are the gains, in millionths of a bpb, of the 125 experiments of the
// night of 8 March 2026 on one H100 over the best score before them, in their
// order, from the results.tsv of karpathy/autoresearch. A crash has no score.
var observed = []float64{
	11859, 4268, -830, 572, 298, 934, 1185, 3260, -371, 795, 610, -784, 1015, -695, crash, -1030, -720, -555,
	-6236, -73, 255, -536, -272, -281, -5464, -1641, -809, -857, -227, -490, -270, 28, -3265, -979, -6886,
	-1045, 70, -1259, -1577, 85, -153, -7060, -2339, -2634, -775, -150, -2218, -411, -1945, -3768, -365, -18,
	-1429, -1637, -288, -1961, -2591, -1496, -11025, -618, -1109, -479, -311, -3509, -394, 436, -463, 130, -897,
	-459, -648, -1719, -773, -1027, -1027, -3662, -88, -1233, -749, -3836, -773, -367, -493, -1365, -7859,
	-1417, -1703, -2243721, -3724, -1295, -2186, -1918, -207, 31, -253, -634, -903, -1626, -1946, -535, -647,
	88, -429, 951, 403, 222, -211, -270, -179, -325, 481, -815, -807, -154, -1052, -88, -621, 266, -558, -28,
	-449, -992, -526, -171, -600,
}

const crash = -1e12

// runNoise is about the noise that is in those gains: what users measured
// between seeds of such runs is 0.0002 to 0.001.
const runNoise = 0.0003

// window is how far, in experiments, a simulated campaign looks around its place
// in the night for the effect of its next candidate. Early changes gained much
// more than late ones, so the place matters.
const window = 20

// effects are the true gains of a night's candidates. What was observed is the
// truth and noise; so the middle of the gains is drawn together by as much as
// noise has spread it. The few large ones, next to which the noise is nothing,
// stay.
func effects() []float64 {
	var sound []float64
	for _, x := range observed {
		if x > -1e5 {
			sound = append(sound, x/1e6)
		}
	}
	m := median(sound)
	var off []float64
	for _, x := range sound {
		off = append(off, math.Abs(x-m))
	}
	sd := 1.4826 * median(off)
	shrink := math.Sqrt(1 - runNoise*runNoise/(sd*sd))
	var out []float64
	for _, x := range observed {
		if x == crash {
			out = append(out, math.NaN())
		} else if x /= 1e6; math.Abs(x-m) > 3*sd {
			out = append(out, x)
		} else {
			out = append(out, m+shrink*(x-m))
		}
	}
	return out
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// world says what the truth of a simulated campaign is like.
type world struct {
	noise  float64
	prior  float64 // what the target says the noise is, in units of the truth
	heavy  bool    // the noise has the tails of Student's t with 3 degrees of freedom
	kind   string  // night, null (no candidate has an effect) or tiny (a tenth of the noise, for good or ill)
	window int     // how far around its place in the night a candidate's effect is drawn from
	half   int     // which half of the effects: 0 and 1; -1 is all of them
	// From run drifts on a slot is worse by shift; from run recovers it is as before.
	drifts, recovers int
	shift            float64
}

// idea is the true gain of candidate n over its parent; NaN is one that crashes.
func (w world) idea(all []float64, n int, rng *rand.Rand) float64 {
	switch w.kind {
	case "null":
		return 0
	case "tiny":
		return 0.1 * w.noise * float64(2*rng.IntN(2)-1)
	}
	at := min(n, len(all)-1)
	low, high := max(0, at-w.window), min(len(all)-1, at+w.window)
	for {
		i := low + rng.IntN(high-low+1)
		if w.half < 0 || i%2 == w.half {
			return all[i]
		}
	}
}

// measure is one run of a candidate whose true score is known.
func (w world) measure(truth float64, rng *rand.Rand) float64 {
	if !w.heavy {
		return truth + w.noise*rng.NormFloat64()
	}
	chi := 0.0
	for range 3 {
		z := rng.NormFloat64()
		chi += z * z
	}
	return truth + w.noise*rng.NormFloat64()/math.Sqrt(chi) // t(3) has variance 3, which the 3 takes out
}
