package tensor

import (
	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/cuda"
)

// Losses on a GPU. As on a CPU a forward that a Backward will follow computes the
// gradients on the way, for a loss of weight 1, and Backward scales them.
//
// In mixed precision logits are bfloat16, as in the PyTorch programs that we are
// compared with: an error of 2^-9 of each logit, which changes a token's loss by
// at most some hundredths of a nat and the mean by some 1e-4. Sums are float32,
// the mean of all losses float64.

func init() {
	onGPU["cross_entropy"] = gpuOp{forward: gpuCrossEntropy, backward: func(c *call) { c.wantKept(0); c.giveScaled(0, 0) }}
	onGPU["linear_cross_entropy"] = gpuOp{forward: gpuLinearCrossEntropy, backward: gpuLinearCrossEntropyBackward}
}

func gpuCrossEntropy(c *call) {
	z, v := c.value(0), c.in[0].Dim(-1)
	ids := c.idsOf(1, v)
	losses := c.temp(ids.n, gpu.F32)
	var dz block
	if c.grads {
		dz = c.keep(0, z.n, z.typ)
	}
	rows := cuda.Rows{At: z.at, Type: z.typ, N: ids.n, V: v, Softcap: c.float(0)}
	c.kernels().Losses(rows, ids.at, losses.at, dz.at, 1/float32(ids.n))
	c.mean(losses)
}

// mean writes the mean of x to the result.
func (c *call) mean(x block) {
	parts := c.temp(2*cuda.TotalParts(x.n), gpu.F32) // float64
	c.kernels().Total(c.result().at, x.array(), parts.at, false, false, 1/float64(x.n))
}

func (b block) array() cuda.Array { return cuda.Array{At: b.at, Type: b.typ, N: b.n} }

// wantKept refuses a second Backward where the first has used up what Forward
// kept.
func (c *call) wantKept(k int) {
	if c.kept[k].none() {
		fail(c.op.Name, "Backward went through it twice, but it keeps its gradient for one use: add the losses and call Backward once")
	}
}

// giveScaled adds kept block k, times the gradient of the result, to the gradient
// of input i. Where the block can become that gradient it does, without a pass
// over it if the factor is 1.
func (c *call) giveScaled(i, k int) {
	t, b, factor := c.in[i], c.kept[k], c.grad().at
	if t.needGrad && t.gradMem.none() && t.kind == kindStep && t.mem.typ == b.typ {
		c.kernels().Scale(b.array(), 1, factor)
		c.giveKept(i, k)
		return
	}
	if g := c.gradZeroed(i); !g.none() {
		c.kernels().AddScaled(g.array(), b.array(), 1, factor)
	}
}

// lossBytes is how large the logits may be that exist at one time: they are
// written once and read three times, so they should stay in the second-level
// cache, which has 40 to 126 MB. With 8192 tokens that is 2048 rows. Tests lower
// it.
var lossBytes = 32 << 20

// lossChunk is how many rows of ld logits are computed at one time.
func lossChunk(ld int, typ gpu.Type) int {
	rows := lossBytes / (ld * int(typ.Size()))
	if rows >= 256 {
		return rows / 256 * 256
	}
	return max(rows, 1)
}

func gpuLinearCrossEntropy(c *call) {
	typ := c.dev.acc.typ
	x, w := c.valueAs(0, typ), c.valueAs(1, typ)
	v, ch := c.in[1].shape[0], c.in[1].shape[1]
	ids := c.idsOf(2, v)
	losses := c.temp(ids.n, gpu.F32)
	ld := roundUp(v, 8) // whole vectors
	chunk := min(lossChunk(ld, typ), ids.n)
	z := c.temp(chunk*ld, typ)
	h := head{call: c, typ: typ, w: w, v: v, ch: ch, ld: ld}
	if c.grads && c.in[0].needGrad {
		h.dx = c.keep(0, x.n, c.in[0].mem.typ)
	}
	if c.grads && c.in[1].needGrad {
		h.dw = c.keep(1, w.n, gpu.F32)
	}
	for lo := 0; lo < ids.n; lo += chunk {
		n := min(chunk, ids.n-lo)
		h.rows(lo, n, x, ids, losses, z)
	}
	c.mean(losses)
}

// head is what the chunks of linear_cross_entropy share.
type head struct {
	*call
	typ    gpu.Type
	w      block // [V,C]
	v, ch  int
	ld     int // from one row of logits to the next
	dx, dw block
}

// rows does rows lo..lo+n of x: logits, losses with the logits' gradient in the
// place of the logits, and its products.
func (h *head) rows(lo, n int, x, ids, losses, z block) {
	xs := x.part(lo*h.ch, n*h.ch)
	h.gpu().Product(gpu.Product{M: n, N: h.v, K: h.ch, A: xs.at, B: h.w.at, C: z.at, In: h.typ, Out: z.typ, TransB: true, LDC: h.ld})
	rows := cuda.Rows{At: z.at, Type: z.typ, N: n, V: h.v, LD: h.ld, Softcap: h.float(0)}
	var dz gpu.Ptr
	if !h.dx.none() || !h.dw.none() {
		dz = z.at
	}
	h.kernels().Losses(rows, ids.part(lo, n).at, losses.part(lo, n).at, dz, 1/float32(losses.n))
	if !h.dx.none() { // dx = dz w
		dx := h.dx.part(lo*h.ch, n*h.ch)
		h.gpu().Product(gpu.Product{M: n, N: h.ch, K: h.v, A: dz, B: h.w.at, C: dx.at, In: h.typ, Out: dx.typ, LDA: h.ld})
	}
	if !h.dw.none() { // dw += dzᵀ x
		h.gpu().Product(gpu.Product{M: h.v, N: h.ch, K: n, A: dz, B: xs.at, C: h.dw.at, In: h.typ, Out: h.dw.typ, TransA: true, LDA: h.ld, Accumulate: lo > 0})
	}
}

func gpuLinearCrossEntropyBackward(c *call) {
	if c.in[0].needGrad {
		c.wantKept(0)
	}
	if c.in[1].needGrad {
		c.giveScaled(1, 1)
	}
	c.giveScaled(0, 0)
}
