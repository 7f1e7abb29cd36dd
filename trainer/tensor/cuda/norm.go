package cuda

import (
	"math/bits"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// NormRows are arrays [N,C] whose rows an operation treats one by one.
type NormRows struct{ N, C int }

// What norm.cu and rope.cu define.
const (
	rowThreads = 256
	rowKept    = 4   // vectors of a row that a thread keeps
	ropeMost   = 512 // channels of a head
)

// lanes is how many threads share a row: as many as have something to read, a
// power of two within a warp, or the block, where that keeps the row in registers.
func (r NormRows) lanes() int {
	vectors := r.C
	if r.C%8 == 0 {
		vectors = r.C / 8
	}
	if vectors > 32*rowKept {
		return rowThreads
	}
	return min(32, 1<<bits.Len(uint(vectors-1)))
}

func (r NormRows) launch(k *Kernels, function string, args ...gpu.Arg) {
	k.launch("norm", function, gpu.Dim{ceil(r.N, rowThreads/r.lanes())}, gpu.Dim{rowThreads}, 0, args...)
}

// RMSNorm is y = x / root(mean(x²) + eps), row by row. roots [N] float32, unless it
// is 0, gets the reciprocals of the roots, for [Kernels.RMSNormBackward].
func (k *Kernels) RMSNorm(r NormRows, y Array, roots gpu.Ptr, x Array, eps float32) {
	r.launch(k, "rms_norm_forward", gpu.Address(y.At), typed(y), gpu.Address(roots), gpu.Address(x.At), typed(x),
		gpu.Int(r.N), gpu.Int(r.C), gpu.Int(r.lanes()), gpu.Float(eps))
}

// AddRMSNorm is sum = a + b and y = RMSNorm(sum), in one pass. Weights are single
// numbers here.
func (k *Kernels) AddRMSNorm(r NormRows, sum, y Array, roots gpu.Ptr, a, b Weight, eps float32) {
	r.launch(k, "add_rms_norm", gpu.Address(sum.At), typed(sum), gpu.Address(y.At), typed(y), gpu.Address(roots),
		gpu.Address(a.X.At), typed(a.X), gpu.Address(a.W.At), typed(a.W), gpu.Address(b.X.At), typed(b.X), gpu.Address(b.W.At), typed(b.W),
		gpu.Int(r.N), gpu.Int(r.C), gpu.Int(r.lanes()), gpu.Float(eps))
}

// RMSNormBackward fills dx, or adds to it.
func (k *Kernels) RMSNormBackward(r NormRows, dx, dy, y Array, roots gpu.Ptr, add bool) {
	r.launch(k, "rows_backward", gpu.Address(dx.At), typed(dx), gpu.Address(dy.At), typed(dy), gpu.Address(y.At), typed(y), gpu.Address(roots),
		gpu.Int(r.N), gpu.Int(r.C), gpu.Int(r.lanes()), flag(add))
}

// Softmax is y = exp(x) / sum(exp(x)), row by row.
func (k *Kernels) Softmax(r NormRows, y, x Array) {
	r.launch(k, "softmax_forward", gpu.Address(y.At), typed(y), gpu.Address(x.At), typed(x), gpu.Int(r.N), gpu.Int(r.C), gpu.Int(r.lanes()))
}

// SoftmaxBackward fills dx, or adds to it.
func (k *Kernels) SoftmaxBackward(r NormRows, dx, dy, y Array, add bool) {
	k.RMSNormBackward(r, dx, dy, y, 0, add)
}

// Heads are arrays [B,T,NH,D] of rotary embedding; D is even and fits.
type Heads struct {
	B, T, NH, D int
	Table       gpu.Ptr // [T,D] float32: cosines of each position's D/2 angles, then sines
}

// Fits says whether the kernels serve heads of that size.
func (h Heads) Fits() bool { return h.D <= ropeMost }

func (h Heads) rows() int { return h.B * h.T * h.NH }

// lanes is how many threads share a head: one for eight channels of each half.
func (h Heads) lanes() int { return 1 << bits.Len(uint(ceil(h.D, 16)-1)) }

func (h Heads) launch(k *Kernels, function string, args ...gpu.Arg) {
	k.launch("rope", function, gpu.Dim{ceil(h.rows(), rowThreads/h.lanes())}, gpu.Dim{rowThreads}, 0, args...)
}

// RoPE turns the pairs of channels (i, i+D/2) of x by the table's angles times sign,
// 1 or, backward, -1, and writes y or adds to it.
func (k *Kernels) RoPE(h Heads, y, x Array, sign float32, add bool) {
	h.launch(k, "rope", gpu.Address(y.At), typed(y), gpu.Address(x.At), typed(x), gpu.Address(h.Table),
		gpu.Int(h.rows()), gpu.Int(h.T), gpu.Int(h.NH), gpu.Int(h.D), gpu.Int(h.lanes()), gpu.Float(sign), flag(add))
}

// RoPENorm is y = RMSNorm(RoPE(x)) of every head, in one pass; roots [B,T,NH]
// float32, unless it is 0, is for [Kernels.RoPENormBackward].
func (k *Kernels) RoPENorm(h Heads, y Array, roots gpu.Ptr, x Array, eps float32) {
	h.launch(k, "rope_norm_forward", gpu.Address(y.At), typed(y), gpu.Address(roots), gpu.Address(x.At), typed(x), gpu.Address(h.Table),
		gpu.Int(h.rows()), gpu.Int(h.T), gpu.Int(h.NH), gpu.Int(h.D), gpu.Int(h.lanes()), gpu.Float(eps))
}

// RoPENormBackward fills dx, or adds to it.
func (k *Kernels) RoPENormBackward(h Heads, dx, dy, y Array, roots gpu.Ptr, add bool) {
	h.launch(k, "rope_norm_backward", gpu.Address(dx.At), typed(dx), gpu.Address(dy.At), typed(dy), gpu.Address(y.At), typed(y), gpu.Address(roots), gpu.Address(h.Table),
		gpu.Int(h.rows()), gpu.Int(h.T), gpu.Int(h.NH), gpu.Int(h.D), gpu.Int(h.lanes()), flag(add))
}
