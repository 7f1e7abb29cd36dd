package tensor

import (
	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/cuda"
)

func init() {
	onGPU["scan"] = gpuOp{
		forward: func(c *call) {
			c.kernels().Scan(c.cudaLanes(), c.result().array(), c.value(0).array(), c.value(1).array())
		},
		backward: func(c *call) {
			dx, freshX := c.gradOf(0)
			if c.in[1] == c.in[0] { // one gradient for both: one after the other
				c.kernels().ScanBackward(c.cudaLanes(), dx.array(), !freshX, cuda.Array{}, false, c.grad().array(), c.result().array(), c.value(1).array())
				dx, freshX = block{}, true
			}
			da, freshA := c.gradOf(1)
			c.kernels().ScanBackward(c.cudaLanes(), dx.array(), !freshX, da.array(), !freshA, c.grad().array(), c.result().array(), c.value(1).array())
		},
	}
	onGPU["causal_solve"] = gpuOp{forward: gpuSolve, backward: gpuSolveBackward}
	onGPU["topk"] = gpuOp{forward: func(c *call) {
		c.kernels().TopK(c.result().at, c.value(0).array(), c.in[0].size/c.in[0].Dim(-1), c.int(0), PoisonID)
	}}
}

// gpuSolve needs the solution in float32, since each row depends on those before.
func gpuSolve(c *call) {
	y := c.result()
	if y.typ != gpu.F32 {
		y = c.temp(y.n, gpu.F32)
	}
	c.kernels().Solve(y.array(), c.value(0).array(), c.value(1).array(), c.solves(), c.in[0].Dim(-1), false)
	if y.at != c.result().at {
		c.dev.acc.convert(c.result(), y)
	}
}

func gpuSolveBackward(c *call) { // db solves the transposed system; dscores = -db yᵀ
	g, t := c.temp(c.out.size, gpu.F32), c.in[0].Dim(-1)
	c.kernels().Solve(g.array(), c.value(0).array(), c.grad().array(), c.solves(), t, true)
	if dx, fresh := c.gradOf(0); !dx.none() {
		c.kernels().SolveDScores(dx.array(), g.array(), c.result().array(), c.solves(), t, !fresh)
	}
	c.addGrad(1, g)
}
