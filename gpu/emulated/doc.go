// Package emulated is a CUDA toolkit without a GPU, for tests: libraries that take
// the place of libcuda.so.1, libnvrtc.so.12, libcublasLt.so.12 and
// libnvidia-ml.so.1 and run the real kernels, from their CUDA C source, on the CPU.
// Code above them is the code that drives a GPU. [Build] compiles them with the
// machine's C++ compiler; [Libraries] does that for a test, once for all tests.
//
// # What it finds
//
// Kernels that are wrong on a GPU should fail here. Each thread of a block is a
// fiber, and they run in an adversarial order (a warp runs to its next barrier
// before another begins; see [Reversed] for the opposite order), so that a
// missing barrier changes the result. Shared and global memory are full of NaN
// before they are written. Copies by cp.async spoil their target at once and
// arrive when they are waited for. An address that is misaligned for its type, an
// index outside of its array, an access outside of an allocation, barriers that
// cannot be met: each fails the launch with the error that a GPU gives (700, 716,
// 719), and the reason is printed. Work in a stream is done when somebody waits
// for it, so errors come late, and buffers that are reused too early are spoiled.
// The time between events is a model's, the same in every run.
//
// What it cannot find: races within a GPU's memory model, bank conflicts, too many
// registers, anything of speed; sums of tensor cores are rounded otherwise here.
//
// # Which GPUs there are, and what goes wrong
//
// The environment variable AUTORESEARCH_EMULATED_GPUS names a file of directives,
// one a line, that is read again when it changes (see [Script]). Without it there
// is one healthy "Emulated H200" with 8 GiB.
//
//	gpu uuid=GPU-… name="NVIDIA H200" memory=143771MiB cc=9.0 [mig=MIG-…,MIG-…]
//	    one line for each GPU, in their order. CUDA_VISIBLE_DEVICES is obeyed.
//	cuinit 100        cuInit returns this
//	driver 12020      the CUDA version that the driver serves
//	nodriver          cuInit finds no device, NVML no driver
//	nvml 999          nvmlInit returns this
//	order reverse     threads and blocks run in the opposite order; a number is a seed
//	fault gpu=UUID at=launch:57 code=700 [file=PATH]
//	    the 57th launch in a process fails, and with it all calls that follow; where
//	    it is past when the line is written, the next one does. A product is a launch,
//	    too. With file, it happens if PATH does not exist, and PATH is made: once among
//	    processes.
//	hang gpu=UUID at=launch:57 [file=PATH]     it never ends
//	oom gpu=UUID bytes=N    memory ends after so many bytes of a process
//	lost gpu=UUID           all calls fail: 719, and 15 of NVML
//	nvml gpu=UUID [ecc=3] [remap=pending|failed] [xid=79] [throttle=thermal|power|brake|hw]
//	     [clock=345] [temp=92] [watts=700] [used=1234MiB] [process=PID:MiB]
//
// AUTORESEARCH_EMULATED_THREADS is the number of CPU threads that run blocks; the
// default is that of the machine's cores, at most 4. Results do not depend on it.
// AUTORESEARCH_EMULATED_ORDER is an order for all scripts.
package emulated
