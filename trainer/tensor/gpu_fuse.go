package tensor

import "github.com/autoresearch-go/autoresearch/trainer/tensor/cuda"

// Products with weights, fused into additions. A residual stream is weighted by a
// number, values by a gate for each head, and then both are added to something:
//
//	x.Mul(own).Add(x0.Mul(first))                       three passes become one
//	v.Add(values.Mul(gate))                             two become one
//
// So such a product is deferred (gpu_defer.go) until somebody reads it; an addition
// computes it on the way, and so does the RMSNorm that an addition has waited for
// (gpu_norm.go).

func init() {
	mul, add := onGPU["mul"], onGPU["add"]
	backward := mul.backward
	mul.defers = func(c *call) bool { _, ok := c.weighted(); return ok && c.grads }
	mul.backward = func(c *call) {
		if !c.weighGradient() {
			backward(c)
		}
	}
	add.forward = func(c *call) {
		if !c.weigh() {
			c.mapped()
		}
	}
	onGPU["mul"], onGPU["add"] = mul, add
}

// weighting is a product of x, which has the size of the output, and of w, each of
// whose elements is for per elements in a row.
type weighting struct{ x, w, per int }

// weighted sees a product as that, if it can be walked by eight elements.
func (c *call) weighted() (p weighting, ok bool) {
	for p.w = range 2 {
		p.x = 1 - p.w
		x, w := c.in[p.x].size, c.in[p.w].size
		if x != c.out.size || w == x || c.out.size%8 != 0 {
			continue
		}
		l := c.loop()
		// One loop in which w repeats, or rows of x with one element of w for each.
		last := len(l.dims) - 1
		if p.per = c.out.size / w; l.str[p.w][last] == 0 && (last == 0 || last == 1 && l.str[p.w][0] == 1) && p.per%8 == 0 {
			return p, true
		}
	}
	return p, false
}

// weight is input i, or, if that is a deferred product whose weight is for at least
// so many elements, what it is a product of.
func (c *call) weight(i, least int) cuda.Weight {
	if d := c.deferred(i, "mul"); d != nil {
		if p, ok := d.weighted(); ok && p.per >= least {
			return cuda.Weight{X: d.value(p.x).array(), W: d.value(p.w).array(), Per: p.per}
		}
	}
	return cuda.Weight{X: c.value(i).array(), Per: c.out.size}
}

// weigh adds inputs of which some are deferred products.
func (c *call) weigh() bool {
	if c.out.size%8 != 0 || c.in[0].size != c.out.size || c.in[1].size != c.out.size {
		return false
	}
	a, b := c.weight(0, 8), c.weight(1, 8)
	if a.W.At == 0 && b.W.At == 0 {
		return false
	}
	c.kernels().Weigh(c.result().array(), a, b)
	return true
}

// weighGradient is the gradient of x times one number, in one pass for both.
func (c *call) weighGradient() bool {
	p, ok := c.weighted()
	if !ok || p.per != c.out.size || !c.in[p.x].needGrad || !c.in[p.w].needGrad {
		return false
	}
	dx, freshX := c.gradOf(p.x)
	dw, freshW := c.gradOf(p.w)
	c.kernels().WeighGrad(dx.array(), dw.array(), c.grad().array(), c.value(p.x).array(), c.value(p.w).array(), !freshX, !freshW)
	return true
}
