package tensor

import (
	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/cuda"
)

// RMSNorm has two partners that wait for it (gpu_defer.go): the RoPE of queries and
// keys, whose result nobody else wants, and a sum, which becomes the stream and is
// normalized at once.

func init() {
	onGPU["softmax"] = gpuOp{forward: softmaxOnGPU, backward: softmaxBackwardOnGPU}
	onGPU["rms_norm"] = gpuOp{forward: rmsNormOnGPU, backward: rmsNormBackwardOnGPU}
	onGPU["rope"] = gpuOp{fits: ropeFits, defers: always, forward: ropeOnGPU, backward: ropeBackwardOnGPU}
	add := onGPU["add"] // of gpu_elementwise.go, which comes first
	add.defers = sameShapes
	onGPU["add"] = add
}

func always(*call) bool { return true }

func sameShapes(c *call) bool { return c.in[0].size == c.out.size && c.in[1].size == c.out.size }

// rows is the result as rows of the last axis.
func (c *call) normRows() cuda.NormRows {
	n := c.out.Dim(-1)
	return cuda.NormRows{N: c.out.size / n, C: n}
}

func softmaxOnGPU(c *call) {
	c.kernels().Softmax(c.normRows(), c.result().array(), c.value(0).array())
}

func softmaxBackwardOnGPU(c *call) {
	if g, fresh := c.gradOf(0); !g.none() {
		c.kernels().SoftmaxBackward(c.normRows(), g.array(), c.grad().array(), c.result().array(), !fresh)
	}
}

// rmsNormOnGPU keeps the reciprocal root of every row.
func rmsNormOnGPU(c *call) {
	r, y, eps := c.normRows(), c.result().array(), c.float(0)
	var roots gpu.Ptr
	if c.grads {
		roots = c.keep(0, r.N, gpu.F32).at
	}
	if p := c.deferred(0, "rope"); p != nil {
		c.fused = p
		c.kernels().RoPENorm(p.ropeHeads(), y, roots, p.value(0).array(), eps)
		return
	}
	if p := c.deferred(0, "add"); p != nil {
		a, b := p.weight(0, c.out.size), p.weight(1, c.out.size)
		c.kernels().AddRMSNorm(r, p.claim().array(), y, roots, a, b, eps)
		return
	}
	c.kernels().RMSNorm(r, y, roots, c.value(0).array(), eps)
}

func rmsNormBackwardOnGPU(c *call) {
	y, dy, roots := c.result().array(), c.grad().array(), c.kept[0].at
	if p := c.fused; p != nil {
		if g, fresh := p.gradOf(0); !g.none() {
			c.kernels().RoPENormBackward(p.ropeHeads(), g.array(), dy, y, roots, !fresh)
		}
		return
	}
	if g, fresh := c.gradOf(0); !g.none() {
		c.kernels().RMSNormBackward(c.normRows(), g.array(), dy, y, roots, !fresh)
	}
}

// ropeHeads is a call of rope as the kernels know it.
func (c *call) ropeHeads() cuda.Heads {
	s := c.in[0].shape
	h := cuda.Heads{B: s[0], T: s[1], NH: s[2], D: s[3]}
	h.Table = c.dev.acc.ropeTable(c.float(0), h.T, h.D)
	return h
}

func ropeFits(c *call) bool { return cuda.Heads{D: c.in[0].shape[3]}.Fits() }

func ropeOnGPU(c *call) {
	c.kernels().RoPE(c.ropeHeads(), c.result().array(), c.value(0).array(), 1, false)
}

func ropeBackwardOnGPU(c *call) {
	if g, fresh := c.gradOf(0); !g.none() {
		c.kernels().RoPE(c.ropeHeads(), g.array(), c.grad().array(), -1, !fresh)
	}
}

// ropeTable is the table of Device.rope on the GPU. Tables are kept, as there, up
// to ropeCache floats.
func (a *accelerator) ropeTable(base float32, t, dim int) gpu.Ptr {
	key := ropeKey{base, t, dim}
	if b, ok := a.ropes[key]; ok {
		return b.at
	}
	kept := t * dim
	for _, b := range a.ropes {
		kept += b.n
	}
	if a.ropes == nil || kept > ropeCache {
		for _, b := range a.ropes {
			a.free(&b)
		}
		a.ropes = map[ropeKey]block{}
	}
	b := a.alloc(t*dim, gpu.F32)
	a.upload(b, a.d.rope(base, t, dim))
	a.ropes[key] = b
	return b.at
}
