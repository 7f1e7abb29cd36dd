package tensortest

import (
	"fmt"
	"slices"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// matmul is x @ w, or x @ wᵀ; w of rank 2 is shared.
func matmul(x, w *Array, trans bool) *Array {
	n, k := w.dim(-1), w.dim(-2)
	if trans {
		n, k = k, n
	}
	out := newArray(with(x.Shape, len(x.Shape)-1, n)...)
	per := len(x.X) / k * n * k / len(w.X) // rows of x for each matrix of w
	for i := range out.X {
		row, col := i/n, i%n
		xs, ws := x.X[row*k:(row+1)*k], w.X[row/per*n*k:]
		for j, v := range xs {
			if trans {
				out.X[i] += v * ws[col*k+j]
			} else {
				out.X[i] += v * ws[j*n+col]
			}
		}
	}
	return out
}

func productCases() (l []Case) {
	for _, s := range []struct{ x, w []int }{ // w as [...,K,N]
		{[]int{3, 4}, []int{4, 5}}, {[]int{2, 3, 4}, []int{4, 2}}, {[]int{2, 2, 3, 4}, []int{2, 2, 4, 2}}, {[]int{2, 1, 2, 3, 2}, []int{2, 1, 2, 2, 3}},
		{[]int{4}, []int{4, 3}}, {[]int{1, 1}, []int{1, 1}}, {[]int{13, 33}, []int{33, 17}}, {[]int{65, 5}, []int{5, 49}}, {[]int{3, 300}, []int{300, 70}},
	} {
		for _, trans := range []bool{false, true} {
			op, w := "matmul", slices.Clone(s.w)
			n := len(w)
			if trans {
				op = "matmul_t"
				w[n-1], w[n-2] = w[n-2], w[n-1]
			}
			l = append(l, Case{Op: op, Name: fmt.Sprint(s.x, w), In: []Input{floats(s.x...), floats(w...)}, Tol: 1e-5,
				Build: func(in tensors) *tensor.Tensor {
					if trans {
						return in[0].MatMulT(in[1])
					}
					return in[0].MatMul(in[1])
				},
				Ref: func(in arrays) *Array { return matmul(in[0], in[1], trans) },
				Reads: func(k int, e, o []int) bool {
					if k == 0 { // a row of x makes a row of the result
						return slices.Equal(e[:len(e)-1], o[:len(e)-1])
					}
					column := e[n-1]
					if trans {
						column = e[n-2]
					}
					return column == o[len(o)-1] && (n == 2 || slices.Equal(e[:n-2], o[:n-2]))
				}})
		}
	}
	return l
}

// squareCases multiply a matrix with itself, which backends may do by halves.
func squareCases() (l []Case) {
	for _, shape := range [][]int{{3, 4}, {70, 5}, {33, 130}} {
		l = append(l, Case{Op: "matmul_t", Name: fmt.Sprint("itself ", shape), In: []Input{floats(shape...)}, Tol: 1e-5,
			Build: func(in tensors) *tensor.Tensor { return in[0].MatMulT(in[0]) },
			Ref:   func(in arrays) *Array { return matmul(in[0], in[0], true) },
			Reads: func(_ int, e, o []int) bool { return e[0] == o[0] || e[0] == o[1] }})
	}
	return l
}

// sees says which column j of scores [...,T,S] row i sees.
func sees(t, s, window, i, j int) bool {
	newest := i + s - t
	return j <= newest && (window == 0 || j > newest-window)
}

func causalMatMul(x, v *Array, window int) *Array {
	last := len(x.Shape) - 1
	t, s := x.dim(-2), x.dim(-1)
	return fill(with(x.Shape, last, v.dim(-1)), func(o []int) (y float64) {
		for j := range s {
			if sees(t, s, window, o[last-1], j) {
				y += x.at(with(o, last, j)...) * v.at(with(o, last-1, j)...)
			}
		}
		return y
	})
}

// causalSoftmax takes softmax over what each row sees, 0 elsewhere.
func causalSoftmax(x *Array, window int) *Array {
	t, s, row := x.dim(-2), x.dim(-1), 0
	return overLines(x, len(x.Shape)-1, func(line []float64) []float64 {
		from, to := 0, row%t+s-t+1
		for !sees(t, s, window, row%t, from) {
			from++
		}
		row++
		y := make([]float64, s)
		copy(y[from:], softmax(line[from:to]))
		return y
	})
}

func causalCases() (l []Case) {
	for _, c := range []struct{ t, s, window int }{{5, 5, 0}, {5, 5, 2}, {4, 6, 0}, {3, 6, 3}, {1, 4, 0}, {70, 70, 0}, {70, 71, 5}} {
		name := fmt.Sprintf("%dx%d window %d", c.t, c.s, c.window)
		x, v := floats(2, c.t, c.s), floats(2, c.s, 3)
		seen := func(i, j int) bool { return sees(c.t, c.s, c.window, i, j) }
		l = append(l, Case{Op: "causal_mask", Name: name, In: []Input{x},
			Build: func(in tensors) *tensor.Tensor { return in[0].CausalMask(c.window) },
			Ref: func(in arrays) *Array {
				return fill(in[0].Shape, func(o []int) float64 { return truth(seen(o[1], o[2])) * in[0].at(o...) })
			},
			Reads: func(_ int, e, o []int) bool { return slices.Equal(e, o) && seen(o[1], o[2]) }})
		l = append(l, Case{Op: "causal_softmax", Name: name, In: []Input{x},
			Build: func(in tensors) *tensor.Tensor { return in[0].CausalSoftmax(c.window) },
			Ref:   func(in arrays) *Array { return causalSoftmax(in[0], c.window) },
			Reads: func(_ int, e, o []int) bool {
				return slices.Equal(e[:2], o[:2]) && seen(o[1], e[2]) && seen(o[1], o[2])
			}})
		l = append(l, Case{Op: "causal_matmul", Name: name, In: []Input{x, v}, Tol: 1e-5,
			Build: func(in tensors) *tensor.Tensor { return in[0].CausalMatMul(in[1], c.window) },
			Ref:   func(in arrays) *Array { return causalMatMul(in[0], in[1], c.window) },
			Reads: func(k int, e, o []int) bool {
				if k == 0 {
					return slices.Equal(e[:2], o[:2]) && seen(e[1], e[2])
				}
				return e[0] == o[0] && e[2] == o[2] && seen(o[1], e[1])
			}})
	}
	return l
}

// causalSolve is forward substitution below the diagonal of x.
func causalSolve(x, b *Array) *Array {
	t, n := b.dim(-2), b.dim(-1)
	y := &Array{Shape: b.Shape, X: slices.Clone(b.X)}
	for row := range len(b.X) / n {
		for j := range row % t {
			for c := range n {
				y.X[row*n+c] -= x.X[row*t+j] * y.X[(row-row%t+j)*n+c]
			}
		}
	}
	return y
}

func solveCases() (l []Case) {
	for _, c := range []struct{ t, n int }{{4, 3}, {1, 2}, {7, 1}, {12, 20}} {
		l = append(l, Case{Op: "causal_solve", Name: fmt.Sprint(c), In: []Input{small(2, c.t, c.t), floats(2, c.t, c.n)}, Tol: 1e-5,
			Build: func(in tensors) *tensor.Tensor { return in[0].CausalSolve(in[1]) },
			Ref:   func(in arrays) *Array { return causalSolve(in[0], in[1]) },
			Reads: func(k int, e, o []int) bool {
				if k == 0 {
					return e[0] == o[0] && e[2] < e[1] && e[1] <= o[1]
				}
				return e[0] == o[0] && e[1] <= o[1] && e[2] == o[2]
			}})
	}
	return l
}

func expertMatMul(x, w, ids *Array) *Array {
	return fill(join(ids.Shape, w.Shape[1]), func(o []int) (s float64) {
		row := o[:len(o)-1]
		for k := range w.Shape[2] {
			s += x.at(join(row, k)...) * w.at(int(ids.at(row...)), o[len(o)-1], k)
		}
		return s
	})
}

func expertCases() (l []Case) {
	for _, in := range [][]Input{
		{floats(2, 3, 4), floats(3, 5, 4), ids(3, 2, 3)},
		{floats(7, 3), floats(4, 2, 3), ids(2, 7)}, // two experts that nobody asks
		{floats(1, 40, 20), floats(2, 33, 20), ids(2, 1, 40)},
	} {
		l = append(l, Case{Op: "expert_matmul", In: in, Tol: 1e-5,
			Build: func(in tensors) *tensor.Tensor { return in[0].ExpertMatMul(in[1], in[2]) },
			Ref:   func(in arrays) *Array { return expertMatMul(in[0], in[1], in[2]) },
			Reads: func(k int, e, o []int) bool {
				row := len(o) - 1
				if k == 1 { // any expert could have been chosen
					return e[1] == o[row]
				}
				return slices.Equal(e[:row], o[:row])
			}})
	}
	return l
}
