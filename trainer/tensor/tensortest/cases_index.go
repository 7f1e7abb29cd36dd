package tensortest

import (
	"math"
	"slices"
	"sort"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

func embed(table, ids *Array) *Array {
	return fill(join(ids.Shape, table.Shape[1]), func(o []int) float64 {
		return table.at(int(ids.at(o[:len(o)-1]...)), o[len(o)-1])
	})
}

// idAt finds the id for an element of the small side of Gather and ScatterAdd.
func idAt(ids *Array, axis int, o []int) int {
	if len(ids.Shape) == 1 && len(o) > 1 {
		return int(ids.at(o[axis]))
	}
	return int(ids.at(o...))
}

func gatherCase(axis int, x, i Input) Case {
	shared := len(i.Shape) == 1 && len(x.Shape) > 1
	return Case{Op: "gather", In: []Input{x, i},
		Build: func(in tensors) *tensor.Tensor { return in[0].Gather(axis, in[1]) },
		Ref: func(in arrays) *Array {
			return fill(with(in[0].Shape, axis, in[1].Shape[min(axis, len(in[1].Shape)-1)]), func(o []int) float64 {
				return in[0].at(with(o, axis, idAt(in[1], axis, o))...)
			})
		},
		Reads: func(k int, e, o []int) bool {
			switch {
			case k == 1 && shared:
				return e[0] == o[axis]
			case k == 1:
				return slices.Equal(e, o)
			}
			return whole(axis)(k, e, o)
		}}
}

func scatterCase(axis int, x, i, src Input) Case {
	return Case{Op: "scatter_add", In: []Input{x, i, src},
		Build: func(in tensors) *tensor.Tensor { return in[0].ScatterAdd(axis, in[1], in[2]) },
		Ref: func(in arrays) *Array {
			return fill(in[0].Shape, func(o []int) float64 {
				y := in[0].at(o...)
				for j := range in[2].Shape[axis] {
					if e := with(o, axis, j); idAt(in[1], axis, e) == o[axis] {
						y += in[2].at(e...)
					}
				}
				return y
			})
		},
		Reads: func(k int, e, o []int) bool {
			switch {
			case k == 0:
				return slices.Equal(e, o)
			case k == 1 && len(e) == 1: // shared by all lines
				return true
			}
			return whole(axis)(k, e, o)
		}}
}

// topK are the positions of the largest, earlier first among equals.
func topK(line []float64, k int) []int {
	at := make([]int, len(line))
	for i := range at {
		at[i] = i
	}
	sort.SliceStable(at, func(a, b int) bool { return line[at[a]] > line[at[b]] })
	return at[:k]
}

func topKCase(k int, in Input, values bool) Case {
	last := len(in.Shape) - 1
	c := Case{Op: "topk", In: []Input{in}, Reads: whole(last),
		Build: func(in tensors) *tensor.Tensor { _, ids := in[0].TopK(k); return ids },
		Ref: func(in arrays) *Array {
			y := fill(with(in[0].Shape, last, k), func(o []int) float64 { return float64(topK(in[0].line(last, o), k)[o[last]]) })
			y.Int = true
			return y
		}}
	if values {
		c.Op, c.Name = "gather", "values of topk"
		c.Build = func(in tensors) *tensor.Tensor { v, _ := in[0].TopK(k); return v }
		c.Ref = func(in arrays) *Array {
			return fill(with(in[0].Shape, last, k), func(o []int) float64 {
				line := in[0].line(last, o)
				return line[topK(line, k)[o[last]]]
			})
		}
	}
	return c
}

func indexCases() []Case {
	type T = *tensor.Tensor
	elementwise := func(op string, build func(in tensors) T, ref func(in arrays, o []int) float64, isInt bool, tail []int, in ...Input) Case {
		return Case{Op: op, In: in, Build: build,
			Reads: func(k int, e, o []int) bool { return slices.Equal(e, o[:len(e)]) },
			Ref: func(in arrays) *Array {
				y := fill(join(in[0].Shape, tail...), func(o []int) float64 { return ref(in, o) })
				y.Int = isInt
				return y
			}}
	}
	l := []Case{
		gatherCase(1, floats(2, 4, 3), ids(4, 2, 5, 3)),
		gatherCase(1, floats(2, 3), ids(3, 4)),
		gatherCase(0, floats(5, 2), ids(5, 2, 2)),
		gatherCase(0, floats(6), ids(6, 9)),
		gatherCase(3, floats(2, 1, 2, 5, 2), ids(5, 2, 1, 2, 3, 2)),
		scatterCase(1, floats(2, 4, 3), ids(4, 2, 5, 3), floats(2, 5, 3)),
		scatterCase(1, floats(3, 4), ids(4, 2), floats(3, 2)),
		scatterCase(0, floats(4), ids(4, 9), floats(9)),
		topKCase(2, floats(3, 6), false), topKCase(6, floats(6), false), topKCase(1, few(4, 5), false), topKCase(3, few(2, 2, 7), false),
		topKCase(3, floats(3, 6), true),
		elementwise("one_hot", func(in tensors) T { return in[0].OneHot(4) },
			func(in arrays, o []int) float64 { return truth(int(in[0].at(o[:2]...)) == o[2]) }, false, []int{4}, ids(4, 2, 3)),
		elementwise("to_float", func(in tensors) T { return in[0].ToFloat() },
			func(in arrays, o []int) float64 { return in[0].at(o...) }, false, nil, ids(900, 2, 3)),
		elementwise("hash_ids", func(in tensors) T { return in[0].HashIDs(in[1], 31, 7) },
			func(in arrays, o []int) float64 { return math.Mod(in[0].at(o...)*31+in[1].at(o...), 7) }, true, nil, ids(9, 2, 3), ids(9, 2, 3)),
		elementwise("hash_ids", func(in tensors) T { return in[0].HashIDs(in[1], 1<<30, 1<<30-1) },
			func(in arrays, o []int) float64 { return math.Mod(in[0].at(o...)*(1<<30)+in[1].at(o...), 1<<30-1) }, true, nil, ids(1e6, 5), ids(1e6, 5)),
	}
	for _, i := range []Input{ids(5, 2, 4), ids(5, 1), ids(5, 300)} {
		last := len(i.Shape)
		l = append(l, Case{Op: "embed", In: []Input{floats(5, 3), i},
			Build: func(in tensors) T { return in[0].Embed(in[1]) },
			Ref:   func(in arrays) *Array { return embed(in[0], in[1]) },
			Reads: func(k int, e, o []int) bool {
				if k == 0 {
					return e[1] == o[last]
				}
				return slices.Equal(e, o[:last])
			}})
	}
	return l
}

// crossEntropy is the mean of -log softmax(softcap(x))[target].
func crossEntropy(x, targets *Array, softcap float64) *Array {
	v, total := x.dim(-1), 0.0
	for r, id := range targets.X {
		row := slices.Clone(x.X[r*v : (r+1)*v])
		for i := range row {
			if softcap > 0 {
				row[i] = softcap * math.Tanh(row[i]/softcap)
			}
		}
		total -= math.Log(softmax(row)[int(id)])
	}
	return &Array{Shape: []int{1}, X: []float64{total / float64(len(targets.X))}}
}

func lossCases() (l []Case) {
	for _, c := range []struct {
		x, t    Input
		softcap float32
	}{
		{floats(2, 3, 7), ids(7, 2, 3), 0}, {floats(4, 7), ids(7, 4), 2}, {floats(2, 600), ids(7, 2), 2}, {floats(1, 1), ids(1, 1), 0},
	} {
		l = append(l, Case{Op: "cross_entropy", In: []Input{c.x, c.t}, TrainingOnly: true,
			Build: func(in tensors) *tensor.Tensor { return in[0].CrossEntropy(in[1], c.softcap) },
			Ref:   func(in arrays) *Array { return crossEntropy(in[0], in[1], float64(c.softcap)) }})
	}
	for _, c := range []struct {
		x, w, t Input
		softcap float32
	}{{floats(2, 3, 4), floats(7, 4), ids(7, 2, 3), 0}, {floats(300, 3), floats(5, 3), ids(5, 300), 1.5}} { // more than one chunk
		l = append(l, Case{Op: "linear_cross_entropy", In: []Input{c.x, c.w, c.t}, TrainingOnly: true, Tol: 1e-5,
			Build: func(in tensors) *tensor.Tensor { return in[0].LinearCrossEntropy(in[1], in[2], c.softcap) },
			Ref:   func(in arrays) *Array { return crossEntropy(matmul(in[0], in[1], true), in[2], float64(c.softcap)) }})
	}
	return append(l, Case{Op: "custom", In: []Input{floats(3), floats(3)}, TrainingOnly: true, Build: customDot,
		Ref: func(in arrays) *Array {
			return &Array{Shape: []int{1}, X: []float64{sum(zip(in[0], in[1], func(a, b float64) float64 { return a * b }).X)}}
		}})
}

// customDot is an operation in plain Go with its own backward.
func customDot(in tensors) *tensor.Tensor {
	return tensor.Custom("dot", in, []int{1}, func(out []float32, in [][]float32) {
		out[0] = 0
		for i, v := range in[0] {
			out[0] += v * in[1][i]
		}
	}, func(dout []float32, in, din [][]float32) {
		for i := range in[0] {
			din[0][i] += dout[0] * in[1][i]
			din[1][i] += dout[0] * in[0][i]
		}
	})
}
