package tensor

import (
	"fmt"
	"slices"
)

// wantIDs refuses floats; the first of the inputs is number from.
func wantIDs(from int, in ...Spec) error {
	for i, s := range in {
		if !s.Int {
			return fmt.Errorf("input %d holds floats, want ids", from+i)
		}
	}
	return nil
}

var (
	opOneHot = register(Op{
		Name: "one_hot", Arity: 1, Ints: []string{"n"},
		Infer: func(a Attrs, in []Spec) (Spec, error) {
			if err := wantIDs(0, in...); err != nil {
				return Spec{}, err
			}
			return checked(append(slices.Clone(in[0].Shape), a.Ints[0]))
		},
		Forward: func(c *call) {
			ids, y, n := c.in[0].ints(), c.out.data, c.int(0)
			checkIDs(c.op.Name, ids, n)
			clear(y)
			for i, id := range ids {
				if id < 0 {
					fillNaN(y[i*n : (i+1)*n])
				} else {
					y[i*n+int(id)] = 1
				}
			}
		},
	})
	opToFloat = register(Op{
		Name: "to_float", Arity: 1,
		Infer: func(_ Attrs, in []Spec) (Spec, error) {
			return Spec{Shape: in[0].Shape}, wantIDs(0, in...)
		},
		Forward: func(c *call) {
			for i, id := range c.in[0].ints() {
				if c.out.data[i] = float32(id); id < 0 {
					c.out.data[i] = nan32
				}
			}
		},
	})
	opHashIDs = register(Op{
		Name: "hash_ids", Arity: 2, Ints: []string{"mul", "mod"},
		Infer: func(a Attrs, in []Spec) (Spec, error) {
			if err := wantIDs(0, in...); err != nil {
				return Spec{}, err
			}
			if !slices.Equal(in[0].Shape, in[1].Shape) {
				return Spec{}, fmt.Errorf("shapes differ, want ids of one shape")
			}
			if a.Ints[1] < 1 || a.Ints[1] > maxElements || a.Ints[0] < 0 || a.Ints[0] > maxElements {
				return Spec{}, fmt.Errorf("mul %d and mod %d, want 0 and 1 up to %d", a.Ints[0], a.Ints[1], maxElements)
			}
			return in[0], nil
		},
		Forward: func(c *call) {
			a, b, y := c.in[0].ints(), c.in[1].ints(), c.out.ints()
			mul, mod := int64(c.int(0)), int64(c.int(1))
			for i, v := range a {
				if v < 0 || b[i] < 0 {
					y[i] = PoisonID
				} else {
					y[i] = int32((int64(v)*mul + int64(b[i])) % mod)
				}
			}
		},
	})
)

// OneHot turns ids into rows of n floats, 1 at the id and 0 elsewhere.
func (t *Tensor) OneHot(n int) *Tensor { return apply(opOneHot, Attrs{Ints: []int{n}}, t) }

// ToFloat turns ids into floats of the same value.
func (t *Tensor) ToFloat() *Tensor { return apply(opToFloat, Attrs{}, t) }

// HashIDs is (t*mul + b) mod mod of two id tensors: the row of a table for a
// pair of tokens, exact when mul is V and mod V*V.
//
//	pair := ids.Shift(1, 1).HashIDs(ids, 31, 4096)
func (t *Tensor) HashIDs(b *Tensor, mul, mod int) *Tensor {
	return apply(opHashIDs, Attrs{Ints: []int{mul, mod}}, t, b)
}
