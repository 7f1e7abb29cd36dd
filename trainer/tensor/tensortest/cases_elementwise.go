package tensortest

import (
	"math"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

func sigmoid(x float64) float64  { return 1 / (1 + math.Exp(-x)) }
func softplus(x float64) float64 { return math.Log1p(math.Exp(x)) }
func relu(x float64) float64     { return max(x, 0) }

func geluTanh(x float64) float64 {
	return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

func leaky(x float64) float64 {
	if x > 0 {
		return x
	}
	return 0.1 * x
}

// each applies a function to every element.
func each(a *Array, f func(x float64) float64) *Array {
	return fill(a.Shape, func(o []int) float64 { return f(a.at(o...)) })
}

func unaryCases() (l []Case) {
	add := func(op string, ref func(float64) float64, f func(t *tensor.Tensor) *tensor.Tensor, in ...Input) {
		if len(in) == 0 {
			// Odd sizes: vector kernels have a rest to do. Rank 5: so have loops.
			in = []Input{floats(3, 5), floats(1), floats(2, 1, 3, 2, 19)}
		}
		for _, i := range in {
			l = append(l, Case{Op: op, In: []Input{i}, Reads: aligned(i),
				Build: func(in tensors) *tensor.Tensor { return f(in[0]) },
				Ref:   func(in arrays) *Array { return each(in[0], ref) }})
		}
	}
	pos := positive(3, 7)
	type T = *tensor.Tensor
	add("add_scalar", func(x float64) float64 { return x + float64(float32(0.3)) }, func(t T) T { return t.AddScalar(0.3) })
	add("scale", func(x float64) float64 { return x * float64(float32(-1.7)) }, func(t T) T { return t.Scale(-1.7) })
	add("neg", func(x float64) float64 { return -x }, T.Neg)
	add("exp", math.Exp, T.Exp)
	add("log", math.Log, T.Log, pos)
	add("tanh", math.Tanh, T.Tanh)
	add("sigmoid", sigmoid, T.Sigmoid)
	add("relu", relu, T.Relu)
	add("relu_square", func(x float64) float64 { return relu(x) * relu(x) }, T.ReluSquare)
	add("silu", func(x float64) float64 { return x * sigmoid(x) }, T.Silu)
	add("gelu", geluTanh, T.Gelu)
	add("sqrt", math.Sqrt, T.Sqrt, pos)
	add("rsqrt", func(x float64) float64 { return 1 / math.Sqrt(x) }, T.Rsqrt, pos)
	add("square", func(x float64) float64 { return x * x }, T.Square)
	add("abs", math.Abs, T.Abs)
	add("softcap", func(x float64) float64 { return 1.5 * math.Tanh(x/1.5) }, func(t T) T { return t.Softcap(1.5) })
	add("detach", func(x float64) float64 { return x }, T.Detach)
	add("sin", math.Sin, T.Sin)
	add("cos", math.Cos, T.Cos)
	add("erf", math.Erf, T.Erf)
	add("softplus", softplus, T.Softplus)
	add("reciprocal", func(x float64) float64 { return 1 / x }, T.Reciprocal, pos)
	add("leaky_relu", leaky, func(t T) T { return t.LeakyRelu(0.1) })
	add("pow", func(x float64) float64 { return math.Pow(x, 1.75) }, func(t T) T { return t.Pow(1.75) }, pos)
	add("pow", func(x float64) float64 { return x * x * x }, func(t T) T { return t.Pow(3) })
	add("pow", func(x float64) float64 { return 1 }, func(t T) T { return t.Pow(0) })
	add("at_least", func(x float64) float64 { return max(x, 0.25) }, func(t T) T { return t.AtLeast(0.25) })
	add("at_most", func(x float64) float64 { return min(x, 0.25) }, func(t T) T { return t.AtMost(0.25) })
	add("sign", sign, T.Sign, few(3, 5), floats(9))
	add("floor", math.Floor, T.Floor)
	return l
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// zip is elementwise with broadcasting.
func zip(a, b *Array, f func(a, b float64) float64) *Array {
	shape := make([]int, max(len(a.Shape), len(b.Shape)))
	for i := range shape {
		shape[i] = 1
		for _, s := range [][]int{a.Shape, b.Shape} {
			if j := i - (len(shape) - len(s)); j >= 0 {
				shape[i] = max(shape[i], s[j])
			}
		}
	}
	return fill(shape, func(o []int) float64 { return f(a.at(o...), b.at(o...)) })
}

func binaryCases() (l []Case) {
	shapes := [][2][]int{
		{{3, 4}, {3, 4}}, {{2, 3, 4}, {4}}, {{2, 3, 4}, {2, 1, 4}}, {{2, 3, 1}, {2, 3, 4}}, {{3, 1}, {1, 4}},
		{{1}, {2, 3}}, {{2, 1, 3}, {4, 1}}, {{2, 1, 3, 1, 2}, {2, 1, 5, 1}}, {{1500}, {2, 1500}},
	}
	add := func(op string, ref func(a, b float64) float64, f func(a, b *tensor.Tensor) *tensor.Tensor, kind func(shape ...int) Input) {
		for _, s := range shapes {
			in := []Input{kind(s[0]...), kind(s[1]...)}
			l = append(l, Case{Op: op, In: in, Reads: aligned(in...),
				Build: func(in tensors) *tensor.Tensor { return f(in[0], in[1]) },
				Ref:   func(in arrays) *Array { return zip(in[0], in[1], ref) }})
		}
	}
	type T = *tensor.Tensor
	add("add", func(a, b float64) float64 { return a + b }, T.Add, floats)
	add("sub", func(a, b float64) float64 { return a - b }, T.Sub, floats)
	add("mul", func(a, b float64) float64 { return a * b }, T.Mul, floats)
	add("div", func(a, b float64) float64 { return a / b }, T.Div, positive)
	// Ties share the gradient, and so do finite differences.
	add("maximum", func(a, b float64) float64 { return max(a, b) }, T.Maximum, few)
	add("minimum", func(a, b float64) float64 { return min(a, b) }, T.Minimum, few)
	add("greater", func(a, b float64) float64 { return truth(a > b) }, T.Greater, few)
	add("equal", func(a, b float64) float64 { return truth(a == b) }, T.Equal, few)

	for _, in := range [][]Input{
		{floats(3, 4), floats(4), floats(3, 1)}, {floats(4), floats(2, 3, 4), floats(1)}, {floats(2, 3), floats(2, 3), floats(2, 3)},
	} {
		l = append(l, Case{Op: "where", In: in, Reads: aligned(in...),
			// Relu makes zeros of half the conditions.
			Build: func(in tensors) *tensor.Tensor { return in[0].Relu().Where(in[1], in[2]) },
			Ref: func(in arrays) *Array {
				shape := zip(in[0], zip(in[1], in[2], math.Max), math.Max).Shape
				return fill(shape, func(o []int) float64 {
					if in[0].at(o...) > 0 {
						return in[1].at(o...)
					}
					return in[2].at(o...)
				})
			}})
	}
	return l
}
