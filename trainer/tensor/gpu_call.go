package tensor

import (
	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/cuda"
)

// What an operation works with on a GPU. A forward or backward of gpuOp sees its
// call only through these methods, the shapes of c.in[i] and c.out, c.attrs,
// c.grads ("a Backward will follow, so keep what it needs") and c.loop() (how
// inputs repeat in an elementwise operation; it needs no memory).
//
// Blocks are addresses, an element type and a number of elements: row-major and
// contiguous. Everything is asynchronous, in one order (see package gpu):
// nothing here waits for the GPU, and neither may an operation, so no forward
// or backward reads a result on the host.
//
//	forward   read c.value(i) or c.valueAs(i, typ), fill all of c.result()
//	backward  read c.grad() too, and for each input with a gradient
//	          g, fresh := c.gradOf(i): overwrite all of g if fresh, else add
//
// Types: c.result() has the type of gpu_types.go (or gpuOp.result), a gradient
// that of its tensor. So kernels take any of F32 and BF16 for each argument, or
// the operation asks for the type that it wants with valueAs and gradAs, and
// where it cannot write a type it computes into a temp and lets convert or
// accumulate do the rest.

// kernels launch.
func (c *call) kernels() *cuda.Kernels { return c.dev.acc.k }

// gpu is the GPU itself, for copies and products.
func (c *call) gpu() *gpu.Device { return c.dev.acc.dev }

// value is input i in the type that it has; ids are I32.
func (c *call) value(i int) block { return c.in[i].block() }

// valueAs is input i in the type asked for: as it is, or the cached bfloat16 copy
// of a leaf, or a temporary copy. To be read only.
func (c *call) valueAs(i int, typ gpu.Type) block {
	t := c.in[i]
	b := t.block()
	if b.typ == typ {
		return b
	}
	leaf := t
	if t.root != nil {
		leaf = t.root
	}
	if typ == gpu.BF16 && (leaf.kind == kindParam || leaf.kind == kindConst) {
		return c.dev.acc.inHalf(leaf)
	}
	return c.converted(b, typ)
}

// idsOf is input i, ids, to be used as indices below n. Ids that came from the
// host are checked here, and bad ones panic as on a CPU. Computed ones cannot be
// checked without waiting: kernels treat what is not in 0..n-1 as PoisonID.
func (c *call) idsOf(i, n int) block {
	if g := c.in[i].ids; g != nil && (g.least < PoisonID || int(g.most) >= n) {
		checkIDs(c.op.Name, g.words, n)
	}
	return c.in[i].block()
}

// result is the output, to be overwritten in forward and read in backward.
func (c *call) result() block { return c.out.block() }

// grad is the gradient of the output, in backward. Others may share it: it is to
// be read only.
func (c *call) grad() block { return c.out.gradMem }

// gradAs is grad in the type asked for.
func (c *call) gradAs(typ gpu.Type) block {
	if b := c.grad(); b.typ != typ {
		return c.converted(b, typ)
	}
	return c.grad()
}

// gradOf is the gradient of input i, in the type of the input. none() says that
// it needs no gradient. If fresh, the contents are undefined and must be
// overwritten, all of them; else they must be added to. An input may be there
// twice (x times x): then only the first is fresh, so write one before the next
// is asked for.
func (c *call) gradOf(i int) (g block, fresh bool) {
	t := c.in[i]
	switch {
	case !t.needGrad:
		return block{}, false
	case t.gradMem.none():
		t.gradMem = c.dev.acc.alloc(t.size, t.mem.typ)
		return t.gradMem, true
	}
	c.dev.acc.own(&t.gradMem)
	fresh, t.gradStale = t.gradStale, false
	return t.gradMem, fresh
}

// gradZeroed is gradOf for operations that only add, or that leave elements
// alone: what is fresh has been cleared.
func (c *call) gradZeroed(i int) block {
	g, fresh := c.gradOf(i)
	if fresh {
		c.gpu().Clear(g.at, g.bytes())
	}
	return g
}

// addGrad adds g, all of it, to the gradient of input i, whatever the types are.
func (c *call) addGrad(i int, g block) {
	switch to, fresh := c.gradOf(i); {
	case to.none():
	case fresh:
		c.dev.acc.convert(to, g)
	default:
		c.dev.acc.accumulate(to, g)
	}
}

// pass (op.go) gives the gradient of the output on to an input of that size,
// unchanged. Where it is the first that the input gets, both share it until one
// of them changes: an addition passes one gradient to both sides, and by the time
// that more is added to one of them the other has been used up.

// passBlock is pass on a GPU.
func (c *call) passBlock(i int) {
	t, g := c.in[i], c.out.gradMem
	if t.gradMem.none() && t.kind == kindStep && t.mem.typ == g.typ {
		t.gradMem = g
		c.dev.acc.shared[g.at]++
		return
	}
	c.addGrad(i, g)
}

// keep allocates block k of what backward needs from forward, k from 0 to 3,
// with undefined contents; backward finds it with kept. It lives until the next
// Reset, since a value may go into several losses.
func (c *call) keep(k, n int, typ gpu.Type) block {
	c.kept[k] = c.dev.acc.alloc(n, typ)
	return c.kept[k]
}

// giveKept makes kept block k the gradient of input i, or adds it there. If it
// became the gradient, c.kept[k] is none() from then on.
func (c *call) giveKept(i, k int) {
	t, b := c.in[i], c.kept[k]
	if t.needGrad && t.gradMem.none() && t.kind == kindStep && t.mem.typ == b.typ {
		t.gradMem, c.kept[k] = b, block{}
		return
	}
	c.addGrad(i, b)
}

// temp is memory with undefined contents that lives until forward or backward
// returns.
func (c *call) temp(n int, typ gpu.Type) block { return c.dev.acc.temp(n, typ) }

// temp is the same for helpers that have no call.
func (a *accelerator) temp(n int, typ gpu.Type) block {
	b := a.alloc(n, typ)
	a.temps = append(a.temps, b.at)
	return b
}

// dropTemp gives the newest temp back at once.
func (c *call) dropTemp() {
	a := c.dev.acc
	last := len(a.temps) - 1
	a.dev.Free(a.temps[last])
	a.temps = a.temps[:last]
}

// converted is a temporary copy in another type.
func (c *call) converted(b block, typ gpu.Type) block {
	to := c.temp(b.n, typ)
	c.dev.acc.convert(to, b)
	return to
}
