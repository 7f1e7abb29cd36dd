package tensor

import "slices"

// opCase is one use of an operation that the conformance tests run: gradients
// against finite differences, the NaN rule, and every kernel set against the
// plain one. Every registered operation needs at least one.
type opCase struct {
	op  string
	in  [][]int // shapes of the inputs; a leading 0 marks ids, see ids
	ids int     // ids are drawn from 0..ids
	f   func(in []*Tensor) *Tensor
	pos bool // inputs are positive: roots, logarithms
	// dep says whether output element o may depend on element e of input k.
	dep func(k int, e, o []int) bool
}

// bc: elementwise with broadcasting, aligned at the right.
func bc(shapes ...[]int) func(k int, e, o []int) bool {
	return func(k int, e, o []int) bool {
		o = o[len(o)-len(e):]
		for i := range e {
			if shapes[k][i] > 1 && e[i] != o[i] {
				return false
			}
		}
		return true
	}
}

// along: the same position, but for one axis where test judges.
func along(axis int, test func(e, o int) bool) func(k int, e, o []int) bool {
	return func(_ int, e, o []int) bool {
		for i := range e {
			if i != axis && e[i] != o[i] || i == axis && !test(e[i], o[i]) {
				return false
			}
		}
		return true
	}
}

func any2(_, _ int) bool            { return true }
func equal2(e, o int) bool          { return e == o }
func always(int, []int, []int) bool { return true }

func unaryCase(op string, pos bool, f func(t *Tensor) *Tensor) opCase {
	s := []int{3, 5}
	return opCase{op: op, in: [][]int{s}, pos: pos, dep: bc(s), f: func(in []*Tensor) *Tensor { return f(in[0]) }}
}

func binaryCases(op string, pos bool, f func(a, b *Tensor) *Tensor) []opCase {
	var l []opCase
	for _, s := range [][2][]int{
		{{3, 4}, {3, 4}}, {{2, 3, 4}, {4}}, {{2, 3, 4}, {2, 1, 4}}, {{2, 3, 1}, {2, 3, 4}}, {{3, 1}, {1, 4}}, {{1}, {2, 3}}, {{2, 1, 3}, {4, 1}},
	} {
		l = append(l, opCase{op: op, in: [][]int{s[0], s[1]}, pos: pos, dep: bc(s[0], s[1]),
			f: func(in []*Tensor) *Tensor { return f(in[0], in[1]) }})
	}
	return l
}

func attentionCase(t, nh, nkv, d, window int) opCase {
	if window == 0 {
		window = t
	}
	q, kv := []int{2, t, nh, d}, []int{2, t, nkv, d}
	return opCase{op: "attention", in: [][]int{q, kv, kv},
		f: func(in []*Tensor) *Tensor { return in[0].Attention(in[1], in[2], window) },
		dep: func(k int, e, o []int) bool {
			if e[0] != o[0] {
				return false
			}
			if k == 0 {
				return e[1] == o[1] && e[2] == o[2]
			}
			if e[2] != o[2]*nkv/nh || e[1] > o[1] || e[1] <= o[1]-window {
				return false
			}
			return k == 1 || e[3] == o[3]
		}}
}

