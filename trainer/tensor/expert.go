package tensor

import (
	"fmt"
	"slices"
)

// opExpertMatMul multiplies every row by the matrix that its id names: the
// sparse half of a mixture of experts. Rows are sorted by expert, so that each
// expert is one product; no row is ever dropped, and none sees another.
var opExpertMatMul = register(Op{
	Name: "expert_matmul", Arity: 3,
	Infer: func(_ Attrs, in []Spec) (Spec, error) {
		x, w, ids := in[0], in[1], in[2]
		if err := floats(in[:2]); err != nil {
			return Spec{}, err
		}
		if !ids.Int || len(w.Shape) != 3 || len(x.Shape) < 1 {
			return Spec{}, fmt.Errorf("want x [...,K], weights [E,N,K] and ids of experts [...]")
		}
		n := len(x.Shape) - 1
		if x.Shape[n] != w.Shape[2] {
			return Spec{}, fmt.Errorf("inner dimensions differ: %d against %d: weights are [E,N,K]", x.Shape[n], w.Shape[2])
		}
		if !slices.Equal(x.Shape[:n], ids.Shape) {
			return Spec{}, fmt.Errorf("ids have shape %v, want one expert for each row: %v", ids.Shape, x.Shape[:n])
		}
		return checked(append(slices.Clone(ids.Shape), w.Shape[1]))
	},
	Forward: func(c *call) {
		d, y := c.dev, c.out.data
		mark := d.mem.mark()
		defer d.mem.release(mark)
		r := c.route()
		x, out := r.gather(c.in[0].data, r.k), d.mem.alloc(len(y))
		for e := range r.e {
			if lo, n := r.rows(e); n > 0 {
				d.gemm(n, r.n, r.k, rowMajor(x[lo*r.k:], r.k), transposed(r.matrix(c.in[1].data, e), r.k), out[lo*r.n:], false)
			}
		}
		if len(r.order) < c.in[2].size {
			fillNaN(y) // rows with an unknown expert
		}
		for i, row := range r.order {
			copy(y[int(row)*r.n:][:r.n], out[i*r.n:])
		}
		if d.hasNaN(c.in[1].data) { // any expert could have been chosen
			r.poison(y, c.in[1].data)
		}
	},
	Backward: func(c *call) {
		d := c.dev
		dx, dw := c.din(0), c.din(1)
		mark := d.mem.mark()
		defer d.mem.release(mark)
		r := c.route()
		dy := r.gather(c.dout, r.n)
		if dw != nil { // dw = dyᵀ x for each expert
			x := r.gather(c.in[0].data, r.k)
			for e := range r.e {
				if lo, n := r.rows(e); n > 0 {
					d.gemm(r.n, r.k, n, transposed(dy[lo*r.n:], r.n), rowMajor(x[lo*r.k:], r.k), r.matrix(dw, e), true)
				}
			}
		}
		if dx == nil {
			return
		}
		g := d.mem.alloc(len(r.order) * r.k)
		for e := range r.e {
			if lo, n := r.rows(e); n > 0 {
				d.gemm(n, r.k, r.n, rowMajor(dy[lo*r.n:], r.n), rowMajor(r.matrix(c.in[1].data, e), r.k), g[lo*r.k:], false)
			}
		}
		for i, row := range r.order {
			to := dx[int(row)*r.k:][:r.k]
			d.kern.Add(to, to, g[i*r.k:][:r.k])
		}
	},
})

// routing is which rows go to which expert.
type routing struct {
	dev     *Device
	e, n, k int
	order   []int32 // rows with a known expert, sorted by it
	start   []int32 // of each expert in order; one more at the end
}

// route sorts the rows; its memory is the caller's to release.
func (c *call) route() routing {
	w, ids := c.in[1].shape, c.in[2].ints()
	r := routing{dev: c.dev, e: w[0], n: w[1], k: w[2]}
	checkIDs(c.op.Name, ids, r.e)
	r.start = asInts(c.dev.mem.alloc(r.e + 1))
	clear(r.start)
	for _, id := range ids {
		if id >= 0 {
			r.start[id+1]++
		}
	}
	for e := range r.e {
		r.start[e+1] += r.start[e]
	}
	r.order = asInts(c.dev.mem.alloc(len(ids)))[:r.start[r.e]]
	next := asInts(c.dev.mem.alloc(r.e))
	copy(next, r.start)
	for row, id := range ids {
		if id >= 0 {
			r.order[next[id]] = int32(row)
			next[id]++
		}
	}
	return r
}

// rows of an expert: n of them, from lo on in order.
func (r *routing) rows(e int) (lo, n int) { return int(r.start[e]), int(r.start[e+1] - r.start[e]) }

// gather copies rows of size n of src into the order of experts.
func (r *routing) gather(src []float32, n int) []float32 {
	out := r.dev.mem.alloc(max(1, len(r.order)*n))
	for i, row := range r.order {
		copy(out[i*n:(i+1)*n], src[int(row)*n:])
	}
	return out
}

// matrix is the [N,K] of one expert.
func (r *routing) matrix(w []float32, e int) []float32 { return w[e*r.n*r.k : (e+1)*r.n*r.k] }

// poison makes column j NaN where row j of any expert has a NaN.
func (r *routing) poison(y, w []float32) {
	for j := range r.n {
		bad := false
		for e := 0; e < r.e && !bad; e++ {
			bad = laneHasNaN(w, (e*r.n+j)*r.k, 1, r.k)
		}
		for i := j; bad && i < len(y); i += r.n {
			y[i] = nan32
		}
	}
}

// ExpertMatMul multiplies each row of t [...,K] by the transposed matrix that
// its id in experts [...] names among w [E,N,K]; the result is [...,N]. With
// the ids of TopK it is a mixture of experts that computes only what is chosen:
//
//	gate, ids := router.Softmax().TopK(2)
//	for k := range 2 { y = y.Add(x.ExpertMatMul(w, ids_k).Mul(gate_k)) }
func (t *Tensor) ExpertMatMul(w, experts *Tensor) *Tensor {
	return apply(opExpertMatMul, Attrs{}, t, w, experts)
}
