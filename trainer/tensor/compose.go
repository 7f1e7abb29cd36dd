package tensor

import (
	"math"
	"math/rand/v2"
	"slices"
)

// The methods of this file are short programs over registered operations: they
// need no cases of their own for the NaN rule and no backend implements them.

// Var is the mean squared distance from the mean along axis, which becomes 1.
func (t *Tensor) Var(axis int) *Tensor { return t.Sub(t.Mean(axis)).Square().Mean(axis) }

// Min is the smallest along axis, which becomes 1; NaN if any is NaN.
func (t *Tensor) Min(axis int) *Tensor { return t.Neg().Max(axis).Neg() }

// LogSumExp is log(sum(exp(t))) along axis, which becomes 1, without overflow.
func (t *Tensor) LogSumExp(axis int) *Tensor {
	top := t.Max(axis).Detach() // any number would do, so it has no gradient
	return t.Sub(top).Exp().Sum(axis).Log().Add(top)
}

// LogSoftmax is log(softmax(t)) along the last axis.
func (t *Tensor) LogSoftmax() *Tensor { return t.Sub(t.LogSumExp(-1)) }

// LayerNorm takes the mean off the last axis and divides by the deviation; eps
// is added to the variance. Scale and bias are a Mul and an Add away.
func (t *Tensor) LayerNorm(eps float32) *Tensor { return t.Sub(t.Mean(-1)).RMSNorm(eps) }

// GroupNorm is LayerNorm over each of the equal groups of the last axis.
func (t *Tensor) GroupNorm(groups int, eps float32) *Tensor {
	c := t.Dim(-1)
	if groups < 1 || c%groups != 0 {
		fail("groupnorm", "%d groups, want a divisor of the last dimension of %v", groups, t.shape)
	}
	s := append(slices.Clone(t.shape[:len(t.shape)-1]), groups, c/groups)
	return t.Reshape(s...).LayerNorm(eps).Reshape(t.shape...)
}

// L2Norm divides by the length of the last axis; eps is added to its square.
func (t *Tensor) L2Norm(eps float32) *Tensor {
	n := float32(t.Dim(-1))
	return t.RMSNorm(eps / n).Scale(float32(1 / math.Sqrt(float64(n))))
}

// Less is 1 where t < b, else 0, NaN where either is NaN; no gradient.
func (t *Tensor) Less(b *Tensor) *Tensor { return b.Greater(t) }

// GreaterEqual is 1 where t >= b, else 0, NaN where either is NaN.
func (t *Tensor) GreaterEqual(b *Tensor) *Tensor { return b.Greater(t).Neg().AddScalar(1) }

// LessEqual is 1 where t <= b, else 0, NaN where either is NaN.
func (t *Tensor) LessEqual(b *Tensor) *Tensor { return t.Greater(b).Neg().AddScalar(1) }

// ArgMax gives the position of the largest along the last axis, which is gone:
// ids, the first among equals.
func (t *Tensor) ArgMax() *Tensor {
	_, ids := t.TopK(1)
	return ids.Reshape(t.shape[:len(t.shape)-1]...)
}

// Transpose swaps two axes.
func (t *Tensor) Transpose(a, b int) *Tensor {
	axes := make([]int, len(t.shape))
	for i := range axes {
		axes[i] = i
	}
	a, b = t.axis("transpose", a), t.axis("transpose", b)
	axes[a], axes[b] = b, a
	return t.Permute(axes...)
}

// Roll moves elements n places up along axis; what leaves comes in at the
// other end. Along time that looks ahead: Shift does not.
func (t *Tensor) Roll(axis, n int) *Tensor {
	axis = t.axis("roll", axis)
	size := t.shape[axis]
	if n = ((n % size) + size) % size; n == 0 {
		return t
	}
	return t.Slice(axis, size-n, size).Concat(axis, t.Slice(axis, 0, size-n))
}

// Split cuts t into n equal parts along axis.
func (t *Tensor) Split(axis, n int) []*Tensor {
	axis = t.axis("split", axis)
	if n < 1 || t.shape[axis]%n != 0 {
		fail("split", "%d parts of dimension %d of %v: want a divisor of %d", n, axis, t.shape, t.shape[axis])
	}
	size := t.shape[axis] / n
	parts := make([]*Tensor, n)
	for i := range parts {
		parts[i] = t.Slice(axis, i*size, (i+1)*size)
	}
	return parts
}

// Stack joins t and others, all of one shape, along a new axis before axis;
// -1 makes it the last.
func (t *Tensor) Stack(axis int, others ...*Tensor) *Tensor {
	if axis < 0 {
		axis += len(t.shape) + 1
	}
	if axis < 0 || axis > len(t.shape) {
		fail("stack", "axis %d, want 0..%d for shape %v", axis, len(t.shape), t.shape)
	}
	s := slices.Insert(slices.Clone(t.shape), axis, 1)
	l := make([]*Tensor, len(others))
	for i, o := range others {
		l[i] = o.Reshape(s...)
	}
	return t.Reshape(s...).Concat(axis, l...)
}

// Dropout sets each element to 0 with probability p and scales the others by
// 1/(1-p), drawn from rng. Where no gradients are recorded (NoGrad, Trace) it
// is t itself, so a model with dropout exports one without.
func (t *Tensor) Dropout(rng *rand.Rand, p float32) *Tensor {
	if !(p >= 0 && p < 1) {
		fail("dropout", "p is %v, want 0 up to but not including 1", p)
	}
	if p == 0 || t.dev.quiet {
		return t
	}
	mask := t.dev.Zeros(t.shape...)
	keep := 1 / (1 - p)
	mask.generate(func(x []float32) {
		clear(x)
		for i := range x {
			if rng.Float32() >= p {
				x[i] = keep
			}
		}
	})
	return t.Mul(mask)
}

// Zeros makes a tensor of zeros for this step; it has no gradient. With Normal
// or Uniform it becomes noise.
func (d *Device) Zeros(shape ...int) *Tensor {
	t := d.step("zeros", shape, false)
	t.given = true
	if d.acc != nil {
		d.acc.dev.Clear(t.mem.at, t.mem.bytes())
		return t
	}
	clear(t.data)
	return t
}

// axis counts negative axes from the end and refuses others out of range.
func (t *Tensor) axis(op string, axis int) int {
	a := axis
	if a < 0 {
		a += len(t.shape)
	}
	if a < 0 || a >= len(t.shape) {
		fail(op, "axis %d is out of range for shape %v", axis, t.shape)
	}
	return a
}