func matmulCases() []opCase {
	dep := func(trans bool) func(k int, e, o []int) bool {
		return func(k int, e, o []int) bool {
			n := len(e)
			if k == 0 { // a row of x makes a row of the result
				return slices.Equal(e[:n-1], o[:n-1])
			}
			if n > 2 && !slices.Equal(e[:n-2], o[:n-2]) {
				return false
			}
			if trans {
				return e[n-2] == o[len(o)-1]
			}
			return e[n-1] == o[len(o)-1]
		}
	}
	mm := func(in []*Tensor) *Tensor { return in[0].MatMul(in[1]) }
	mt := func(in []*Tensor) *Tensor { return in[0].MatMulT(in[1]) }
	return []opCase{
		{op: "matmul", in: [][]int{{3, 4}, {4, 5}}, f: mm, dep: dep(false)},
		{op: "matmul", in: [][]int{{2, 3, 4}, {4, 2}}, f: mm, dep: dep(false)},
		{op: "matmul", in: [][]int{{2, 2, 3, 4}, {2, 2, 4, 2}}, f: mm, dep: dep(false)},
		{op: "matmul_t", in: [][]int{{3, 4}, {5, 4}}, f: mt, dep: dep(true)},
		{op: "matmul_t", in: [][]int{{4}, {5, 4}}, f: mt, dep: dep(true)},
		{op: "matmul_t", in: [][]int{{2, 3, 4}, {2, 5, 4}}, f: mt, dep: dep(true)},
	}
}

func shapeCases() []opCase {
	s := [][]int{{2, 3, 4}}
	return []opCase{
		{op: "reshape", in: s, f: func(in []*Tensor) *Tensor { return in[0].Reshape(6, -1) },
			dep: func(_ int, e, o []int) bool { return (e[0]*3+e[1])*4+e[2] == o[0]*4+o[1] }},
		{op: "detach", in: s, f: func(in []*Tensor) *Tensor { return in[0].Detach() }, dep: bc(s...)},
		{op: "permute", in: s, f: func(in []*Tensor) *Tensor { return in[0].Permute(2, 0, 1) },
			dep: func(_ int, e, o []int) bool { return e[0] == o[1] && e[1] == o[2] && e[2] == o[0] }},
		{op: "permute", in: s, f: func(in []*Tensor) *Tensor { return in[0].Permute(1, 0, 2) },
			dep: func(_ int, e, o []int) bool { return e[0] == o[1] && e[1] == o[0] && e[2] == o[2] }},
		{op: "slice", in: s, f: func(in []*Tensor) *Tensor { return in[0].Slice(1, 1, 3) },
			dep: along(1, func(e, o int) bool { return e == o+1 })},
		{op: "concat", in: [][]int{{2, 1, 3}, {2, 2, 3}}, f: func(in []*Tensor) *Tensor { return in[0].Concat(1, in[1]) },
			dep: func(k int, e, o []int) bool { return along(1, func(e, o int) bool { return e+k == o })(k, e, o) }},
		{op: "shift", in: s, f: func(in []*Tensor) *Tensor { return in[0].Shift(1, 1) },
			dep: along(1, func(e, o int) bool { return e+1 == o })},
		{op: "shift", in: s, f: func(in []*Tensor) *Tensor { return in[0].Shift(-1, -2) },
			dep: along(2, func(e, o int) bool { return e-2 == o })},
		{op: "shift", in: s, f: func(in []*Tensor) *Tensor { return in[0].Shift(1, 9) },
			dep: func(int, []int, []int) bool { return false }},
	}
}

func reduceCases() []opCase {
	s := [][]int{{2, 3, 4}}
	var l []opCase
	for name, f := range map[string]func(t *Tensor, axis int) *Tensor{
		"sum": (*Tensor).Sum, "mean": (*Tensor).Mean, "max": (*Tensor).Max} {
		for axis := range 3 {
			l = append(l, opCase{op: name, in: s, dep: along(axis, any2), f: func(in []*Tensor) *Tensor { return f(in[0], axis) }})
		}
	}
	for axis := range 3 {
		l = append(l, opCase{op: "cumsum", in: s, f: func(in []*Tensor) *Tensor { return in[0].CumSum(axis) },
			dep: along(axis, func(e, o int) bool { return e <= o })})
	}
	return append(l,
		opCase{op: "softmax", in: [][]int{{3, 19}}, f: func(in []*Tensor) *Tensor { return in[0].Softmax() }, dep: along(1, any2)},
		opCase{op: "rms_norm", in: [][]int{{3, 5}}, f: func(in []*Tensor) *Tensor { return in[0].RMSNorm(1e-5) }, dep: along(1, any2)},
	)
}

