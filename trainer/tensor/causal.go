package tensor

import "fmt"

// The operations of this file let anyone write a way for tokens to see earlier
// ones that the evaluator can prove causal: scores [...,T,S], of which row i
// sees column j only if j <= i+S-T (and, with a window, j > i+S-T-window).
// What is not seen is never read, so a NaN there stays there; a product with
// masked zeros would let it through.

func inferCausal(a Attrs, in []Spec) (Spec, error) {
	if err := floats(in); err != nil {
		return Spec{}, err
	}
	s := in[0].Shape
	if len(s) < 2 {
		return Spec{}, fmt.Errorf("want scores [...,T,S]")
	}
	if t, n := s[len(s)-2], s[len(s)-1]; n < t {
		return Spec{}, fmt.Errorf("scores are [...,T,S] and S is %d and T %d: want S at least T", n, t)
	}
	if a.Ints[0] < 0 {
		return Spec{}, fmt.Errorf("window is %d, want 0 (all) or the number of columns to see", a.Ints[0])
	}
	return in[0], nil
}

// band is the shape of scores and what their rows see.
type band struct{ batch, t, s, window int }

func (c *call) band() band {
	x := c.in[0]
	b := band{t: x.Dim(-2), s: x.Dim(-1), window: c.int(0)}
	b.batch = len(x.data) / (b.t * b.s)
	if b.window == 0 || b.window > b.s {
		b.window = b.s
	}
	return b
}

// sees is the range of columns of row i.
func (b *band) sees(i int) (from, to int) {
	to = i + b.s - b.t + 1
	return max(0, to-b.window), to
}

// rows runs f for every row: its first element and the range it sees.
func (b *band) rows(d *Device, f func(at, from, to int)) {
	d.pool.run(b.batch*b.t, max(1, elemGrain/2/b.s), func(_, lo, hi int) {
		for r := lo; r < hi; r++ {
			from, to := b.sees(r % b.t)
			f(r*b.s, from, to)
		}
	})
}

var opCausalMask = register(Op{
	Name: "causal_mask", Arity: 1, Ints: []string{"window"}, Infer: inferCausal,
	Forward: func(c *call) {
		b, x, y := c.band(), c.in[0].data, c.out.data
		b.rows(c.dev, func(at, from, to int) {
			clear(y[at : at+from])
			copy(y[at+from:at+to], x[at+from:at+to])
			clear(y[at+to : at+b.s])
		})
	},
	Backward: func(c *call) {
		b, dx, dy := c.band(), c.din(0), c.dout
		b.rows(c.dev, func(at, from, to int) {
			c.dev.kern.Add(dx[at+from:at+to], dx[at+from:at+to], dy[at+from:at+to])
		})
	},
})

var opCausalSoftmax = register(Op{
	Name: "causal_softmax", Arity: 1, Ints: []string{"window"}, Infer: inferCausal,
	Forward: func(c *call) {
		b, x, y, k := c.band(), c.in[0].data, c.out.data, c.dev.kern
		b.rows(c.dev, func(at, from, to int) {
			seen := x[at+from : at+to]
			live := y[at+from : at+to]
			s := k.ExpSub(live, seen, k.Max(seen))
			k.Scale(live, live, 1/s)
			clear(y[at : at+from])
			clear(y[at+to : at+b.s])
		})
	},
	Backward: func(c *call) {
		b, y, dy, dx, k := c.band(), c.out.data, c.dout, c.din(0), c.dev.kern
		b.rows(c.dev, func(at, from, to int) {
			s := k.Dot(y[at+from:at+to], dy[at+from:at+to])
			for i := at + from; i < at+to; i++ {
				dx[i] += y[i] * (dy[i] - s)
			}
		})
	},
})

// CausalMask clears the scores [...,T,S] that a row does not see: row i sees
// columns up to i+S-T, with a window above 0 only the last so many of them.
func (t *Tensor) CausalMask(window int) *Tensor {
	return apply(opCausalMask, Attrs{Ints: []int{window}}, t)
}

// CausalSoftmax is softmax over the scores that a row of [...,T,S] sees, and 0
// elsewhere; see CausalMask. Columns in front (S above T) are seen by all rows:
// a learned sink is one.
func (t *Tensor) CausalSoftmax(window int) *Tensor {
	return apply(opCausalSoftmax, Attrs{Ints: []int{window}}, t)
}

// CausalMatMul is t [...,T,S] @ v [...,S,N] over the scores that a row sees,
// see CausalMask; the others are not read, whatever they are. With
//
//	scores := q.MatMulT(k) // [B,NH,T,T]
//
// scores.CausalSoftmax(0).CausalMatMul(v, 0) is attention, and without the
// softmax linear attention; softcaps, biases and decays go in between.
func (t *Tensor) CausalMatMul(v *Tensor, window int) *Tensor {
	return apply(opCausalMatMul, Attrs{Ints: []int{window}}, t, v)
}
