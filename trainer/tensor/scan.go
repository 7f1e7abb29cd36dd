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
		x, a, y := c.in[0].data, c.in[1].data, c.out.data
		c.scanned(func(from, n, step int, first, _ bool) {
			if first {
				copy(y[from:from+n], x[from:from+n])
				return
			}
			for i := from; i < from+n; i++ {
				y[i] = a[i]*y[i-step] + x[i]
			}
		}, false)
	},
	Backward: func(c *call) {
		a, y, dx, da := c.in[1].data, c.out.data, c.din(0), c.din(1)
		// g is the whole gradient of y: of later steps too.
		g := c.dev.mem.alloc(len(y))
		c.scanned(func(from, n, step int, first, last bool) {
			for i := from; i < from+n; i++ {
				g[i] = c.dout[i]
				if !last {
					g[i] += a[i+step] * g[i+step]
				}
				if dx != nil {
					dx[i] += g[i]
				}
				if da != nil && !first {
					da[i] += g[i] * y[i-step]
				}
			}
		}, true)
	},
})

// scanned visits the rows along the axis in order, or backwards, n elements at
// a time; step is the distance to the row before or after. Threads own columns.
func (c *call) scanned(row func(from, n, step int, first, last bool), back bool) {
	l := c.lanes()
	c.dev.pool.run(l.outer*l.inner, max(1, elemGrain/l.n), func(_, lo, hi int) {
		for lo < hi {
			o, col := lo/l.inner, lo%l.inner
			n := min(l.inner-col, hi-lo)
			for k := range l.n {
				i := k
				if back {
					i = l.n - 1 - k
				}
				row((o*l.n+i)*l.inner+col, n, l.inner, i == 0, i == l.n-1)
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
