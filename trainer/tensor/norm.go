package tensor

import (
	"fmt"
	"math"

	"github.com/autoresearch-go/autoresearch/trainer/tensor/cpu"
)

// rows runs f, which captures nothing, for every row of the last axis, rows
// spread over threads.
func (c *call) rows(f func(c *call, w, row, from, to int)) {
	n := c.in[0].Dim(-1)
	c.arg.rows = f
	c.par(c.in[0].size/n, max(1, elemGrain/2/n), func(c *call, w, lo, hi int) {
		n := c.in[0].Dim(-1)
		for r := lo; r < hi; r++ {
			c.arg.rows(c, w, r, r*n, (r+1)*n)
		}
	})
}

func inferRows(_ Attrs, in []Spec) (Spec, error) {
	if len(in[0].Shape) == 0 {
		return Spec{}, fmt.Errorf("want rank of at least 1")
	}
	return in[0], floats(in)
}

var opSoftmax = register(Op{
	Name: "softmax", Arity: 1, Infer: inferRows,
	Forward: func(c *call) {
		c.rows(func(c *call, _, _, from, to int) {
			x, y, k := c.in[0].data[from:to], c.out.data[from:to], c.dev.kern
			s := k.ExpSub(y, x, k.Max(x))
			k.Scale(y, y, 1/s)
		})
	},
	Backward: func(c *call) { // dx += y (dy - sum(y dy))
		c.arg.g = c.din(0)
		c.rows(func(c *call, w, _, from, to int) {
			y, dy, k := c.out.data[from:to], c.dout[from:to], c.dev.kern
			g := c.dev.tmp(w, to-from)
			copy(g, dy)
			k.SoftmaxGrad(g, y, k.Dot(y, dy), 1)
			k.Add(c.arg.g[from:to], c.arg.g[from:to], g)
		})
	},
})

var opRMSNorm = register(Op{
	Name: "rms_norm", Arity: 1, Floats: []string{"eps"}, Infer: inferRows,
	Forward: func(c *call) {
		if c.grads {
			c.save(c.in[0].size / c.in[0].Dim(-1))
		}
		c.rows(func(c *call, _, row, from, to int) {
			x, y, k, rs := c.in[0].data[from:to], c.out.data[from:to], c.dev.kern, c.saved
			if x[0] != x[0] && rs == nil { // poisoned, no need to add up
				fillNaN(y)
				return
			}
			r := float32(1 / math.Sqrt(float64(k.Dot(x, x)/float32(len(x))+c.float(0))))
			k.Scale(y, x, r)
			if rs != nil {
				rs[row] = r
			}
		})
	},
	Backward: func(c *call) { // dx = r (dy - y mean(dy y))
		c.arg.g, c.arg.flag = c.dinFresh(0)
		c.rows(func(c *call, _, row, from, to int) {
			y, dy, dx, k := c.out.data[from:to], c.dout[from:to], c.arg.g[from:to], c.dev.kern
			r := c.saved[row]
			m := -r * k.Dot(y, dy) / float32(len(y))
			if c.arg.flag {
				k.Scale(dx, dy, r)
			} else {
				k.Axpy(dx, r, dy)
			}
			k.Axpy(dx, m, y)
		})
	},
})

type ropeKey struct {
	base float32
	t, d int
}

// ropeCache bounds the tables kept, in floats.
const ropeCache = 1 << 24

// rope is the table [T,D] of cosines, then sines, of half a head's pairs each.
func (d *Device) rope(base float32, t, dim int) []float32 {
	key := ropeKey{base, t, dim}
	if r := d.ropes[key]; r != nil {
		return r
	}
	h := dim / 2
	// A model uses a few tables; a graph that asks for many gets no memory.
	if d.ropeSize += 2 * t * h; d.ropeSize > ropeCache {
		clear(d.ropes)
		d.ropeSize = 2 * t * h
	}
	r := make([]float32, t*dim)
	for p := range t {
		for i := range h {
			s, c := math.Sincos(float64(p) * math.Pow(float64(base), -float64(2*i)/float64(dim)))
			r[p*dim+i], r[p*dim+h+i] = float32(c), float32(s)
		}
	}
	d.ropes[key] = r
	return r
}

// opRoPE turns the pairs (i, i+D/2) of every head by position * base^(-2i/D)
// (Su et al. 2021, in the half-split form of GPT-NeoX).
var opRoPE = register(Op{
	Name: "rope", Arity: 1, Floats: []string{"base"},
	Infer: func(a Attrs, in []Spec) (Spec, error) {
		s := in[0].Shape
		if len(s) != 4 {
			return Spec{}, fmt.Errorf("want [B,T,NH,D]: Reshape the channels into heads first")
		}
		if s[3]%2 != 0 {
			return Spec{}, fmt.Errorf("the head size D is %d, want an even number", s[3])
		}
		if !(a.Floats[0] > 0) {
			return Spec{}, fmt.Errorf("base is %v, want above 0", a.Floats[0])
		}
		return in[0], floats(in)
	},
	Forward: func(c *call) {
		c.rotate(c.out.data, c.in[0].data, 1, false)
	},
	Backward: func(c *call) {
		dx, fresh := c.dinFresh(0)
		c.rotate(dx, c.dout, -1, !fresh)
	},
})

