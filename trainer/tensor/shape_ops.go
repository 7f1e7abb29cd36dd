package tensor

import (
	"fmt"
	"slices"
)

var (
	opReshape = register(Op{
		Name: "reshape", Arity: 1, Ints: []string{"shape..."}, View: true,
		Infer: func(a Attrs, in []Spec) (Spec, error) {
			n, ok := sizeOf(a.Ints)
			have, _ := sizeOf(in[0].Shape)
			if !ok {
				return Spec{}, fmt.Errorf("cannot reshape %d elements to %v: want dimensions above 0; one dimension may be -1 if the rest divides evenly", have, clip(a.Ints))
			}
			if n != have {
				return Spec{}, fmt.Errorf("cannot reshape %d elements to %v, which has %d", have, clip(a.Ints), n)
			}
			return Spec{Shape: slices.Clone(a.Ints), Int: in[0].Int}, nil
		},
		Backward: func(c *call) { c.pass(0) },
	})
	opPermute = register(Op{
		Name: "permute", Arity: 1, Ints: []string{"axes..."},
		Infer: func(a Attrs, in []Spec) (Spec, error) {
			s := in[0].Shape
			out := make([]int, len(s))
			seen := make([]bool, len(s))
			if len(a.Ints) != len(s) {
				return Spec{}, fmt.Errorf("axes %v, want a permutation of %d axes", clip(a.Ints), len(s))
			}
			for i, ax := range a.Ints {
				if ax < 0 || ax >= len(s) || seen[ax] {
					return Spec{}, fmt.Errorf("axes %v, want a permutation of %d axes", a.Ints, len(s))
				}
				seen[ax] = true
				out[i] = s[ax]
			}
			return Spec{Shape: out, Int: in[0].Int}, nil
		},
		Forward:  func(c *call) { c.permuted(c.out.data, c.in[0].data, false) },
		Backward: func(c *call) { c.permuted(c.dout, c.din(0), true) },
	})
	opSlice = register(Op{
		Name: "slice", Arity: 1, Ints: []string{"axis", "lo", "hi"},
		Infer: func(a Attrs, in []Spec) (Spec, error) {
			if err := checkAxis(a, in[0]); err != nil {
				return Spec{}, err
			}
			out := slices.Clone(in[0].Shape)
			ax, lo, hi := a.Ints[0], a.Ints[1], a.Ints[2]
			if lo < 0 || hi > out[ax] || lo >= hi {
				return Spec{}, fmt.Errorf("range %d:%d of dimension %d, which has %d elements: want 0 <= lo, lo below hi, hi <= %d", lo, hi, ax, out[ax], out[ax])
			}
			out[ax] = hi - lo
			return Spec{Shape: out, Int: in[0].Int}, nil
		},
		Forward:  func(c *call) { c.blocks(c.out.data, c.in[0].data, false) },
		Backward: func(c *call) { c.blocks(c.dout, c.din(0), true) },
	})
	opConcat = register(Op{
		Name: "concat", Arity: -1, Ints: []string{"axis"},
		Infer: func(a Attrs, in []Spec) (Spec, error) {
			if err := checkAxis(a, in[0]); err != nil {
				return Spec{}, err
			}
			ax := a.Ints[0]
			out := slices.Clone(in[0].Shape)
			for _, s := range in[1:] {
				if len(s.Shape) != len(out) {
					return Spec{}, fmt.Errorf("ranks differ: %d against %d", len(s.Shape), len(out))
				}
				if s.Int != in[0].Int {
					return Spec{}, fmt.Errorf("some inputs hold ids and some floats")
				}
				for i, d := range s.Shape {
					if i != ax && d != out[i] {
						return Spec{}, fmt.Errorf("dimension %d differs: %d against %d: all but axis %d must be equal", i, d, out[i], ax)
					}
				}
				out[ax] += s.Shape[ax]
			}
			if _, ok := sizeOf(out); !ok {
				return Spec{}, fmt.Errorf("result %v is too large", out)
			}
			return Spec{Shape: out, Int: in[0].Int}, nil
		},
		Forward:  func(c *call) { c.concat(false) },
		Backward: func(c *call) { c.concat(true) },
	})
	opShift = register(Op{
		Name: "shift", Arity: 1, Ints: []string{"axis", "n"},
		Infer:    func(a Attrs, in []Spec) (Spec, error) { return in[0], checkAxis(a, in[0]) },
		Forward:  func(c *call) { c.shifted(c.out.data, c.in[0].data, false) },
		Backward: func(c *call) { c.shifted(c.dout, c.din(0), true) },
	})
)

// permutation is the nest over the output with the strides of the input.
func (c *call) permutation() *loop {
	if c.plan == nil {
		c.plan = &inferred{}
	}
	if c.plan.loop != nil {
		return c.plan.loop
	}
	st := strides(c.in[0].shape)
	l := &loop{str: make([][]int, 1)}
	all := [][]int{make([]int, len(st))}
	for i, ax := range c.attrs.Ints {
		all[0][i] = st[ax]
		n := c.out.shape[i]
		if last := len(l.dims) - 1; last >= 0 && l.mergeable(all, i, n) {
			l.dims[last] *= n
			l.str[0][last] = st[ax]
			continue
		}
		l.dims = append(l.dims, n)
		l.str[0] = append(l.str[0], st[ax])
	}
	c.plan.loop = l
	return l
}

