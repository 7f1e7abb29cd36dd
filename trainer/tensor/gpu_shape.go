package tensor

import "github.com/autoresearch-go/autoresearch/trainer/tensor/cuda"

func init() {
	onGPU["permute"] = gpuOp{
		fits:    fewLoops,
		forward: func(c *call) { c.permute(c.result(), c.value(0), false, false) },
		backward: func(c *call) {
			g, fresh := c.gradOf(0)
			c.permute(c.grad(), g, true, !fresh)
		},
	}
	onGPU["slice"] = gpuOp{
		forward: func(c *call) {
			out, in := c.sliced()
			c.copyRows(c.result(), out, c.value(0), in, false)
		},
		backward: func(c *call) {
			out, in := c.sliced()
			c.copyRows(c.gradZeroed(0), in, c.grad(), out, true)
		},
	}
	onGPU["concat"] = gpuOp{
		forward: func(c *call) {
			at := 0
			for i := range c.in {
				part, whole := c.joined(i, &at)
				c.copyRows(c.result(), whole, c.value(i), part, false)
			}
		},
		backward: func(c *call) {
			at := 0
			for i := range c.in {
				part, whole := c.joined(i, &at)
				if g, fresh := c.gradOf(i); !g.none() {
					c.copyRows(g, part, c.grad(), whole, !fresh)
				}
			}
		},
	}
	onGPU["shift"] = gpuOp{
		forward: func(c *call) {
			to, from, lost := c.moved()
			if lost.n > 0 {
				c.kernels().Map("fill", 0, false, []int{lost.rows, lost.n}, lost.view(c.result()))
			}
			if to.n > 0 {
				c.copyRows(c.result(), to, c.value(0), from, false)
			}
		},
		backward: func(c *call) {
			g := c.gradZeroed(0)
			if to, from, _ := c.moved(); to.n > 0 {
				c.copyRows(g, from, c.grad(), to, true)
			}
		},
	}
}

// rect is the elements from at on, n of them, in each of so many rows of size
// elements.
type rect struct{ rows, size, at, n int }

func (r rect) view(b block) cuda.View {
	return cuda.View{Array: b.part(r.at, b.n-r.at).array(), Strides: []int{r.size, 1}}
}

// copyRows copies or adds what lies in one rectangle to another of its extent.
func (c *call) copyRows(to block, there rect, from block, here rect, add bool) {
	c.kernels().Map("copy", 0, add, []int{there.rows, there.n}, there.view(to), here.view(from))
}

// sliced is where the elements of a slice are in the output and in the input.
func (c *call) sliced() (out, in rect) {
	l := c.lanes()
	n := (c.int(2) - c.int(1)) * l.inner
	return rect{l.outer, n, 0, n}, rect{l.outer, l.n * l.inner, c.int(1) * l.inner, n}
}

// joined is where the elements of input i are in it and in the output of concat;
// at counts on.
func (c *call) joined(i int, at *int) (part, whole rect) {
	l := lanesOf(c.out.shape, c.int(0))
	n := c.in[i].shape[c.int(0)] * l.inner
	whole = rect{l.outer, l.n * l.inner, *at, n}
	*at += n
	return rect{l.outer, n, 0, n}, whole
}

// moved is where shift takes elements to, where from, and what has no source.
func (c *call) moved() (to, from, lost rect) {
	l := c.lanes()
	size, n := l.n*l.inner, max(-l.n, min(l.n, c.int(1)))*l.inner
	gone := max(n, -n)
	to = rect{l.outer, size, max(n, 0), size - gone}
	from = rect{l.outer, size, max(-n, 0), size - gone}
	lost = rect{l.outer, size, 0, gone}
	if n < 0 {
		lost.at = size - gone
	}
	return to, from, lost
}

// permute copies in to out, or, with back, adds out to in or overwrites it.
func (c *call) permute(out, in block, back, add bool) {
	l, k := c.permutation(), c.kernels()
	if rows, columns, batch, ok := transposes(l.dims, l.strides(0)); ok {
		if back {
			k.Transpose(in.array(), out.array(), batch, columns, rows, add)
		} else {
			k.Transpose(out.array(), in.array(), batch, rows, columns, false)
		}
		return
	}
	var room [cuda.MaxLoops]int
	o := cuda.View{Array: out.array(), Strides: inOrder(&room, l.dims)}
	i := cuda.View{Array: in.array(), Strides: l.strides(0)}
	if back {
		k.Map("copy", 0, add, l.dims, i, o)
	} else {
		k.Map("copy", 0, add, l.dims, o, i)
	}
}

// strides of an array in all loops.
func (l *loop) strides(k int) []int { return l.str[k][:len(l.dims)] }

// transposes says whether a permutation is that of the last two dimensions of
// [batch, rows, columns].
func transposes(dims, strides []int) (rows, columns, batch int, ok bool) {
	if batch = 1; len(dims) == 3 {
		batch = dims[0]
		ok = strides[0] == dims[1]*dims[2]
		dims, strides = dims[1:], strides[1:]
	} else {
		ok = len(dims) == 2
	}
	if !ok || strides[0] != 1 || strides[1] != dims[0] || dims[0] < 8 || dims[1] < 8 {
		return 0, 0, 0, false
	}
	return dims[1], dims[0], batch, true
}