// rotate writes (or adds) x turned by the angle times sign.
func (c *call) rotate(y, x []float32, sign float32, acc bool) {
	s := c.in[0].shape
	tab := c.dev.rope(c.float(0), s[1], s[3])
	c.arg.a, c.arg.b, c.arg.g, c.arg.flag = x, tab, y, acc
	c.arg.s[0] = sign
	c.par(s[0]*s[1], max(1, elemGrain/4/(s[2]*s[3])), func(c *call, w, lo, hi int) {
		s := c.in[0].shape
		tt, dim := s[1], s[3]
		row, h := s[2]*dim, dim/2
		var tmp []float32
		if c.arg.flag {
			tmp = c.dev.tmp(w, dim)
		}
		for p := lo; p < hi; p++ {
			cs, sn := c.arg.b[p%tt*dim:][:h], c.arg.b[p%tt*dim+h:][:h]
			for o := p * row; o < (p+1)*row; o += dim {
				rotateHead(c.dev.kern, c.arg.g[o:o+dim], c.arg.a[o:o+dim], cs, sn, c.arg.s[0], tmp)
			}
		}
	})
}

// rotateHead writes one head turned; tmp, where given, is room to add instead.
func rotateHead(k *cpu.Set, y, x, cs, sn []float32, sign float32, tmp []float32) {
	h, to := len(cs), y
	if tmp != nil {
		to = tmp
	}
	k.Rotate(to[:h], to[h:], x[:h], x[h:], cs, sn, sign)
	if tmp != nil {
		k.Add(y, y, tmp)
	}
}

// opCausalConv weights the K latest values of each channel, the newest last.
var opCausalConv = register(Op{
	Name: "causal_conv", Arity: 2,
	Infer: func(_ Attrs, in []Spec) (Spec, error) {
		x, w := in[0].Shape, in[1].Shape
		if len(x) != 3 || len(w) != 2 {
			return Spec{}, fmt.Errorf("want x [B,T,C] and a kernel [K,C]")
		}
		if x[2] != w[1] {
			return Spec{}, fmt.Errorf("want x [B,T,C] and a kernel [K,C] of one C, but C is %d and %d", x[2], w[1])
		}
		return in[0], floats(in)
	},
	Forward: func(c *call) {
		x, w, y := c.in[0].data, c.in[1].data, c.out.data
		c.convRows(func(o, i, k, n int) {
			c.dev.kern.MulAdd(y[o:o+n], x[i:i+n], w[k:k+n])
		}, func(o, n int) { clear(y[o : o+n]) })
	},
	Backward: func(c *call) {
		x, w, dy := c.in[0].data, c.in[1].data, c.dout
		if dx := c.din(0); dx != nil {
			s := c.in[0].shape
			tt, ch := s[1], s[2]
			c.dev.pool.run(s[0], 1, func(_, lo, hi int) {
				for b := lo; b < hi; b++ {
					c.taps(b, 0, tt, func(o, i, k int) {
						c.dev.kern.MulAdd(dx[i:i+ch], dy[o:o+ch], w[k:k+ch])
					})
				}
			})
		}
		if dw := c.din(1); dw != nil {
			s := c.in[0].shape
			ch := s[2]
			c.dev.pool.run(ch, max(colGrain, elemGrain/(s[0]*s[1])), func(_, lo, hi int) {
				for b := range s[0] {
					c.taps(b, 0, s[1], func(o, i, k int) {
						c.dev.kern.MulAdd(dw[k+lo:k+hi], dy[o+lo:o+hi], x[i+lo:i+hi])
					})
				}
			})
		}
	},
})

// convRows visits every output row: zero first, then its taps.
func (c *call) convRows(tap func(o, i, k, n int), zero func(o, n int)) {
	s := c.in[0].shape
	tt, ch := s[1], s[2]
	c.dev.pool.run(s[0]*tt, max(1, elemGrain/ch/4), func(_, lo, hi int) {
		for r := lo; r < hi; r++ {
			zero(r*ch, ch)
			c.taps(r/tt, r%tt, r%tt+1, func(o, i, k int) { tap(o, i, k, ch) })
		}
	})
}

// taps lists, for times from..to of batch entry b, the offsets of output row,
// input row and kernel row that belong together.
func (c *call) taps(b, from, to int, f func(o, i, k int)) {
	s := c.in[0].shape
	tt, ch, kk := s[1], s[2], c.in[1].shape[0]
	for t := from; t < to; t++ {
		for k := range kk {
			if src := t - (kk - 1 - k); src >= 0 {
				f((b*tt+t)*ch, (b*tt+src)*ch, k*ch)
			}
		}
	}
}

// Softmax normalizes exp(t) along the last axis.
func (t *Tensor) Softmax() *Tensor { return apply(opSoftmax, Attrs{}, t) }

// RMSNorm divides by the root mean square of the last axis; eps is added to
// the mean square. It has no weight.
func (t *Tensor) RMSNorm(eps float32) *Tensor { return apply(opRMSNorm, scalar(eps), t) }

// RoPE is rotary position embedding on [B,T,NH,D], D even.
func (t *Tensor) RoPE(base float32) *Tensor { return apply(opRoPE, scalar(base), t) }

// CausalConv is a depthwise convolution over time: t is [B,T,C], w is [K,C],
// w's last row meets the newest value. Zeros stand before the start.
func (t *Tensor) CausalConv(w *Tensor) *Tensor { return apply(opCausalConv, Attrs{}, t, w) }
