package tensortest

import (
	"math"
	"slices"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

func mean(x []float64) float64 { return sum(x) / float64(len(x)) }

func variance(x []float64) (v float64) {
	m := mean(x)
	for _, y := range x {
		v += (y - m) * (y - m) / float64(len(x))
	}
	return v
}

func logSumExp(x []float64) float64 {
	m, s := largest(x), 0.0
	for _, v := range x {
		s += math.Exp(v - m)
	}
	return m + math.Log(s)
}

// normalized takes the mean off groups of a line and divides by the deviation.
func normalized(groups int) func(x []float64) []float64 {
	return func(x []float64) []float64 {
		y, n := slices.Clone(x), len(x)/groups
		for i, v := range x {
			g := x[i/n*n : i/n*n+n]
			y[i] = (v - mean(g)) / math.Sqrt(variance(g)+1e-3)
		}
		return y
	}
}

// composeCases are the methods that are short programs over operations. Op is
// one of those that they use.
func composeCases() (l []Case) {
	type T = *tensor.Tensor
	s := floats(2, 3, 4)
	lines := func(op, name string, in Input, f func(t T) T, ref func(x []float64) []float64, reads func(k int, e, o []int) bool) {
		l = append(l, Case{Op: op, Name: name, In: []Input{in}, Reads: reads,
			Build: func(in tensors) T { return f(in[0]) },
			Ref:   func(in arrays) *Array { return overLines(in[0], len(in[0].Shape)-1, ref) }})
	}
	folds := func(op, name string, f func(t T, axis int) T, ref func(x []float64) float64) {
		for axis := range 3 {
			l = append(l, Case{Op: op, Name: name, In: []Input{s}, Reads: whole(axis),
				Build: func(in tensors) T { return f(in[0], axis) },
				Ref:   func(in arrays) *Array { return fold(in[0], axis, ref) }})
		}
	}
	single := func(op, name string, f func(t T) T, ref func(x float64) float64) {
		l = append(l, Case{Op: op, Name: name, In: []Input{s}, Reads: aligned(s),
			Build: func(in tensors) T { return f(in[0]) },
			Ref:   func(in arrays) *Array { return each(in[0], ref) }})
	}
	compare := func(name string, f func(a, b T) T, ref func(a, b float64) bool) {
		in := []Input{few(3, 4), few(4)}
		l = append(l, Case{Op: "greater", Name: name, In: in, Reads: aligned(in...),
			Build: func(in tensors) T { return f(in[0], in[1]) },
			Ref: func(in arrays) *Array {
				return zip(in[0], in[1], func(a, b float64) float64 { return truth(ref(a, b)) })
			}})
	}
	folds("mean", "Var", T.Var, variance)
	folds("max", "Min", T.Min, func(x []float64) float64 { return slices.Min(x) })
	folds("exp", "LogSumExp", T.LogSumExp, logSumExp)
	lines("log", "LogSoftmax", s, T.LogSoftmax, func(x []float64) []float64 {
		y, z := slices.Clone(x), logSumExp(x)
		for i := range y {
			y[i] -= z
		}
		return y
	}, whole(2))
	lines("rms_norm", "LayerNorm", s, func(t T) T { return t.LayerNorm(1e-3) }, normalized(1), whole(2))
	lines("rms_norm", "GroupNorm", floats(2, 6), func(t T) T { return t.GroupNorm(2, 1e-3) }, normalized(2),
		along(1, func(e, o int) bool { return e/3 == o/3 }))
	lines("rms_norm", "L2Norm", s, func(t T) T { return t.L2Norm(1e-3) }, func(x []float64) []float64 {
		y, ss := slices.Clone(x), 1e-3
		for _, v := range x {
			ss += v * v
		}
		for i := range y {
			y[i] /= math.Sqrt(ss)
		}
		return y
	}, whole(2))
	single("erf", "GeluErf", T.GeluErf, func(x float64) float64 { return x / 2 * math.Erfc(-x/math.Sqrt2) })
	single("exp", "Elu", T.Elu, func(x float64) float64 { return max(x, math.Expm1(min(x, 0))) })
	single("softplus", "LogSigmoid", T.LogSigmoid, func(x float64) float64 { return math.Log(sigmoid(x)) })
	single("at_least", "Clamp", func(t T) T { return t.Clamp(-0.5, 0.75) }, func(x float64) float64 { return min(max(x, -0.5), 0.75) })
	compare("Less", T.Less, func(a, b float64) bool { return a < b })
	compare("LessEqual", T.LessEqual, func(a, b float64) bool { return a <= b })
	compare("GreaterEqual", T.GreaterEqual, func(a, b float64) bool { return a >= b })
	l = append(l,
		pick("concat", "Roll up", s, func(t T) T { return t.Roll(1, 1) }, s.Shape, func(o []int) []int { return with(o, 1, (o[1]+2)%3) }),
		pick("concat", "Roll down", s, func(t T) T { return t.Roll(-1, -5) }, s.Shape, func(o []int) []int { return with(o, 2, (o[2]+5)%4) }),
		pick("slice", "Split", s, func(t T) T { return t.Split(2, 2)[1] }, []int{2, 3, 2}, func(o []int) []int { return with(o, 2, o[2]+2) }),
		pick("concat", "Stack", s, func(t T) T { return t.Stack(1, t) }, []int{2, 2, 3, 4}, func(o []int) []int { return []int{o[0], o[2], o[3]} }),
		pick("concat", "Stack last", s, func(t T) T { return t.Stack(-1, t) }, []int{2, 3, 4, 2}, func(o []int) []int { return slices.Clone(o[:3]) }))
	return append(l, Case{Op: "topk", Name: "ArgMax", In: []Input{s},
		Build: func(in tensors) T { return in[0].ArgMax() },
		Ref: func(in arrays) *Array {
			y := fill([]int{2, 3}, func(o []int) float64 { return float64(topK(in[0].line(2, []int{o[0], o[1], 0}), 1)[0]) })
			y.Int = true
			return y
		},
		Reads: func(_ int, e, o []int) bool { return slices.Equal(e[:2], o) }})
}
