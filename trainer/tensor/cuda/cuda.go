// Package cuda is the arithmetic of package tensor on an NVIDIA GPU: kernels in
// CUDA C (kernels/*.cu), compiled for the GPU at hand when they are first used,
// and Go functions that launch them. It is to a GPU what package cpu is to the
// processor: it works on addresses and sizes and knows no tensors.
//
// Arrays are row-major and contiguous, of [gpu.Type] F32 or BF16 where a kernel
// takes a type, else of float32; all arithmetic is in float32, and a value is
// rounded to bfloat16 when it is stored, to nearest even. Ids are int32.
//
// # Rules of the kernels
//
// They obey the NaN rule of package tensor. They give the same bits each time:
// no atomic additions of floats, every sum in one fixed order. Everything is
// extern "C", free of CUDA's headers, and runs on a CPU too, through the
// emulation of package gpu/emulated: kernels use what that offers (see
// kernels/common.cuh).
//
// # Errors
//
// Functions panic with a *gpu.Error, as package gpu does.
package cuda

import "github.com/autoresearch-go/autoresearch/gpu"

// Kernels are the kernels on one GPU.
type Kernels struct {
	dev   *gpu.Device
	fns   map[string]*gpu.Kernel // those used so far
	sized map[sizedKernel]*gpu.Kernel
	args  []gpu.Arg // of the launch being made
}

// New returns the kernels of a device; they are compiled when they are used.
func New(d *gpu.Device) *Kernels { return &Kernels{dev: d} }
