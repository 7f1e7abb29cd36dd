package tensor

import "github.com/autoresearch-go/autoresearch/trainer/tensor/cuda"

// causal_matmul has kernels of its own: a product with zeros where nothing is
// seen would let NaN through. They compute in float32 without tensor cores;
// attention has the fast ones.

func init() {
	onGPU["causal_matmul"] = gpuOp{
		forward: func(c *call) {
			c.kernels().CausalProduct(c.gpuBand(), c.result().array(), c.value(0).array(), c.value(1).array())
		},
		backward: func(c *call) {
			b, x, v, dy := c.gpuBand(), c.value(0).array(), c.value(1).array(), c.grad().array()
			if dx, fresh := c.gradOf(0); !dx.none() {
				c.kernels().CausalProductDScores(b, dx.array(), dy, v, !fresh)
			}
			if dv, fresh := c.gradOf(1); !dv.none() {
				c.kernels().CausalProductDValues(b, dv.array(), x, dy, !fresh)
			}
		},
	}
}

func (c *call) gpuBand() cuda.Band {
	b := c.band()
	return cuda.Band{Batch: b.batch, T: b.t, S: b.s, Window: b.window}
}
