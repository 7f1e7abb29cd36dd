package tensor

import (
	"slices"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// gpuExecutor is a graph bound to a GPU. Weights are there once; a value is
// freed after the last node that reads it.
type gpuExecutor struct {
	a      *accelerator
	calls  []*call            // one per node, nil for leaves
	dies   [][]*Tensor        // after each node
	copies map[string]*Tensor // weights that are not a live tensor's own
	ids    *Tensor
	out    *Tensor
	logits []float32
}

func (g *Graph) bindGPU(d *Device) *gpuExecutor {
	if g.gpuExec != nil && g.gpuExec.a == d.acc {
		return g.gpuExec
	}
	e := &gpuExecutor{a: d.acc, calls: make([]*call, len(g.nodes)), dies: make([][]*Tensor, len(g.nodes)), copies: map[string]*Tensor{}}
	p := g.plan()
	ts := make([]*Tensor, len(g.nodes))
	for i, n := range g.nodes {
		// Neither of this step nor a Const: they outlive Reset, and products keep
		// no copies of them.
		size, _ := sizeOf(n.spec.Shape)
		t := &Tensor{dev: d, shape: n.spec.Shape, size: size, isInt: n.spec.Int, kind: kindState}
		switch {
		case n.kind == nodeWeight:
			t = e.weight(g, n, t)
		case n.op == nil:
			t.mem = e.a.alloc(size, gpu.I32)
			if n.kind == nodeInts {
				e.a.setIDs(t, n.ints)
			}
		}
		ts[i] = t
		if n.op != nil {
			e.calls[i] = &call{op: n.op, dev: d, attrs: n.attrs, out: t}
			for _, j := range n.in {
				e.calls[i].in = append(e.calls[i].in, ts[j])
			}
			if last := p.last[i]; p.root[i] == i && last < len(g.nodes) {
				e.dies[last] = append(e.dies[last], t)
			}
		}
	}
	e.ids, e.out = ts[0], ts[g.output]
	g.gpuExec = e
	return e
}

// weight is the tensor of a weight: the live one, if it is of this device.
func (e *gpuExecutor) weight(g *Graph, n node, t *Tensor) *Tensor {
	if live := g.live[n.name]; live != nil {
		if live.dev == t.dev {
			return live
		}
		live.readFloats(g.weights[n.name].Data)
	}
	t.kind = kindConst
	t.mem = e.a.alloc(t.size, gpu.F32)
	t.writeFloats(g.weights[n.name].Data)
	e.copies[n.name] = t
	return t
}

func (e *gpuExecutor) reload(g *Graph) {
	for name, t := range e.copies {
		t.writeFloats(g.weights[name].Data)
	}
}

// forward computes all nodes; e.out then has the logits, until free.
func (e *gpuExecutor) forward(ids []int32) {
	e.a.setIDs(e.ids, slices.Clone(ids))
	done := false
	e.a.eager = true // values die on time
	defer func() {
		e.a.eager = false
		if !done { // a bad id, or the GPU has no memory: nothing may stay
			e.free()
		}
	}()
	for i, c := range e.calls {
		if c == nil {
			continue
		}
		e.a.forward(c)
		for _, t := range e.dies[i] {
			e.a.free(&t.mem)
		}
	}
	done = true
}

// free gives back what forward has left.
func (e *gpuExecutor) free() {
	e.a.freeTemps(0)
	for _, c := range e.calls {
		if c != nil && c.out.owned {
			e.a.free(&c.out.mem)
		}
	}
}

func (e *gpuExecutor) run(ids []int32) []float32 {
	defer e.free()
	e.forward(ids)
	if e.logits == nil {
		e.logits = make([]float32, e.out.size)
	}
	e.a.download(e.logits, e.out.mem)
	return e.logits
}
