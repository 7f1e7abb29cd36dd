//go:build cuda

package gpu

// #include "shim.h"
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"
)

const (
	maxArgs = 48
	// Above so many bytes of dynamic shared memory a kernel has to be allowed them
	// (CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES).
	plainShared     = 48 << 10
	attributeShared = 8
)

// Launch starts a kernel. shared is its dynamic shared memory in bytes, as much
// as the GPU allows a block. Arguments are 8 bytes each at most: make them with
// [Address], [Int], [Long] and [Float]. It allocates nothing.
func (d *Device) Launch(k *Kernel, grid, block Dim, shared int, args ...Arg) {
	if len(args) > maxArgs {
		panic(fmt.Sprintf("gpu: %s is launched with %d arguments, and %d is the most", k.name, len(args), maxArgs))
	}
	d.thread()
	defer runtime.UnlockOSThread()
	if shared > plainShared && shared > k.shared {
		d.allowShared(k, shared)
	}
	for i, a := range args {
		d.args[i] = uint64(a)
	}
	d.launched = k.name
	err := k.f.Launch(extent(grid[0]), extent(grid[1]), extent(grid[2]), extent(block[0]), extent(block[1]), extent(block[2]), shared, d.stream, d.params[:len(args)])
	if err != nil {
		d.launchFailed(k, grid, block, shared, err)
	}
}

func extent(n int) int { return max(n, 1) }

// allowShared raises a kernel's limit of dynamic shared memory.
func (d *Device) allowShared(k *Kernel, shared int) {
	f := *(*C.CUfunction)(unsafe.Pointer(&k.f)) // all that a Function is
	if e := refused(fmt.Sprintf("give %s %s of shared memory", k.name, size(int64(shared))), C.cuFuncSetAttribute(f, attributeShared, C.int(shared))); e != nil {
		panic(e)
	}
	k.shared = shared
}

// launchFailed panics. Launches report the faults of kernels before them too.
func (d *Device) launchFailed(k *Kernel, grid, block Dim, shared int, err error) {
	e := failed("launch "+k.name, err)
	if e.Code == 1 || e.Code == 701 {
		e.Hint = fmt.Sprintf("grid %v, block %v, %s of shared memory; %s", grid, block, size(int64(shared)), e.Hint)
	}
	panic(e)
}
