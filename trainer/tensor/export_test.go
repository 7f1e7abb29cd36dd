package tensor

import (
	"maps"
	"slices"
)

// SmallGrains sends tensors of any size through the parallel paths until the
// function it returns is called.
func SmallGrains() (restore func()) {
	e, c, g := elemGrain, colGrain, gemmGrain
	elemGrain, colGrain, gemmGrain = 1, 1, 1
	return func() { elemGrain, colGrain, gemmGrain = e, c, g }
}

// DirtyMemory makes memory that nobody has written NaN until the function it
// returns is called.
func DirtyMemory() (restore func()) {
	dirtyMemory = true
	return func() { dirtyMemory = false }
}

// PlantUnsound registers operations that break the NaN rule, each in another
// way, until remove is called.
func PlantUnsound() (ops []*Op, remove func()) {
	same := func(_ Attrs, in []Spec) (Spec, error) { return in[0], floats(in) }
	plant := func(name string, f func(y, x []float32, n int)) {
		ops = append(ops, register(Op{Name: name, Arity: 1, Infer: same, Forward: func(c *call) { f(c.out.data, c.in[0].data, c.in[0].Dim(-1)) }}))
	}
	plant("planted_clamp", func(y, x []float32, _ int) { // the comparison that is false for NaN
		for i, v := range x {
			y[i] = 0
			if v > 0 {
				y[i] = v
			}
		}
	})
	plant("planted_max", func(y, x []float32, n int) { // NaN loses, but for the first
		for r := 0; r < len(x); r += n {
			top := x[r]
			for _, v := range x[r : r+n] {
				if v > top {
					top = v
				}
			}
			for i := range n {
				y[r+i] = top
			}
		}
	})
	plant("planted_skip", func(y, x []float32, n int) { // a product that leaves out zeros
		for r := 0; r < len(x); r += n {
			for i, v := range x[r : r+n] {
				if y[r+i] = 0; v != 0 {
					y[r+i] = v * x[r+(i+1)%n]
				}
			}
		}
	})
	plant("planted_tail", func(y, x []float32, n int) { // the fourth and later ones of a row
		for r := 0; r < len(x); r += n {
			for i, v := range x[r : r+n] {
				if y[r+i] = v * v; i >= 3 && v != v {
					y[r+i] = 0
				}
			}
		}
	})
	plant("planted_round", func(y, x []float32, n int) { // another order of sums if a later one is infinite
		for r := 0; r < len(x); r += n {
			back := x[r+n-1]-x[r+n-1] != 0
			for i := range n {
				y[r+i] = 0
				for j := range i + 1 {
					if back {
						j = i - j
					}
					y[r+i] += 0.1 * x[r+j]
				}
			}
		}
	})
	return ops, func() {
		for _, op := range ops {
			delete(registry, op.Name)
		}
	}
}

// DeferAll defers every operation on floats that a GPU has a kernel for, until
// the function it returns is called.
func DeferAll() (restore func()) {
	old := maps.Clone(onGPU)
	for name, g := range onGPU {
		g.defers = func(c *call) bool { return !slices.ContainsFunc(c.in, func(t *Tensor) bool { return t.isInt }) }
		onGPU[name] = g
	}
	return func() { onGPU = old }
}
