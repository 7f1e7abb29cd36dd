package tensor

import (
	"fmt"
	"slices"
	"unsafe"
)

// kind says how long a tensor lives and whether it is trained.
type kind uint8

const (
	kindStep  kind = iota // until the next Reset
	kindParam             // persistent, trained, exported
	kindState             // persistent, checkpointed, never exported
	kindConst             // persistent, exported when a graph uses it
)

// Tensor is a dense row-major array of float32 (or of int32 ids, see
// [Device.Ints]) that lives on a [Device]. A tensor is immutable once made,
// but for persistent leaves under the in-place helpers and SetHost.
type Tensor struct {
	dev   *Device
	name  string
	shape []int
	// data holds the elements; ids are stored as the same 32-bit words, so
	// that operations that only move elements serve both types.
	data  []float32
	size  int // number of elements
	isInt bool
	kind  kind
	gen   uint64 // Device.gen at creation; step tensors die when it moves on; 0 is never alive
	given bool   // made by Ints or Floats rather than computed

	needGrad bool
	made     *call // operation on the tape that made it, nil for leaves
	grad     []float32
	gradT    *Tensor // header for Grad, persistent leaves only

	onDevice // what it has on a GPU, where data and grad are nil
}

// Name is the name given to Param, State or Const, "" for computed tensors.
func (t *Tensor) Name() string { return t.name }

// Shape is the list of dimensions. The caller must not change it.
func (t *Tensor) Shape() []int { return t.shape }

// Rank is the number of dimensions.
func (t *Tensor) Rank() int { return len(t.shape) }

// Dim is dimension i; negative i counts from the end.
func (t *Tensor) Dim(i int) int {
	if i < 0 {
		i += len(t.shape)
	}
	if i < 0 || i >= len(t.shape) {
		fail("dim", "dimension %d of a tensor of shape %v", i, t.shape)
	}
	return t.shape[i]
}

// Size is the number of elements.
func (t *Tensor) Size() int { return t.size }

// IsInt says whether the tensor holds ids rather than floats.
func (t *Tensor) IsInt() bool { return t.isInt }

// Trained says whether the tensor is a Param.
func (t *Tensor) Trained() bool { return t.kind == kindParam }

// Host copies the elements to a new slice on the host.
func (t *Tensor) Host() []float32 {
	t.use("host")
	if t.isInt {
		fail("host", "tensor of shape %v holds ids: use HostInts", t.shape)
	}
	v := make([]float32, t.size)
	t.readFloats(v)
	return v
}

// HostInts copies the elements of an id tensor to a new slice on the host.
func (t *Tensor) HostInts() []int32 {
	t.use("hostints")
	if !t.isInt {
		fail("hostints", "tensor of shape %v holds floats: use Host", t.shape)
	}
	if t.dev.acc != nil {
		return slices.Clone(asInts(t.dev.acc.words(t)))
	}
	return slices.Clone(t.ints())
}

// SetHost overwrites the elements of a persistent tensor.
func (t *Tensor) SetHost(v []float32) {
	if t.kind == kindStep {
		fail("sethost", "only Param, State and Const can be set")
	}
	if len(v) != t.size {
		fail("sethost", "got %d values, want %d for shape %v of %q", len(v), t.size, t.shape, t.name)
	}
	t.writeFloats(v)
}

// Item is the value of a tensor of one element.
func (t *Tensor) Item() float32 {
	t.use("item")
	if t.size != 1 || t.isInt {
		fail("item", "got shape %v, want one float", t.shape)
	}
	if t.dev.acc != nil {
		var v [1]float32
		t.readFloats(v[:])
		return v[0]
	}
	return t.data[0]
}

// Grad is the gradient of a leaf accumulated by Backward since the last
// ZeroGrad, or nil when there is none yet. It has the shape of t and lives as
// long as t; it is overwritten by the next Backward or ZeroGrad.
func (t *Tensor) Grad() *Tensor {
	if !t.hasGrad() || t.kind == kindStep {
		return nil
	}
	if t.gradT == nil {
		t.gradT = &Tensor{dev: t.dev, name: "d" + t.name, shape: t.shape, size: t.size, data: t.grad, kind: kindState}
		t.gradT.mem, t.gradT.gradOf = t.gradMem, t
	}
	return t.gradT
}

// String prints name and shape.
func (t *Tensor) String() string {
	s := fmt.Sprint(t.shape)
	if t.isInt {
		s += "i32"
	}
	if t.name != "" {
		s = t.name + s
	}
	return s
}

// ints views the words of an id tensor as int32.
func (t *Tensor) ints() []int32 { return asInts(t.data) }

func asFloats(i []int32) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(&i[0])), len(i))
}

func asInts(f []float32) []int32 {
	if len(f) == 0 {
		return nil
	}
	return unsafe.Slice((*int32)(unsafe.Pointer(&f[0])), len(f))
}

// use panics when t is a step tensor from before the last Reset.
func (t *Tensor) use(op string) {
	if t.kind != kindStep || t.gen == t.dev.gen {
		return
	}
	if t.gen == 0 {
		fail(op, "a tensor of shape %v was made in a Scope that has ended: use it inside, or keep it in a State", t.shape)
	}
	fail(op, "a tensor of shape %v was made before the last Reset: compute it again in this step, or keep it in a State", t.shape)
}

func (t *Tensor) spec() Spec { return Spec{Shape: t.shape, Int: t.isInt} }

// strides in elements of a row-major shape.
func strides(shape []int) []int {
	s := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n *= shape[i]
	}
	return s
}

// sizeOf multiplies the dimensions; ok is false when one is below 1 or the
// product would not fit an int32-indexed buffer.
func sizeOf(shape []int) (n int, ok bool) {
	n = 1
	for _, d := range shape {
		if d < 1 || d > maxElements || n > maxElements/d {
			return 0, false
		}
		n *= d
	}
	return n, true
}

const maxElements = 1 << 31 / 2
