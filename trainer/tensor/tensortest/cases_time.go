package tensortest

import (
	"fmt"
	"math"
	"slices"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// attention is the definition: softmax over visible keys only.
func attention(q, k, v *Array, window int) *Array {
	nt, group, dim := q.Shape[1], q.Shape[2]/k.Shape[2], q.Shape[3]
	if window == 0 {
		window = nt
	}
	out := newArray(q.Shape...)
	scores := make([]float64, nt)
	for r := range q.Shape[0] * nt * q.Shape[2] {
		b, t, h := r/q.Shape[2]/nt, r/q.Shape[2]%nt, r%q.Shape[2]
		row := func(a *Array, j int) []float64 { return a.X[((b*nt+j)*a.Shape[2]+h/group)*dim:][:dim] }
		from := max(0, t-window+1)
		live := scores[from : t+1]
		for j := range live {
			live[j] = 0
			for c, x := range row(k, from+j) {
				live[j] += q.X[r*dim+c] * x / math.Sqrt(float64(dim))
			}
		}
		for j, p := range softmax(live) {
			for c, x := range row(v, from+j) {
				out.X[r*dim+c] += p * x
			}
		}
	}
	return out
}

func attentionCases() (l []Case) {
	for _, c := range []struct{ b, t, nh, nkv, d, window int }{
		{2, 5, 2, 2, 4, 0}, {2, 6, 4, 2, 2, 3}, {2, 5, 2, 1, 4, 1}, {2, 5, 2, 1, 4, 9}, {1, 1, 1, 1, 3, 0}, {1, 7, 3, 3, 5, 2},
		{1, 70, 2, 1, 2, 0}, {1, 70, 1, 1, 2, 3}, {1, 130, 2, 1, 17, 66}, // more than one block
		{1, 20, 2, 1, 16, 7}, // heads of a size for tensor cores
	} {
		q, kv := floats(c.b, c.t, c.nh, c.d), floats(c.b, c.t, c.nkv, c.d)
		l = append(l, Case{Op: "attention", Name: fmt.Sprintf("%+v", c), In: []Input{q, kv, kv}, Tol: 1e-5,
			Build: func(in tensors) *tensor.Tensor { return in[0].Attention(in[1], in[2], c.window) },
			Ref:   func(in arrays) *Array { return attention(in[0], in[1], in[2], c.window) },
			Reads: func(k int, e, o []int) bool {
				if k == 0 {
					return slices.Equal(e[:3], o[:3])
				}
				return e[0] == o[0] && e[2] == o[2]*c.nkv/c.nh && sees(c.t, c.t, c.window, o[1], e[1]) && (k == 1 || e[3] == o[3])
			}})
	}
	return l
}

func rope(x *Array, base float64) *Array {
	half := x.Shape[3] / 2
	return fill(x.Shape, func(o []int) float64 {
		pair := o[3] % half
		sin, cos := math.Sincos(float64(o[1]) * math.Pow(base, -float64(pair)/float64(half)))
		a, b := x.at(with(o, 3, pair)...), x.at(with(o, 3, pair+half)...)
		if o[3] < half {
			return a*cos + b*sin
		}
		return b*cos - a*sin
	})
}

func causalConv(x, w *Array) *Array {
	taps := w.Shape[0]
	return fill(x.Shape, func(o []int) (y float64) {
		for k := range taps {
			if t := o[1] - (taps - 1 - k); t >= 0 {
				y += w.at(k, o[2]) * x.at(o[0], t, o[2])
			}
		}
		return y
	})
}

func timeCases() (l []Case) {
	for _, shape := range [][]int{{2, 3, 2, 4}, {1, 9, 1, 10}, {2, 1, 1, 2}} {
		half := shape[3] / 2
		l = append(l, Case{Op: "rope", In: []Input{floats(shape...)},
			Build: func(in tensors) *tensor.Tensor { return in[0].RoPE(100) },
			Ref:   func(in arrays) *Array { return rope(in[0], 100) },
			Reads: func(_ int, e, o []int) bool { return slices.Equal(e[:3], o[:3]) && e[3]%half == o[3]%half }})
	}
	for _, c := range []struct{ b, t, ch, taps int }{{2, 5, 3, 3}, {1, 4, 20, 1}, {2, 2, 3, 4}} {
		l = append(l, Case{Op: "causal_conv", Name: fmt.Sprintf("%+v", c), In: []Input{floats(c.b, c.t, c.ch), floats(c.taps, c.ch)},
			Build: func(in tensors) *tensor.Tensor { return in[0].CausalConv(in[1]) },
			Ref:   func(in arrays) *Array { return causalConv(in[0], in[1]) },
			Reads: func(k int, e, o []int) bool {
				if k == 1 { // row e of the kernel meets time o-(taps-1-e), if there is one
					return e[1] == o[2] && o[1] >= c.taps-1-e[0]
				}
				return e[0] == o[0] && e[2] == o[2] && sees(c.t, c.t, c.taps, o[1], e[1])
			}})
	}
	return l
}
