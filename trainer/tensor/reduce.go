package tensor

import (
	"fmt"
	"slices"
)

// lanes sees a tensor as [outer, n, inner] around one axis.
type lanes struct{ outer, n, inner int }

func lanesOf(shape []int, axis int) lanes {
	l := lanes{1, shape[axis], 1}
	for i, d := range shape {
		if i < axis {
			l.outer *= d
		} else if i > axis {
			l.inner *= d
		}
	}
	return l
}

// each runs f for every line along the axis: its first element and stride.
// Lines are spread over threads and independent of each other.
func (l lanes) each(d *Device, f func(line, base, stride int)) {
	d.pool.run(l.outer*l.inner, max(1, elemGrain/l.n), func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			f(i, i/l.inner*l.n*l.inner+i%l.inner, l.inner)
		}
	})
}

// lines is lanes.each for a body that captures nothing.
func (c *call) lines(f func(c *call, line, base, stride int)) {
	l := c.lanes()
	c.arg.line = f
	c.par(l.outer*l.inner, max(1, elemGrain/l.n), func(c *call, _, lo, hi int) {
		l := c.lanes()
		for i := lo; i < hi; i++ {
			c.arg.line(c, i, i/l.inner*l.n*l.inner+i%l.inner, l.inner)
		}
	})
}

func checkAxis(a Attrs, s Spec) error {
	if a.Ints[0] < 0 || a.Ints[0] >= len(s.Shape) {
		return fmt.Errorf("axis %d is out of range, want 0..%d", a.Ints[0], len(s.Shape)-1)
	}
	return nil
}

func inferReduce(a Attrs, in []Spec) (Spec, error) {
	if err := floats(in); err != nil {
		return Spec{}, err
	}
	if err := checkAxis(a, in[0]); err != nil {
		return Spec{}, err
	}
	out := slices.Clone(in[0].Shape)
	out[a.Ints[0]] = 1
	return Spec{Shape: out}, nil
}

// inferSame is for operations along an axis that keep the shape.
func inferSame(a Attrs, in []Spec) (Spec, error) {
	if err := floats(in); err != nil {
		return Spec{}, err
	}
	return in[0], checkAxis(a, in[0])
}

func (c *call) lanes() lanes { return lanesOf(c.in[0].shape, c.int(0)) }

// sumOp registers sum and mean, which differ by a factor.
func sumOp(name string, mean bool) *Op {
	factor := func(c *call) {
		if c.arg.s[0] = 1; mean {
			c.arg.s[0] = 1 / float32(c.lanes().n)
		}
	}
	return register(Op{
		Name: name, Arity: 1, Ints: []string{"axis"}, Infer: inferReduce,
		Forward: func(c *call) {
			factor(c)
			if c.lanes().inner > 1 {
				c.sumRows()
				return
			}
			c.lines(func(c *call, line, base, _ int) {
				c.out.data[line] = c.arg.s[0] * c.dev.kern.Sum(c.in[0].data[base:base+c.lanes().n])
			})
		},
		Backward: func(c *call) {
			factor(c)
			c.arg.g = c.din(0)
			c.lines(func(c *call, line, base, stride int) {
				g, n := c.arg.s[0]*c.dout[line], c.lanes().n
				if stride == 1 {
					dx := c.arg.g[base : base+n]
					c.dev.kern.Offset(dx, dx, g)
					return
				}
				for i := range n {
					c.arg.g[base+i*stride] += g
				}
			})
		},
	})
}

// sumRows is the sum along an axis that is not the last: whole rows are added,
// columns spread over threads.
func (c *call) sumRows() {
	l := c.lanes()
	c.par(l.inner, max(colGrain, elemGrain/(l.outer*l.n)), func(c *call, _, lo, hi int) {
		l, x, k := c.lanes(), c.in[0].data, c.dev.kern
		for o := range l.outer {
			y := c.out.data[o*l.inner+lo : o*l.inner+hi]
			clear(y)
			for i := range l.n {
				at := (o*l.n + i) * l.inner
				k.Add(y, y, x[at+lo:at+hi])
			}
			k.Scale(y, y, c.arg.s[0])
		}
	})
}

var (
	opSum  = sumOp("sum", false)
	opMean = sumOp("mean", true)
	opMax  = register(Op{
		Name: "max", Arity: 1, Ints: []string{"axis"}, Infer: inferReduce,
		Forward: func(c *call) {
			c.lines(func(c *call, line, base, stride int) {
				x := c.in[0].data
				m := x[base]
				for i := range c.lanes().n {
					m = max(m, x[base+i*stride]) // the builtin keeps NaN
				}
				c.out.data[line] = m
			})
		},
		Backward: func(c *call) { // to the first of the largest
			c.arg.g = c.din(0)
			c.lines(func(c *call, line, base, stride int) {
				for i := base; i < base+c.lanes().n*stride; i += stride {
					if c.in[0].data[i] == c.out.data[line] {
						c.arg.g[i] += c.dout[line]
						return
					}
				}
			})
		},
	})
	opCumSum = register(Op{
		Name: "cumsum", Arity: 1, Ints: []string{"axis"}, Infer: inferSame,
		Forward: func(c *call) {
			c.lines(func(c *call, _, base, stride int) {
				var s float32
				for i := base; i < base+c.lanes().n*stride; i += stride {
					s += c.in[0].data[i]
					c.out.data[i] = s
				}
			})
		},
		Backward: func(c *call) {
			c.arg.g = c.din(0)
			c.lines(func(c *call, _, base, stride int) {
				var s float32
				for i := base + (c.lanes().n-1)*stride; i >= base; i -= stride {
					s += c.dout[i]
					c.arg.g[i] += s
				}
			})
		},
	})
)

// axisAttr counts negative axes from the end; Infer judges the rest.
func (t *Tensor) axisAttr(axis int) Attrs { return Attrs{Ints: []int{t.fromEnd(axis)}} }

func (t *Tensor) fromEnd(axis int) int {
	if axis < 0 {
		axis += len(t.shape)
	}
	return axis
}

// Sum adds along axis, which becomes 1. Negative axes count from the end.
func (t *Tensor) Sum(axis int) *Tensor { return apply(opSum, t.axisAttr(axis), t) }

// Mean averages along axis, which becomes 1.
func (t *Tensor) Mean(axis int) *Tensor { return apply(opMean, t.axisAttr(axis), t) }

// Max is the largest along axis, which becomes 1; NaN if any is NaN.
func (t *Tensor) Max(axis int) *Tensor { return apply(opMax, t.axisAttr(axis), t) }

// CumSum is the running sum along axis, the element itself included.
func (t *Tensor) CumSum(axis int) *Tensor { return apply(opCumSum, t.axisAttr(axis), t) }
