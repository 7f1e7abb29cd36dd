package tensor

import (
	"fmt"
	"slices"
)

// opBroadcastTo repeats dimensions of 1, as elementwise operations do without
// being asked.
var opBroadcastTo = register(Op{
	Name: "broadcast_to", Arity: 1, Ints: []string{"shape..."},
	Infer: func(a Attrs, in []Spec) (Spec, error) {
		if len(in[0].Shape) > len(a.Ints) {
			return Spec{}, fmt.Errorf("cannot broadcast to %v: it has fewer dimensions", clip(a.Ints))
		}
		s, err := broadcastShape(in[0].Shape, a.Ints)
		if err != nil || !slices.Equal(s, a.Ints) {
			return Spec{}, fmt.Errorf("cannot broadcast to %v: only dimensions of 1 can be repeated", clip(a.Ints))
		}
		out, err := checked(s)
		out.Int = in[0].Int
		return out, err
	},
	Forward: func(c *call) {
		c.elementwise(func(_ *call, dst []float32, in [][]float32) { copy(dst, in[0]) })
	},
	Backward: func(c *call) {
		c.gradient(0, func(_ *call, g, dy, _ []float32, _ [][]float32) { copy(g, dy) })
	},
})

// BroadcastTo repeats t to the given shape: aligned at the right, dimensions
// are equal or 1 in t.
func (t *Tensor) BroadcastTo(shape ...int) *Tensor {
	return apply(opBroadcastTo, Attrs{Ints: slices.Clone(shape)}, t)
}

// Repeat puts every element n times in a row along axis, as grouped key heads
// are repeated for their query heads: a b becomes a a b b.
func (t *Tensor) Repeat(axis, n int) *Tensor { return t.repeat("repeat", axis, n, 1) }

// Tile puts n copies of t after each other along axis: a b becomes a b a b.
func (t *Tensor) Tile(axis, n int) *Tensor { return t.repeat("tile", axis, n, 0) }

func (t *Tensor) repeat(op string, axis, n, at int) *Tensor {
	axis = t.axis(op, axis)
	if n < 1 {
		fail(op, "%d times, want 1 or more", n)
	}
	s := slices.Insert(slices.Clone(t.shape), axis+at, 1)
	x := t.Reshape(s...)
	s[axis+at] = n
	x = x.BroadcastTo(s...)
	out := slices.Clone(t.shape)
	out[axis] *= n
	return x.Reshape(out...)
}
