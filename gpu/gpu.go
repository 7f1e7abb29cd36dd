package gpu

import (
	"errors"
	"fmt"
)

// LibrariesVariable names directories to look for NVIDIA's libraries in first.
const LibrariesVariable = "AUTORESEARCH_CUDA_LIBRARIES"

// ApartVariable, if it is set, makes each array an allocation of the driver's own,
// for tools that check accesses. It is slow.
const ApartVariable = "AUTORESEARCH_GPU_APART"

// ErrNotBuilt says that this program was compiled without the tag cuda.
var ErrNotBuilt = errors.New("this program was built without GPU support: build it with make cuda (go build -tags cuda; see docs/cuda.md)")

// Info describes one GPU, or one MIG device of a GPU.
type Info struct {
	Index           int    `json:"index"` // among those that the process sees
	Name            string `json:"name"`  // "NVIDIA H200"
	UUID            string `json:"uuid"`  // "GPU-…" or "MIG-…"
	Major           int    `json:"major"` // compute capability
	Minor           int    `json:"minor"`
	MemoryBytes     int64  `json:"memory_bytes"`
	Multiprocessors int    `json:"multiprocessors"`
	Driver          string `json:"driver"` // newest CUDA version that the driver serves, such as "13.0"
	PCI             string `json:"pci,omitempty"`
}

// Arch is the compiler's name of the GPU's own instruction set: "sm_90a".
func (i Info) Arch() string {
	s := fmt.Sprintf("sm_%d%d", i.Major, i.Minor)
	if i.Major >= 9 {
		s += "a"
	}
	return s
}

// Fault says what an error blames.
type Fault string

// The faults.
const (
	ByProgram Fault = "program" // an illegal address, an invalid launch: the candidate's
	ByMemory  Fault = "memory"  // the GPU has no more memory
	ByMachine Fault = "machine" // hardware, driver, a GPU that is lost: ours
	BySetup   Fault = "setup"   // a library or a driver is missing or too old
)

// Error is a call that the driver or a library refused.
type Error struct {
	Call  string // what was attempted, "launch rms_norm_forward" or "cuMemAlloc of 123 MiB"
	Code  int    // of the driver (CUresult), NVRTC or cublasLt
	Name  string // "CUDA_ERROR_OUT_OF_MEMORY"
	Fault Fault
	Hint  string // what to do, if there is something
}

func (e *Error) Error() string {
	s := fmt.Sprintf("gpu: %s: %s (%d)", e.Call, e.Name, e.Code)
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

// Ptr is an address in a GPU's memory; 0 is none.
type Ptr uint64

// At is the address so many bytes further on.
func (p Ptr) At(bytes int64) Ptr { return p + Ptr(bytes) }

// Type is what elements of an array in GPU memory are.
type Type uint8

// The types. Kernels get them as these numbers.
const (
	F32  Type = iota // float32
	BF16             // bfloat16: the upper half of a float32
	I32              // int32
)

// Size is the number of bytes of an element.
func (t Type) Size() int64 {
	if t == BF16 {
		return 2
	}
	return 4
}

func (t Type) String() string { return [...]string{"float32", "bfloat16", "int32"}[t] }

// Config opens a Device.
type Config struct {
	// UUID of the GPU; empty is the first that the process sees.
	UUID string
	// Cache is a directory for compiled kernels (CUBIN) and for the choice of
	// matrix product algorithms, shared by processes; empty keeps nothing.
	Cache string
	// Exact forbids tensor cores for products of float32 (TF32).
	Exact bool
}

// Dim is the extent of a grid or a block in x, y and z; 0 counts as 1.
type Dim [3]int

// Product is one or many matrix products C = A B, or C + A B with Accumulate.
// A is [M,K], B is [K,N], C is [M,N], each row-major with the given distance
// between rows (in elements), or, with TransA or TransB, stored as the
// transpose: [K,M], [N,K]. There are Batch of each, so many elements apart
// (a stride of 0 repeats one matrix). Sums are float32 whatever the types;
// A and B have one type.
type Product struct {
	M, N, K                   int
	A, B, C                   Ptr
	In, Out                   Type // of A and B, of C: (F32,F32), (BF16,BF16) or (BF16,F32)
	TransA, TransB            bool
	LDA, LDB, LDC             int // 0 is dense
	Batch                     int // 0 is 1
	StrideA, StrideB, StrideC int64
	Accumulate                bool
	Alpha                     float32 // factor of A B; 0 is 1
}
