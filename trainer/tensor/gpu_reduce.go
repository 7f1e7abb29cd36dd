package tensor

import "github.com/autoresearch-go/autoresearch/trainer/tensor/cuda"

func init() {
	for name, mean := range map[string]bool{"sum": false, "mean": true} {
		factor := func(c *call) float32 {
			if mean {
				return 1 / float32(c.lanes().n)
			}
			return 1
		}
		onGPU[name] = gpuOp{
			forward: func(c *call) {
				c.kernels().Reduce("x", factor(c), false, c.result().array(), c.value(0).array(), cuda.Array{}, cuda.Array{}, c.cudaLanes())
			},
			backward: func(c *call) { c.spread(factor(c)) },
		}
	}
	onGPU["max"] = gpuOp{
		forward: func(c *call) {
			c.kernels().Reduce("max", 1, false, c.result().array(), c.value(0).array(), cuda.Array{}, cuda.Array{}, c.cudaLanes())
		},
		backward: func(c *call) {
			c.kernels().MaxGrad(c.gradZeroed(0).array(), c.grad().array(), c.value(0).array(), c.result().array(), c.cudaLanes())
		},
	}
	onGPU["cumsum"] = gpuOp{
		forward: func(c *call) {
			c.kernels().CumSum(c.result().array(), c.value(0).array(), c.cudaLanes(), false, false)
		},
		backward: func(c *call) {
			g, fresh := c.gradOf(0)
			c.kernels().CumSum(g.array(), c.grad().array(), c.cudaLanes(), true, !fresh)
		},
	}
}

func (c *call) cudaLanes() cuda.Lanes {
	l := c.lanes()
	return cuda.Lanes{Outer: l.outer, N: l.n, Inner: l.inner}
}

// spread adds the gradient of a sum, times factor, to all that was summed.
func (c *call) spread(factor float32) {
	g, fresh := c.gradOf(0)
	l := c.lanes()
	c.kernels().Map("scale", factor, !fresh, []int{l.outer, l.n, l.inner},
		cuda.View{Array: g.array(), Strides: []int{l.n * l.inner, l.inner, 1}},
		cuda.View{Array: c.grad().array(), Strides: []int{l.inner, 0, 1}})
}
