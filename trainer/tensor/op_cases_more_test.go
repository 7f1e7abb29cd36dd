package tensor

import "slices"

// causalCase is a case over scores [2,T,S]; sees says whether row i may read
// column j.
func causalCases() []opCase {
	var l []opCase
	for _, c := range []struct{ t, s, window int }{{5, 5, 0}, {5, 5, 2}, {4, 6, 0}, {3, 6, 3}, {1, 4, 0}, {70, 70, 0}, {70, 71, 5}} {
		sees := func(i, j int) bool {
			to := i + c.s - c.t
			return j <= to && (c.window == 0 || j > to-c.window)
		}
		in := [][]int{{2, c.t, c.s}}
		l = append(l, opCase{op: "causal_mask", in: in, f: func(in []*Tensor) *Tensor { return in[0].CausalMask(c.window) },
			dep: func(_ int, e, o []int) bool { return slices.Equal(e, o) && sees(o[1], o[2]) }})
		if c.t < 20 {
			l = append(l, opCase{op: "causal_softmax", in: in, f: func(in []*Tensor) *Tensor { return in[0].CausalSoftmax(c.window) },
				dep: func(_ int, e, o []int) bool {
					return slices.Equal(e[:2], o[:2]) && sees(o[1], e[2]) && sees(o[1], o[2])
				}})
		}
		l = append(l, opCase{op: "causal_matmul", in: [][]int{in[0], {2, c.s, 3}},
			f: func(in []*Tensor) *Tensor { return in[0].CausalMatMul(in[1], c.window) },
			dep: func(k int, e, o []int) bool {
				if k == 0 {
					return slices.Equal(e[:2], o[:2]) && sees(e[1], e[2])
				}
				return e[0] == o[0] && e[2] == o[2] && sees(o[1], e[1])
			}})
	}
	return l
}

func scanCases() []opCase {
	s := []int{2, 4, 3}
	var l []opCase
	for axis := range 3 {
		l = append(l, opCase{op: "scan", in: [][]int{s, s}, f: func(in []*Tensor) *Tensor { return in[0].Scan(axis, in[1]) },
			dep: func(k int, e, o []int) bool {
				return along(axis, func(e, o int) bool { return e <= o && (k == 0 || e > 0) })(k, e, o)
			}})
	}
	return l
}

func moreCases() []opCase {
	s := [][]int{{2, 3, 4}}
	l := []opCase{
		unaryCase("sin", false, (*Tensor).Sin),
		unaryCase("cos", false, (*Tensor).Cos),
		unaryCase("erf", false, (*Tensor).Erf),
		unaryCase("softplus", false, (*Tensor).Softplus),
		unaryCase("reciprocal", true, (*Tensor).Reciprocal),
		unaryCase("leaky_relu", false, func(t *Tensor) *Tensor { return t.LeakyRelu(0.1) }),
		unaryCase("pow", true, func(t *Tensor) *Tensor { return t.Pow(1.7) }),
		unaryCase("pow", false, func(t *Tensor) *Tensor { return t.Pow(3) }),
		unaryCase("pow", false, func(t *Tensor) *Tensor { return t.Pow(0) }),
		unaryCase("at_least", false, func(t *Tensor) *Tensor { return t.AtLeast(0.3) }),
		unaryCase("at_most", false, func(t *Tensor) *Tensor { return t.AtMost(0.3) }),
		unaryCase("sign", false, (*Tensor).Sign),
		unaryCase("floor", false, (*Tensor).Floor),
		{op: "broadcast_to", in: [][]int{{3, 1}}, dep: bc([]int{3, 1}),
			f: func(in []*Tensor) *Tensor { return in[0].BroadcastTo(2, 3, 4) }},
		{op: "broadcast_to", in: [][]int{{2, 1, 3}}, dep: func(_ int, e, o []int) bool { return e[0] == o[0] && e[2] == o[2] },
			f: func(in []*Tensor) *Tensor { return in[0].BroadcastTo(2, 4, 3) }},
		{op: "broadcast_to", in: s, dep: func(_ int, e, o []int) bool { return e[0] == o[0] && e[1] == o[1]/2 && e[2] == o[2] },
			f: func(in []*Tensor) *Tensor { return in[0].Repeat(1, 2) }},
		{op: "one_hot", ids: 4, in: [][]int{{0, 2, 3}}, dep: func(_ int, e, o []int) bool { return slices.Equal(e, o[:2]) },
			f: func(in []*Tensor) *Tensor { return in[0].OneHot(4) }},
		{op: "to_float", ids: 9, in: [][]int{{0, 2, 3}}, dep: bc([]int{2, 3}),
			f: func(in []*Tensor) *Tensor { return in[0].ToFloat() }},
		{op: "hash_ids", ids: 9, in: [][]int{{0, 2, 3}, {0, 2, 3}}, dep: bc([]int{2, 3}, []int{2, 3}),
			f: func(in []*Tensor) *Tensor { return in[0].HashIDs(in[1], 31, 7) }},
		{op: "expert_matmul", ids: 3, in: [][]int{{2, 3, 4}, {3, 5, 4}, {0, 2, 3}},
			f: func(in []*Tensor) *Tensor { return in[0].ExpertMatMul(in[1], in[2]) },
			dep: func(k int, e, o []int) bool {
				if k == 1 {
					return e[1] == o[2]
				}
				return slices.Equal(e[:2], o[:2])
			}},
		{op: "expert_matmul", ids: 2, in: [][]int{{7, 3}, {4, 2, 3}, {0, 7}},
			f: func(in []*Tensor) *Tensor { return in[0].ExpertMatMul(in[1], in[2]) },
			dep: func(k int, e, o []int) bool {
				if k == 1 {
					return e[1] == o[1]
				}
				return e[0] == o[0]
			}},
	}
	l = append(l, binaryCases("equal", false, (*Tensor).Equal)...)
	l = append(l, scanCases()...)
	return append(l, causalCases()...)
}
