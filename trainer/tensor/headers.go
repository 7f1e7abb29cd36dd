package tensor

import (
	"runtime"
	"slices"
	"sync"
)

// A step makes hundreds of small objects: a Tensor and a call per operation.
// Calls are private to the device, so those of the last step serve the next.
// Tensors are not: a program may hold one beyond Reset, which must find it
// dead for ever. So a Tensor is used again only when the garbage collector
// says that nobody holds it: Tensors come in slabs, and a slab that has become
// unreachable returns by its finalizer. Since a step that allocates nothing
// starts no collection by itself, retire does it when much is outstanding.

// slabSize is how many Tensors live and die together; one that a program holds
// keeps them all.
const slabSize = 64

type slab struct {
	tensors [slabSize]Tensor
	owner   *headers
}

// outstanding is how many retired slabs start a collection: some 8 MiB. Tests
// lower it.
var outstanding = 1024

// headers hands out the Tensors and calls of a step.
type headers struct {
	slabs   []*slab // of this step
	tensors int     // in use of them
	calls   []*callMem
	used    int // in use of calls
	plan    []*inferred

	mu      sync.Mutex
	spare   []*slab // ready
	made    int     // all there are
	retired int     // given up since the last collection
}

// callMem is a call with room for the usual numbers of inputs and attributes.
type callMem struct {
	call
	in     [4]*Tensor
	ints   [6]int
	floats [4]float32
}

// inferred is the result of shape inference at one place of a step. Steps
// repeat, so the next one finds it there and need not infer (and allocate)
// again. Its slices never change, since Tensors share them.
type inferred struct {
	op    *Op
	attrs Attrs
	in    []Spec
	out   Spec
	loop  *loop // over the output, see call.loop
}

// tensor returns a Tensor to be filled, and the place's inference.
func (h *headers) tensor() (*Tensor, **inferred) {
	i := h.tensors
	if i/slabSize == len(h.slabs) {
		h.slabs = append(h.slabs, h.slab())
	}
	if i == len(h.plan) {
		h.plan = append(h.plan, &inferred{})
	}
	h.tensors++
	return &h.slabs[i/slabSize].tensors[i%slabSize], &h.plan[i]
}

func (h *headers) slab() *slab {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.spare); n > 0 {
		s := h.spare[n-1]
		h.spare = h.spare[:n-1]
		return s
	}
	h.made++
	return &slab{owner: h}
}

// call returns a call with copies of attributes and inputs.
func (h *headers) call(op *Op, a Attrs, in []*Tensor) *call {
	if h.used == len(h.calls) {
		for _, m := range make([]callMem, slabSize) {
			h.calls = append(h.calls, &m)
		}
	}
	m := h.calls[h.used]
	h.used++
	m.call = call{op: op, dev: in[0].dev, in: append(m.in[:0], in...),
		attrs: Attrs{Ints: append(m.ints[:0], a.Ints...), Floats: append(m.floats[:0], a.Floats...)}}
	return &m.call
}

// kill makes the Tensors of the step from the given one on dead.
func (h *headers) kill(from int) {
	for i := from; i < h.tensors; i++ {
		t := &h.slabs[i/slabSize].tensors[i%slabSize]
		t.data, t.gen, t.onDevice = nil, 0, onDevice{}
	}
}

// retire ends the step: its Tensors are dead, its calls are free.
func (h *headers) retire() {
	for i := range h.tensors {
		t := &h.slabs[i/slabSize].tensors[i%slabSize]
		// Nothing in a slab may point to it, or it would hold itself.
		t.made, t.data, t.grad, t.onDevice = nil, nil, nil, onDevice{}
	}
	for _, m := range h.calls[:h.used] {
		m.call, m.in = call{}, [4]*Tensor{}
	}
	for _, s := range h.slabs {
		runtime.SetFinalizer(s, (*slab).comeBack)
	}
	h.mu.Lock()
	h.retired += len(h.slabs)
	low := h.retired > max(outstanding, 4*len(h.slabs)) && len(h.spare) < 2*len(h.slabs)
	if low {
		h.retired = 0
	}
	h.mu.Unlock()
	clear(h.slabs)
	h.slabs, h.tensors, h.used = h.slabs[:0], 0, 0
	if low {
		runtime.GC()
	}
}

// comeBack runs when nobody can use the slab's Tensors any more.
func (s *slab) comeBack() {
	s.owner.mu.Lock()
	defer s.owner.mu.Unlock()
	s.owner.spare = append(s.owner.spare, s)
}

// fits says whether the inference is that of a call.
func (p *inferred) fits(c *call) bool {
	if p.op != c.op || len(p.in) != len(c.in) || !slices.Equal(p.attrs.Ints, c.attrs.Ints) || !slices.Equal(p.attrs.Floats, c.attrs.Floats) {
		return false
	}
	for i, t := range c.in {
		if p.in[i].Int != t.isInt || !slices.Equal(p.in[i].Shape, t.shape) {
			return false
		}
	}
	return true
}

// infer is the shape inference of a call, from p if it is the same again.
func (c *call) infer(p **inferred) Spec {
	if !(*p).fits(c) {
		n := &inferred{op: c.op, attrs: Attrs{slices.Clone(c.attrs.Ints), slices.Clone(c.attrs.Floats)}}
		for _, t := range c.in {
			n.in = append(n.in, t.spec())
		}
		out, err := c.op.Infer(n.attrs, n.in)
		if err != nil {
			e := &Error{Op: c.op.Name, Msg: err.Error()}
			for _, s := range n.in {
				e.Shapes = append(e.Shapes, s.String())
			}
			panic(e)
		}
		n.out = out
		*p = n
	}
	c.plan = *p
	return c.plan.out
}