// Ids inputs have shape {0, dims...}.
func indexCases() []opCase {
	lane := func(axis int) func(k int, e, o []int) bool {
		return func(k int, e, o []int) bool {
			if k == 1 {
				return slices.Equal(e, o)
			}
			return along(axis, any2)(k, e, o)
		}
	}
	return []opCase{
		{op: "embed", ids: 5, in: [][]int{{5, 3}, {0, 2, 4}}, f: func(in []*Tensor) *Tensor { return in[0].Embed(in[1]) },
			dep: func(k int, e, o []int) bool {
				if k == 0 {
					return e[1] == o[2]
				}
				return slices.Equal(e, o[:2])
			}},
		{op: "gather", ids: 4, in: [][]int{{2, 4, 3}, {0, 2, 5, 3}}, dep: lane(1),
			f: func(in []*Tensor) *Tensor { return in[0].Gather(1, in[1]) }},
		{op: "gather", ids: 3, in: [][]int{{2, 3}, {0, 4}}, f: func(in []*Tensor) *Tensor { return in[0].Gather(1, in[1]) },
			dep: func(k int, e, o []int) bool {
				if k == 1 {
					return e[0] == o[1]
				}
				return e[0] == o[0]
			}},
		{op: "scatter_add", ids: 4, in: [][]int{{2, 4, 3}, {0, 2, 5, 3}, {2, 5, 3}},
			f: func(in []*Tensor) *Tensor { return in[0].ScatterAdd(1, in[1], in[2]) },
			dep: func(k int, e, o []int) bool {
				if k == 0 {
					return slices.Equal(e, o)
				}
				return along(1, any2)(k, e, o)
			}},
		{op: "scatter_add", ids: 4, in: [][]int{{3, 4}, {0, 2}, {3, 2}},
			f: func(in []*Tensor) *Tensor { return in[0].ScatterAdd(1, in[1], in[2]) },
			dep: func(k int, e, o []int) bool {
				switch k {
				case 0:
					return slices.Equal(e, o)
				case 1:
					return true
				}
				return e[0] == o[0]
			}},
		{op: "topk", in: [][]int{{3, 6}}, dep: along(1, any2),
			f: func(in []*Tensor) *Tensor { _, ids := in[0].TopK(2); return ids }},
		{op: "gather", in: [][]int{{3, 6}}, dep: along(1, any2),
			f: func(in []*Tensor) *Tensor { v, _ := in[0].TopK(3); return v }},
		{op: "cross_entropy", ids: 7, in: [][]int{{2, 3, 7}, {0, 2, 3}}, dep: always,
			f: func(in []*Tensor) *Tensor { return in[0].CrossEntropy(in[1], 0) }},
		{op: "cross_entropy", ids: 7, in: [][]int{{4, 7}, {0, 4}}, dep: always,
			f: func(in []*Tensor) *Tensor { return in[0].CrossEntropy(in[1], 2) }},
		{op: "linear_cross_entropy", ids: 7, in: [][]int{{2, 3, 4}, {7, 4}, {0, 2, 3}}, dep: always,
			f: func(in []*Tensor) *Tensor { return in[0].LinearCrossEntropy(in[1], in[2], 0) }},
		{op: "linear_cross_entropy", ids: 5, in: [][]int{{300, 3}, {5, 3}, {0, 300}}, dep: always,
			f: func(in []*Tensor) *Tensor { return in[0].LinearCrossEntropy(in[1], in[2], 1.5) }},
		{op: "cross_entropy", ids: 7, in: [][]int{{2, 600}, {0, 2}}, dep: always,
			f: func(in []*Tensor) *Tensor { return in[0].CrossEntropy(in[1], 2) }},
	}
}

