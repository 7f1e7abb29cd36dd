package tensor

import (
	"slices"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// Deferred operations. Each operation reads and writes all its elements, and
// memory is what a GPU has least of for the likes of RoPE and the RMSNorm behind
// it: one pass for both takes half the time. So an operation that says so
// (gpuOp.defers) is not computed when it is called, but when its result is
// read. A reader that knows how does both at once:
//
//	forward   p := c.deferred(0, "rope"); if p != nil, read p.value(0) instead
//	          of c.value(0), and set c.fused = p. The result of p is then never
//	          computed, unless somebody else reads it, or c also fills p.claim().
//	backward  if p := c.fused; p != nil, the gradient may go to p.gradOf(0) at
//	          once: c.gradOf(0), the gradient of p's result, stays none, so p's
//	          own backward does not run (or adds what others give).
//
// Only calls on values of the same step are deferred: those do not change, and
// live as long as the result. All others read values through block(), which
// catches up, so deferring changes no result but by rounding: what is fused does
// not round in between.

// mayDefer says that nothing can come between a call and its reader.
func (a *accelerator) mayDefer(c *call) bool {
	for _, t := range c.in {
		if t.kind != kindStep || t.root != nil {
			return false
		}
	}
	return !a.eager
}

func (a *accelerator) deferCall(c *call, typ gpu.Type) {
	c.out.mem, c.out.owned = block{typ: typ, n: c.out.size}, true
	c.out.deferred = c
	a.late = append(a.late, c)
}

// catchUp computes a deferred result.
func (a *accelerator) catchUp(t *Tensor) {
	c := t.deferred
	c.claim()
	a.launch(c, onGPU[c.op.Name])
}

// catchUpReaders computes what is deferred and reads t.
func (a *accelerator) catchUpReaders(t *Tensor) {
	for _, c := range a.late {
		if c.out != nil && c.out.deferred == c && slices.ContainsFunc(c.in, func(in *Tensor) bool { return in.mem.at == t.mem.at }) {
			a.catchUp(c.out)
		}
	}
}

// deferred is the call of the named operation whose result input i is, if that
// has not been computed, else nil.
func (c *call) deferred(i int, op string) *call {
	if p := c.in[i].deferred; p != nil && p.op.Name == op {
		return p
	}
	return nil
}

// claim gives the result of a deferred call its memory, for the caller to fill.
func (c *call) claim() block {
	c.out.deferred = nil
	c.out.mem = c.dev.acc.alloc(c.out.size, c.out.mem.typ)
	return c.out.mem
}
