package tensor

import (
	"fmt"
	"slices"
)

// opScan is the recurrence y[i] = a[i]*y[i-1] + x[i] along an axis, from
// y[0] = x[0]: running averages, gated linear attention, state space models.
var opScan = register(Op{
	Name: "scan", Arity: 2, Ints: []string{"axis"},
	Infer: func(a Attrs, in []Spec) (Spec, error) {
		if err := floats(in); err != nil {
			return Spec{}, err
		}
		if !slices.Equal(in[0].Shape, in[1].Shape) {
			return Spec{}, fmt.Errorf("x and its decay differ in shape")
		}
		return in[0], checkAxis(a, in[0])
	},
	Forward: func(c *call) {
		c.scanned(func(c *call, k, from, n int) {
			x, a, y := c.in[0].data, c.in[1].data, c.out.data
			if k == 0 {
				copy(y[from:from+n], x[from:from+n])
				return
			}
			step := c.lanes().inner
			for i := from; i < from+n; i++ {
				y[i] = a[i]*y[i-step] + x[i]
			}
		}, false)
	},
	Backward: func(c *call) {
		c.arg.a, c.arg.b = c.din(0), c.din(1)
		c.arg.g = c.dev.mem.alloc(c.out.size)
		c.scanned(func(c *call, k, from, n int) {
			a, y, dx, da := c.in[1].data, c.out.data, c.arg.a, c.arg.b
			g := c.arg.g // the whole gradient of y: of later steps too
			last, step := k == c.lanes().n-1, c.lanes().inner
			for i := from; i < from+n; i++ {
				g[i] = c.dout[i]
				if !last {
					g[i] += a[i+step] * g[i+step]
				}
				if dx != nil {
					dx[i] += g[i]
				}
				if da != nil && k > 0 {
					da[i] += g[i] * y[i-step]
				}
			}
		}, true)
	},
})

// scanned visits the rows along the axis in order, or backwards: row k, n
// elements from from on. row captures nothing. Threads own columns.
func (c *call) scanned(row func(c *call, k, from, n int), back bool) {
	l := c.lanes()
	c.arg.line, c.arg.flag = row, back
	c.par(l.outer*l.inner, max(1, elemGrain/l.n), func(c *call, _, lo, hi int) {
		l := c.lanes()
		for lo < hi {
			o, col := lo/l.inner, lo%l.inner
			n := min(l.inner-col, hi-lo)
			for i := range l.n {
				k := i
				if c.arg.flag {
					k = l.n - 1 - i
				}
				c.arg.line(c, k, (o*l.n+k)*l.inner+col, n)
			}
			lo += n
		}
	})
}

// Scan is the recurrence y[i] = decay[i]*y[i-1] + t[i] along axis, from y[0] =
// t[0]. decay broadcasts to the shape of t.
func (t *Tensor) Scan(axis int, decay *Tensor) *Tensor {
	if s, err := broadcastShape(decay.shape, t.shape); err != nil || !slices.Equal(s, t.shape) {
		fail("scan", "decay of shape %v cannot broadcast to %v", decay.shape, t.shape)
	}
	if !slices.Equal(decay.shape, t.shape) {
		decay = decay.BroadcastTo(t.shape...)
	}
	return apply(opScan, t.axisAttr(axis), t, decay)
}
