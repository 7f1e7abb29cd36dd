package tensor

import (
	"fmt"
	"math"
	"slices"
)

// opCrossEntropy computes the loss and, since it will be needed, the gradient
// of the logits in the same pass over them.
var opCrossEntropy = register(Op{
	Name: "cross_entropy", Arity: 2, Floats: []string{"softcap"},
	Infer: func(a Attrs, in []Spec) (Spec, error) {
		x, t := in[0], in[1]
		if x.Int || !t.Int || len(x.Shape) < 1 || !slices.Equal(x.Shape[:len(x.Shape)-1], t.Shape) {
			return Spec{}, fmt.Errorf("want logits [...,V] and target ids [...]")
		}
		if !(a.Floats[0] >= 0) {
			return Spec{}, fmt.Errorf("softcap is %v, want 0 (none) or above", a.Floats[0])
		}
		return Spec{Shape: []int{1}}, nil
	},
	Forward: func(c *call) {
		x, ids := c.in[0].data, c.in[1].ints()
		n := c.in[0].Dim(-1)
		checkIDs("cross_entropy", ids, n)
		losses := c.dev.mem.alloc(len(ids))
		var grads []float32
		if c.grads {
			grads = c.save(len(x))
		}
		f := 1 / float32(len(ids))
		c.rows(func(w, row, from, to int) {
			buf := c.dev.tmp(w, 2*n)
			p, e := buf[:n], buf[n:]
			if grads != nil {
				p = grads[from:to]
			}
			losses[row] = c.dev.rowLoss(p, e, x[from:to], int(ids[row]), c.float(0), f, grads != nil)
		})
		c.out.data[0] = mean(losses)
	},
	Backward: func(c *call) {
		g, s, k, x := c.dout[0], c.saved, c.dev.kern, c.in[0]
		if s == nil {
			fail("cross_entropy", "Backward went through it before; it keeps its gradient for one use only")
		}
		if x.grad != nil || x.kind != kindStep {
			dx := c.din(0)
			c.dev.pool.run(len(dx), elemGrain, func(_, lo, hi int) { k.Axpy(dx[lo:hi], g, s[lo:hi]) })
			return
		}
		// The usual case hands over the largest buffer of the step as it is.
		if g != 1 {
			c.dev.pool.run(len(s), elemGrain, func(_, lo, hi int) { k.Scale(s[lo:hi], s[lo:hi], g) })
		}
		x.grad, c.saved = s, nil
	},
	TrainingOnly: "the evaluator computes the loss itself; export the logits",
})

// rowLoss is the code length in nats of one target under one row of logits.
// With grad it leaves f * d(loss)/d(logits) in p, which is scratch otherwise;
// e is scratch too.
func (d *Device) rowLoss(p, e, x []float32, id int, cap, f float32, grad bool) float32 {
	if id < 0 {
		fillNaN(p)
		return nan32
	}
	k := d.kern
	z := x
	if cap > 0 {
		z = p
		k.Scale(z, x, 1/cap)
		k.Tanh(z, z)
		k.Scale(z, z, cap)
	}
	m, zt := k.Max(z), z[id]
	if !grad {
		s := k.ExpSub(p, z, m)
		return float32(math.Log(float64(s))) + m - zt
	}
	if cap == 0 {
		s := k.ExpSub(p, x, m)
		k.Scale(p, p, f/s)
		p[id] -= f
		return float32(math.Log(float64(s))) + m - zt
	}
	// p holds the capped logits, whose square gives the cap's slope.
	s := k.ExpSub(e, p, m)
	k.SoftcapGrad(p, e, f/s, 1/(cap*cap))
	p[id] -= f * (1 - zt*zt/(cap*cap))
	return float32(math.Log(float64(s))) + m - zt
}

// CrossEntropy is the mean over all targets of -log softmax(t)[target], in
// nats: t is logits [...,V], targets ids [...]. A softcap above 0 first caps
// the logits as Softcap does. Training only.
func (t *Tensor) CrossEntropy(targets *Tensor, softcap float32) *Tensor {
	return apply(opCrossEntropy, scalar(softcap), t, targets)
}

// lossRows is how many rows of logits the fused head holds at once.
const lossRows = 256

// opLinearCrossEntropy is the head and the loss together, some rows at a time:
// the logits [B,T,V] never exist as a whole. Since the loss is a scalar, the
// gradients are computed on the way and only scaled in Backward.
var opLinearCrossEntropy = register(Op{
	Name: "linear_cross_entropy", Arity: 3, Floats: []string{"softcap"},
	Infer: func(a Attrs, in []Spec) (Spec, error) {
		logits, err := inferMatMul(true)(Attrs{}, in[:2])
		if err != nil {
			return Spec{}, err
		}
		if len(in[1].Shape) != 2 {
			return Spec{}, fmt.Errorf("want weights [V,C]")
		}
		return opCrossEntropy.Infer(a, []Spec{logits, in[2]})
	},
	Forward: func(c *call) {
		d, x, w, ids := c.dev, c.in[0].data, c.in[1].data, c.in[2].ints()
		v, ch := c.in[1].shape[0], c.in[1].shape[1]
		checkIDs(c.op.Name, ids, v)
		losses := d.mem.alloc(len(ids))
		z := d.mem.alloc(min(lossRows, len(ids)) * v)
		var dx, dw []float32
		if c.grads {
			s := c.save(len(x) + len(w))
			dx, dw = s[:len(x)], s[len(x):]
		}
		for lo := 0; lo < len(ids); lo += lossRows {
			n := min(lossRows, len(ids)-lo)
			xs := rowMajor(x[lo*ch:(lo+n)*ch], ch)
			d.gemm(n, v, ch, xs, transposed(w, ch), z, false)
			d.pool.run(n, max(1, elemGrain/2/v), func(wk, from, to int) {
				for r := from; r < to; r++ {
					row, e := z[r*v:(r+1)*v], d.tmp(wk, v)
					losses[lo+r] = d.rowLoss(row, e, row, int(ids[lo+r]), c.float(0), 1/float32(len(ids)), c.grads)
				}
			})
			if c.grads {
				d.gemm(n, ch, v, rowMajor(z, v), rowMajor(w, ch), dx[lo*ch:(lo+n)*ch], false)
				d.gemm(v, ch, n, transposed(z, v), xs, dw, lo > 0)
			}
		}
		c.out.data[0] = mean(losses)
	},
	Backward: func(c *call) {
		g, at := c.dout[0], 0
		for i := range 2 {
			s := c.saved[at : at+len(c.in[i].data)]
			at += len(s)
			if dst := c.din(i); dst != nil {
				c.dev.pool.run(len(s), elemGrain, func(_, lo, hi int) { c.dev.kern.Axpy(dst[lo:hi], g, s[lo:hi]) })
			}
		}
	},
	TrainingOnly: "the evaluator computes the loss itself; export the logits",
})

func mean(losses []float32) float32 {
	var sum float64
	for _, v := range losses {
		sum += float64(v)
	}
	return float32(sum / float64(len(losses)))
}

// LinearCrossEntropy is t.MatMulT(w).CrossEntropy(targets, softcap) without
// ever holding all logits: t is [...,C], w is [V,C], targets are ids [...].
// Training only.
func (t *Tensor) LinearCrossEntropy(w, targets *Tensor, softcap float32) *Tensor {
	return apply(opLinearCrossEntropy, scalar(softcap), t, w, targets)
}
