package tensortest

import (
	"fmt"
	"math"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// fold reduces the lines along an axis to one element each.
func fold(a *Array, axis int, f func(line []float64) float64) *Array {
	return fill(with(a.Shape, axis, 1), func(o []int) float64 { return f(a.line(axis, o)) })
}

// line is the elements along axis through o.
func (a *Array) line(axis int, o []int) []float64 {
	x := make([]float64, a.Shape[axis])
	for i := range x {
		x[i] = a.at(with(o, axis, i)...)
	}
	return x
}

// overLines replaces each line along an axis by what f makes of it.
func overLines(a *Array, axis int, f func(line []float64) []float64) *Array {
	y, inner := newArray(a.Shape...), 1
	for _, n := range a.Shape[axis+1:] {
		inner *= n
	}
	for first := range a.X {
		if first/inner%a.Shape[axis] == 0 {
			for i, v := range f(a.line(axis, unravel(first, a.Shape))) {
				y.X[first+i*inner] = v
			}
		}
	}
	return y
}

func cumsum(x []float64) []float64 {
	for i := 1; i < len(x); i++ {
		x[i] += x[i-1]
	}
	return x
}

func sum(x []float64) (s float64) {
	for _, v := range x {
		s += v
	}
	return s
}

func largest(x []float64) float64 {
	m := math.Inf(-1)
	for _, v := range x {
		m = max(m, v)
	}
	return m
}

func reduceCases() (l []Case) {
	inputs := []Input{floats(2, 3, 4), floats(2, 2, 3, 1, 37)}
	add := func(op string, ref func(x []float64) float64, f func(t *tensor.Tensor, axis int) *tensor.Tensor) {
		for _, in := range inputs {
			for axis := range in.Shape {
				l = append(l, Case{Op: op, Name: fmt.Sprint("axis", axis), In: []Input{in}, Reads: whole(axis),
					Build: func(in tensors) *tensor.Tensor { return f(in[0], axis) },
					Ref:   func(in arrays) *Array { return fold(in[0], axis, ref) }})
			}
		}
	}
	type T = *tensor.Tensor
	add("sum", sum, T.Sum)
	add("mean", func(x []float64) float64 { return sum(x) / float64(len(x)) }, T.Mean)
	add("max", largest, T.Max)
	for _, in := range inputs {
		for axis := range in.Shape {
			l = append(l, Case{Op: "cumsum", Name: fmt.Sprint("axis", axis), In: []Input{in},
				Reads: along(axis, func(e, o int) bool { return e <= o }),
				Build: func(in tensors) *tensor.Tensor { return in[0].CumSum(axis) },
				Ref:   func(in arrays) *Array { return overLines(in[0], axis, cumsum) }})
		}
	}
	return l
}

func softmax(x []float64) []float64 {
	y, m := make([]float64, len(x)), largest(x)
	for i, v := range x {
		y[i] = math.Exp(v - m)
	}
	s := sum(y)
	for i := range y {
		y[i] /= s
	}
	return y
}

func rmsNorm(a *Array, eps float64) *Array {
	y, n := newArray(a.Shape...), a.dim(-1)
	for lo := 0; lo < len(a.X); lo += n {
		var ss float64
		for _, v := range a.X[lo : lo+n] {
			ss += v * v
		}
		for i := lo; i < lo+n; i++ {
			y.X[i] = a.X[i] / math.Sqrt(ss/float64(n)+eps)
		}
	}
	return y
}

// rowCases work on the last axis.
func rowCases() (l []Case) {
	for _, in := range []Input{floats(3, 19), floats(5), floats(2, 1, 2, 1, 4), floats(2, 70)} {
		last := len(in.Shape) - 1
		l = append(l, Case{Op: "softmax", In: []Input{in}, Reads: whole(last),
			Build: func(in tensors) *tensor.Tensor { return in[0].Softmax() },
			Ref:   func(in arrays) *Array { return overLines(in[0], last, softmax) }},
			Case{Op: "rms_norm", In: []Input{in}, Reads: whole(last),
				Build: func(in tensors) *tensor.Tensor { return in[0].RMSNorm(1e-3) },
				Ref:   func(in arrays) *Array { return rmsNorm(in[0], 1e-3) }})
	}
	return l
}

func scan(x, a *Array, axis int) *Array {
	return fill(x.Shape, func(o []int) float64 {
		xs, as := x.line(axis, o), a.line(axis, o)
		y := xs[0]
		for i := 1; i <= o[axis]; i++ {
			y = as[i]*y + xs[i]
		}
		return y
	})
}

func scanCases() (l []Case) {
	for _, shape := range [][]int{{2, 4, 3}, {2, 3, 1, 2, 2}, {9}} {
		for axis := range shape {
			l = append(l, Case{Op: "scan", Name: fmt.Sprint("axis", axis), In: []Input{floats(shape...), floats(shape...)},
				Build: func(in tensors) *tensor.Tensor { return in[0].Scan(axis, in[1]) },
				Ref:   func(in arrays) *Array { return scan(in[0], in[1], axis) },
				// The first decay has nothing to decay.
				Reads: func(k int, e, o []int) bool {
					return along(axis, func(e, o int) bool { return e <= o && (k == 0 || e > 0) })(k, e, o)
				}})
		}
	}
	return l
}
