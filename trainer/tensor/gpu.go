package tensor

import (
	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/cuda"
)

// Operations on a GPU. An operation with an entry in onGPU computes there; any
// other runs the plain Go code of its Op on copies of its inputs, which serves
// every operation and is slow. The operations of a GPU obey what Op says:
// Forward fills c.out, Backward adds to the gradients of the inputs.
//
// The elements of a tensor on a GPU are float32 or bfloat16 (see gpuType). Their
// number is t.size; t.data is nil, but for operations that run on the host.
type gpuOp struct {
	// fits says whether the kernels can do this call; nil is always.
	fits func(c *call) bool
	// result is the type of the output; nil is resultLikeInputs.
	result   func(c *call) gpu.Type
	forward  func(c *call)
	backward func(c *call)
}

// onGPU has the operations by name; files gpu_*.go fill it in their init.
var onGPU = map[string]gpuOp{}

// block is an array in the memory of a GPU.
type block struct {
	at  gpu.Ptr // 0 is none
	typ gpu.Type
	n   int // elements
}

// accelerator is the GPU of a Device.
type accelerator struct {
	dev *gpu.Device
	k   *cuda.Kernels
	typ gpu.Type // of what products give: F32, or BF16 in mixed precision
}
