package tensor

import (
	"slices"
	"unsafe"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// block is an array in the memory of a GPU.
type block struct {
	at  gpu.Ptr // 0 is none
	typ gpu.Type
	n   int // elements
}

func (b block) none() bool { return b.at == 0 }

func (b block) bytes() int64 { return int64(b.n) * b.typ.Size() }

// part is n elements from the given one on.
func (b block) part(from, n int) block {
	return block{b.at.At(int64(from) * b.typ.Size()), b.typ, n}
}

// onDevice is what a tensor has on a GPU.
type onDevice struct {
	mem       block // the elements
	owned     bool  // mem is freed with the tensor: it is of this step and no view
	gradMem   block // the gradient, of the type of mem
	gradStale bool  // the gradient is zero, whatever gradMem has; leaves only
	gradOf    *Tensor
	root      *Tensor   // the leaf whose memory a view shares
	half      *halfCopy // of leaves
	ids       *givenIDs
	sorted    block // ids in order: see call.sortedIDs
	deferred  *call // that computes mem when it is read
}

// halfCopy is a leaf in bfloat16, for products.
type halfCopy struct {
	mem   block
	fresh bool // it has the leaf's present values
}

// givenIDs are ids that came from the host: a copy, and their range.
type givenIDs struct {
	words       []int32
	least, most int32
}

// share makes t a view of the memory of x.
func (t *Tensor) share(x *Tensor) {
	t.mem = x.block()
	t.ids = x.ids
	if t.root = x.root; x.kind != kindStep {
		t.root = x
	}
}

// block is the elements of t.
func (t *Tensor) block() block {
	if g := t.gradOf; g != nil && g.gradStale {
		g.settle()
	}
	if t.deferred != nil {
		t.dev.acc.catchUp(t)
	}
	return t.mem
}

// settle writes the zeros of a stale gradient.
func (t *Tensor) settle() {
	if t.gradStale {
		t.dev.acc.dev.Clear(t.gradMem.at, t.gradMem.bytes())
		t.gradStale = false
	}
}

// hasGrad says whether a gradient has been allocated.
func (t *Tensor) hasGrad() bool { return t.grad != nil || !t.gradMem.none() }

// changes says that the elements of t are about to become others.
func (t *Tensor) changes() {
	if t.root != nil {
		t = t.root
	}
	if t.kind == kindStep {
		t.dev.acc.catchUpReaders(t)
	}
	if t.half != nil {
		t.half.fresh = false
	}
}

// inHalf is the copy of a leaf in bfloat16.
func (a *accelerator) inHalf(leaf *Tensor) block {
	if leaf.half == nil {
		leaf.half = &halfCopy{mem: a.alloc(leaf.size, gpu.BF16)}
	}
	if !leaf.half.fresh {
		a.convert(leaf.half.mem, leaf.block())
		leaf.half.fresh = true
	}
	return leaf.half.mem
}

// alloc returns memory with undefined contents.
func (a *accelerator) alloc(n int, typ gpu.Type) block {
	b := block{typ: typ, n: n}
	b.at = a.dev.Alloc(b.bytes())
	if dirtyMemory {
		a.soil(b)
	}
	return b
}

// zeros returns float32 zeros.
func (a *accelerator) zeros(n int) block {
	b := a.alloc(n, gpu.F32)
	a.dev.Clear(b.at, b.bytes())
	return b
}

// soil fills memory with NaN (ids with PoisonID).
func (a *accelerator) soil(b block) {
	x := make([]uint16, b.bytes()/2)
	for i := range x {
		x[i] = 0xffff
	}
	a.dev.CopyIn(b.at, unsafe.Pointer(&x[0]), b.bytes())
}

// free gives a block back, if there is one that nobody else shares, and forgets
// it.
func (a *accelerator) free(b *block) {
	if n := a.shared[b.at]; n > 1 {
		a.shared[b.at] = n - 1
	} else if n == 1 {
		delete(a.shared, b.at)
	} else if b.at != 0 {
		a.dev.Free(b.at)
	}
	*b = block{}
}

// own makes a shared block b's alone, with the same contents.
func (a *accelerator) own(b *block) {
	if a.shared[b.at] > 0 {
		c := a.alloc(b.n, b.typ)
		a.dev.Copy(c.at, b.at, b.bytes())
		a.free(b)
		*b = c
	}
}

// freeTemps frees all but the first n.
func (a *accelerator) freeTemps(n int) {
	for _, p := range a.temps[n:] {
		a.dev.Free(p)
	}
	a.temps = a.temps[:n]
}

// upload overwrites a block of floats with src, as many, rounded if it is
// bfloat16.
func (a *accelerator) upload(b block, src []float32) {
	if b.typ != gpu.BF16 {
		a.dev.CopyIn(b.at, unsafe.Pointer(&src[0]), b.bytes())
		return
	}
	x := a.room(b.n)
	for i, v := range src {
		x[i] = toBF16(v)
	}
	a.dev.CopyIn(b.at, unsafe.Pointer(&x[0]), b.bytes())
}

// download copies a block to dst, as many; ids become the same words.
func (a *accelerator) download(dst []float32, b block) {
	if b.typ != gpu.BF16 {
		a.dev.CopyOut(unsafe.Pointer(&dst[0]), b.at, b.bytes())
		return
	}
	x := a.room(b.n)
	a.dev.CopyOut(unsafe.Pointer(&x[0]), b.at, b.bytes())
	for i, v := range x {
		dst[i] = fromBF16(v)
	}
}

func (a *accelerator) room(n int) []uint16 {
	if cap(a.bits) < n {
		a.bits = make([]uint16, roundUp(n, 1024))
	}
	return a.bits[:n]
}

// given puts ids on the GPU and keeps a copy on the host until the next Reset,
// so that their range can be checked without waiting for the GPU.
func (a *accelerator) given(t *Tensor, v []int32) {
	words := asInts(a.d.mem.alloc(len(v)))
	copy(words, v)
	a.setIDs(t, words)
}

// setIDs is given for words that last as long as t.
func (a *accelerator) setIDs(t *Tensor, words []int32) {
	t.ids = &givenIDs{words: words, least: slices.Min(words), most: slices.Max(words)}
	a.dev.CopyIn(t.mem.at, unsafe.Pointer(&words[0]), t.mem.bytes())
}

// words are the elements of an id tensor on the host.
func (a *accelerator) words(t *Tensor) []float32 {
	if t.ids != nil {
		return asFloats(t.ids.words)
	}
	x := make([]float32, t.size)
	a.download(x, t.mem)
	return x
}
