package tensor

import (
	"math"

	"github.com/autoresearch-go/autoresearch/trainer/tensor/cpu"
)

// Elementwise operations of one input that a model uses less often than those
// of elementwise.go. They are plain loops: a model that spends its time here
// gains by a kernel.

// pointwiseP is pointwise for functions with a parameter.
func pointwiseP(attr string, f func(x, p float32) float32, df func(x, y, p float32) float32) unaryFns {
	u := unaryFns{
		attr: attr,
		fwd: func(_ *cpu.Set, y, x []float32, p float32) {
			for i, v := range x {
				y[i] = f(v, p)
			}
		},
	}
	if df != nil {
		u.bwd = func(_ *cpu.Set, dx, dy, x, y, _ []float32, p float32) {
			for i, g := range dy {
				dx[i] += g * df(x[i], y[i], p)
			}
		}
	}
	return u
}

// noGradient drops the backward half: steps and signs are flat.
func noGradient(u unaryFns) unaryFns {
	u.bwd = nil
	return u
}

// in64 computes a function of package math on float32.
func in64(f func(float64) float64) func(x float32) float32 {
	return func(x float32) float32 { return float32(f(float64(x))) }
}

var (
	opSin = registerUnary("sin", pointwise(in64(math.Sin),
		func(x, _ float32) float32 { return float32(math.Cos(float64(x))) }))
	opCos = registerUnary("cos", pointwise(in64(math.Cos),
		func(x, _ float32) float32 { return -float32(math.Sin(float64(x))) }))
	opErf = registerUnary("erf", pointwise(in64(math.Erf),
		func(x, _ float32) float32 { return float32(2 / math.SqrtPi * math.Exp(-float64(x)*float64(x))) }))
	opSoftplus = registerUnary("softplus", pointwise(
		func(x float32) float32 {
			return max(x, 0) + float32(math.Log1p(math.Exp(-math.Abs(float64(x)))))
		},
		func(x, _ float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }))
	opReciprocal = registerUnary("reciprocal", pointwise(
		func(x float32) float32 { return 1 / x },
		func(_, y float32) float32 { return -y * y }))
	opLeakyRelu = registerUnary("leaky_relu", pointwiseP("slope",
		func(x, slope float32) float32 {
			if x > 0 {
				return x
			}
			return slope * x
		},
		func(x, _, slope float32) float32 {
			if x > 0 {
				return 1
			}
			return slope
		}))
	opPow = registerUnary("pow", pointwiseP("p",
		func(x, p float32) float32 {
			if x != x { // NaN to the 0 would be 1
				return x
			}
			return float32(math.Pow(float64(x), float64(p)))
		},
		func(x, _, p float32) float32 { return float32(float64(p) * math.Pow(float64(x), float64(p)-1)) }))
	opAtLeast = registerUnary("at_least", pointwiseP("s",
		func(x, s float32) float32 { return max(x, s) }, // the builtin keeps NaN
		func(x, _, s float32) float32 {
			if x > s {
				return 1
			}
			return 0
		}))
	opAtMost = registerUnary("at_most", pointwiseP("s",
		func(x, s float32) float32 { return min(x, s) },
		func(x, _, s float32) float32 {
			if x < s {
				return 1
			}
			return 0
		}))
	opSign = registerUnary("sign", noGradient(pointwise(
		func(x float32) float32 {
			switch {
			case x > 0:
				return 1
			case x < 0:
				return -1
			}
			return x // zero, or NaN
		}, nil)))
	opFloor = registerUnary("floor", noGradient(pointwise(in64(math.Floor), nil)))
)

// Sin is the sine.
func (t *Tensor) Sin() *Tensor { return apply(opSin, Attrs{}, t) }

// Cos is the cosine.
func (t *Tensor) Cos() *Tensor { return apply(opCos, Attrs{}, t) }

// Erf is the error function.
func (t *Tensor) Erf() *Tensor { return apply(opErf, Attrs{}, t) }

// Softplus is log(1+exp(t)), without overflow.
func (t *Tensor) Softplus() *Tensor { return apply(opSoftplus, Attrs{}, t) }

// Reciprocal is 1/t.
func (t *Tensor) Reciprocal() *Tensor { return apply(opReciprocal, Attrs{}, t) }

// LeakyRelu is t where that is above 0, else slope*t.
func (t *Tensor) LeakyRelu(slope float32) *Tensor { return apply(opLeakyRelu, scalar(slope), t) }

// Pow is t to the p; NaN for negative t unless p is an integer.
func (t *Tensor) Pow(p float32) *Tensor { return apply(opPow, scalar(p), t) }

// AtLeast is max(t, s); without gradient where s is taken.
func (t *Tensor) AtLeast(s float32) *Tensor { return apply(opAtLeast, scalar(s), t) }

// AtMost is min(t, s); without gradient where s is taken.
func (t *Tensor) AtMost(s float32) *Tensor { return apply(opAtMost, scalar(s), t) }

// Sign is -1, 0 or 1; no gradient.
func (t *Tensor) Sign() *Tensor { return apply(opSign, Attrs{}, t) }

// Floor rounds down; no gradient. With Detach it makes straight-through
// rounding: x.Add(x.AddScalar(0.5).Floor().Sub(x).Detach()).
func (t *Tensor) Floor() *Tensor { return apply(opFloor, Attrs{}, t) }

// Clamp keeps t within lo..hi; no gradient outside.
func (t *Tensor) Clamp(lo, hi float32) *Tensor {
	if !(lo <= hi) {
		fail("clamp", "lo is %v and hi %v: want lo <= hi", lo, hi)
	}
	return t.AtLeast(lo).AtMost(hi)
}

// GeluErf is the exact Gaussian error linear unit, t*Phi(t).
func (t *Tensor) GeluErf() *Tensor {
	return t.Scale(math.Sqrt2 / 2).Erf().AddScalar(1).Mul(t).Scale(0.5)
}

// Elu is t above 0 and exp(t)-1 below.
func (t *Tensor) Elu() *Tensor { return t.Relu().Add(t.AtMost(0).Exp().AddScalar(-1)) }

// LogSigmoid is log(sigmoid(t)), without overflow.
func (t *Tensor) LogSigmoid() *Tensor { return t.Neg().Softplus().Neg() }
