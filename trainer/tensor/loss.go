package tensor

import (
	"fmt"
	"math"
	"slices"

	"github.com/autoresearch-go/autoresearch/trainer/tensor/cpu"
)

// opCrossEntropy computes the loss and, since it will be needed, the gradient
// of the logits in the same pass over them.
var opCrossEntropy = register(Op{
	Name: "cross_entropy", Arity: 2, Floats: []string{"softcap"},
	Infer: func(a Attrs, in []Spec) (Spec, error) {
		x, t := in[0], in[1]
		if err := wantIDs(1, t); err != nil {
			return Spec{}, err
		}
		if x.Int || len(x.Shape) < 1 {
			return Spec{}, fmt.Errorf("want logits [...,V] and target ids [...]")
		}
		if want := x.Shape[:len(x.Shape)-1]; !slices.Equal(want, t.Shape) {
			return Spec{}, fmt.Errorf("logits %v want targets %v: one id for each row of logits", x.Shape, want)
		}
		if !(a.Floats[0] >= 0) {
			return Spec{}, fmt.Errorf("softcap is %v, want 0 (none) or above", a.Floats[0])
		}
		return Spec{Shape: []int{1}}, nil
	},
	Forward: func(c *call) {
		ids, n := c.in[1].ints(), c.in[0].Dim(-1)
		checkIDs("cross_entropy", ids, n)
		losses := c.dev.mem.alloc(len(ids))
		c.arg.a = losses
		if c.grads {
			c.save(c.in[0].size)
		}
		c.rows(func(c *call, w, row, from, to int) {
			n, ids := to-from, c.in[1].ints()
			buf := c.dev.tmp(w, 2*n)
			p, e := buf[:n], buf[n:]
			if c.saved != nil {
				p = c.saved[from:to]
			}
			c.arg.a[row] = c.dev.rowLoss(p, e, c.in[0].data[from:to], int(ids[row]), c.float(0), 1/float32(len(ids)), c.saved != nil)
		})
		c.out.data[0] = mean(losses)
	},
	Backward: func(c *call) {
		g, s, x := c.dout[0], c.saved, c.in[0]
		if s == nil {
			fail("cross_entropy", "Backward went through it twice, but it keeps its gradient for one use: add the losses and call Backward once")
		}
		c.saved = c.dev.give(x, s, g)
	},
	TrainingOnly: "the evaluator computes the loss itself; export the logits",
})

// give adds g*s to the gradient of x. Where s can become the gradient as it is,
// it does, and give returns nil, else s: that saves a pass over the largest
// buffer of the step.
func (d *Device) give(x *Tensor, s []float32, g float32) []float32 {
	switch {
	case !x.needGrad:
	case x.grad != nil || x.kind != kindStep:
		if x.grad == nil {
			x.allocGrad()
			clear(x.grad)
		}
		d.inPlace(func(k *cpu.Set, u *update, lo, hi int) { k.Axpy(u.t[lo:hi], u.s[0], u.a[lo:hi]) },
			update{t: x.grad, a: s, s: [8]float32{g}})
	default:
		if g != 1 {
			d.inPlace(func(k *cpu.Set, u *update, lo, hi int) { k.Scale(u.t[lo:hi], u.t[lo:hi], u.s[0]) },
				update{t: s, s: [8]float32{g}})
		}
		x.grad = s
		return nil
	}
	return s
}

// rowLoss is the code length in nats of one target under one row of logits.
// With grad it leaves f * d(loss)/d(logits) in p, which is scratch otherwise;
// e is scratch too.
func (d *Device) rowLoss(p, e, x []float32, id int, cap, f float32, grad bool) float32 {
	if id < 0 {
		fillNaN(p)
		return nan32
	}
	k := d.kern
	if cap == 0 {
		m, zt := k.Max(x), x[id]
		s := k.ExpSub(p, x, m)
		if grad {
			k.Scale(p, p, f/s)
			p[id] -= f
		}
		return float32(math.Log(float64(s))) + m - zt
	}
	// p holds the hyperbolic tangents, whose squares give the cap's slope. A cap
	// that is small enough serves as the largest logit.
	k.Scale(p, x, 1/cap)
	k.Tanh(p, p)
	m, t := cap, p[id]
	if cap > 40 {
		m = cap * k.Max(p)
	}
	s := k.ExpScaled(e, p, cap, m)
	if grad {
		k.SoftcapGrad(p, e, f/s, 1)
		p[id] -= f * (1 - t*t)
	}
	return float32(math.Log(float64(s))) + m - cap*t
}

// CrossEntropy is the mean over all targets of -log softmax(t)[target], in
// nats: t is logits [...,V], targets ids [...]. A softcap above 0 first caps
// the logits as Softcap does. Training only.
func (t *Tensor) CrossEntropy(targets *Tensor, softcap float32) *Tensor {
	return apply(opCrossEntropy, scalar(softcap), t, targets)
}

// lossRows is how many rows of logits the fused head holds at once: enough to
// make its three products as fast as those of all rows together.
const lossRows = 512

// opLinearCrossEntropy is the head and the loss together, some rows at a time:
// the logits [B,T,V] never exist as a whole. Since the loss is a scalar, the
// gradients are computed on the way and only scaled in Backward.
var opLinearCrossEntropy = register(Op{
	Name: "linear_cross_entropy", Arity: 3, Floats: []string{"softcap"},
	Infer: func(a Attrs, in []Spec) (Spec, error) {
		if x, w := in[0].Shape, in[1].Shape; len(x) < 1 || len(w) != 2 || x[len(x)-1] != w[1] {
			return Spec{}, fmt.Errorf("want x [...,C] and weights [V,C] of the same C")
		}
		logits, err := inferMatMul(true)(Attrs{}, in[:2])
		if err != nil {
			return Spec{}, err
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
		c.arg.a, c.arg.b = losses, z
		for lo := 0; lo < len(ids); lo += lossRows {
			n := min(lossRows, len(ids)-lo)
			xs := rowMajor(x[lo*ch:(lo+n)*ch], ch)
			d.gemm(n, v, ch, xs, transposed(w, ch), z, false)
			c.arg.n[0] = lo
			c.par(n, max(1, elemGrain/2/v), func(c *call, w, from, to int) {
				d, v, ids := c.dev, c.in[1].shape[0], c.in[2].ints()
				for r := from; r < to; r++ {
					row, at := c.arg.b[r*v:(r+1)*v], c.arg.n[0]+r
					c.arg.a[at] = d.rowLoss(row, d.tmp(w, v), row, int(ids[at]), c.float(0), 1/float32(len(ids)), c.grads)
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
		g, n := c.dout[0], c.in[0].size
		if c.saved == nil {
			fail("linear_cross_entropy", "Backward went through it before; it keeps its gradients for one use only")
		}
		c.dev.give(c.in[1], c.saved[n:], g)
		if x := c.in[0]; c.dev.give(x, c.saved[:n:n], g) == nil {
			c.saved = nil
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
