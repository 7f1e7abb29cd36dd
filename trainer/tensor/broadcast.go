package tensor

import (
	"fmt"
	"slices"
)

// broadcastShape is numpy's rule: align at the right, dimensions are equal or
// one of them is 1.
func broadcastShape(a, b []int) ([]int, error) {
	out := make([]int, max(len(a), len(b)))
	for i := range out {
		x, y := 1, 1
		if j := i - (len(out) - len(a)); j >= 0 {
			x = a[j]
		}
		if j := i - (len(out) - len(b)); j >= 0 {
			y = b[j]
		}
		if x != y && x != 1 && y != 1 {
			return nil, fmt.Errorf("shapes do not broadcast: %d against %d in dimension %d: want equal or 1, aligned at the right (Reshape can put a 1 in)", x, y, i)
		}
		out[i] = max(x, y)
	}
	return out, nil
}

// loop is a nest of loops over the output with the strides of some inputs:
// stride 0 where an input is repeated. Dimensions that can be walked as one
// are merged, so most uses have one or two.
type loop struct {
	dims []int
	str  [][]int // str[input][dim]
}

func newLoop(out []int, in ...[]int) *loop {
	l := &loop{str: make([][]int, len(in))}
	all := make([][]int, len(in))
	for k, s := range in {
		all[k] = make([]int, len(out))
		st := strides(s)
		for j := range s {
			if s[j] > 1 {
				all[k][j+len(out)-len(s)] = st[j]
			}
		}
	}
	for i, n := range out {
		if n == 1 {
			continue
		}
		if last := len(l.dims) - 1; last >= 0 && l.mergeable(all, i, n) {
			l.dims[last] *= n
			for k := range in {
				l.str[k][last] = all[k][i]
			}
			continue
		}
		l.dims = append(l.dims, n)
		for k := range in {
			l.str[k] = append(l.str[k], all[k][i])
		}
	}
	if len(l.dims) == 0 {
		l.dims = []int{1}
		for k := range in {
			l.str[k] = []int{0}
		}
	}
	return l
}

// mergeable: stepping dimension last once equals stepping dimension i n times,
// for every input.
func (l *loop) mergeable(all [][]int, i, n int) bool {
	last := len(l.dims) - 1
	for k := range all {
		if l.str[k][last] != all[k][i]*n {
			return false
		}
	}
	return true
}

// split gives the inner dimension and the number of rows before it.
func (l *loop) split() (rows, inner int) {
	inner = l.dims[len(l.dims)-1]
	rows = 1
	for _, n := range l.dims[:len(l.dims)-1] {
		rows *= n
	}
	return rows, inner
}

// offset of input k at a row.
func (l *loop) offset(k, row int) int {
	if len(l.dims) == 2 { // the usual case, without divisions
		return row * l.str[k][0]
	}
	o := 0
	for i := len(l.dims) - 2; i >= 0; i-- {
		o += row % l.dims[i] * l.str[k][i]
		row /= l.dims[i]
	}
	return o
}

func (l *loop) innerStride(k int) int { return l.str[k][len(l.dims)-1] }

// chunk is how many elements elementwise kernels see at once: short enough for
// the first cache, long enough to hide the call.
const chunk = 1024

// row gives n elements of src from position i on of a row at base: a slice
// when they are contiguous, else buf filled with the one repeated value.
func rowOf(src []float32, base, stride, i, n int, buf []float32) []float32 {
	if stride == 1 {
		return src[base+i : base+i+n]
	}
	v := src[base]
	buf = buf[:n]
	for j := range buf {
		buf[j] = v
	}
	return buf
}

// loop is the nest over the output with the strides of the inputs.
func (c *call) loop() *loop {
	if c.plan == nil {
		c.plan = &inferred{}
	}
	if c.plan.loop == nil {
		shapes := make([][]int, len(c.in))
		for i, t := range c.in {
			shapes[i] = t.shape
		}
		c.plan.loop = newLoop(c.out.shape, shapes...)
	}
	return c.plan.loop
}

// parts fills args with n elements of each input from position i of row r on.
func (c *call) parts(l *loop, args [][]float32, bufs []float32, r, i, n int) {
	for k, t := range c.in {
		args[k] = rowOf(t.data, l.offset(k, r), l.innerStride(k), i, n, bufs[k*chunk:])
	}
}

// elementwise fills the output by f, which captures nothing, with broadcasting.
func (c *call) elementwise(f func(c *call, dst []float32, in [][]float32)) {
	rows, inner := c.loop().split()
	c.arg.fill = f
	body := func(c *call, w int, _ []float32, lo, hi, from, to int) {
		l, bufs, args := c.loop(), c.dev.tmp(w, chunk*len(c.in)), c.dev.args(w, len(c.in))
		_, inner := l.split()
		for r := lo; r < hi; r++ {
			for i := from; i < to; i += chunk {
				n := min(chunk, to-i)
				c.parts(l, args, bufs, r, i, n)
				c.arg.fill(c, c.out.data[r*inner+i:r*inner+i+n], args)
			}
		}
	}
	if rows == 1 {
		c.overColumns(1, inner, elemGrain, nil, body)
		return
	}
	c.overRows(rows, 1, inner, max(1, elemGrain/inner), nil, body)
}

