package tensor

import (
	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/cuda"
)

func init() {
	onGPU["embed"] = gpuOp{
		forward: func(c *call) {
			v, n, ids := c.table()
			c.kernels().Embed(c.result().array(), c.value(0).array(), ids.at, ids.n, v, n)
		},
		backward: func(c *call) {
			v, n, ids := c.table()
			c.kernels().EmbedGrad(c.gradZeroed(0).array(), c.grad().array(), c.sortedIDs(v, ids), n)
		},
	}
	onGPU["gather"] = gpuOp{
		forward: func(c *call) {
			c.kernels().Gather(c.result().array(), c.value(0).array(), c.cudaPicks(c.out.shape))
		},
		backward: func(c *call) {
			p := c.cudaPicks(c.out.shape)
			if g := c.gradZeroed(0).array(); picksRows(p) {
				c.kernels().EmbedGrad(g, c.grad().array(), c.sortedIDs(p.N, c.in[1].mem), p.Inner)
			} else {
				c.kernels().ScatterAdd(g, c.grad().array(), p, false)
			}
		},
	}
	onGPU["scatter_add"] = gpuOp{
		forward: func(c *call) {
			c.kernels().MapFlat("copy", 0, false, c.result().array(), c.value(0).array())
			p := c.cudaPicks(c.in[2].shape)
			if picksRows(p) {
				c.kernels().ScatterRows(c.result().array(), c.value(2).array(), c.sortedIDs(p.N, c.in[1].mem), p.Inner)
			} else {
				c.kernels().ScatterAdd(c.result().array(), c.value(2).array(), p, true)
			}
		},
		backward: func(c *call) {
			if c.in[2].needGrad {
				c.kernels().GatherAdd(c.gradZeroed(2).array(), c.grad().array(), c.cudaPicks(c.in[2].shape))
			}
			c.pass(0)
		},
	}
	onGPU["one_hot"] = gpuOp{forward: func(c *call) {
		c.kernels().OneHot(c.result().array(), c.idsOf(0, c.int(0)).at, c.int(0))
	}}
	onGPU["to_float"] = gpuOp{forward: func(c *call) {
		c.kernels().ToFloat(c.result().array(), c.value(0).at)
	}}
	onGPU["hash_ids"] = gpuOp{forward: func(c *call) {
		c.kernels().HashIDs(c.result().at, c.value(0).at, c.value(1).at, c.out.size, int64(c.int(0)), int64(c.int(1)))
	}}
}

// table is the sizes of an embedding's table [v, n], and its ids.
func (c *call) table() (v, n int, ids block) {
	v, n = c.in[0].shape[0], c.in[0].shape[1]
	return v, n, c.idsOf(1, v)
}

// sortedIDs are the ids of input 1 in order. They stay with it until the next
// Reset, since several tables may be looked up with the same ids; tensors that
// outlive a step, which a graph has, get other ids.
func (c *call) sortedIDs(v int, ids block) cuda.SortedIDs {
	t := c.in[1]
	s := cuda.SortedIDs{N: ids.n, V: v}
	if t.kind != kindStep {
		s.At = c.temp(s.Size(), gpu.I32).at
		c.kernels().SortIDs(s, ids.at)
		return s
	}
	if t.sorted.n != s.Size() {
		c.dev.acc.free(&t.sorted)
		t.sorted = c.dev.acc.alloc(s.Size(), gpu.I32)
		s.At = t.sorted.at
		c.kernels().SortIDs(s, ids.at)
	}
	s.At = t.sorted.at
	return s
}

// cudaPicks describes gather and scatter_add; small is the shape of what is
// picked.
func (c *call) cudaPicks(small []int) cuda.Picks {
	l := c.cudaLanes()
	return cuda.Picks{Lanes: l, IDs: c.idsOf(1, l.N).at, Count: small[c.int(0)],
		Shared: len(c.in[1].shape) == 1 && len(c.in[0].shape) > 1}
}

// picksRows says that whole rows are picked, and many: those are sorted by id, as
// for a table. Otherwise each line is the work of one thread.
func picksRows(p cuda.Picks) bool { return p.Shared && p.Outer == 1 && p.Count >= manyRows }

const manyRows = 64
