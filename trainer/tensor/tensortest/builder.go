package tensortest

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// Builder writes graphs node by node in the form that tensor.Parse reads, so
// that operations can be used by name. Node 0 are the ids [B,T].
type Builder struct {
	Specs   []tensor.Spec
	Bounds  []int // of nodes of ids: how many values they may have
	Weights map[string]tensor.Weight
	nodes   []map[string]any
}

// NewBuilder begins a graph on ids [b,t] below bound.
func NewBuilder(b, t, bound int) *Builder {
	g := &Builder{Weights: map[string]tensor.Weight{}}
	g.add(map[string]any{"op": "ids"}, tensor.Spec{Shape: []int{b, t}, Int: true}, bound)
	return g
}

func (g *Builder) add(node map[string]any, s tensor.Spec, bound int) int {
	node["shape"] = s.Shape
	g.nodes, g.Specs, g.Bounds = append(g.nodes, node), append(g.Specs, s), append(g.Bounds, bound)
	return len(g.nodes) - 1
}

// Weight adds an array, which the graph reads at every run.
func (g *Builder) Weight(shape ...int) int {
	name := fmt.Sprint("w", len(g.nodes))
	g.Weights[name] = tensor.Weight{Shape: shape, Data: make([]float32, product1(shape))}
	return g.add(map[string]any{"op": "weight", "name": name}, tensor.Spec{Shape: shape}, 0)
}

// Data is the array of a weight's node.
func (g *Builder) Data(node int) []float32 { return g.Weights[fmt.Sprint("w", node)].Data }

// Ints adds constant ids below bound.
func (g *Builder) Ints(values []int32, bound int, shape ...int) int {
	return g.add(map[string]any{"op": "ints", "ints": values}, tensor.Spec{Shape: shape, Int: true}, bound)
}

// Op adds an operation; the shapes must fit. bound is of ids that it gives.
func (g *Builder) Op(op *tensor.Op, a tensor.Attrs, bound int, in ...int) int {
	specs := make([]tensor.Spec, len(in))
	for i, n := range in {
		specs[i] = g.Specs[n]
	}
	out, err := op.Infer(a, specs)
	if err != nil {
		panic(fmt.Sprintf("%s%v of %v: %v", op.Name, a, specs, err))
	}
	attrs := map[string]any{}
	for i, name := range op.Ints {
		if base, many := strings.CutSuffix(name, "..."); many {
			attrs[base] = a.Ints[i:]
			break
		}
		attrs[name] = a.Ints[i]
	}
	for i, name := range op.Floats {
		attrs[name] = a.Floats[i]
	}
	return g.add(map[string]any{"op": op.Name, "in": in, "attrs": attrs}, out, bound)
}

// Do is Op for an operation of integer attributes, by name.
func (g *Builder) Do(name string, ints []int, in ...int) int {
	return g.Op(opNamed(name), tensor.Attrs{Ints: ints}, g.Bounds[in[0]], in...)
}

// Text is the graph as it is stored.
func (g *Builder) Text(output int) []byte {
	b, err := json.Marshal(map[string]any{"version": tensor.GraphVersion, "nodes": g.nodes, "output": output})
	if err != nil {
		panic(err) // numbers and strings
	}
	return b
}

// Graph parses the graph as far as output needs it.
func (g *Builder) Graph(output int) (*tensor.Graph, error) {
	return tensor.Parse(g.Text(output), g.Weights, tensor.Limits{})
}

// Fit gives node another shape, repeating or leaving out elements where their
// number differs.
func (g *Builder) Fit(node int, shape []int) int {
	have, want := product1(g.Specs[node].Shape), product1(shape)
	if have != want {
		node = g.Do("reshape", []int{1, have}, node)
		if times := (want + have - 1) / have; times > 1 {
			node = g.Do("broadcast_to", []int{times, have}, node)
			node = g.Do("reshape", []int{1, times * have}, node)
		}
		node = g.Do("slice", []int{1, 0, want}, node)
	}
	return g.Do("reshape", shape, node)
}

func opNamed(name string) *tensor.Op {
	for _, op := range tensor.Ops() {
		if op.Name == name {
			return op
		}
	}
	panic("no operation " + name)
}

func product1(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Exportable lists the operations that a graph may hold.
func Exportable() (l []*tensor.Op) {
	for _, op := range tensor.Ops() {
		if op.TrainingOnly == "" {
			l = append(l, op)
		}
	}
	return l
}

// extremes are values at which arithmetic does something else than usual.
var extremes = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, 1, 2, 1e30, -1e30, 3e38, -3e38, 1e-30, -1e-30, 1e-45, -1e-45,
	float32(math.Inf(1)), float32(math.Inf(-1)),
}

// fillWild fills x with numbers of one kind: usual ones, ones among which many
// are equal, or with some or many extremes.
func fillWild(rng *rand.Rand, x []float32) {
	kind := rng.IntN(4)
	for i := range x {
		switch x[i] = float32(rng.NormFloat64()); {
		case kind == 1:
			x[i] = float32(rng.IntN(3) - 1)
		case kind == 2 && rng.IntN(8) == 0, kind == 3:
			x[i] = extremes[rng.IntN(len(extremes))]
		}
	}
}