// overColumns runs block for all rows, columns spread over threads.
func (c *call) overColumns(rows, inner, grain int, dst []float32, block func(c *call, w int, dst []float32, lo, hi, from, to int)) {
	c.arg.block, c.arg.g, c.arg.n[0] = block, dst, rows
	c.par(inner, grain, func(c *call, w, lo, hi int) { c.arg.block(c, w, c.arg.g, 0, c.arg.n[0], lo, hi) })
}

// overRows runs block for all columns, n groups of rows spread over threads.
func (c *call) overRows(n, per, inner, grain int, dst []float32, block func(c *call, w int, dst []float32, lo, hi, from, to int)) {
	c.arg.block, c.arg.g, c.arg.n[0], c.arg.n[1] = block, dst, per, inner
	c.par(n, grain, func(c *call, w, lo, hi int) {
		c.arg.block(c, w, c.arg.g, lo*c.arg.n[0], hi*c.arg.n[0], 0, c.arg.n[1])
	})
}

// gradient adds to the gradient of input which the sum over repeated
// dimensions of what f, which captures nothing, leaves in g.
func (c *call) gradient(which int, f func(c *call, g, dy, y []float32, in [][]float32)) {
	c.arg.grad = f
	c.reduce(which, func(c *call, w int, dst []float32, lo, hi, from, to int) {
		l, which := c.loop(), c.arg.which
		bufs, args := c.dev.tmp(w, chunk*(len(c.in)+1)), c.dev.args(w, len(c.in))
		g := bufs[len(c.in)*chunk:]
		_, inner := l.split()
		for r := lo; r < hi; r++ {
			base := l.offset(which, r)
			for i := from; i < to; i += chunk {
				n := min(chunk, to-i)
				c.parts(l, args, bufs, r, i, n)
				o := r*inner + i
				if c.arg.flag {
					c.arg.grad(c, dst[base+i:base+i+n], c.dout[o:o+n], c.out.data[o:o+n], args)
					continue
				}
				c.arg.grad(c, g[:n], c.dout[o:o+n], c.out.data[o:o+n], args)
				if l.innerStride(which) == 1 {
					c.dev.kern.Add(dst[base+i:base+i+n], dst[base+i:base+i+n], g[:n])
				} else {
					dst[base] += c.dev.kern.Sum(g[:n])
				}
			}
		}
	})
}

// partial is how many elements are summed up for a number before the next sum
// begins: a size of its own, so that the bits do not depend on threads.
const partial = 8 * chunk

// reduce runs block over the whole output so that threads own disjoint parts
// of the gradient of input which: it is split where that moves. With c.arg.flag
// the gradient has undefined contents, to be overwritten.
func (c *call) reduce(which int, block func(c *call, w int, dst []float32, lo, hi, from, to int)) {
	dst, fresh := c.dinFresh(which)
	if dst == nil {
		return
	}
	l := c.loop()
	// Where every element of dst has one of the output, block overwrites.
	if c.arg.flag = fresh && len(dst) == c.out.size && l.innerStride(which) == 1; fresh && !c.arg.flag {
		c.dev.kern.Clear(dst)
	}
	c.arg.which = which
	rows, inner := l.split()
	switch first := l.dims[0]; {
	case len(l.dims) > 1 && l.str[which][0] != 0:
		per := rows / first
		c.overRows(first, per, inner, max(1, elemGrain/(per*inner)), dst, block)
	case l.innerStride(which) == 1:
		c.overColumns(rows, inner, max(colGrain, elemGrain/rows), dst, block)
	case rows == 1 && inner > partial: // one number: sums of parts, added in order
		defer c.dev.mem.release(c.dev.mem.mark())
		sums := c.dev.mem.alloc((inner + partial - 1) / partial)
		clear(sums)
		c.arg.block, c.arg.g, c.arg.n[0] = block, sums, inner
		c.par(len(sums), max(1, elemGrain/partial), func(c *call, w, lo, hi int) {
			for p := lo; p < hi; p++ {
				c.arg.block(c, w, c.arg.g[p:p+1], 0, 1, p*partial, min((p+1)*partial, c.arg.n[0]))
			}
		})
		for _, s := range sums {
			dst[0] += s
		}
	default:
		c.overColumns(rows, inner, inner, dst, block)
	}
}

// checked is a Spec of floats after checking the shape.
func checked(shape []int) (Spec, error) {
	if _, ok := sizeOf(shape); !ok {
		return Spec{}, fmt.Errorf("shape %v has a dimension below 1 or too many elements", shape)
	}
	return Spec{Shape: slices.Clone(shape)}, nil
}
