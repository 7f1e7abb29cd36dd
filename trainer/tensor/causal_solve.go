package tensor

import (
	"fmt"
	"slices"
)

// opCausalSolve solves (I + L) y = b by forward substitution, where L is what
// the rows of scores [...,T,T] see before themselves: y[i] = b[i] - sum over
// j < i of scores[i,j] y[j]. It is what makes the delta rule parallel.
var opCausalSolve = register(Op{
	Name: "causal_solve", Arity: 2,
	Infer: func(_ Attrs, in []Spec) (Spec, error) {
		if err := floats(in); err != nil {
			return Spec{}, err
		}
		x, b := in[0].Shape, in[1].Shape
		n := len(x)
		if n < 2 || x[n-1] != x[n-2] {
			return Spec{}, fmt.Errorf("want square scores [...,T,T]")
		}
		if len(b) != n || !slices.Equal(x[:n-1], b[:n-1]) {
			return Spec{}, fmt.Errorf("want values [...,T,N] with the dimensions of the scores before N")
		}
		return in[1], nil
	},
	Forward: func(c *call) {
		copy(c.out.data, c.in[1].data)
		c.each(c.solves(), func(c *call, _, entry int) {
			x, y, t, n := c.solve(entry, c.out.data)
			for i := range t {
				for j := range i {
					c.dev.kern.Axpy(y[i*n:(i+1)*n], -x[i*t+j], y[j*n:(j+1)*n])
				}
			}
		})
	},
	Backward: func(c *call) { // db solves the transposed system; dscores = -db yᵀ
		c.arg.a, c.arg.b = c.din(0), c.din(1)
		c.arg.g = c.dev.mem.alloc(len(c.dout))
		copy(c.arg.g, c.dout)
		c.each(c.solves(), func(c *call, _, entry int) {
			k := c.dev.kern
			x, g, t, n := c.solve(entry, c.arg.g)
			for i := t - 1; i >= 0; i-- {
				for j := range i {
					k.Axpy(g[j*n:(j+1)*n], -x[i*t+j], g[i*n:(i+1)*n])
				}
			}
			if db := c.arg.b; db != nil {
				db = db[entry*t*n:][:t*n]
				k.Add(db, db, g)
			}
			if dx := c.arg.a; dx != nil {
				_, y, _, _ := c.solve(entry, c.out.data)
				for i := range t {
					for j := range i {
						dx[(entry*t+i)*t+j] -= k.Dot(g[i*n:(i+1)*n], y[j*n:(j+1)*n])
					}
				}
			}
		})
	},
})

// solves is how many systems there are.
func (c *call) solves() int { return c.in[0].size / (c.in[0].Dim(-1) * c.in[0].Dim(-1)) }

// solve is the scores [T,T] and the part [T,N] of v of one system.
func (c *call) solve(entry int, v []float32) (x, y []float32, t, n int) {
	t, n = c.in[0].Dim(-1), c.out.Dim(-1)
	return c.in[0].data[entry*t*t:][:t*t], v[entry*t*n:][:t*n], t, n
}

// CausalSolve is (I + L)⁻¹ b for scores t [...,T,T] and b [...,T,N], where L is
// the part of t below its diagonal; the rest is not read. The delta rule of
// DeltaNet (Yang et al. 2024, "Parallelizing Linear Transformers with the Delta
// Rule over Sequence Length") is
//
//	u := k.MatMulT(k).Mul(beta).CausalSolve(v.Mul(beta))
//	y := q.MatMulT(k).CausalMatMul(u, 0)
func (t *Tensor) CausalSolve(b *Tensor) *Tensor { return apply(opCausalSolve, Attrs{}, t, b) }
