package tensortest

import (
	"math/rand/v2"
	"slices"
)

// Array is a tensor of the reference: float64, row-major, read one element at
// a time. Ids are numbers too.
type Array struct {
	Shape []int
	X     []float64
	Int   bool
}

func newArray(shape ...int) *Array {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return &Array{Shape: slices.Clone(shape), X: make([]float64, n)}
}

// at is the element at an index; dimensions of 1 are repeated, and the index
// may have more dimensions in front, as in broadcasting.
func (a *Array) at(index ...int) float64 {
	index = index[len(index)-len(a.Shape):]
	i := 0
	for k, n := range a.Shape {
		i *= n
		if n > 1 {
			i += index[k]
		}
	}
	return a.X[i]
}

// dim counts negative dimensions from the end.
func (a *Array) dim(i int) int {
	if i < 0 {
		i += len(a.Shape)
	}
	return a.Shape[i]
}

// fill computes an array element by element from its index. The index is
// reused between calls.
func fill(shape []int, f func(o []int) float64) *Array {
	a := newArray(shape...)
	o := make([]int, len(shape))
	for i := range a.X {
		a.X[i] = f(o)
		for k := len(o) - 1; k >= 0; k-- {
			if o[k]++; o[k] < shape[k] {
				break
			}
			o[k] = 0
		}
	}
	return a
}

// with is the index o with dimension k replaced, in new memory.
func with(o []int, k, v int) []int {
	o = slices.Clone(o)
	o[k] = v
	return o
}

// join is an index made of parts, in new memory.
func join(head []int, tail ...int) []int { return append(slices.Clone(head), tail...) }

// unravel turns a flat position into an index.
func unravel(i int, shape []int) []int {
	l := make([]int, len(shape))
	for k := len(shape) - 1; k >= 0; k-- {
		l[k] = i % shape[k]
		i /= shape[k]
	}
	return l
}

// Input describes one input of a Case.
type Input struct {
	Shape []int
	IDs   int // above 0: ids drawn from 0..IDs-1 instead of floats
	draw  func(rng *rand.Rand) float64
}

// floats are normal numbers.
func floats(shape ...int) Input {
	return Input{Shape: shape, draw: func(rng *rand.Rand) float64 { return rng.NormFloat64() }}
}

// positive numbers from 0.5 to 2, for roots and divisors.
func positive(shape ...int) Input {
	return Input{Shape: shape, draw: func(rng *rand.Rand) float64 { return 0.5 + 1.5*rng.Float64() }}
}

// small normal numbers, for what is multiplied with itself many times.
func small(shape ...int) Input {
	return Input{Shape: shape, draw: func(rng *rand.Rand) float64 { return 0.3 * rng.NormFloat64() }}
}

// few different numbers, so that there are ties and zeros.
func few(shape ...int) Input {
	return Input{Shape: shape, draw: func(rng *rand.Rand) float64 { return float64(rng.IntN(3) - 1) }}
}

func ids(n int, shape ...int) Input { return Input{Shape: shape, IDs: n} }

// make draws the values, representable as float32.
func (in Input) make(rng *rand.Rand) *Array {
	a := newArray(in.Shape...)
	a.Int = in.IDs > 0
	for i := range a.X {
		if a.Int {
			a.X[i] = float64(rng.IntN(in.IDs))
		} else {
			a.X[i] = float64(float32(in.draw(rng)))
		}
	}
	return a
}
