package tensor

import "github.com/autoresearch-go/autoresearch/gpu"

// expert_matmul on a GPU multiplies every row by the matrices of all experts and
// keeps one. That is as many times the work as there are experts, but on tensor
// cores and without knowing on the host which row goes where; sorting rows by
// expert there would wait for the GPU at each use.

func init() {
	onGPU["expert_matmul"] = gpuOp{
		// The gradients of one tensor that is both would get in each other's way.
		fits:    func(c *call) bool { return c.in[0] != c.in[1] },
		forward: gpuExpert, backward: gpuExpertBackward,
	}
}

// expertBytes is how much of the results of all experts exists at one time. Tests
// lower it.
var expertBytes = 256 << 20

// experts is what forward and backward share.
type experts struct {
	*call
	typ     gpu.Type
	x, w    block
	ids     block
	e, n, k int
	chunk   int   // rows at one time
	all     block // [chunk, e, n]
}

func (c *call) experts() experts {
	w := c.in[1].shape
	h := experts{call: c, typ: c.dev.acc.typ, e: w[0], n: w[1], k: w[2]}
	h.ids = c.idsOf(2, h.e)
	h.x, h.w = c.valueAs(0, h.typ), c.valueAs(1, h.typ)
	h.chunk = min(max(1, expertBytes/(h.e*h.n*int(h.typ.Size()))), h.ids.n)
	h.all = c.temp(h.chunk*h.e*h.n, h.typ)
	return h
}

// chunks calls f for lo and the number of rows from there.
func (h *experts) chunks(f func(lo, rows int)) {
	for lo := 0; lo < h.ids.n; lo += h.chunk {
		f(lo, min(h.chunk, h.ids.n-lo))
	}
}

func gpuExpert(c *call) {
	h := c.experts()
	flags := c.temp(h.n, gpu.I32)
	c.kernels().ExpertWild(flags.at, h.w.array(), h.e, h.n)
	h.chunks(func(lo, rows int) {
		c.gpu().Product(gpu.Product{M: rows, N: h.e * h.n, K: h.k, A: h.x.part(lo*h.k, 0).at, B: h.w.at, C: h.all.at, In: h.typ, Out: h.typ, TransB: true})
		c.kernels().ExpertSelect(c.result().part(lo*h.n, rows*h.n).array(), h.all.array(), h.ids.part(lo, rows).at, flags.at, rows, h.e, h.n)
	})
}

func gpuExpertBackward(c *call) {
	h := c.experts()
	dx, freshX := c.gradOf(0)
	dw, freshW := c.gradOf(1)
	h.chunks(func(lo, rows int) {
		c.kernels().ExpertSpread(h.all.array(), c.grad().part(lo*h.n, rows*h.n).array(), h.ids.part(lo, rows).at, rows, h.e, h.n)
		if !dx.none() { // dx = dall w
			c.gpu().Product(gpu.Product{M: rows, N: h.k, K: h.e * h.n, A: h.all.at, B: h.w.at, C: dx.part(lo*h.k, 0).at, In: h.typ, Out: dx.typ, Accumulate: !freshX})
		}
		if !dw.none() { // dw += dallᵀ x
			c.gpu().Product(gpu.Product{M: h.e * h.n, N: h.k, K: rows, A: h.all.at, B: h.x.part(lo*h.k, 0).at, C: dw.at, In: h.typ, Out: dw.typ, TransA: true, Accumulate: lo > 0 || !freshW})
		}
	})
}
