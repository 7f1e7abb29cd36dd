//go:build !cuda

package gpu

import (
	"time"
	"unsafe"
)

// Device is one GPU with its memory, kernels and stream.
type Device struct{}

// Kernel is a compiled function that a Device can launch.
type Kernel struct{}

// Discover lists the GPUs that the process sees.
func Discover() ([]Info, error) { return nil, ErrNotBuilt }

// Open takes a GPU.
func Open(Config) (*Device, error) { return nil, ErrNotBuilt }

// Compile compiles CUDA C for an architecture ("sm_90a") to a CUBIN, without a
// GPU or a driver.
func Compile(name, source, arch string) ([]byte, error) { return nil, ErrNotBuilt }

// CompileUsage compiles, and says what each kernel takes of the GPU.
func CompileUsage(name, source, arch string) ([]Usage, error) { return nil, ErrNotBuilt }

// Libraries says where NVIDIA's libraries are, and what is missing.
func Libraries() []Library { return nil }

// Close gives everything back.
func (d *Device) Close() {}

// Info describes the GPU.
func (d *Device) Info() Info { return Info{} }

// Alloc returns memory of so many bytes, aligned to 256, with undefined contents.
func (d *Device) Alloc(bytes int64) Ptr { panic(ErrNotBuilt) }

// Free gives memory back that Alloc returned; work in the stream may still use it.
func (d *Device) Free(p Ptr) {}

// PeakBytes is the most that was allocated at once, exactly; ResetPeak begins
// anew from what is allocated now.
func (d *Device) PeakBytes() int64 { return 0 }

// ResetPeak lets PeakBytes begin anew.
func (d *Device) ResetPeak() {}

// CopyIn copies from the host; src may be used again when it returns.
func (d *Device) CopyIn(dst Ptr, src unsafe.Pointer, bytes int64) {}

// CopyOut copies to the host and waits for the stream.
func (d *Device) CopyOut(dst unsafe.Pointer, src Ptr, bytes int64) {}

// Copy copies within the GPU's memory; the ranges do not overlap.
func (d *Device) Copy(dst, src Ptr, bytes int64) {}

// Clear sets bytes to zero.
func (d *Device) Clear(p Ptr, bytes int64) {}

// Kernel returns a function of a CUDA C source, compiled at its first use for
// this GPU: module names the source in messages and caches. Functions are
// extern "C". It panics with the compiler's output.
func (d *Device) Kernel(module, source, function string) *Kernel { panic(ErrNotBuilt) }

// Launch starts a kernel. shared is its dynamic shared memory in bytes, as much
// as the GPU allows a block. Arguments are 8 bytes each at most: make them with
// Ptr itself, [Int], [Long] and [Float].
func (d *Device) Launch(k *Kernel, grid, block Dim, shared int, args ...Arg) {}

// Product computes matrix products on the tensor cores.
func (d *Device) Product(p Product) {}

// Tuned is how many shapes of products have had their algorithms timed, and how
// long that took.
func (d *Device) Tuned() (shapes int, spent time.Duration) { return 0, 0 }

// Sync waits for the stream and panics with what went wrong in it.
func (d *Device) Sync() {}

// Elapsed is how long the GPU takes for what work puts into the stream; it waits
// for it.
func (d *Device) Elapsed(work func()) time.Duration { return 0 }
