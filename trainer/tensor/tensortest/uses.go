package tensortest

import (
	"math/rand/v2"
	"slices"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// Use is a random use of an operation: attributes and inputs that it accepts.
type Use struct {
	Op    *tensor.Op
	Attrs tensor.Attrs
	In    []tensor.Spec
	IDs   []int // of inputs that hold ids: how many values they may have
	Main  int   // the input that has as many elements as was asked for
	Out   tensor.Spec
}

// RandomUse draws a use of op whose main input has the elements of x, which are
// floats, or of ids, if the operation takes only those. It is false if there is
// none, or if the operation is not known here: see Uses.
func RandomUse(rng *rand.Rand, op *tensor.Op, x, ids tensor.Spec) (Use, bool) {
	draw := uses[op.Name]
	if draw == nil && op.Arity == 1 && len(op.Ints) == 0 {
		draw = pointwise
	}
	if draw == nil {
		return Use{}, false
	}
	d := &drawing{Rand: rng, x: slices.Clone(x.Shape), ids: slices.Clone(ids.Shape), use: Use{Op: op}}
	if !draw(d) {
		return Use{}, false
	}
	for len(d.use.Attrs.Floats) < len(op.Floats) {
		d.use.Attrs.Floats = append(d.use.Attrs.Floats, d.number(op.Floats[len(d.use.Attrs.Floats)]))
	}
	for len(d.use.IDs) < len(d.use.In) {
		d.use.IDs = append(d.use.IDs, 0)
	}
	out, err := op.Infer(d.use.Attrs, d.use.In)
	if err != nil {
		return Use{}, false
	}
	d.use.Out = out
	return d.use, true
}

// drawing is a use in the making.
type drawing struct {
	*rand.Rand
	x, ids []int
	use    Use
}

// number is a float attribute.
func (d *drawing) number(name string) float32 {
	all := []float32{0.5, 1, 2, 1e-6, 3e4, 0, -1, -0.5, 1e30, -1e30, 1e-30}
	if name == "cap" || name == "base" || name == "eps" {
		all = all[:5]
	}
	return all[d.IntN(len(all))]
}

func (d *drawing) floats(shape ...int) *drawing {
	d.use.In = append(d.use.In, tensor.Spec{Shape: slices.Clone(shape)})
	return d
}

// index adds an input of ids below n.
func (d *drawing) index(n int, shape ...int) *drawing {
	d.use.IDs = append(d.use.IDs, make([]int, len(d.use.In)-len(d.use.IDs))...)
	d.use.IDs = append(d.use.IDs, n)
	d.use.In = append(d.use.In, tensor.Spec{Shape: slices.Clone(shape), Int: true})
	return d
}

func (d *drawing) attrs(ints ...int) *drawing {
	d.use.Attrs.Ints = append(d.use.Attrs.Ints, ints...)
	return d
}

// some is a small size.
func (d *drawing) some() int { return 1 + d.IntN(4) }

func (d *drawing) last() int { return d.x[len(d.x)-1] }

func (d *drawing) axis() int { return d.IntN(len(d.x)) }

// scores are [...,T,S] with S at least T.
func (d *drawing) scores() bool {
	n := len(d.x)
	return n >= 2 && d.x[n-1] >= d.x[n-2]
}

// broadcast is a shape that broadcasts to s.
func (d *drawing) broadcast(s []int) []int {
	s = slices.Clone(s)
	switch d.IntN(4) {
	case 0:
		for i := range s {
			if d.IntN(2) == 0 {
				s[i] = 1
			}
		}
	case 1:
		s = s[d.IntN(len(s)):]
	}
	return s
}

// pointwise takes x as it is and no integer attributes.
func pointwise(d *drawing) bool { d.floats(d.x...); return true }

func twoOrMore(n int) func(d *drawing) bool {
	return func(d *drawing) bool {
		d.use.Main = d.IntN(n)
		for i := range n {
			if i == d.use.Main {
				d.floats(d.x...)
			} else {
				d.floats(d.broadcast(d.x)...)
			}
		}
		return true
	}
}

func onAxis(d *drawing) bool { d.floats(d.x...).attrs(d.axis()); return true }

func windowed(d *drawing) bool {
	d.floats(d.x...).attrs(d.IntN(4))
	return d.scores()
}

func product(trans bool) func(d *drawing) bool {
	return func(d *drawing) bool {
		k, n, lead := d.last(), d.some(), []int(nil)
		if len(d.x) > 2 && d.IntN(2) == 0 {
			lead = d.x[:len(d.x)-2]
		}
		if d.IntN(3) == 0 && len(d.x) > 1 {
			n = d.x[len(d.x)-2]
		}
		if trans {
			k, n = n, k
		}
		d.floats(d.x...).floats(append(slices.Clone(lead), k, n)...)
		return true
	}
}

// uses has what pointwise does not fit.
var uses = map[string]func(d *drawing) bool{
	"add": twoOrMore(2), "sub": twoOrMore(2), "mul": twoOrMore(2), "div": twoOrMore(2), "maximum": twoOrMore(2),
	"minimum": twoOrMore(2), "greater": twoOrMore(2), "equal": twoOrMore(2), "where": twoOrMore(3),
	"sum": onAxis, "mean": onAxis, "max": onAxis, "cumsum": onAxis,
	"matmul": product(false), "matmul_t": product(true),
	"causal_mask": windowed, "causal_softmax": windowed,
	"rope": func(d *drawing) bool { return d.heads() && d.floats(d.x...) != nil },
	"attention": func(d *drawing) bool {
		if !d.heads() {
			return false
		}
		kv := slices.Clone(d.x)
		if kv[2]%2 == 0 && d.IntN(2) == 0 {
			kv[2] /= 2
		}
		d.floats(d.x...).floats(kv...).floats(kv...).attrs(d.IntN(4))
		if kv[2] == d.x[2] {
			d.use.Main = d.IntN(3)
		}
		return true
	},
	"causal_conv": func(d *drawing) bool { d.floats(d.x...).floats(d.some(), d.last()); return len(d.x) == 3 },
	"causal_matmul": func(d *drawing) bool {
		n := len(d.x)
		if n < 2 {
			return false
		}
		lead := d.x[:n-2]
		d.attrs(d.IntN(4))
		if d.scores() && d.IntN(2) == 0 {
			d.floats(d.x...).floats(append(slices.Clone(lead), d.last(), d.some())...)
			return true
		}
		d.use.Main = 1 // x are the values
		d.floats(append(slices.Clone(lead), d.x[n-2], d.x[n-2])...).floats(d.x...)
		return true
	},
	"causal_solve": func(d *drawing) bool {
		n := len(d.x)
		if n < 2 {
			return false
		}
		d.use.Main = 1
		d.floats(append(slices.Clone(d.x[:n-1]), d.x[n-2])...).floats(d.x...)
		return true
	},
	"scan": func(d *drawing) bool {
		d.floats(d.x...).floats(d.x...).attrs(d.axis())
		d.use.Main = d.IntN(2)
		return true
	},
	"shift": func(d *drawing) bool { d.floats(d.x...).attrs(d.axis(), d.IntN(5)-2); return true },
	"slice": func(d *drawing) bool {
		axis := d.axis()
		lo := d.IntN(d.x[axis])
		d.floats(d.x...).attrs(axis, lo, lo+1+d.IntN(d.x[axis]-lo))
		return true
	},
	"concat": func(d *drawing) bool {
		axis := d.axis()
		d.attrs(axis).floats(d.x...)
		for range d.IntN(3) {
			other := slices.Clone(d.x)
			other[axis] = d.some()
			d.floats(other...)
		}
		return true
	},
	"permute": func(d *drawing) bool { d.floats(d.x...).attrs(d.Perm(len(d.x))...); return true },
	"reshape": func(d *drawing) bool { d.floats(d.x...).attrs(d.reshaped(d.x)...); return true },
	"broadcast_to": func(d *drawing) bool {
		to := slices.Clone(d.x)
		for i, n := range to {
			if n == 1 {
				to[i] = d.some()
			}
		}
		if d.IntN(2) == 0 && len(to) < 4 {
			to = slices.Insert(to, 0, d.some())
		}
		d.floats(d.x...).attrs(to...)
		return true
	},
	"topk": func(d *drawing) bool { d.floats(d.x...).attrs(1 + d.IntN(d.last())); return true },
	"gather": func(d *drawing) bool {
		axis := d.axis()
		d.floats(d.x...).attrs(axis).index(d.x[axis], d.picked(axis)...)
		return true
	},
	"scatter_add": func(d *drawing) bool {
		axis := d.axis()
		ids := d.picked(axis)
		src := slices.Clone(d.x)
		src[axis] = ids[min(axis, len(ids)-1)]
		d.attrs(axis).floats(d.x...).index(d.x[axis], ids...).floats(src...)
		if slices.Equal(src, d.x) && d.IntN(2) == 0 {
			d.use.Main = 2
		}
		return true
	},
	"embed": func(d *drawing) bool { // a table that is computed
		rows := 1
		for _, n := range d.x[:len(d.x)-1] {
			rows *= n
		}
		d.floats(rows, d.last()).index(rows, d.ids...)
		return true
	},
	"expert_matmul": func(d *drawing) bool {
		e := d.some()
		d.floats(d.x...).floats(e, d.some(), d.last()).index(e, d.x[:len(d.x)-1]...)
		return len(d.x) > 1
	},
	"one_hot":  func(d *drawing) bool { n := 8 + d.IntN(4); d.index(n, d.ids...).attrs(n); return true },
	"to_float": func(d *drawing) bool { d.index(8, d.ids...); return true },
	"hash_ids": func(d *drawing) bool { d.index(8, d.ids...).index(8, d.ids...).attrs(d.IntN(9), d.some()); return true },
}

// heads makes x [B,T,NH,D].
func (d *drawing) heads() bool {
	switch n := len(d.x); {
	case n == 4:
	case n == 3 && d.x[2]%4 == 0 && d.IntN(2) == 0:
		d.x = []int{d.x[0], d.x[1], d.x[2] / 2, 2}
	case n == 3:
		d.x = []int{d.x[0], d.x[1], 1, d.x[2]}
	}
	return len(d.x) == 4 && d.x[3]%2 == 0
}

// picked is the shape of ids for Gather along axis.
func (d *drawing) picked(axis int) []int {
	if d.IntN(2) == 0 && len(d.x) > 1 {
		return []int{d.some()}
	}
	s := slices.Clone(d.x)
	s[axis] = d.some()
	return s
}

// reshaped is another shape of as many elements.
func (d *drawing) reshaped(s []int) []int {
	s = slices.Clone(s)
	if i := d.IntN(len(s)); len(s) > 1 && i > 0 && d.IntN(2) == 0 { // join two
		s[i-1] *= s[i]
		return slices.Delete(s, i, i+1)
	}
	i := d.IntN(len(s))
	if s[i]%2 == 0 && len(s) < 4 { // cut one
		s[i] /= 2
		return slices.Insert(s, i+d.IntN(2), 2)
	}
	return s
}
