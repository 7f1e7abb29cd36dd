package tensor

import (
	"fmt"
	"slices"
)

// opTopK gives ids only; the values are a Gather, which has the gradient.
var opTopK = register(Op{
	Name: "topk", Arity: 1, Ints: []string{"k"},
	Infer: func(a Attrs, in []Spec) (Spec, error) {
		if err := floats(in); err != nil {
			return Spec{}, err
		}
		s := slices.Clone(in[0].Shape)
		k := a.Ints[0]
		if len(s) == 0 {
			return Spec{}, fmt.Errorf("want rank of at least 1")
		}
		if k < 1 || k > s[len(s)-1] {
			return Spec{}, fmt.Errorf("k is %d, want 1..%d, the size of the last dimension", k, s[len(s)-1])
		}
		s[len(s)-1] = k
		return Spec{Shape: s, Int: true}, nil
	},
	Forward: func(c *call) {
		x, ids, k := c.in[0].data, c.out.ints(), c.int(0)
		n := c.in[0].Dim(-1)
		c.dev.pool.run(len(x)/n, max(1, elemGrain/(n*k)), func(_, lo, hi int) {
			for r := lo; r < hi; r++ {
				topK(ids[r*k:(r+1)*k], x[r*n:(r+1)*n])
			}
		})
	},
})

// topK writes the positions of the largest values, larger first, earlier first
// among equals; all poison when a value is NaN.
func topK(ids []int32, x []float32) {
	n := 0
	for i, v := range x {
		if v != v {
			for j := range ids {
				ids[j] = PoisonID
			}
			return
		}
		j := n
		if n < len(ids) {
			n++
		} else if v <= x[ids[n-1]] {
			continue
		} else {
			j = n - 1
		}
		for ; j > 0 && v > x[ids[j-1]]; j-- {
			ids[j] = ids[j-1]
		}
		ids[j] = int32(i)
	}
}

// TopK gives the k largest values along the last axis, larger first, and
// their positions as ids: both [...,k].
func (t *Tensor) TopK(k int) (values, ids *Tensor) {
	ids = apply(opTopK, Attrs{Ints: []int{k}}, t)
	if len(t.shape) == 1 {
		return t.Gather(0, ids), ids
	}
	return t.Gather(-1, ids), ids
}
