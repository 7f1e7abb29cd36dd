package tensor

import "github.com/autoresearch-go/autoresearch/gpu"

// In mixed precision the type of a result follows from the operation and the
// types of its inputs, whether or not there is a kernel:
//
//	products, attention, embed   bfloat16
//	losses, sums, means, maxima  float32
//	all others                   bfloat16 if all inputs of floats are that have
//	                             the size of the result (all of them, if none
//	                             has), else float32
//
// So Params, States and what is given are float32, the stream between them is
// bfloat16, and a scale of one number per row or channel changes no type. A
// gradient has the type of its tensor. In the other precisions nothing is
// bfloat16.

// toProducts and toFloat32 name the operations that do not follow their inputs.
var (
	toProducts = map[string]bool{"matmul": true, "matmul_t": true, "causal_matmul": true, "expert_matmul": true, "attention": true, "embed": true}
	toFloat32  = map[string]bool{"sum": true, "mean": true, "max": true, "cross_entropy": true, "linear_cross_entropy": true, "one_hot": true, "to_float": true, "custom": true}
)

func (a *accelerator) resultType(c *call, g gpuOp) gpu.Type {
	switch {
	case c.out.isInt:
		return gpu.I32
	case a.typ == gpu.F32:
		return gpu.F32
	case g.result != nil:
		return g.result(c)
	case toProducts[c.op.Name]:
		return a.typ
	case toFloat32[c.op.Name]:
		return gpu.F32
	}
	return resultLikeInputs(c)
}

// resultLikeInputs is the type of operations that follow their inputs.
func resultLikeInputs(c *call) gpu.Type {
	typ, any := gpu.BF16, gpu.BF16
	found := false
	for _, t := range c.in {
		switch {
		case t.isInt:
		case t.mem.typ == gpu.F32:
			any = gpu.F32
			if t.size == c.out.size {
				typ, found = gpu.F32, true
			}
		default:
			found = found || t.size == c.out.size
		}
	}
	if found {
		return typ
	}
	return any
}
