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
	b.batch = x.size / (b.t * b.s)
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

// bandRows runs f, which captures nothing, for every row: its first element and
// the range it sees.
func (c *call) bandRows(f func(c *call, at, from, to int)) {
	b := c.band()
	c.arg.line = f
	c.par(b.batch*b.t, max(1, elemGrain/2/b.s), func(c *call, _, lo, hi int) {
		b := c.band()
		for r := lo; r < hi; r++ {
			from, to := b.sees(r % b.t)
			c.arg.line(c, r*b.s, from, to)
		}
	})
}

var opCausalMask = register(Op{
	Name: "causal_mask", Arity: 1, Ints: []string{"window"}, Infer: inferCausal,
	Forward: func(c *call) {
		c.bandRows(func(c *call, at, from, to int) {
			x, y := c.in[0].data[at:], c.out.data[at:at+c.band().s]
			clear(y[:from])
			copy(y[from:to], x[from:to])
			clear(y[to:])
		})
	},
	Backward: func(c *call) {
		c.arg.g = c.din(0)
		c.bandRows(func(c *call, at, from, to int) {
			dx := c.arg.g[at+from : at+to]
			c.dev.kern.Add(dx, dx, c.dout[at+from:at+to])
		})
	},
})

var opCausalSoftmax = register(Op{
	Name: "causal_softmax", Arity: 1, Ints: []string{"window"}, Infer: inferCausal,
	Forward: func(c *call) {
		c.bandRows(func(c *call, at, from, to int) {
			k, x, y := c.dev.kern, c.in[0].data[at+from:at+to], c.out.data[at:at+c.band().s]
			s := k.ExpSub(y[from:to], x, k.Max(x))
			k.Scale(y[from:to], y[from:to], 1/s)
			clear(y[:from])
			clear(y[to:])
		})
	},
	Backward: func(c *call) {
		c.arg.g = c.din(0)
		c.bandRows(func(c *call, at, from, to int) {
			y, dy, dx := c.out.data[at+from:at+to], c.dout[at+from:at+to], c.arg.g[at+from:at+to]
			s := c.dev.kern.Dot(y, dy)
			for i, p := range y {
				dx[i] += p * (dy[i] - s)
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
