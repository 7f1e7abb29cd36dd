package cuda

import "github.com/autoresearch-go/autoresearch/gpu"

// Weight is an array whose elements count times W: each element of W is for Per
// elements in a row, a multiple of 8 or all. Without an address W is 1.
type Weight struct {
	X, W Array
	Per  int
}

// Weigh is y = a + b, of a multiple of 8 elements.
func (k *Kernels) Weigh(y Array, a, b Weight) {
	k.launch("fuse", "weigh", eighths(y.N), gpu.Dim{threads}, 0, gpu.Address(y.At), typed(y),
		gpu.Address(a.X.At), typed(a.X), gpu.Address(a.W.At), typed(a.W), gpu.Int(a.Per),
		gpu.Address(b.X.At), typed(b.X), gpu.Address(b.W.At), typed(b.W), gpu.Int(b.Per), gpu.Int(y.N))
}

// weighBlocks is the most parts of the sum of WeighGrad.
const weighBlocks = 1 << 11

// WeighGrad is the gradient of y = x w, w being one number: dx = dy w and dw the
// sum of dy x, or that is added to them. They have a multiple of 8 elements.
func (k *Kernels) WeighGrad(dx, dw, dy, x, w Array, addX, addW bool) {
	grid := eighths(x.N)
	grid[0] = min(grid[0], weighBlocks)
	partial := k.scratch(grid[0])
	defer k.dev.Free(partial.At)
	k.launch("fuse", "weigh_grad", grid, gpu.Dim{threads}, 0, gpu.Address(dx.At), typed(dx), flag(addX), gpu.Address(partial.At),
		gpu.Address(dy.At), typed(dy), gpu.Address(x.At), typed(x), gpu.Address(w.At), typed(w), gpu.Int(x.N))
	k.Reduce("x", 1, addW, dw, partial, Array{}, Array{}, Lanes{1, partial.N, 1})
}
