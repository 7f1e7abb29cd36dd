package tensor

import (
	"time"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// Matrix products on a GPU. In mixed precision both sides are bfloat16: those of
// Params are cached copies, activations are bfloat16 already. The gradient of a
// Param is float32, and the product adds to it as it is, without a temporary.
// gpu.Product is row-major, as tensors are.

func init() {
	onGPU["matmul"] = gpuOp{forward: gpuMatMul(false), backward: gpuMatMulBackward(false)}
	onGPU["matmul_t"] = gpuOp{forward: gpuMatMul(true), backward: gpuMatMulBackward(true)}
}

// mostProducts is how many products of one shape are asked for at once: the
// extent of a grid that the libraries' kernels can have. Tests lower it.
var mostProducts = 1<<16 - 1

func gpuMatMul(trans bool) func(c *call) {
	return func(c *call) {
		d := c.mmDims()
		x, w := c.factors()
		c.products(d.batch, gpu.Product{M: d.m, N: d.n, K: d.k, TransB: trans}, x, w, c.result())
	}
}

func gpuMatMulBackward(trans bool) func(c *call) {
	return func(c *call) {
		d := c.mmDims()
		x, w := c.factors()
		dy := c.gradAs(c.dev.acc.typ)
		if dx, fresh := c.gradOf(0); !dx.none() { // dx = dy wᵀ
			c.products(d.batch, gpu.Product{M: d.m, N: d.k, K: d.n, TransB: !trans, Accumulate: !fresh}, dy, w, dx)
		}
		switch dw, fresh := c.gradOf(1); {
		case dw.none():
		case trans: // dw[N,K] = dyᵀ x
			c.products(d.batch, gpu.Product{M: d.n, N: d.k, K: d.m, TransA: true, Accumulate: !fresh}, dy, x, dw)
		default: // dw[K,N] = xᵀ dy
			c.products(d.batch, gpu.Product{M: d.k, N: d.n, K: d.m, TransA: true, Accumulate: !fresh}, x, dy, dw)
		}
	}
}

// factors are inputs 0 and 1 as products take them.
func (c *call) factors() (x, w block) {
	x = c.valueAs(0, c.dev.acc.typ)
	if c.in[1] == c.in[0] { // a matrix times its own transpose
		return x, x
	}
	return x, c.valueAs(1, c.dev.acc.typ)
}

// products computes batch dense products of shape p, one behind the other in a,
// b and out.
func (c *call) products(batch int, p gpu.Product, a, b, out block) {
	p.In, p.Out = a.typ, out.typ
	sa, sb, sc := p.M*p.K, p.K*p.N, p.M*p.N
	for done := 0; done < batch; done += mostProducts {
		p.A, p.B, p.C = a.part(done*sa, 0).at, b.part(done*sb, 0).at, out.part(done*sc, 0).at
		if p.Batch = min(mostProducts, batch-done); p.Batch > 1 {
			p.StrideA, p.StrideB, p.StrideC = int64(sa), int64(sb), int64(sc)
		}
		c.gpu().Product(p)
	}
}

// Tuned is how many shapes of products have had their algorithms timed on a GPU,
// and how long that took.
func (d *Device) Tuned() (shapes int, spent time.Duration) {
	if d.acc == nil {
		return 0, 0
	}
	return d.acc.dev.Tuned()
}
