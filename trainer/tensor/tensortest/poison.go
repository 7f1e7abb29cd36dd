package tensortest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// useRig is a use as a graph of its own: floats come from weights and ids from
// the graph's ids, so both can be anything.
type useRig struct {
	Use
	dev    *tensor.Device
	graph  *tensor.Graph
	floats [][]float32 // of each input, nil for ids
	ids    []int32     // of all inputs, one after the other
	at     []int       // where the ids of an input begin
	size   int         // of the output
}

func newUseRig(d *tensor.Device, u Use) (*useRig, error) {
	r := &useRig{Use: u, dev: d, floats: make([][]float32, len(u.In)), at: make([]int, len(u.In)), size: product1(u.Out.Shape)}
	for k, s := range u.In {
		if r.at[k] = len(r.ids); s.Int {
			r.ids = append(r.ids, make([]int32, product1(s.Shape))...)
		}
	}
	r.ids = append(r.ids, 0)
	b := NewBuilder(1, len(r.ids), 1<<20)
	in := make([]int, len(u.In))
	for k, s := range u.In {
		if s.Int {
			at := b.Do("slice", []int{1, r.at[k], r.at[k] + product1(s.Shape)}, 0)
			in[k] = b.Do("reshape", s.Shape, at)
			continue
		}
		in[k] = b.Weight(s.Shape...)
		r.floats[k] = b.Data(in[k])
	}
	out := b.Op(u.Op, u.Attrs, 0, in...)
	if u.Out.Int {
		out = b.Do("to_float", nil, out)
	}
	n := len(r.ids)
	rest := (n - r.size%n) % n
	out = b.Do("reshape", []int{r.size}, out)
	if rest > 0 {
		out = b.Do("concat", []int{0}, out, b.Weight(rest))
	}
	out = b.Do("reshape", []int{1, n, (r.size + rest) / n}, out)
	var err error
	r.graph, err = b.Graph(out)
	return r, err
}

// run gives the bits of the output, all NaN the same.
func (r *useRig) run() ([]uint32, error) {
	r.graph.Reload()
	out, err := r.graph.Run(r.dev, r.ids)
	if err != nil {
		return nil, err
	}
	return bitsOf(out[:r.size]), nil
}

const nanBits = 0x7fc00000

func bitsOf(x []float32) []uint32 {
	bits := make([]uint32, len(x))
	for i, v := range x {
		if bits[i] = math.Float32bits(v); v != v {
			bits[i] = nanBits
		}
	}
	return bits
}

// place is an element of an input.
type place struct{ input, element int }

// set changes an element to one of its values, or to poison.
func (r *useRig) set(p place, value int, poison bool) (restore func()) {
	if x := r.floats[p.input]; x != nil {
		old := x[p.element]
		if x[p.element] = extremes[value%len(extremes)]; poison {
			x[p.element] = float32(math.NaN())
		}
		return func() { x[p.element] = old }
	}
	at := r.at[p.input] + p.element
	old := r.ids[at]
	if r.ids[at] = int32(value % r.IDs[p.input]); poison {
		r.ids[at] = tensor.PoisonID
	}
	return func() { r.ids[at] = old }
}

// CheckPoison tries to make u break the NaN rule. In several settings of all
// inputs it changes single elements, to learn which outputs can depend on them:
// with all bits, so on rounding and on the sign of zero too. In each setting
// such outputs must be NaN when the element is. It returns how many dependences
// it has found, and an error for a breach.
func CheckPoison(d *tensor.Device, rng *rand.Rand, u Use, settings, places, values int) (found int, err error) {
	r, err := newUseRig(d, u)
	if err != nil {
		return 0, fmt.Errorf("%s of %v: %w", u.Op.Name, u.In, err)
	}
	var all []place
	for k, s := range u.In {
		size := product1(s.Shape)
		for i := range min(size, places) {
			e := i
			if size > places {
				e = rng.IntN(size)
			}
			all = append(all, place{k, e})
		}
	}
	depends := make([]map[int]bool, len(all))   // outputs that have changed
	survivors := make([]map[int]bool, len(all)) // outputs that were not NaN when the element was
	for i := range all {
		depends[i], survivors[i] = map[int]bool{}, map[int]bool{}
	}
	for range settings {
		for k, x := range r.floats {
			if x != nil {
				fillWild(rng, x)
			}
			for i := range product1(u.In[k].Shape) {
				if x == nil {
					r.ids[r.at[k]+i] = int32(rng.IntN(u.IDs[k]))
				}
			}
		}
		base, err := r.run()
		if err != nil {
			return 0, fmt.Errorf("%s%v of %v: %w", u.Op.Name, u.Attrs, u.In, err)
		}
		for i, p := range all {
			for v := range values + 1 {
				restore := r.set(p, rng.IntN(1<<20), v == 0)
				out, err := r.run()
				restore()
				if err != nil {
					return 0, fmt.Errorf("%s%v of %v: %w", u.Op.Name, u.Attrs, u.In, err)
				}
				for o, bits := range out {
					if v == 0 && bits != nanBits {
						survivors[i][o] = true
					} else if v > 0 && bits != base[o] {
						depends[i][o] = true
					}
				}
			}
		}
	}
	for i, p := range all {
		found += len(depends[i])
		for o := range depends[i] {
			if survivors[i][o] {
				return found, fmt.Errorf("%s%v of %v: output %d depends on element %d of input %d, and is not NaN whenever that is", u.Op.Name, u.Attrs, u.In, o, p.element, p.input)
			}
		}
	}
	return found, nil
}