func opCases() []opCase {
	l := []opCase{
		unaryCase("add_scalar", false, func(t *Tensor) *Tensor { return t.AddScalar(0.3) }),
		unaryCase("scale", false, func(t *Tensor) *Tensor { return t.Scale(-1.7) }),
		unaryCase("neg", false, (*Tensor).Neg),
		unaryCase("exp", false, (*Tensor).Exp),
		unaryCase("log", true, (*Tensor).Log),
		unaryCase("tanh", false, (*Tensor).Tanh),
		unaryCase("sigmoid", false, (*Tensor).Sigmoid),
		unaryCase("relu", false, (*Tensor).Relu),
		unaryCase("relu_square", false, (*Tensor).ReluSquare),
		unaryCase("silu", false, (*Tensor).Silu),
		unaryCase("gelu", false, (*Tensor).Gelu),
		unaryCase("sqrt", true, (*Tensor).Sqrt),
		unaryCase("rsqrt", true, (*Tensor).Rsqrt),
		unaryCase("square", false, (*Tensor).Square),
		unaryCase("abs", false, (*Tensor).Abs),
		unaryCase("softcap", false, func(t *Tensor) *Tensor { return t.Softcap(1.5) }),
		{op: "where", in: [][]int{{3, 4}, {4}, {3, 1}}, dep: bc([]int{3, 4}, []int{4}, []int{3, 1}),
			f: func(in []*Tensor) *Tensor { return in[0].Relu().Where(in[1], in[2]) }},
		{op: "rope", in: [][]int{{2, 3, 2, 4}}, f: func(in []*Tensor) *Tensor { return in[0].RoPE(100) },
			dep: func(_ int, e, o []int) bool { return slices.Equal(e[:3], o[:3]) && e[3]%2 == o[3]%2 }},
		{op: "causal_conv", in: [][]int{{2, 5, 3}, {3, 3}}, f: func(in []*Tensor) *Tensor { return in[0].CausalConv(in[1]) },
			dep: func(k int, e, o []int) bool {
				if k == 1 { // the kernel's row e meets time o-2+e, if there is one
					return e[1] == o[2] && o[1] >= 2-e[0]
				}
				return e[0] == o[0] && e[2] == o[2] && e[1] <= o[1] && e[1] > o[1]-3
			}},
		{op: "custom", in: [][]int{{3}, {3}}, dep: always, f: func(in []*Tensor) *Tensor {
			return Custom("dot", in, []int{1}, func(out []float32, in [][]float32) {
				out[0] = dotSlow(in[0], in[1])
			}, func(dout []float32, in, din [][]float32) {
				for i := range in[0] {
					din[0][i] += dout[0] * in[1][i]
					din[1][i] += dout[0] * in[0][i]
				}
			})
		}},
		attentionCase(5, 2, 2, 4, 0),
		attentionCase(6, 4, 2, 2, 3),
		attentionCase(5, 2, 1, 4, 1),
		attentionCase(70, 2, 1, 2, 0), // more than one block
		attentionCase(70, 1, 1, 2, 3),
	}
	l = append(l, binaryCases("add", false, (*Tensor).Add)...)
	l = append(l, binaryCases("sub", false, (*Tensor).Sub)...)
	l = append(l, binaryCases("mul", false, (*Tensor).Mul)...)
	l = append(l, binaryCases("div", true, (*Tensor).Div)...)
	l = append(l, binaryCases("maximum", false, (*Tensor).Maximum)...)
	l = append(l, binaryCases("minimum", false, (*Tensor).Minimum)...)
	l = append(l, binaryCases("greater", false, (*Tensor).Greater)...)
	l = append(l, matmulCases()...)
	l = append(l, shapeCases()...)
	l = append(l, reduceCases()...)
	l = append(l, moreCases()...)
	return append(l, indexCases()...)
}

func dotSlow(a, b []float32) (s float32) {
	for i := range a {
		s += a[i] * b[i]
	}
	return s
}
