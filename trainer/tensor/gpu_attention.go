package tensor

import (
	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/cuda"
)

func init() {
	onGPU["attention"] = gpuOp{fits: attentionFits, forward: attentionOnGPU, backward: attentionBackwardOnGPU}
}

func attentionFits(c *call) bool { return c.heads().d <= cuda.MaxHeadDim }

// attention is the call as the kernels know it. Its arrays have one type, that of
// the result.
func (c *call) attention() cuda.Attention {
	h := c.heads()
	return cuda.Attention{B: h.b, T: h.t, NH: h.nh, NKV: h.nkv, D: h.d, Window: h.window, Type: c.result().typ}
}

// attentionOnGPU keeps the logarithms of the rows' sums, [B,NH,T].
func attentionOnGPU(c *call) {
	a := c.attention()
	q, k, v := c.valueAs(0, a.Type), c.valueAs(1, a.Type), c.valueAs(2, a.Type)
	var lse gpu.Ptr
	if c.grads {
		lse = c.keep(0, a.B*a.NH*a.T, gpu.F32).at
	}
	a.Forward(c.kernels(), c.result().at, lse, q.at, k.at, v.at)
}

// attentionBackwardOnGPU asks for all gradients before the first is written: the
// kernels write dq, dk and dv in this order, so one tensor may be two inputs.
func attentionBackwardOnGPU(c *call) {
	a := c.attention()
	q, k, v, dout := c.valueAs(0, a.Type), c.valueAs(1, a.Type), c.valueAs(2, a.Type), c.gradAs(a.Type)
	var g cuda.AttentionGrads
	var late [3]block // gradients of another type than the kernels'
	to, add := [3]*gpu.Ptr{&g.Q, &g.K, &g.V}, [3]*bool{&g.AddQ, &g.AddK, &g.AddV}
	for i, t := range c.in {
		switch {
		case !t.needGrad:
		case t.mem.typ != a.Type:
			late[i] = c.temp(t.size, a.Type)
			*to[i] = late[i].at
		default:
			b, fresh := c.gradOf(i)
			*to[i], *add[i] = b.at, !fresh
		}
	}
	delta := c.temp(a.B*a.NH*a.T, gpu.F32)
	a.Backward(c.kernels(), g, c.result().at, dout.at, c.kept[0].at, delta.at, q.at, k.at, v.at)
	for i, b := range late {
		if !b.none() {
			c.addGrad(i, b)
		}
	}
}
