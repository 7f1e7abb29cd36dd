package tensor

import (
	"math"
	"math/rand/v2"

	"github.com/autoresearch-go/autoresearch/trainer/tensor/cpu"
)

// The helpers of this file change persistent tensors in place, for optimizers
// and initialization. They are not recorded and must not touch a tensor that a
// pending Backward still needs.

// AdamWOptions are the settings of one AdamW step (Loshchilov and Hutter 2019).
type AdamWOptions struct {
	LR, Beta1, Beta2, Eps, WeightDecay float32
	Step                               int // from 1, for the bias correction
}

// AdamW updates p from its gradient and the moments m and v, all of one shape.
// Weight decay is decoupled and scaled by LR. Without a gradient p stays.
func AdamW(p, m, v *Tensor, o AdamWOptions) {
	same("adamw", p, m, v)
	if !p.hasGrad() {
		return
	}
	if o.Step < 1 {
		fail("adamw", "step is %d, want 1 or more", o.Step)
	}
	if a := p.dev.acc; a != nil {
		a.adamW(p, m, v, o.factors())
		return
	}
	adamW(p, m, v, p.grad, o.factors())
}

// factors are what the kernels take: both betas, the learning rate and the root
// of the second moment with their bias corrections, eps, and what decay leaves.
func (o AdamWOptions) factors() [6]float32 {
	c1 := 1 - math.Pow(float64(o.Beta1), float64(o.Step))
	c2 := 1 - math.Pow(float64(o.Beta2), float64(o.Step))
	return [6]float32{o.Beta1, o.Beta2, float32(float64(o.LR) / c1), float32(1 / math.Sqrt(c2)), o.Eps, 1 - o.LR*o.WeightDecay}
}

func adamW(p, m, v *Tensor, grad []float32, s [6]float32) {
	p.dev.inPlace(func(k *cpu.Set, u *update, lo, hi int) {
		k.AdamW(u.t[lo:hi], u.a[lo:hi], u.b[lo:hi], u.c[lo:hi], u.s[0], u.s[1], u.s[2], u.s[3], u.s[4], u.s[5])
	}, update{t: p.data, a: grad, b: m.data, c: v.data, s: [8]float32{s[0], s[1], s[2], s[3], s[4], s[5]}})
}

func same(op string, t *Tensor, others ...*Tensor) {
	for _, o := range others {
		if o.size != t.size {
			panic(&Error{Op: op, Msg: "sizes differ", Shapes: []string{t.String(), o.String()}})
		}
		o.use(op)
	}
}

// Lerp moves t towards b: t += w*(b-t).
func (t *Tensor) Lerp(b *Tensor, w float32) {
	same("lerp", t, b)
	if a := t.dev.acc; a != nil {
		a.lerp(t, b, w)
		return
	}
	t.lerp(b, w)
}

func (t *Tensor) lerp(b *Tensor, w float32) {
	t.dev.inPlace(func(k *cpu.Set, u *update, lo, hi int) { k.Lerp(u.t[lo:hi], u.a[lo:hi], u.s[0]) },
		update{t: t.data, a: b.data, s: [8]float32{w}})
}

// CautiousStep moves t against step with cautious weight decay (Chen et al.
// 2025): t -= lr*step, and where step*t >= 0, so that both pull the same way,
// also t -= lr*decay*t.
func (t *Tensor) CautiousStep(step *Tensor, lr, decay float32) {
	same("cautiousstep", t, step)
	if a := t.dev.acc; a != nil {
		a.cautious(t, step, lr, decay)
		return
	}
	t.cautious(step, lr, decay)
}

func (t *Tensor) cautious(step *Tensor, lr, decay float32) {
	t.dev.inPlace(func(k *cpu.Set, u *update, lo, hi int) { k.Cautious(u.t[lo:hi], u.a[lo:hi], u.s[0], u.s[1]) },
		update{t: t.data, a: step.data, s: [8]float32{lr, lr * decay}})
}

// AddScaled is t += s*b.
func (t *Tensor) AddScaled(b *Tensor, s float32) {
	same("addscaled", t, b)
	if a := t.dev.acc; a != nil {
		a.addScaled(t, b, s)
		return
	}
	t.addScaled(b, s)
}

func (t *Tensor) addScaled(b *Tensor, s float32) {
	t.dev.inPlace(func(k *cpu.Set, u *update, lo, hi int) { k.Axpy(u.t[lo:hi], u.s[0], u.a[lo:hi]) },
		update{t: t.data, a: b.data, s: [8]float32{s}})
}

// ScaleInPlace is t *= s.
func (t *Tensor) ScaleInPlace(s float32) {
	if a := t.dev.acc; a != nil {
		a.scale(t, s)
		return
	}
	t.scale(s)
}

func (t *Tensor) scale(s float32) {
	t.dev.inPlace(func(k *cpu.Set, u *update, lo, hi int) { k.Scale(u.t[lo:hi], u.t[lo:hi], u.s[0]) },
		update{t: t.data, s: [8]float32{s}})
}

// CopyFrom overwrites t with b's elements; sizes must agree, shapes need not.
func (t *Tensor) CopyFrom(b *Tensor) {
	same("copyfrom", t, b)
	if a := t.dev.acc; a != nil {
		t.changes()
		a.convert(t.block(), b.block())
		return
	}
	copy(t.data, b.data)
}

// Fill sets every element to x.
func (t *Tensor) Fill(x float32) {
	if a := t.dev.acc; a != nil {
		a.fill(t, x)
		return
	}
	for i := range t.data {
		t.data[i] = x
	}
}

// Normal fills t with normal numbers of mean 0 and the given deviation.
func (t *Tensor) Normal(rng *rand.Rand, std float32) {
	t.generate(func(x []float32) {
		for i := range x {
			x[i] = std * float32(rng.NormFloat64())
		}
	})
}

// Uniform fills t with uniform numbers in lo..hi.
func (t *Tensor) Uniform(rng *rand.Rand, lo, hi float32) {
	t.generate(func(x []float32) {
		for i := range x {
			x[i] = lo + (hi-lo)*rng.Float32()
		}
	})
}

// Norm is the square root of the sum of squares, summed in float64.
func (t *Tensor) Norm() float32 {
	t.use("norm")
	if a := t.dev.acc; a != nil {
		return a.norm(t)
	}
	return t.norm()
}

func (t *Tensor) norm() float32 {
	var s float64
	for lo := 0; lo < t.size; lo += chunk {
		x := t.data[lo:min(lo+chunk, t.size)]
		s += float64(t.dev.kern.Dot(x, x))
	}
	return float32(math.Sqrt(s))
}
