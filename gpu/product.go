//go:build cuda

package gpu

// #include "shim.h"
import "C"

import (
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"gorgonia.org/cu"
)

// workspaceBytes is what cublasLt may use beside the matrices: as much as its
// makers advise for Hopper. Products with few tiles and a long K need it to split
// K among the multiprocessors.
const workspaceBytes = 32 << 20

// cublas is cublasLt.
var cublas struct {
	once    sync.Once
	path    string
	version string
	err     *Error
}

func startProducts() error {
	l := &cublas
	l.once.Do(func() {
		path, err := loadTool("the matrix products cublasLt", "libcublasLt", "cublasLtGetVersion", func(h unsafe.Pointer) bool { return C.ar_blas_use(h) == 0 })
		if err != nil {
			l.err = err
			return
		}
		v := int(C.ar_blas_version())
		l.path, l.version = path, fmt.Sprintf("%d.%d.%d", v/10000, v/100%100, v%100)
	})
	if l.err != nil {
		return l.err
	}
	return nil
}

func blasLibrary() Library {
	lib := Library{Name: "libcublasLt", What: "matrix products"}
	if err := startProducts(); err != nil {
		lib.Problem = err.Error()
		return lib
	}
	lib.Path, lib.Version = cublas.path, cublas.version
	return lib
}

// blas is a Device's cublasLt.
type blas struct {
	handle    unsafe.Pointer
	workspace cu.DevicePtr
	plans     map[productKey]*plan
}

// plan is how the products of one key are computed.
type plan struct {
	key        productKey
	shape      C.ar_shape
	plan       C.ar_plan
	candidates []candidate // those that fit, the most promising first
	chosen     int         // index in candidates
}

// candidate is an algorithm for a plan.
type candidate struct {
	algorithm C.ar_algorithm
	variant   variant
}

const maxCandidates = 16

// Product computes matrix products on the tensor cores.
func (d *Device) Product(p Product) {
	if wrong := p.valid(); wrong != "" {
		panic(&Error{Call: "multiply matrices", Code: 1, Name: "CUDA_ERROR_INVALID_VALUE", Fault: ByProgram, Hint: wrong})
	}
	if p.M == 0 || p.N == 0 {
		return
	}
	if p.K == 0 {
		d.noProduct(p)
		return
	}
	d.thread()
	defer runtime.UnlockOSThread()
	pl := d.plan(p)
	d.run(pl, p)
}

// noProduct is a sum over nothing: C stays, or becomes zero.
func (d *Device) noProduct(p Product) {
	if p.Accumulate {
		return
	}
	ld := leading(p.LDC, false, p.M, p.N)
	for b := range max(p.Batch, 1) {
		for m := range p.M {
			d.Clear(p.C.At((int64(b)*p.StrideC+int64(m)*int64(ld))*p.Out.Size()), int64(p.N)*p.Out.Size())
		}
	}
}

// plan finds or makes the plan of a product.
func (d *Device) plan(p Product) *plan {
	key := keyOf(p, d.config.Exact)
	if pl := d.blas.plans[key]; pl != nil {
		return pl
	}
	d.openBlas()
	pl := &plan{key: key, shape: shapeOf(key)}
	d.checkBlas("plan a product "+key.String(), C.ar_blas_plan(&pl.plan, &pl.shape))
	pl.candidates = d.findCandidates(pl)
	d.tune(pl)
	d.blas.plans[key] = pl
	return pl
}

// openBlas makes the handle and the workspace at the first product.
func (d *Device) openBlas() {
	if d.blas.handle != nil {
		return
	}
	if err := startProducts(); err != nil {
		panic(err)
	}
	d.checkBlas("open cublasLt", C.ar_blas_create(&d.blas.handle))
	var err error
	d.blas.workspace, err = cu.MemAlloc(workspaceBytes)
	d.check("allocate the "+size(workspaceBytes)+" workspace of matrix products", err)
	d.blas.plans = map[productKey]*plan{}
}

