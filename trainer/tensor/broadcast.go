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
			return nil, fmt.Errorf("shapes do not broadcast: %d against %d in dimension %d", x, y, i)
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

// elementwise fills out = f(in...) with broadcasting.
func (d *Device) elementwise(out *Tensor, f func(dst []float32, in [][]float32), in ...*Tensor) {
	shapes := make([][]int, len(in))
	for i, t := range in {
		shapes[i] = t.shape
	}
	l := newLoop(out.shape, shapes...)
	rows, inner := l.split()
	body := func(w, lo, hi, from, to int) {
		bufs := d.tmp(w, chunk*len(in))
		args := make([][]float32, len(in))
		for r := lo; r < hi; r++ {
			for i := from; i < to; i += chunk {
				n := min(chunk, to-i)
				for k, t := range in {
					args[k] = rowOf(t.data, l.offset(k, r), l.innerStride(k), i, n, bufs[k*chunk:])
				}
				f(out.data[r*inner+i:r*inner+i+n], args)
			}
		}
	}
	if rows == 1 {
		d.pool.run(inner, elemGrain, func(w, lo, hi int) { body(w, 0, 1, lo, hi) })
		return
	}
	d.pool.run(rows, max(1, elemGrain/inner), func(w, lo, hi int) { body(w, lo, hi, 0, inner) })
}

// gradient adds to dst (the gradient of input which) the sum over repeated
// dimensions of f(dst chunk, dout, in...). f overwrites its first argument.
func (d *Device) gradient(dst []float32, which int, c *call, f func(g, dy, y []float32, in [][]float32)) {
	if dst == nil {
		return
	}
	shapes := make([][]int, len(c.in))
	for i, t := range c.in {
		shapes[i] = t.shape
	}
	l := newLoop(c.out.shape, shapes...)
	rows, inner := l.split()
	body := func(w, lo, hi, from, to int) {
		bufs := d.tmp(w, chunk*(len(c.in)+1))
		g := bufs[len(c.in)*chunk:]
		args := make([][]float32, len(c.in))
		for r := lo; r < hi; r++ {
			base := l.offset(which, r)
			for i := from; i < to; i += chunk {
				n := min(chunk, to-i)
				for k, t := range c.in {
					args[k] = rowOf(t.data, l.offset(k, r), l.innerStride(k), i, n, bufs[k*chunk:])
				}
				o := r*inner + i
				f(g[:n], c.dout[o:o+n], c.out.data[o:o+n], args)
				if l.innerStride(which) == 1 {
					d.kern.Add(dst[base+i:base+i+n], dst[base+i:base+i+n], g[:n])
				} else {
					dst[base] += d.kern.Sum(g[:n])
				}
			}
		}
	}
	// Threads must own disjoint parts of dst: split where dst moves.
	switch first := l.dims[0]; {
	case len(l.dims) > 1 && l.str[which][0] != 0:
		per := rows / first
		d.pool.run(first, max(1, elemGrain/(per*inner)), func(w, lo, hi int) { body(w, lo*per, hi*per, 0, inner) })
	case l.innerStride(which) == 1:
		d.pool.run(inner, max(colGrain, elemGrain/rows), func(w, lo, hi int) { body(w, 0, rows, lo, hi) })
	default:
		body(0, 0, rows, 0, inner)
	}
}

// checked is a Spec of floats after checking the shape.
func checked(shape []int) (Spec, error) {
	if _, ok := sizeOf(shape); !ok {
		return Spec{}, fmt.Errorf("shape %v has a dimension below 1 or too many elements", shape)
	}
	return Spec{Shape: slices.Clone(shape)}, nil
}
