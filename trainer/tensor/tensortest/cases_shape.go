package tensortest

import (
	"fmt"
	"slices"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// pick is an operation that only moves elements: from says where the output
// element at o comes from, nil where it is zero.
func pick(op, name string, in Input, f func(t *tensor.Tensor) *tensor.Tensor, shape []int, from func(o []int) []int) Case {
	return Case{Op: op, Name: name, In: []Input{in},
		Build: func(in tensors) *tensor.Tensor { return f(in[0]) },
		Ref: func(in arrays) *Array {
			y := fill(shape, func(o []int) float64 {
				if e := from(o); e != nil {
					return in[0].at(e...)
				}
				return 0
			})
			y.Int = in[0].Int
			return y
		},
		Reads: func(_ int, e, o []int) bool { return slices.Equal(e, from(o)) }}
}

func shapeCases() (l []Case) {
	type T = *tensor.Tensor
	for _, kind := range []func(shape ...int) Input{floats, func(shape ...int) Input { return ids(9, shape...) }} {
		s := []int{2, 3, 4}
		in := kind(s...)
		l = append(l,
			pick("reshape", "", in, func(t T) T { return t.Reshape(6, -1) }, []int{6, 4},
				func(o []int) []int { return []int{o[0] / 3, o[0] % 3, o[1]} }),
			pick("reshape", "rank 5", in, func(t T) T { return t.Reshape(2, 1, 3, 2, 2) }, []int{2, 1, 3, 2, 2},
				func(o []int) []int { return []int{o[0], o[2], o[3]*2 + o[4]} }),
			pick("permute", "all", in, func(t T) T { return t.Permute(2, 0, 1) }, []int{4, 2, 3},
				func(o []int) []int { return []int{o[1], o[2], o[0]} }),
			pick("permute", "rows", in, func(t T) T { return t.Permute(1, 0, 2) }, []int{3, 2, 4},
				func(o []int) []int { return []int{o[1], o[0], o[2]} }),
			pick("permute", "rank 5", kind(2, 3, 1, 2, 2), func(t T) T { return t.Permute(0, 3, 2, 1, 4) }, []int{2, 2, 1, 3, 2},
				func(o []int) []int { return []int{o[0], o[3], o[2], o[1], o[4]} }),
			pick("permute", "transpose", kind(33, 18), func(t T) T { return t.Transpose(0, -1) }, []int{18, 33},
				func(o []int) []int { return []int{o[1], o[0]} }),
			pick("slice", "", in, func(t T) T { return t.Slice(1, 1, 3) }, []int{2, 2, 4},
				func(o []int) []int { return with(o, 1, o[1]+1) }),
			pick("slice", "last", in, func(t T) T { return t.Slice(-1, 2, 3) }, []int{2, 3, 1},
				func(o []int) []int { return with(o, 2, 2) }),
			pick("broadcast_to", "front", kind(3, 1), func(t T) T { return t.BroadcastTo(2, 3, 4) }, []int{2, 3, 4},
				func(o []int) []int { return []int{o[1], 0} }),
			pick("broadcast_to", "middle", kind(2, 1, 3), func(t T) T { return t.BroadcastTo(2, 4, 3) }, []int{2, 4, 3},
				func(o []int) []int { return with(o, 1, 0) }),
			pick("broadcast_to", "repeat", in, func(t T) T { return t.Repeat(1, 2) }, []int{2, 6, 4},
				func(o []int) []int { return with(o, 1, o[1]/2) }),
			pick("broadcast_to", "tile", in, func(t T) T { return t.Tile(-1, 2) }, []int{2, 3, 8},
				func(o []int) []int { return with(o, 2, o[2]%4) }),
		)
		for _, c := range []struct{ axis, n int }{{0, 1}, {1, 1}, {2, -2}, {1, 9}, {1, -9}, {2, 0}} {
			l = append(l, pick("shift", fmt.Sprintf("%d along %d", c.n, c.axis), in, func(t T) T { return t.Shift(c.axis, c.n) }, s,
				func(o []int) []int {
					if e := o[c.axis] - c.n; e >= 0 && e < s[c.axis] {
						return with(o, c.axis, e)
					}
					return nil
				}))
		}
		l = append(l, concatCase(0, kind(1, 3), kind(2, 3)), concatCase(1, kind(2, 1, 3), kind(2, 2, 3), kind(2, 3, 3)), concatCase(2, kind(2, 2, 1), kind(2, 2, 17)))
	}
	return l
}

func concatCase(axis int, in ...Input) Case {
	starts, total := make([]int, len(in)), 0
	for i, x := range in {
		starts[i] = total
		total += x.Shape[axis]
	}
	return Case{Op: "concat", Name: fmt.Sprint("axis", axis), In: in,
		Build: func(in tensors) *tensor.Tensor { return in[0].Concat(axis, in[1:]...) },
		Ref: func(in arrays) *Array {
			y := fill(with(in[0].Shape, axis, total), func(o []int) float64 {
				k := len(in) - 1
				for o[axis] < starts[k] {
					k--
				}
				return in[k].at(with(o, axis, o[axis]-starts[k])...)
			})
			y.Int = in[0].Int
			return y
		},
		Reads: func(k int, e, o []int) bool { return slices.Equal(with(e, axis, e[axis]+starts[k]), o) }}
}
