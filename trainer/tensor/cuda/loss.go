package cuda

import "github.com/autoresearch-go/autoresearch/gpu"

// Rows are logits for the loss: so many rows of V, LD elements apart (0 is V).
type Rows struct {
	At      gpu.Ptr
	Type    gpu.Type
	N, V    int
	LD      int
	Softcap float32 // 0 is none
}

const lossThreads = 512

// lossKernels by how many logits a thread keeps; a row has 512 times as many.
var lossKernels = []struct {
	each int
	name string
}{{8, "loss_rows_1"}, {16, "loss_rows_2"}, {32, "loss_rows_4"}, {64, "loss_rows_8"}}

// Losses writes -log softmax(row)[id] of each row to losses, N of float32, in
// nats, and, if gradient is not 0, factor times its gradient there, as an array
// like the logits: theirs will do. An id outside 0..V-1 makes its row NaN. With LD
// above V the elements between may be overwritten.
func (k *Kernels) Losses(r Rows, ids, losses, gradient gpu.Ptr, factor float32) {
	ld := max(r.LD, r.V)
	k.launch("loss", lossKernel(r, ld, gradient), gpu.Dim{r.N}, gpu.Dim{lossThreads}, 0,
		gpu.Address(r.At), gpu.Address(gradient), gpu.Int(int(r.Type)), gpu.Address(ids), gpu.Address(losses),
		gpu.Int(r.V), gpu.Int(ld), gpu.Float(r.Softcap), gpu.Float(factor))
}

// lossKernel is the smallest kernel that holds a row. Vectors need aligned rows,
// and may write behind V only where that is nobody else's.
func lossKernel(r Rows, ld int, gradient gpu.Ptr) string {
	if ld%8 == 0 && (r.At|gradient)%16 == 0 {
		for _, f := range lossKernels {
			if r.V <= f.each*lossThreads {
				return f.name
			}
		}
	}
	return "loss_rows_any"
}
