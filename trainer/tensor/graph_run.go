package tensor

import (
	"fmt"
	"slices"
)

// plan places every intermediate value in one slab so that values whose lives
// do not overlap share memory. Views share their source's place.
type plan struct {
	root   []int // node that owns the memory: itself unless a view
	last   []int // last node that reads the memory of a root
	offset []int // of roots that are operations
	floats int
}

type hole struct{ from, to int }

func (g *Graph) plan() *plan {
	n := len(g.nodes)
	p := &plan{root: make([]int, n), last: make([]int, n), offset: make([]int, n)}
	for i, nd := range g.nodes {
		p.root[i] = i
		if nd.op != nil && nd.op.View {
			p.root[i] = p.root[nd.in[0]]
		}
		p.last[p.root[i]] = i
		for _, j := range nd.in {
			p.last[p.root[j]] = i
		}
	}
	p.last[p.root[g.output]] = n
	var free []hole
	size := func(i int) int {
		s, _ := sizeOf(g.nodes[i].spec.Shape)
		return roundUp(s, arenaAlign)
	}
	ends := make([][]int, n+1) // roots whose last reader is this node
	for i, nd := range g.nodes {
		if nd.op != nil && p.root[i] == i {
			ends[p.last[i]] = append(ends[p.last[i]], i)
		}
	}
	for i, nd := range g.nodes {
		if nd.op != nil && p.root[i] == i {
			p.offset[i] = p.place(&free, size(i))
		}
		for _, r := range ends[i] {
			free = release(free, hole{p.offset[r], p.offset[r] + size(r)})
		}
	}
	return p
}

// place takes the smallest hole that fits, or grows the slab.
func (p *plan) place(free *[]hole, size int) int {
	best := -1
	for i, h := range *free {
		if h.to-h.from >= size && (best < 0 || h.to-h.from < (*free)[best].to-(*free)[best].from) {
			best = i
		}
	}
	if best < 0 {
		at := p.floats
		if k := len(*free) - 1; k >= 0 && (*free)[k].to == p.floats { // extend the last hole
			at = (*free)[k].from
			*free = (*free)[:k]
		}
		p.floats = at + size
		return at
	}
	h := &(*free)[best]
	at := h.from
	if h.from += size; h.from == h.to {
		*free = slices.Delete(*free, best, best+1)
	}
	return at
}

// release adds a hole, kept in order and joined with its neighbours.
func release(free []hole, h hole) []hole {
	i, _ := slices.BinarySearchFunc(free, h, func(a, b hole) int { return a.from - b.from })
	free = slices.Insert(free, i, h)
	if i+1 < len(free) && free[i].to == free[i+1].from {
		free[i].to = free[i+1].to
		free = slices.Delete(free, i+1, i+2)
	}
	if i > 0 && free[i-1].to == free[i].from {
		free[i-1].to = free[i].to
		free = slices.Delete(free, i, i+1)
	}
	return free
}

// executor is a graph bound to a device.
type executor struct {
	dev   *Device
	slab  []float32
	calls []*call // one per node, nil for leaves
	ids   *Tensor
	out   *Tensor
	last  *call // the last attention if it is over [B,T], or nil
}

func (g *Graph) bind(d *Device) *executor {
	if g.exec != nil && g.exec.dev == d {
		return g.exec
	}
	p := g.plan()
	g.Weights() // on a GPU, their present values
	e := &executor{dev: d, slab: make([]float32, p.floats), calls: make([]*call, len(g.nodes))}
	d.held += int64(p.floats) * 4
	ts := make([]*Tensor, len(g.nodes))
	for i, n := range g.nodes {
		size, _ := sizeOf(n.spec.Shape)
		// kindConst: these tensors outlive Reset.
		t := &Tensor{dev: d, shape: n.spec.Shape, size: size, isInt: n.spec.Int, kind: kindConst}
		ts[i] = t
		switch {
		case n.kind == nodeWeight:
			t.data = g.weights[n.name].Data
		case n.op == nil:
			t.data = make([]float32, size)
			copy(t.ints(), n.ints)
		case n.op.View:
			t.data = ts[n.in[0]].data
		default:
			t.data = e.slab[p.offset[i] : p.offset[i]+size]
		}
		if n.op != nil {
			e.calls[i] = &call{op: n.op, dev: d, attrs: n.attrs, out: t}
			for _, j := range n.in {
				e.calls[i].in = append(e.calls[i].in, ts[j])
			}
			if n.op == opAttention {
				if e.last = nil; slices.Equal(n.spec.Shape[:2], ts[0].shape) {
					e.last = e.calls[i]
				}
			}
		}
	}
	e.ids, e.out = ts[0], ts[g.output]
	g.exec = e
	return e
}

// Run computes the logits [B,T,V] of B*T ids, row-major. PoisonID is allowed
// and stands for a token that must not matter. The result is borrowed until
// the next Run of this graph. No tape, no gradients: memory is that of the
// values alive at once. A traced graph sees the current weights.
func (g *Graph) Run(d *Device, ids []int32) (logits []float32, err error) {
	return g.RunAt(d, ids, nil)
}

// RunAt is Run for the logits at one position of each batch row, at[b]. It
// poisons what it takes to matter for other positions only: the other results
// of the last attention. So these logits are those of Run, or NaN if the model
// mixes positions after that; and by the NaN rule none is finite that would
// not be so in Run. With at nil it is Run.
func (g *Graph) RunAt(d *Device, ids []int32, at []int) (logits []float32, err error) {
	err = g.guarded(d, ids, at, func() {
		if d.acc != nil {
			logits = g.bindGPU(d).run(ids)
			return
		}
		e := g.bind(d)
		if e.last != nil {
			e.last.only = at
		}
		copy(e.ids.ints(), ids)
		for _, c := range e.calls {
			if c != nil && !c.op.View {
				c.op.Forward(c)
			}
		}
		logits = e.out.data
	})
	return logits, err
}

// guarded checks the arguments of a run, and makes what the graph's operations
// panic with an error.
func (g *Graph) guarded(d *Device, ids []int32, at []int, f func()) (err error) {
	b, t := g.BT()
	if len(ids) != b*t {
		return fmt.Errorf("tensor: graph: got %d ids, want [%d %d]", len(ids), b, t)
	}
	if at != nil && (len(at) != b || slices.Min(at) < 0 || slices.Max(at) >= t) {
		return fmt.Errorf("tensor: graph: got positions %v, want one in 0..%d for each of %d rows", at, t-1, b)
	}
	defer func() {
		if p := recover(); p != nil {
			te, ok := p.(*Error)
			if !ok {
				panic(p)
			}
			err = fmt.Errorf("tensor: graph: %w", te)
		}
	}()
	defer d.mem.release(d.mem.mark())
	f()
	return nil
}
