package tensor

import (
	"math"

	"github.com/autoresearch-go/autoresearch/trainer/tensor/cpu"
)

// binaryFns describes a broadcasting operation of two inputs. da and db overwrite
// g with the local gradient; nil means no gradient.
type binaryFns struct {
	fwd    func(k *cpu.Set, y, a, b []float32)
	da, db func(k *cpu.Set, g, dy, y, a, b []float32)
}

func registerBinary(name string, bin binaryFns) *Op {
	op := Op{
		Name: name, Arity: 2,
		Infer: func(_ Attrs, in []Spec) (Spec, error) {
			if err := floats(in); err != nil {
				return Spec{}, err
			}
			s, err := broadcastShape(in[0].Shape, in[1].Shape)
			if err != nil {
				return Spec{}, err
			}
			return checked(s)
		},
		Forward: func(c *call) {
			c.elementwise(func(c *call, dst []float32, in [][]float32) { c.op.binary.fwd(c.dev.kern, dst, in[0], in[1]) })
		},
		binary: &bin,
	}
	if bin.da != nil {
		op.Backward = func(c *call) {
			c.gradient(0, func(c *call, g, dy, y []float32, in [][]float32) { c.op.binary.da(c.dev.kern, g, dy, y, in[0], in[1]) })
			c.gradient(1, func(c *call, g, dy, y []float32, in [][]float32) { c.op.binary.db(c.dev.kern, g, dy, y, in[0], in[1]) })
		}
	}
	return register(op)
}

var nan32 = float32(math.NaN())

// pick gives dy where the condition is as wanted.
func pick(g, dy, cond []float32, want bool) {
	for i, v := range dy {
		g[i] = 0
		if (cond[i] != 0) == want {
			g[i] = v
		}
	}
}

// choose gives dy where the input won, half to each in a tie.
func choose(g, dy, mine, other []float32, sign float32) {
	for i, v := range dy {
		switch d := (mine[i] - other[i]) * sign; {
		case d > 0:
			g[i] = v
		case d == 0:
			g[i] = v / 2
		default:
			g[i] = 0
		}
	}
}

var (
	opAdd = registerBinary("add", binaryFns{
		fwd: func(k *cpu.Set, y, a, b []float32) { k.Add(y, a, b) },
		da:  func(_ *cpu.Set, g, dy, _, _, _ []float32) { copy(g, dy) },
		db:  func(_ *cpu.Set, g, dy, _, _, _ []float32) { copy(g, dy) },
	})
	opSub = registerBinary("sub", binaryFns{
		fwd: func(k *cpu.Set, y, a, b []float32) { k.Sub(y, a, b) },
		da:  func(_ *cpu.Set, g, dy, _, _, _ []float32) { copy(g, dy) },
		db:  func(k *cpu.Set, g, dy, _, _, _ []float32) { k.Scale(g, dy, -1) },
	})
	opMul = registerBinary("mul", binaryFns{
		fwd: func(k *cpu.Set, y, a, b []float32) { k.Mul(y, a, b) },
		da:  func(k *cpu.Set, g, dy, _, _, b []float32) { k.Mul(g, dy, b) },
		db:  func(k *cpu.Set, g, dy, _, a, _ []float32) { k.Mul(g, dy, a) },
	})
	opDiv = registerBinary("div", binaryFns{
		fwd: func(k *cpu.Set, y, a, b []float32) { k.Div(y, a, b) },
		da:  func(k *cpu.Set, g, dy, _, _, b []float32) { k.Div(g, dy, b) },
		db: func(_ *cpu.Set, g, dy, y, _, b []float32) {
			for i, v := range dy {
				g[i] = -v * y[i] / b[i]
			}
		},
	})
	opMaximum = registerBinary("maximum", binaryFns{
		fwd: func(_ *cpu.Set, y, a, b []float32) {
			for i, v := range a {
				y[i] = max(v, b[i])
			}
		},
		da: func(_ *cpu.Set, g, dy, _, a, b []float32) { choose(g, dy, a, b, 1) },
		db: func(_ *cpu.Set, g, dy, _, a, b []float32) { choose(g, dy, b, a, 1) },
	})
	opMinimum = registerBinary("minimum", binaryFns{
		fwd: func(_ *cpu.Set, y, a, b []float32) {
			for i, v := range a {
				y[i] = min(v, b[i])
			}
		},
		da: func(_ *cpu.Set, g, dy, _, a, b []float32) { choose(g, dy, a, b, -1) },
		db: func(_ *cpu.Set, g, dy, _, a, b []float32) { choose(g, dy, b, a, -1) },
	})
	opGreater = registerBinary("greater", binaryFns{
		fwd: func(_ *cpu.Set, y, a, b []float32) {
			for i, v := range a {
				w := b[i]
				switch {
				case v > w:
					y[i] = 1
				case v <= w:
					y[i] = 0
				default: // one of them is NaN
					y[i] = nan32
				}
			}
		},
	})
	opEqual = registerBinary("equal", binaryFns{
		fwd: func(_ *cpu.Set, y, a, b []float32) {
			for i, v := range a {
				w := b[i]
				switch {
				case v == w:
					y[i] = 1
				case v < w || v > w:
					y[i] = 0
				default: // one of them is NaN
					y[i] = nan32
				}
			}
		},
	})
	opWhere = register(Op{
		Name: "where", Arity: 3,
		Infer: func(_ Attrs, in []Spec) (Spec, error) {
			if err := floats(in); err != nil {
				return Spec{}, err
			}
			s, err := broadcastShape(in[0].Shape, in[1].Shape)
			if err != nil {
				return Spec{}, err
			}
			if s, err = broadcastShape(s, in[2].Shape); err != nil {
				return Spec{}, err
			}
			return checked(s)
		},
		Forward: func(c *call) {
			c.elementwise(func(_ *call, y []float32, in [][]float32) {
				for i, v := range in[0] {
					a, b := in[1][i], in[2][i]
					switch {
					case v != v || a != a || b != b:
						y[i] = nan32
					case v != 0:
						y[i] = a
					default:
						y[i] = b
					}
				}
			})
		},
		Backward: func(c *call) {
			c.gradient(1, func(_ *call, g, dy, _ []float32, in [][]float32) { pick(g, dy, in[0], true) })
			c.gradient(2, func(_ *call, g, dy, _ []float32, in [][]float32) { pick(g, dy, in[0], false) })
		},
	})
)

