package tensortest

import (
	"math/rand/v2"
	"slices"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// Shape at which random graphs run: ids [B,T] below V, logits [B,T,V].
const (
	GraphB, GraphT = 2, 5
	GraphV, graphC = 6, 4
)

// RandomGraph makes a graph of registered operations, ops of them or more, from
// ids [B,T] to logits, which are its last node. It mixes positions freely, so
// about half of the graphs look ahead. The weights are usual numbers and zeros.
func RandomGraph(rng *rand.Rand, ops []*tensor.Op, steps int) *Builder {
	g := &growing{Builder: NewBuilder(GraphB, GraphT, GraphV), rng: rng, ops: ops}
	stream := g.Do("embed", nil, g.weight(GraphV, graphC), 0)
	g.nodes = []int{stream}
	for n := 0; n < steps; {
		op := ops[rng.IntN(len(ops))]
		node, ok := g.grow(op, stream)
		if !ok {
			continue
		}
		n++
		g.nodes = append(g.nodes, node)
		// The stream goes on from where it can: else what is new may come in later.
		if s := g.Specs[node]; !s.Int && len(s.Shape) > 0 && product1(s.Shape) <= 600 && rng.IntN(8) != 0 {
			stream = node
		}
		if rng.IntN(4) == 0 { // a residual connection, or what comes near it
			other := g.pick(func(s tensor.Spec) bool { return !s.Int })
			stream = g.Do("add", nil, stream, g.Fit(other, g.Specs[stream].Shape))
			g.nodes = append(g.nodes, stream)
		}
	}
	g.finish(stream)
	return g.Builder
}

type growing struct {
	*Builder
	rng   *rand.Rand
	ops   []*tensor.Op
	nodes []int // that may be used
}

func (g *growing) weight(shape ...int) int {
	w := g.Weight(shape...)
	kind := g.rng.IntN(8)
	for i := range g.Data(w) {
		switch {
		case kind == 0: // as models begin
			g.Data(w)[i] = 0
		case kind < 3: // zeros among them, at which an operation may do something else
			g.Data(w)[i] = float32(g.rng.IntN(3) - 1)
		default:
			g.Data(w)[i] = float32(g.rng.NormFloat64())
		}
	}
	return w
}

// pick is a random node that is wanted, or the embedding.
func (g *growing) pick(want func(s tensor.Spec) bool) int {
	var l []int
	for _, n := range g.nodes {
		if want(g.Specs[n]) {
			l = append(l, n)
		}
	}
	if len(l) == 0 {
		return g.nodes[0]
	}
	return l[g.rng.IntN(len(l))]
}

// grow adds a use of op on the stream, or on another node.
func (g *growing) grow(op *tensor.Op, stream int) (int, bool) {
	if g.rng.IntN(6) == 0 {
		stream = g.pick(func(s tensor.Spec) bool { return !s.Int && len(s.Shape) > 0 })
	}
	ids := []int{GraphB, GraphT}
	if g.rng.IntN(3) == 0 {
		ids = []int{1 + g.rng.IntN(4)}
	}
	u, ok := RandomUse(g.rng, op, g.Specs[stream], tensor.Spec{Shape: ids, Int: true})
	if !ok || product1(u.Out.Shape) > 2000 || len(u.Out.Shape) > 5 {
		return 0, false
	}
	in := make([]int, len(u.In))
	bound := 1
	for k, s := range u.In {
		switch {
		case s.Int:
			in[k] = g.index(s.Shape, u.IDs[k])
		case k == u.Main:
			in[k] = g.Fit(stream, s.Shape)
		default:
			in[k] = g.operand(s.Shape)
		}
	}
	switch op.Name { // what ids it gives
	case "topk":
		bound = g.Specs[in[0]].Shape[len(g.Specs[in[0]].Shape)-1]
	case "hash_ids":
		bound = u.Attrs.Ints[1]
	}
	if u.Out.Int && op.Name != "topk" && op.Name != "hash_ids" {
		return 0, false
	}
	return g.Op(op, u.Attrs, bound, in...), true
}

// operand is a node of a shape: one that has it, a weight, or another one made
// to fit, which mixes positions.
func (g *growing) operand(shape []int) int {
	same := func(s tensor.Spec) bool { return !s.Int && slices.Equal(s.Shape, shape) }
	node := g.pick(same)
	switch k := g.rng.IntN(6); {
	case k < 3 && same(g.Specs[node]):
		return node
	case k < 5:
		return g.weight(shape...)
	}
	return g.Fit(g.pick(func(s tensor.Spec) bool { return !s.Int }), shape)
}

// index is a node of ids below n: the tokens, constants, or computed ones.
func (g *growing) index(shape []int, n int) int {
	computed := g.pick(func(s tensor.Spec) bool { return s.Int })
	switch {
	case g.rng.IntN(2) == 0 && g.Specs[computed].Int && g.Bounds[computed] <= n:
		return g.Fit(computed, shape)
	case g.rng.IntN(2) == 0 && GraphV <= n:
		return g.Fit(0, shape)
	}
	values := make([]int32, product1(shape))
	for i := range values {
		values[i] = int32(g.rng.IntN(n))
	}
	return g.Ints(values, n, shape...)
}

// finish makes the stream logits [B,T,V], which are the last node.
func (g *growing) finish(stream int) {
	s := g.Specs[stream].Shape
	rows := GraphB * GraphT
	if len(s) == 3 && s[0] == GraphB && s[1] != GraphT && s[2] == GraphT { // positions stand last
		stream = g.Do("permute", []int{0, 2, 1}, stream)
		s = g.Specs[stream].Shape
	}
	if len(s) != 3 || s[0] != GraphB || s[1] != GraphT {
		size := product1(s)
		stream = g.Fit(stream, []int{GraphB, GraphT, max(1, size/rows)})
		s = g.Specs[stream].Shape
	}
	if s[2] != GraphV || g.rng.IntN(4) == 0 {
		stream = g.Do("matmul", nil, stream, g.weight(s[2], GraphV))
	}
	g.Fit(stream, []int{GraphB, GraphT, GraphV})
}

// Last is the newest node.
func (g *Builder) Last() int { return len(g.Specs) - 1 }
