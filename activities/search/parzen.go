package search

import "math"

// axis is the part of the model that belongs to one dimension. Densities are
// kept as masses over the dimension's levels, which makes real, integer and
// nominal dimensions alike.
type axis struct {
	Dim
	incumbent string
	levels    []string
	units     []float64 // of the levels
	good, bad []string  // values that moves came to, or left

	l, g       []float64
	cumulative []float64 // of l
	mass       float64   // sum of l
}

func newAxis(d Dim, incumbent string) axis {
	a := axis{Dim: d, incumbent: incumbent, levels: d.levels()}
	for _, level := range a.levels {
		a.units = append(a.units, d.unit(level))
	}
	return a
}

// fit fills the densities: the prior plus one kernel for each observation.
func (a *axis) fit() {
	n := len(a.levels)
	a.l, a.g = make([]float64, n), make([]float64, n)
	local := a.kernel(a.incumbent, localWidth)
	for j := range n {
		prior := priorWeight * (localShare*local[j] + (1-localShare)/float64(n))
		a.l[j], a.g[j] = prior, prior
	}
	width := max(minWidth, maxWidth/math.Sqrt(1+float64(len(a.good)+len(a.bad))/2))
	a.add(a.l, a.good, width)
	a.add(a.g, a.bad, width)
	a.cumulative = make([]float64, n)
	for j, v := range a.l {
		a.mass += v
		a.cumulative[j] = a.mass
	}
}

func (a *axis) add(density []float64, values []string, width float64) {
	for _, v := range values {
		for j, k := range a.kernel(v, width) {
			density[j] += (1-kernelTail)*k + kernelTail/float64(len(density))
		}
	}
}

// kernel spreads a mass of one around a value: a Gaussian cut off at the ends of
// the range, or, where no two values are neighbours, the kernel of Aitchison and
// Aitken (Biometrika 1976). The width is never less than half a level.
func (a *axis) kernel(value string, width float64) []float64 {
	n := len(a.levels)
	out := make([]float64, n)
	if a.Kind == Nominal {
		for j, level := range a.levels {
			out[j] = width / float64(n)
			if level == value {
				out[j] += 1 - width
			}
		}
		return out
	}
	center, sum := a.unit(value), 0.0
	width = max(width, 0.7/float64(n))
	for j, u := range a.units {
		z := (u - center) / width
		out[j] = math.Exp(-z * z / 2)
		sum += out[j]
	}
	for j := range out {
		out[j] /= sum
	}
	return out
}

// ratio is the log of l/g at a level.
func (a *axis) ratio(level int) float64 { return math.Log(a.l[level] / a.g[level]) }

// far says whether a level is far enough from the incumbent to be measured.
func (a *axis) far(level int) bool {
	if a.levels[level] == a.incumbent {
		return false
	}
	return a.Kind == Nominal || math.Abs(a.units[level]-a.unit(a.incumbent)) >= minStep
}
