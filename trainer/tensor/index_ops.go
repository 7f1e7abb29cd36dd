package tensor

import (
	"fmt"
	"slices"
)

// PoisonID is the id of something unknown. Embed and Gather turn it into NaN,
// ScatterAdd poisons all it could have reached, TopK gives it where values
// were NaN. So ids carry the NaN rule through integers.
const PoisonID = -1

// hasNaN says whether any element is NaN. Adding up x*0 finds infinities too,
// so those are looked at again one by one.
func (d *Device) hasNaN(x []float32) bool {
	if s := d.kern.Sum(x); s-s == 0 {
		return false
	}
	for _, v := range x {
		if v != v {
			return true
		}
	}
	return false
}

// checkIDs panics on ids that are neither in 0..n nor PoisonID.
func checkIDs(op string, ids []int32, n int) {
	for i, id := range ids {
		if id < PoisonID || int(id) >= n {
			fail(op, "id %d at position %d, want 0..%d", id, i, n-1)
		}
	}
}

func fillNaN(x []float32) {
	for len(x) > 0 {
		x = x[copy(x, nans[:]):]
	}
}

var nans = func() (x [256]float32) {
	for i := range x {
		x[i] = nan32
	}
	return x
}()

var opEmbed = register(Op{
	Name: "embed", Arity: 2,
	Infer: func(_ Attrs, in []Spec) (Spec, error) {
		if in[0].Int {
			return Spec{}, fmt.Errorf("input 0 holds ids, want a table [V,C]: it is table.Embed(ids)")
		}
		if err := wantIDs(1, in[1]); err != nil {
			return Spec{}, err
		}
		if len(in[0].Shape) != 2 {
			return Spec{}, fmt.Errorf("the table has rank %d, want [V,C]", len(in[0].Shape))
		}
		return checked(append(slices.Clone(in[1].Shape), in[0].Shape[1]))
	},
	Forward: func(c *call) {
		table, ids, y := c.in[0].data, c.in[1].ints(), c.out.data
		n := c.in[0].shape[1]
		checkIDs("embed", ids, c.in[0].shape[0])
		c.par(len(ids), max(1, elemGrain/n), func(c *call, _, lo, hi int) {
			table, ids, y, n := c.in[0].data, c.in[1].ints(), c.out.data, c.in[0].shape[1]
			for i := lo; i < hi; i++ {
				row := y[i*n : (i+1)*n]
				if id := int(ids[i]); id >= 0 {
					c.dev.kern.Copy(row, table[id*n:(id+1)*n])
				} else {
					fillNaN(row)
				}
			}
		})
		if c.dev.hasNaN(table) { // any row could have been chosen
			for j := range n {
				for i := j; i < len(table); i += n {
					if table[i] != table[i] {
						for k := j; k < len(y); k += n {
							y[k] = nan32
						}
						break
					}
				}
			}
		}
	},
	Backward: func(c *call) {
		if c.arg.g = c.din(0); c.arg.g == nil {
			return
		}
		// Rows repeat, so threads own column ranges.
		c.par(c.in[0].shape[1], max(colGrain, elemGrain/c.in[1].size), func(c *call, _, lo, hi int) {
			dt, n := c.arg.g, c.in[0].shape[1]
			for i, id := range c.in[1].ints() {
				if id >= 0 {
					row := dt[int(id)*n+lo : int(id)*n+hi]
					c.dev.kern.Add(row, row, c.dout[i*n+lo:i*n+hi])
				}
			}
		})
	},
})

// picks describes Gather and ScatterAdd: lanes of n elements along the axis of
// the large tensor, k ids per lane. With ids of rank 1 all lanes share them.
type picks struct {
	large, small lanes
	ids          []int32
	shared       bool
}

func (p *picks) id(line, i int) int {
	if p.shared {
		return int(p.ids[i])
	}
	o, in := line/p.small.inner, line%p.small.inner
	return int(p.ids[(o*p.small.n+i)*p.small.inner+in])
}

// smallBase is the first element of a line in the small tensor.
func (p *picks) smallBase(line int) int {
	return line/p.small.inner*p.small.n*p.small.inner + line%p.small.inner
}

// inferPicks gives the small tensor's shape from the large one and the ids.
func inferPicks(a Attrs, large, ids Spec) ([]int, error) {
	if err := floats([]Spec{large}); err != nil {
		return nil, err
	}
	if err := wantIDs(1, ids); err != nil {
		return nil, err
	}
	if err := checkAxis(a, large); err != nil {
		return nil, err
	}
	ax := a.Ints[0]
	out := slices.Clone(large.Shape)
	if len(ids.Shape) == 1 && len(out) > 1 {
		out[ax] = ids.Shape[0]
		return out, nil
	}
	if len(ids.Shape) != len(out) {
		return nil, fmt.Errorf("ids of rank %d, want 1 or %d", len(ids.Shape), len(out))
	}
	for i, n := range ids.Shape {
		if i != ax && n != out[i] {
			return nil, fmt.Errorf("ids differ in dimension %d: %d against %d", i, n, out[i])
		}
	}
	out[ax] = ids.Shape[ax]
	return out, nil
}