func (b *blas) close() {
	if b.handle == nil {
		return
	}
	for _, pl := range b.plans {
		C.ar_blas_plan_free(&pl.plan)
	}
	C.ar_blas_destroy(b.handle)
	cu.MemFree(b.workspace)
	*b = blas{}
}

func shapeOf(k productKey) C.ar_shape {
	s := C.ar_shape{
		m: C.uint64_t(k.M), n: C.uint64_t(k.N), k: C.uint64_t(k.K),
		lda: C.int64_t(k.LDA), ldb: C.int64_t(k.LDB), ldc: C.int64_t(k.LDC),
		stride_a: C.int64_t(k.StrideA), stride_b: C.int64_t(k.StrideB), stride_c: C.int64_t(k.StrideC),
		batch: C.int(k.Batch), in: C.int(k.In), out: C.int(k.Out),
		align_a: C.uint(k.AlignA), align_b: C.uint(k.AlignB), align_c: C.uint(k.AlignC),
	}
	if k.TransA {
		s.trans_a = 1
	}
	if k.TransB {
		s.trans_b = 1
	}
	if k.In == F32 && !k.Exact {
		s.compute = 1
	}
	return s
}

// findCandidates asks cublasLt for algorithms.
func (d *Device) findCandidates(pl *plan) []candidate {
	var found [maxCandidates]C.ar_candidate
	var n C.int
	call := "find an algorithm for a product " + pl.key.String()
	d.checkBlas(call, C.ar_blas_candidates(d.blas.handle, &pl.plan, &pl.shape, workspaceBytes, &found[0], maxCandidates, &n))
	var list []candidate
	for i, f := range found[:n] {
		if f.status == 0 {
			list = append(list, candidate{f.algorithm, variant{Index: i}})
		}
	}
	if len(list) == 0 {
		panic(&Error{Call: call, Code: 15, Name: "CUBLAS_STATUS_NOT_SUPPORTED", Fault: ByProgram, Hint: "cublasLt has none for these sizes and alignments"})
	}
	return list
}

// run puts one product into the stream, by the next candidate if cublasLt refuses
// the one that was chosen.
func (d *Device) run(pl *plan, p Product) {
	for {
		code := d.try(pl, &pl.candidates[pl.chosen], p, p.C)
		if code == 0 {
			return
		}
		if !pl.another(code) {
			d.checkBlas("multiply matrices "+pl.key.String(), C.int(code))
		}
	}
}

// try puts one product into the stream, with the result at c, and gives cublasLt's
// code.
func (d *Device) try(pl *plan, with *candidate, p Product, c Ptr) int {
	alpha, beta := C.float(p.Alpha), C.float(0)
	if alpha == 0 {
		alpha = 1
	}
	if p.Accumulate {
		beta = 1
	}
	stream := *(*C.CUstream)(unsafe.Pointer(&d.stream)) // all that a Stream is
	return int(C.ar_blas_run(d.blas.handle, &pl.plan, &with.algorithm, alpha, beta, C.CUdeviceptr(p.B), C.CUdeviceptr(p.A), C.CUdeviceptr(c), C.CUdeviceptr(d.blas.workspace), workspaceBytes, stream))
}

// checkBlas panics for a code of cublasLt that is not 0. Behind a failed launch
// is an error of the driver, which says more.
func (d *Device) checkBlas(call string, code C.int) {
	if code == 0 {
		return
	}
	if code == 13 || code == 14 {
		d.check(call, d.stream.Synchronize())
	}
	e := &Error{Call: call, Code: int(code), Name: C.GoString(C.ar_blas_error(code)), Fault: ByMachine}
	switch code {
	case 3: // allocation failed
		e.Fault, e.Hint = ByMemory, d.memoryHint()
	case 7, 15: // invalid value, not supported
		e.Fault = ByProgram
	case 8: // architecture mismatch
		e.Fault, e.Hint = BySetup, hintInstall
	}
	panic(e)
}
