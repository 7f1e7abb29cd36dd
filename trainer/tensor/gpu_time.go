package tensor

import "github.com/autoresearch-go/autoresearch/trainer/tensor/cuda"

func init() {
	onGPU["causal_mask"] = gpuOp{
		forward: func(c *call) {
			c.kernels().CausalMask(c.result().array(), c.value(0).array(), c.gpuBand(), false)
		},
		backward: func(c *call) {
			g, fresh := c.gradOf(0)
			c.kernels().CausalMask(g.array(), c.grad().array(), c.gpuBand(), !fresh)
		},
	}
	onGPU["causal_softmax"] = gpuOp{
		forward: func(c *call) {
			c.kernels().CausalSoftmax(c.result().array(), c.value(0).array(), c.gpuBand())
		},
		backward: func(c *call) {
			c.kernels().CausalSoftmaxGrad(c.gradZeroed(0).array(), c.grad().array(), c.result().array(), c.gpuBand())
		},
	}
	onGPU["causal_conv"] = gpuOp{
		forward: func(c *call) {
			c.kernels().CausalConv(c.result().array(), c.value(0).array(), c.value(1).array(), c.conv(), false, false)
		},
		backward: func(c *call) {
			if g, fresh := c.gradOf(0); !g.none() {
				c.kernels().CausalConv(g.array(), c.grad().array(), c.value(1).array(), c.conv(), true, !fresh)
			}
			if g, fresh := c.gradOf(1); !g.none() {
				c.kernels().CausalConvKernel(g.array(), c.grad().array(), c.value(0).array(), c.conv(), !fresh)
			}
		},
	}
}

// conv is the sizes of a causal convolution.
func (c *call) conv() cuda.Conv {
	s := c.in[0].shape
	return cuda.Conv{Batch: s[0], Time: s[1], C: s[2], Taps: c.in[1].shape[0]}
}