func (c *call) picks(ids *Tensor, small []int) *picks {
	p := &picks{large: c.lanes(), small: lanesOf(small, c.int(0)), ids: ids.ints(),
		shared: len(ids.shape) == 1 && len(c.in[0].shape) > 1}
	checkIDs(c.op.Name, p.ids, p.large.n)
	return p
}

func laneHasNaN(x []float32, base, stride, n int) bool {
	for i := range n {
		if v := x[base+i*stride]; v != v {
			return true
		}
	}
	return false
}

var opGather = register(Op{
	Name: "gather", Arity: 2, Ints: []string{"axis"},
	Infer: func(a Attrs, in []Spec) (Spec, error) {
		s, err := inferPicks(a, in[0], in[1])
		if err != nil {
			return Spec{}, err
		}
		return checked(s)
	},
	Forward: func(c *call) {
		p := c.picks(c.in[1], c.out.shape)
		x, y := c.in[0].data, c.out.data
		p.large.each(c.dev, func(line, base, stride int) {
			bad := laneHasNaN(x, base, stride, p.large.n)
			for i, o := 0, p.smallBase(line); i < p.small.n; i, o = i+1, o+p.small.inner {
				if id := p.id(line, i); id >= 0 && !bad {
					y[o] = x[base+id*stride]
				} else {
					y[o] = nan32
				}
			}
		})
	},
	Backward: func(c *call) {
		dx := c.din(0)
		p := c.picks(c.in[1], c.out.shape)
		p.large.each(c.dev, func(line, base, stride int) {
			for i, o := 0, p.smallBase(line); i < p.small.n; i, o = i+1, o+p.small.inner {
				if id := p.id(line, i); id >= 0 {
					dx[base+id*stride] += c.dout[o]
				}
			}
		})
	},
})

var opScatterAdd = register(Op{
	Name: "scatter_add", Arity: 3, Ints: []string{"axis"},
	Infer: func(a Attrs, in []Spec) (Spec, error) {
		s, err := inferPicks(a, in[0], in[1])
		if err != nil {
			return Spec{}, err
		}
		if in[2].Int || !slices.Equal(s, in[2].Shape) {
			return Spec{}, fmt.Errorf("the source has shape %v, want %v of floats", in[2], s)
		}
		return in[0], nil
	},
	Forward: func(c *call) {
		p := c.picks(c.in[1], c.in[2].shape)
		x, src, y := c.in[0].data, c.in[2].data, c.out.data
		p.large.each(c.dev, func(line, base, stride int) {
			for i := range p.large.n {
				y[base+i*stride] = x[base+i*stride]
			}
			bad := false
			for i, o := 0, p.smallBase(line); i < p.small.n; i, o = i+1, o+p.small.inner {
				id, v := p.id(line, i), src[o]
				bad = bad || id < 0 || v != v
				if id >= 0 {
					y[base+id*stride] += v
				}
			}
			for i := 0; bad && i < p.large.n; i++ { // it could have gone anywhere
				y[base+i*stride] = nan32
			}
		})
	},
	Backward: func(c *call) {
		if dx := c.din(0); dx != nil {
			c.dev.accumulate(dx, c.dout)
		}
		ds := c.din(2)
		if ds == nil {
			return
		}
		p := c.picks(c.in[1], c.in[2].shape)
		p.large.each(c.dev, func(line, base, stride int) {
			for i, o := 0, p.smallBase(line); i < p.small.n; i, o = i+1, o+p.small.inner {
				if id := p.id(line, i); id >= 0 {
					ds[o] += c.dout[base+id*stride]
				}
			}
		})
	},
})

// Embed looks rows up: the table t is [V,C], ids any shape, the result is the
// shape of ids with C appended.
func (t *Tensor) Embed(ids *Tensor) *Tensor { return apply(opEmbed, Attrs{}, t, ids) }

// Gather picks elements along axis. ids has the rank of t and its shape off
// the axis, one id per element of the result; or rank 1, the same picks on
// every line.
func (t *Tensor) Gather(axis int, ids *Tensor) *Tensor {
	return apply(opGather, t.axisAttr(axis), t, ids)
}

// ScatterAdd is t plus src added at the places that ids name along axis: the
// reverse of Gather, shapes as there, repeated ids add up.
func (t *Tensor) ScatterAdd(axis int, ids, src *Tensor) *Tensor {
	return apply(opScatterAdd, t.axisAttr(axis), t, ids, src)
}
