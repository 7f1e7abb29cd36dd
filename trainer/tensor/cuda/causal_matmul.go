package cuda

import "github.com/autoresearch-go/autoresearch/gpu"

// Band says what rows see of causal scores [Batch,T,S]: row t of each the columns
// up to t + S - T, the last Window of them (0 is all).
type Band struct{ Batch, T, S, Window int }

const causalTile = 32 // side of the tiles of causal_matmul.cu

func (k *Kernels) banded(function string, b Band, n, rows, cols int, args ...gpu.Arg) {
	tiles := func(n int) int { return (n + causalTile - 1) / causalTile }
	all := [10 + 1]gpu.Arg{}
	l := append(append(all[:0], args[:6]...), gpu.Int(b.T), gpu.Int(b.S), gpu.Int(b.Window), gpu.Int(n))
	k.launch("causal_matmul", function, gpu.Dim{b.Batch * tiles(rows) * tiles(cols)}, gpu.Dim{256}, 0, append(l, args[6:]...)...)
}

// CausalProduct is out [T,N] = scores values [S,N] of each batch entry, over what
// is seen.
func (k *Kernels) CausalProduct(b Band, out, scores, values Array) {
	n := out.N / (b.Batch * b.T)
	k.banded("causal_product", b, n, b.T, n, gpu.Address(out.At), gpu.Int(int(out.Type)), gpu.Address(scores.At), gpu.Int(int(scores.Type)),
		gpu.Address(values.At), gpu.Int(int(values.Type)))
}

// CausalProductDScores is the gradient of CausalProduct for the scores, 0 where
// nothing is seen; with add it is added.
func (k *Kernels) CausalProductDScores(b Band, dscores, dout, values Array, add bool) {
	k.banded("causal_product_dscores", b, dout.N/(b.Batch*b.T), b.T, b.S, gpu.Address(dscores.At), gpu.Int(int(dscores.Type)),
		gpu.Address(dout.At), gpu.Int(int(dout.Type)), gpu.Address(values.At), gpu.Int(int(values.Type)), gpu.Int(truth(add)))
}

// CausalProductDValues is the gradient for the values; with add it is added.
func (k *Kernels) CausalProductDValues(b Band, dvalues, scores, dout Array, add bool) {
	n := dout.N / (b.Batch * b.T)
	k.banded("causal_product_dvalues", b, n, b.S, n, gpu.Address(dvalues.At), gpu.Int(int(dvalues.Type)),
		gpu.Address(scores.At), gpu.Int(int(scores.Type)), gpu.Address(dout.At), gpu.Int(int(dout.Type)), gpu.Int(truth(add)))
}
