//go:build cuda

package gpu

// #include "shim.h"
import "C"

import (
	"runtime"
	"time"

	"gorgonia.org/cu"
)

// tuneLeast is the number of multiplications below which a product takes less
// time than its launch, so that there is nothing to choose. Tests lower it.
var tuneLeast int64 = 1 << 24

// firstChoice is the library's best guess in its list. Tests change it.
var firstChoice = 0

// Tuned is how many shapes of products have had their algorithms timed, and how
// long that took.
func (d *Device) Tuned() (shapes int, spent time.Duration) {
	if d.tuner == nil {
		return 0, 0
	}
	return d.tuner.shapes, d.tuner.spent
}

// tune chooses among the candidates of a plan before its first product, and adds
// those that split K.
func (d *Device) tune(pl *plan) {
	k := pl.key
	pl.chosen = min(firstChoice, len(pl.candidates)-1)
	if int64(k.M)*int64(k.N)*int64(k.K)*int64(k.Batch) < tuneLeast {
		return
	}
	if d.tuner == nil {
		d.tuner = &tuner{memory: openChoices(d.config.Cache, d.info.Name, int(C.ar_blas_version())), now: time.Now}
	}
	d.addSplits(pl)
	var room scratch
	defer d.freeScratch(&room)
	v, ok := d.tuner.choose(choiceKey(k), pl.offered(), func(v variant, rounds int) (time.Duration, bool) {
		if room.at == 0 && !d.makeScratch(&room, k) {
			return 0, false
		}
		return d.timeCandidate(pl, &pl.candidates[pl.index(v)], &room, rounds)
	})
	if ok {
		pl.chosen = pl.index(v)
	}
}

func (pl *plan) offered() (l []variant) {
	for _, c := range pl.candidates {
		l = append(l, c.variant)
	}
	return l
}

func (pl *plan) index(v variant) int {
	for i, c := range pl.candidates {
		if c.variant == v {
			return i
		}
	}
	return 0
}

// addSplits adds candidates with other numbers of parts of K, as far as the
// library can.
func (d *Device) addSplits(pl *plan) {
	for _, v := range splits(pl.key, pl.offered()) {
		c := candidate{algorithm: pl.candidates[pl.index(variant{Index: v.Index})].algorithm, variant: v}
		if C.ar_blas_split(d.blas.handle, &pl.plan, &c.algorithm, C.int(v.Splits), workspaceBytes) == 0 {
			pl.candidates = append(pl.candidates, c)
		}
	}
}

// timeCandidate runs a candidate on scratch memory and says how long one product
// took; ok is false if it cannot run.
func (d *Device) timeCandidate(pl *plan, c *candidate, room *scratch, rounds int) (each time.Duration, ok bool) {
	p := Product{A: room.at.At(room.b), B: room.at, C: room.at.At(room.c)} // as run takes them: exchanged
	ok = true
	all := d.Elapsed(func() {
		for range rounds {
			ok = ok && d.try(pl, c, p, p.C) == 0
		}
	})
	return all / time.Duration(rounds), ok
}

// scratch has operands for a product: random ones, since a GPU multiplies zeros
// faster, and memory for the result, so that nothing of the caller's is touched.
// It is no part of what PeakBytes counts: it is gone before the product begins.
type scratch struct {
	at   Ptr
	b, c int64 // offsets in bytes
}

const fillSource = `
// tune_fill writes random numbers in -1..1, one or two to a word.
extern "C" __global__ void __launch_bounds__(256) tune_fill(unsigned *words, long long n, int halves) {
	for (long long i = (long long)blockIdx.x * 256 + threadIdx.x; i < n; i += (long long)gridDim.x * 256) {
		unsigned h = (unsigned)i * 2654435761u;
		h = (h ^ (h >> 15)) * 2246822519u;
		h = (h ^ (h >> 13)) * 3266489917u;
		h ^= h >> 16;
		float a = (float)(int)(h & 0xffffu) / 32768.f - 1.f, b = (float)(int)(h >> 16) / 32768.f - 1.f;
		words[i] = halves ? __float_as_uint(a) >> 16 | (__float_as_uint(b) & 0xffff0000u) : __float_as_uint(a);
	}
}
`

// makeScratch is false where the GPU has no room; then the product runs with the
// library's best guess.
func (d *Device) makeScratch(s *scratch, k productKey) bool {
	columns := func(trans bool, a, b int) int {
		if trans {
			return a
		}
		return b
	}
	bytes := func(ld, columns int, stride int64, t Type) int64 {
		n := int64(k.Batch-1)*stride + int64(ld)*int64(columns)
		return (n*t.Size() + 511) / 512 * 512
	}
	s.b = bytes(k.LDA, columns(k.TransA, k.M, k.K), k.StrideA, k.In)
	s.c = s.b + bytes(k.LDB, columns(k.TransB, k.K, k.N), k.StrideB, k.In)
	d.thread()
	at, err := cu.MemAlloc(s.c + bytes(k.LDC, k.N, k.StrideC, k.Out))
	runtime.UnlockOSThread()
	if err != nil {
		return false
	}
	s.at = Ptr(at)
	halves := 0
	if k.In == BF16 {
		halves = 1
	}
	words := s.c / 4
	d.Launch(d.Kernel("tune", fillSource, "tune_fill"), Dim{int(min(words/256+1, 1<<12))}, Dim{256}, 0, Address(s.at), Long(words), Int(halves))
	return true
}

func (d *Device) freeScratch(s *scratch) {
	if s.at != 0 {
		d.thread()
		defer runtime.UnlockOSThread()
		cu.MemFree(cu.DevicePtr(s.at)) // waits for the GPU
	}
}

// another drops the chosen candidate of a plan, which cublasLt has refused to run,
// and says whether there is one left.
func (pl *plan) another(code int) bool {
	const invalidValue, notSupported = 7, 15
	if code != invalidValue && code != notSupported || len(pl.candidates) == 1 {
		return false
	}
	pl.candidates = append(pl.candidates[:pl.chosen:pl.chosen], pl.candidates[pl.chosen+1:]...)
	pl.chosen = 0
	return true
}
