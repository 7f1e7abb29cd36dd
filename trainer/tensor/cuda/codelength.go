package cuda

import "github.com/autoresearch-go/autoresearch/gpu"

// CodeLength writes nats [rows], float64, of targets [rows], ids below vocab,
// under logits [rows, vocab], float32.
func (k *Kernels) CodeLength(nats, logits, targets gpu.Ptr, rows, vocab int) {
	k.launch("codelength", "code_length", gpu.Dim{rows}, gpu.Dim{256}, 0, gpu.Address(logits), gpu.Address(targets), gpu.Address(nats), gpu.Int(vocab))
}
