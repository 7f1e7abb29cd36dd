package cuda

import "github.com/autoresearch-go/autoresearch/gpu"

// window is how many columns a row sees, all or the last of them.
func (b Band) window() int {
	if b.Window == 0 {
		return b.S
	}
	return b.Window
}

// CausalMask writes what x has where a row sees it and 0 elsewhere, or adds it.
func (k *Kernels) CausalMask(y, x Array, b Band, add bool) {
	k.launch("time", "causal_mask", blocks(y.N), gpu.Dim{threads}, 0, gpu.Address(y.At), typed(y), gpu.Address(x.At), typed(x),
		gpu.Int(y.N), gpu.Int(b.T), gpu.Int(b.S), gpu.Int(b.window()), flag(add))
}

// CausalSoftmax is softmax over what a row sees, 0 elsewhere.
func (k *Kernels) CausalSoftmax(y, x Array, b Band) {
	rows := y.N / b.S
	k.launch("time", "causal_softmax", gpu.Dim{min(rows, 1<<16)}, gpu.Dim{128}, 0, gpu.Address(y.At), typed(y), gpu.Address(x.At), typed(x),
		gpu.Int(rows), gpu.Int(b.T), gpu.Int(b.S), gpu.Int(b.window()))
}

// CausalSoftmaxGrad adds the gradient of CausalSoftmax, whose result is y, to dx.
func (k *Kernels) CausalSoftmaxGrad(dx, dy, y Array, b Band) {
	rows := y.N / b.S
	k.launch("time", "causal_softmax_grad", gpu.Dim{min(rows, 1<<16)}, gpu.Dim{128}, 0, gpu.Address(dx.At), typed(dx), gpu.Address(dy.At), typed(dy),
		gpu.Address(y.At), typed(y), gpu.Int(rows), gpu.Int(b.T), gpu.Int(b.S), gpu.Int(b.window()))
}

// Conv is the sizes of a causal convolution: x is [Batch, Time, C], w [Taps, C].
type Conv struct{ Batch, Time, C, Taps int }

// CausalConv writes (or adds) to y the sum over taps of w times x as many steps
// before, the last tap at the same time; back is its gradient to x, from dy.
func (k *Kernels) CausalConv(y, x, w Array, s Conv, back, add bool) {
	k.launch("time", "causal_conv", blocks(y.N), gpu.Dim{threads}, 0, gpu.Address(y.At), typed(y), gpu.Address(x.At), typed(x), gpu.Address(w.At), typed(w),
		gpu.Int(s.Batch), gpu.Int(s.Time), gpu.Int(s.C), gpu.Int(s.Taps), flag(back), flag(add))
}

// convRows is how many rows of x are added up by one thread of CausalConvKernel.
const convRows = 64

// CausalConvKernel writes (or adds) the gradient of CausalConv to w.
func (k *Kernels) CausalConvKernel(dw, dy, x Array, s Conv, add bool) {
	rows := s.Batch * s.Time
	parts := (rows + convRows - 1) / convRows
	partial := k.scratch(parts * s.Taps * s.C)
	defer k.dev.Free(partial.At)
	k.launch("time", "causal_conv_kernel", blocks(partial.N), gpu.Dim{threads}, 0, gpu.Address(partial.At), gpu.Address(dy.At), typed(dy), gpu.Address(x.At), typed(x),
		gpu.Int(rows), gpu.Int(s.Time), gpu.Int(s.C), gpu.Int(s.Taps), gpu.Int(parts), gpu.Int(convRows))
	k.Reduce("x", 1, add, dw, partial, Array{}, Array{}, Lanes{1, parts, s.Taps * s.C})
}