func init() {
	// Residual additions are the most frequent binary operation: when nothing
	// is repeated, hand the gradient on instead of copying it.
	general := opAdd.Backward
	opAdd.Backward = func(c *call) {
		a, b := c.in[0], c.in[1]
		if a.size != c.out.size || b.size != c.out.size {
			general(c)
			return
		}
		if g := c.din(1); g != nil {
			c.dev.accumulate(g, c.dout)
		}
		c.pass(0)
	}
	// Products with a number per row or for all (gates, scales of residuals)
	// need no copy of it beside every element.
	opMul.Forward = func(c *call) { c.mul() }
	opMul.Backward = func(c *call) {
		c.reduce(0, mulGrad)
		c.reduce(1, mulGrad)
	}
}

// mul is the product, by rows that are scaled where one input repeats a number.
func (c *call) mul() {
	l := c.loop()
	if l.innerStride(0) == l.innerStride(1) {
		c.elementwise(func(c *call, dst []float32, in [][]float32) { c.dev.kern.Mul(dst, in[0], in[1]) })
		return
	}
	rows, inner := l.split()
	block := func(c *call, _ int, dst []float32, lo, hi, from, to int) {
		l := c.loop()
		one := l.innerStride(1) // the input that does not repeat
		_, inner := l.split()
		for r := lo; r < hi; r++ {
			x, s := c.in[1-one].data[l.offset(1-one, r)], c.in[one].data[l.offset(one, r):]
			c.dev.kern.Scale(dst[r*inner+from:r*inner+to], s[from:to], x)
		}
	}
	if rows == 1 {
		c.overColumns(1, inner, elemGrain, c.out.data, block)
		return
	}
	c.overRows(rows, 1, inner, max(1, elemGrain/inner), c.out.data, block)
}

// mulGrad adds the gradient of a product: dy times the other input.
func mulGrad(c *call, _ int, dst []float32, lo, hi, from, to int) {
	l, k, which := c.loop(), c.dev.kern, c.arg.which
	_, inner := l.split()
	for r := lo; r < hi; r++ {
		at, dy := l.offset(which, r), c.dout[r*inner+from:r*inner+to]
		other := c.in[1-which].data[l.offset(1-which, r):]
		switch mine, same := l.innerStride(which) == 1, l.innerStride(1-which) == 1; {
		case mine && same && c.arg.flag:
			k.Mul(dst[at+from:at+to], dy, other[from:to])
		case mine && same:
			k.MulAdd(dst[at+from:at+to], dy, other[from:to])
		case mine && c.arg.flag:
			k.Scale(dst[at+from:at+to], dy, other[0])
		case mine:
			k.Axpy(dst[at+from:at+to], other[0], dy)
		case same:
			dst[at] += k.Dot(dy, other[from:to])
		default:
			dst[at] += other[0] * k.Sum(dy)
		}
	}
}

// Add is t + b with broadcasting.
func (t *Tensor) Add(b *Tensor) *Tensor { return apply(opAdd, Attrs{}, t, b) }

// Sub is t - b with broadcasting.
func (t *Tensor) Sub(b *Tensor) *Tensor { return apply(opSub, Attrs{}, t, b) }

// Mul is t * b, elementwise with broadcasting.
func (t *Tensor) Mul(b *Tensor) *Tensor { return apply(opMul, Attrs{}, t, b) }

// Div is t / b with broadcasting.
func (t *Tensor) Div(b *Tensor) *Tensor { return apply(opDiv, Attrs{}, t, b) }

// Maximum is the larger of t and b, elementwise; ties share the gradient.
func (t *Tensor) Maximum(b *Tensor) *Tensor { return apply(opMaximum, Attrs{}, t, b) }

// Minimum is the smaller of t and b, elementwise; ties share the gradient.
func (t *Tensor) Minimum(b *Tensor) *Tensor { return apply(opMinimum, Attrs{}, t, b) }

// Greater is 1 where t > b, else 0, NaN where either is NaN; no gradient.
func (t *Tensor) Greater(b *Tensor) *Tensor { return apply(opGreater, Attrs{}, t, b) }

// Equal is 1 where t == b, else 0, NaN where either is NaN; no gradient.
func (t *Tensor) Equal(b *Tensor) *Tensor { return apply(opEqual, Attrs{}, t, b) }

// Where is a where t is not zero, else b, with broadcasting. It is NaN where
// any of the three is, chosen or not.
func (t *Tensor) Where(a, b *Tensor) *Tensor { return apply(opWhere, Attrs{}, t, a, b) }
