package tensor

import (
	"fmt"
	"math"

	"github.com/autoresearch-go/autoresearch/trainer/tensor/cpu"
)

// unaryFns describe an elementwise operation of one input. fwd overwrites y;
// bwd adds to dx and has tmp as scratch. All slices have equal length. p is the
// float attribute.
type unaryFns struct {
	attr string
	fwd  func(k *cpu.Set, y, x []float32, p float32)
	bwd  func(k *cpu.Set, dx, dy, x, y, tmp []float32, p float32)
}

func registerUnary(name string, u unaryFns) *Op {
	op := Op{
		Name: name, Arity: 1,
		Infer: func(_ Attrs, in []Spec) (Spec, error) { return in[0], floats(in) },
		Forward: func(c *call) {
			c.par(c.out.size, elemGrain, func(c *call, _, lo, hi int) {
				c.op.unary.fwd(c.dev.kern, c.out.data[lo:hi], c.in[0].data[lo:hi], c.param())
			})
		},
		unary: &u,
	}
	if u.attr != "" {
		op.Floats = []string{u.attr}
	}
	if u.bwd != nil {
		op.Backward = func(c *call) {
			if c.arg.g, c.arg.flag = c.dinFresh(0); c.arg.g == nil {
				return
			}
			c.par(c.out.size, elemGrain, func(c *call, w, lo, hi int) {
				x, y, dx, dy, p := c.in[0].data, c.out.data, c.arg.g, c.dout, c.param()
				tmp := c.dev.tmp(w, chunk)
				for ; lo < hi; lo += chunk {
					to := min(lo+chunk, hi)
					if c.arg.flag { // part by part, so that it stays in the first cache
						c.dev.kern.Clear(dx[lo:to])
					}
					c.op.unary.bwd(c.dev.kern, dx[lo:to], dy[lo:to], x[lo:to], y[lo:to], tmp[:to-lo], p)
				}
			})
		}
	}
	return register(op)
}

// param is the single float attribute, 0 when there is none.
func (c *call) param() float32 {
	if len(c.attrs.Floats) > 0 {
		return c.attrs.Floats[0]
	}
	return 0
}

// pointwise builds unaryFns from scalar functions: df gives dy/dx.
func pointwise(f func(x float32) float32, df func(x, y float32) float32) unaryFns {
	return unaryFns{
		fwd: func(_ *cpu.Set, y, x []float32, _ float32) {
			for i, v := range x {
				y[i] = f(v)
			}
		},
		bwd: func(_ *cpu.Set, dx, dy, x, y, _ []float32, _ float32) {
			for i, g := range dy {
				dx[i] += g * df(x[i], y[i])
			}
		},
	}
}

const geluK = 0.7978845608028654 // sqrt(2/pi)

var (
	opAddScalar = registerUnary("add_scalar", unaryFns{
		attr: "s",
		fwd:  func(k *cpu.Set, y, x []float32, s float32) { k.Offset(y, x, s) },
		bwd:  func(k *cpu.Set, dx, dy, _, _, _ []float32, _ float32) { k.Add(dx, dx, dy) },
	})
	opScale = registerUnary("scale", unaryFns{
		attr: "s",
		fwd:  func(k *cpu.Set, y, x []float32, s float32) { k.Scale(y, x, s) },
		bwd:  func(k *cpu.Set, dx, dy, _, _, _ []float32, s float32) { k.Axpy(dx, s, dy) },
	})
	opNeg = registerUnary("neg", unaryFns{
		fwd: func(k *cpu.Set, y, x []float32, _ float32) { k.Scale(y, x, -1) },
		bwd: func(k *cpu.Set, dx, dy, _, _, _ []float32, _ float32) { k.Axpy(dx, -1, dy) },
	})
	opExp = registerUnary("exp", unaryFns{
		fwd: func(k *cpu.Set, y, x []float32, _ float32) { k.Exp(y, x) },
		bwd: func(k *cpu.Set, dx, dy, _, y, _ []float32, _ float32) { k.MulAdd(dx, dy, y) },
	})
	opLog = registerUnary("log", pointwise(
		func(x float32) float32 { return float32(math.Log(float64(x))) },
		func(x, _ float32) float32 { return 1 / x }))
	opTanh = registerUnary("tanh", unaryFns{
		fwd: func(k *cpu.Set, y, x []float32, _ float32) { k.Tanh(y, x) },
		bwd: func(k *cpu.Set, dx, dy, _, y, _ []float32, _ float32) { k.TanhGrad(dx, dy, y) },
	})
	opSigmoid = registerUnary("sigmoid", unaryFns{
		fwd: func(k *cpu.Set, y, x []float32, _ float32) { k.Sigmoid(y, x) },
		bwd: func(k *cpu.Set, dx, dy, _, y, _ []float32, _ float32) { k.SigmoidGrad(dx, dy, y) },
	})
	opRelu = registerUnary("relu", pointwise(
		func(x float32) float32 { return max(x, 0) },
		func(x, _ float32) float32 {
			if x > 0 {
				return 1
			}
			return 0
		}))
	opReluSquare = registerUnary("relu_square", unaryFns{
		fwd: func(k *cpu.Set, y, x []float32, _ float32) { k.ReluSquare(y, x) },
		bwd: func(k *cpu.Set, dx, dy, x, _, _ []float32, _ float32) { k.ReluSquareGrad(dx, dy, x) },
	})
	opSilu = registerUnary("silu", unaryFns{
		fwd: func(k *cpu.Set, y, x []float32, _ float32) {
			k.Sigmoid(y, x)
			k.Mul(y, y, x)
		},
		bwd: func(k *cpu.Set, dx, dy, x, _, s []float32, _ float32) {
			k.Sigmoid(s, x)
			for i, g := range dy {
				dx[i] += g * s[i] * (1 + x[i]*(1-s[i]))
			}
		},
	})
	// gelu is the tanh form of GPT-2.
	opGelu = registerUnary("gelu", unaryFns{
		fwd: func(k *cpu.Set, y, x []float32, _ float32) {
			for i, v := range x {
				y[i] = geluK * (v + 0.044715*v*v*v)
			}
			k.Tanh(y, y)
			for i, v := range x {
				y[i] = 0.5 * v * (1 + y[i])
			}
		},
		bwd: func(k *cpu.Set, dx, dy, x, _, t []float32, _ float32) {
			for i, v := range x {
				t[i] = geluK * (v + 0.044715*v*v*v)
			}
			k.Tanh(t, t)
			for i, v := range x {
				du := geluK * (1 + 3*0.044715*v*v)
				dx[i] += dy[i] * (0.5*(1+t[i]) + 0.5*v*(1-t[i]*t[i])*du)
			}
		},
	})
	opSqrt = registerUnary("sqrt", pointwise(
		func(x float32) float32 { return float32(math.Sqrt(float64(x))) },
		func(_, y float32) float32 { return 0.5 / y }))
	opRsqrt = registerUnary("rsqrt", pointwise(
		func(x float32) float32 { return float32(1 / math.Sqrt(float64(x))) },
		func(_, y float32) float32 { return -0.5 * y * y * y }))
	opSquare = registerUnary("square", unaryFns{
		fwd: func(k *cpu.Set, y, x []float32, _ float32) { k.Mul(y, x, x) },
		bwd: func(_ *cpu.Set, dx, dy, x, _, _ []float32, _ float32) {
			for i, g := range dy {
				dx[i] += 2 * g * x[i]
			}
		},
	})
	opAbs = registerUnary("abs", pointwise(
		func(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) },
		func(x, _ float32) float32 {
			switch {
			case x > 0:
				return 1
			case x < 0:
				return -1
			}
			return 0
		}))
	opSoftcap = registerUnary("softcap", unaryFns{
		attr: "cap",
		fwd: func(k *cpu.Set, y, x []float32, s float32) {
			k.Scale(y, x, 1/s)
			k.Tanh(y, y)
			k.Scale(y, y, s)
		},
		bwd: func(_ *cpu.Set, dx, dy, _, y, _ []float32, s float32) {
			for i, g := range dy {
				t := y[i] / s
				dx[i] += g * (1 - t*t)
			}
		},
	})
	opDetach = register(Op{
		Name: "detach", Arity: 1, View: true,
		Infer: func(_ Attrs, in []Spec) (Spec, error) { return in[0], nil },
	})
)

