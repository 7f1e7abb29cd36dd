package tensor_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/tensortest"
)

// hostile draws attributes and inputs that nobody meant.
type hostile struct{ *rand.Rand }

func (h hostile) int() int {
	all := []int{0, 1, 2, 3, 4, -1, -2, 8, 64, 65, 1 << 20, math.MaxInt32, math.MinInt32}
	if h.IntN(3) > 0 {
		all = all[:5]
	}
	return all[h.IntN(len(all))]
}

func (h hostile) shape() []int {
	s := make([]int, h.IntN(5))
	for i := range s {
		if s[i] = 1 + h.IntN(4); h.IntN(40) == 0 {
			s[i] = 1 << (10 + h.IntN(20))
		}
	}
	if h.IntN(8) == 0 {
		s = append(s, 1, 1, 1, 1)
	}
	return s
}

// use draws what op may get. Inputs are often of one shape, or equal up to one
// dimension: else few operations would take them.
func (h hostile) use(op *tensor.Op) (a tensor.Attrs, in []tensor.Spec) {
	n := op.Arity
	if n < 0 {
		n = 1 + h.IntN(4)
	}
	shape := h.shape()
	for range n {
		s := append([]int(nil), shape...)
		switch k := h.IntN(9); {
		case k == 0:
			s = h.shape()
		case k == 1 && len(s) > 0:
			s[h.IntN(len(s))] = 1 + h.IntN(4)
		case k == 2 && len(s) > 0:
			s = s[1:]
		case k == 3 && len(s) > 0:
			s = s[:len(s)-1]
		case k == 4:
			s = append(s, 1+h.IntN(4))
		}
		in = append(in, tensor.Spec{Shape: s, Int: h.IntN(3) == 0})
	}
	for _, name := range op.Ints {
		times := 1
		if len(name) > 3 && name[len(name)-3:] == "..." {
			times = h.IntN(7)
		}
		for range times {
			a.Ints = append(a.Ints, h.int())
		}
	}
	for range op.Floats {
		a.Floats = append(a.Floats, []float32{0, 1, -1, 1e38, -1e38, 1e-45}[h.IntN(6)])
	}
	return a, in
}

func elements(shape []int) (n int) {
	n = 1
	for _, d := range shape {
		if n > 1<<28/d { // as Parse has it
			return math.MaxInt
		}
		n *= d
	}
	return n
}

// try infers a use, and runs it if it is taken and small.
func (h hostile) try(d *tensor.Device, op *tensor.Op) (ran bool, err error) {
	a, in := h.use(op)
	for _, s := range in {
		if elements(s.Shape) == math.MaxInt {
			return false, nil
		}
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s%v of %v: %v", op.Name, a, in, p)
		}
	}()
	out, err := op.Infer(a, in)
	if err != nil {
		if len(err.Error()) > 300 {
			return false, fmt.Errorf("%s%v of %v is refused in %d words", op.Name, a, in, len(err.Error()))
		}
		return false, nil
	}
	size := elements(out.Shape)
	for _, s := range in {
		size = max(size, elements(s.Shape))
	}
	if size > 1<<12 {
		return false, nil
	}
	b := tensortest.NewBuilder(1, 16, 5)
	nodes := make([]int, len(in))
	for i, s := range in {
		if s.Int { // ids that are too large or poisoned among them
			nodes[i] = b.Fit(0, s.Shape)
		} else {
			nodes[i] = b.Weight(s.Shape...)
		}
	}
	last := b.Op(op, a, 5, nodes...)
	if out.Int {
		last = b.Do("to_float", nil, last)
	}
	g, err := b.Graph(b.Fit(last, []int{1, 16, 3}))
	if err != nil {
		return false, nil
	}
	ids := make([]int32, 16)
	for i := range ids {
		ids[i] = int32(h.IntN(6) - 1)
	}
	_, err = g.Run(d, ids)
	var refused *tensor.Error
	if err != nil && !errors.As(err, &refused) {
		return true, err
	}
	return true, nil
}

// TestOperationsTakeAnything: no attributes and inputs make shape inference
// panic, and what it takes runs, or is refused for its ids.
func TestOperationsTakeAnything(t *testing.T) {
	d := open(t, 2)
	h := hostile{rand.New(rand.NewPCG(7, 7))}
	for _, op := range tensortest.Exportable() {
		ran := 0
		for i := 0; i < 300 || ran == 0 && i < 50_000; i++ { // few take three inputs that fit
			did, err := h.try(d, op)
			if err != nil {
				t.Fatal(err)
			}
			if did {
				ran++
			}
		}
		if ran == 0 {
			t.Errorf("%s: no use ran", op.Name)
		}
	}
}