// permuted walks the output's rows together with where they came from: copies
// in to out, or adds out back to in.
func (c *call) permuted(out, in []float32, back bool) {
	l := c.permutation()
	c.arg.a, c.arg.b, c.arg.flag = out, in, back
	if len(l.dims) == 0 {
		l.dims, l.str[0] = []int{1}, []int{1}
	}
	n, inner := l.split()
	if len(l.dims) == 2 && l.str[0][0] == 1 && !back { // a matrix transposed
		c.par((n+7)/8, max(1, elemGrain/8/inner), func(c *call, _, lo, hi int) {
			l := c.permutation()
			n, inner, ls := l.dims[0], l.dims[1], l.str[0][1]
			lo, hi = lo*8, min(hi*8, n)
			c.dev.kern.Transpose(inner, hi-lo, c.arg.a[lo*inner:], inner, c.arg.b[lo:], ls)
		})
		return
	}
	c.par(n, max(1, elemGrain/inner), func(c *call, _, lo, hi int) {
		l := c.permutation()
		_, inner := l.split()
		stride := l.innerStride(0)
		for r := lo; r < hi; r++ {
			o, x := c.arg.a[r*inner:(r+1)*inner], c.arg.b[l.offset(0, r):]
			switch {
			case stride == 1 && !c.arg.flag:
				copy(o, x)
			case stride == 1:
				c.dev.kern.Add(x[:inner], x[:inner], o)
			case !c.arg.flag:
				for i := range o {
					o[i] = x[i*stride]
				}
			default:
				for i, g := range o {
					x[i*stride] += g
				}
			}
		}
	})
}

// blocks copies the sliced part to out, or adds out back to it.
func (c *call) blocks(out, in []float32, back bool) {
	l := c.lanes()
	c.arg.a, c.arg.b, c.arg.flag = out, in, back
	c.par(l.outer, max(1, elemGrain/((c.int(2)-c.int(1))*l.inner)), func(c *call, _, from, to int) {
		l, lo, hi := c.lanes(), c.int(1), c.int(2)
		n := (hi - lo) * l.inner
		for i := from; i < to; i++ {
			o, x := c.arg.a[i*n:(i+1)*n], c.arg.b[(i*l.n+lo)*l.inner:(i*l.n+hi)*l.inner]
			if c.arg.flag {
				c.dev.kern.Add(x, x, o)
			} else {
				c.dev.kern.Copy(o, x)
			}
		}
	})
}

// concat copies the inputs into the output, or adds the output's gradient to
// theirs.
func (c *call) concat(back bool) {
	l := lanesOf(c.out.shape, c.int(0))
	at := 0
	for k, t := range c.in {
		n := t.shape[c.int(0)] * l.inner
		src := t.data
		if back {
			src = c.din(k)
		}
		if src != nil {
			c.arg.a, c.arg.flag, c.arg.n = src, back, [4]int{n, at, l.n * l.inner}
			c.par(l.outer, max(1, elemGrain/n), func(c *call, _, lo, hi int) {
				n, start, size := c.arg.n[0], c.arg.n[1], c.arg.n[2]
				for i := lo; i < hi; i++ {
					x, o := c.arg.a[i*n:(i+1)*n], i*size+start
					if c.arg.flag {
						c.dev.kern.Add(x, x, c.dout[o:o+n])
					} else {
						copy(c.out.data[o:o+n], x)
					}
				}
			})
		}
		at += n
	}
}

// shifted copies in to out and clears what has no source, or adds out back to
// in.
func (c *call) shifted(out, in []float32, back bool) {
	l := c.lanes()
	c.arg.a, c.arg.b, c.arg.flag = out, in, back
	c.par(l.outer, max(1, elemGrain/(l.n*l.inner)), func(c *call, _, from, to int) {
		l := c.lanes()
		size := l.n * l.inner
		n := max(-l.n, min(l.n, c.int(1))) * l.inner
		for i := from; i < to; i++ {
			o, x := c.arg.a[i*size:(i+1)*size], c.arg.b[i*size:(i+1)*size]
			lost := o[:max(n, 0)]
			if n >= 0 {
				o, x = o[n:], x[:size-n]
			} else {
				o, x, lost = o[:size+n], x[-n:], o[size+n:]
			}
			if c.arg.flag {
				c.dev.kern.Add(x, x, o)
				continue
			}
			copy(o, x)
			clear(lost)
		}
	})
}

// Reshape gives the same elements another shape; one dimension may be -1 and
// is worked out. It shares memory with t.
func (t *Tensor) Reshape(shape ...int) *Tensor {
	var room [6]int
	s := append(room[:0], shape...)
	hole, rest := -1, 1
	for i, d := range s {
		if d == -1 && hole < 0 {
			hole = i
		} else {
			rest *= d
		}
	}
	if hole >= 0 && rest > 0 {
		if t.size%rest != 0 {
			fail("reshape", "cannot reshape %d elements to %v: they are not divisible by %d (got %v)", t.size, slices.Clone(shape), rest, t.shape) // the clone keeps shape off the heap
		}
		s[hole] = t.size / rest
	}
	return apply(opReshape, Attrs{Ints: s}, t)
}

// Permute reorders the axes: dimension i of the result is axes[i] of t.
func (t *Tensor) Permute(axes ...int) *Tensor {
	return apply(opPermute, Attrs{Ints: axes}, t)
}

// Slice is the elements lo up to hi (exclusive) along axis.
func (t *Tensor) Slice(axis, lo, hi int) *Tensor {
	return apply(opSlice, Attrs{Ints: []int{t.fromEnd(axis), lo, hi}}, t)
}

// Concat joins t and others along axis.
func (t *Tensor) Concat(axis int, others ...*Tensor) *Tensor {
	return apply(opConcat, t.axisAttr(axis), append([]*Tensor{t}, others...)...)
}

// Shift moves elements n places up along axis (down when n is negative);
// zeros come in and what leaves is lost.
func (t *Tensor) Shift(axis, n int) *Tensor {
	return apply(opShift, Attrs{Ints: []int{t.fromEnd(axis), n}}, t)
}
