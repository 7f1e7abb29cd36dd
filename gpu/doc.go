// Package gpu drives NVIDIA GPUs through the CUDA driver: it finds them, holds
// their memory, compiles kernels and launches them. It knows neither tensors
// nor campaigns.
//
// Everything that touches the driver is compiled with the build tag cuda, which
// needs a C compiler and nothing of NVIDIA's; without the tag [Discover] and
// [Open] return [ErrNotBuilt]. Devices, memory, streams, events, modules and
// launches go through gorgonia.org/cu; what that package lacks is in shim.c.
//
// make cuda builds, and sets what gorgonia.org/cu needs: CGO_CFLAGS names the
// directory include, whose cuda.h declares what that package uses of the driver,
// and CGO_LDFLAGS names lib, whose libcuda.a is empty. The functions themselves
// are in shim.c: each forwards to the driver's. (gorgonia.org/cu calls cuInit
// before main and ends the process if that fails, so that one does nothing; the
// driver's own is called by [Discover] and [Open].)
//
// # Libraries
//
// Nothing is linked. libcuda.so.1 (the driver), libnvrtc (the kernel compiler)
// and libcublasLt (matrix products) are loaded at first use, so one binary starts
// everywhere and says what is missing. They are looked for in the directories of
// the environment variable AUTORESEARCH_CUDA_LIBRARIES (a list separated by
// colons), then where the system's loader looks, then in the usual places of a
// CUDA toolkit and of NVIDIA's Python packages. See [Libraries].
//
// # Speed
//
// A launch costs the processor a third of a microsecond beside what the driver
// takes. Memory comes from a pool (pool.go): a training step asks the driver for
// none once it has run, and allocates no Go memory. Copies from the host pass
// through pinned memory in two halves, so that they overlap with the GPU's work.
// Kernels are compiled at their first use, for this GPU alone, and kept in
// [Config.Cache]; matrix products are planned and timed once per shape.
//
// # Order
//
// A [Device] has one stream: what is launched or copied happens in that order,
// and memory that is freed may be handed out again at once, since whoever gets
// it comes later in the stream. A Device is used by one goroutine at a time,
// whatever thread that is on.
//
// # Errors
//
// Discover, Open and Compile return errors. The methods that a training step is
// made of (Alloc, Copy, Launch, Product, Sync) panic with an [*Error], as package
// tensor does with its own; the harness recovers it once. Launches are
// asynchronous, so a kernel's fault may show at any later call. [Error.Fault]
// says whose fault it is: the program's, the machine's, or want of memory.
package gpu