func init() {
	// A cap of zero would divide by zero, a negative one flip signs twice.
	infer := opSoftcap.Infer
	opSoftcap.Infer = func(a Attrs, in []Spec) (Spec, error) {
		if !(a.Floats[0] > 0) {
			return Spec{}, fmt.Errorf("cap is %v, want above 0", a.Floats[0])
		}
		return infer(a, in)
	}
}

func scalar(s float32) Attrs { return Attrs{Floats: []float32{s}} }

// AddScalar is t + s.
func (t *Tensor) AddScalar(s float32) *Tensor { return apply(opAddScalar, scalar(s), t) }

// Scale is t * s.
func (t *Tensor) Scale(s float32) *Tensor { return apply(opScale, scalar(s), t) }

// Neg is -t.
func (t *Tensor) Neg() *Tensor { return apply(opNeg, Attrs{}, t) }

// Exp is e to the t.
func (t *Tensor) Exp() *Tensor { return apply(opExp, Attrs{}, t) }

// Log is the natural logarithm.
func (t *Tensor) Log() *Tensor { return apply(opLog, Attrs{}, t) }

// Tanh is the hyperbolic tangent.
func (t *Tensor) Tanh() *Tensor { return apply(opTanh, Attrs{}, t) }

// Sigmoid is 1/(1+exp(-t)).
func (t *Tensor) Sigmoid() *Tensor { return apply(opSigmoid, Attrs{}, t) }

// Relu is max(t, 0).
func (t *Tensor) Relu() *Tensor { return apply(opRelu, Attrs{}, t) }

// ReluSquare is max(t, 0) squared.
func (t *Tensor) ReluSquare() *Tensor { return apply(opReluSquare, Attrs{}, t) }

// Silu is t * sigmoid(t).
func (t *Tensor) Silu() *Tensor { return apply(opSilu, Attrs{}, t) }

// Gelu is GPT-2's tanh form of the Gaussian error linear unit.
func (t *Tensor) Gelu() *Tensor { return apply(opGelu, Attrs{}, t) }

// Sqrt is the square root.
func (t *Tensor) Sqrt() *Tensor { return apply(opSqrt, Attrs{}, t) }

// Rsqrt is 1/sqrt(t).
func (t *Tensor) Rsqrt() *Tensor { return apply(opRsqrt, Attrs{}, t) }

// Square is t * t.
func (t *Tensor) Square() *Tensor { return apply(opSquare, Attrs{}, t) }

// Abs is the absolute value; its gradient at 0 is 0.
func (t *Tensor) Abs() *Tensor { return apply(opAbs, Attrs{}, t) }

// Softcap is cap*tanh(t/cap), cap above 0.
func (t *Tensor) Softcap(cap float32) *Tensor { return apply(opSoftcap, scalar(cap), t) }

// Detach is t without a way back for gradients.
func (t *Tensor) Detach() *Tensor { return apply(opDetach, Attrs{}, t) }
