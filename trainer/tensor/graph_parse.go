package tensor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// Limits bound what Parse accepts, so that a hostile graph can neither exhaust
// memory nor time. Zero fields mean the default.
type Limits struct {
	JSONBytes int   // length of the JSON; default 8 MiB
	Nodes     int   // number of nodes; default 20000
	Rank      int   // dimensions of any tensor; default 8
	Elements  int   // elements of any tensor; default 2^28
	Bytes     int64 // memory for intermediate values of one Run; default 8 GiB
	Work      int64 // multiply-adds of one Run, estimated; default 2^44
}

func (l Limits) filled() Limits {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&l.JSONBytes, 8<<20)
	def(&l.Nodes, 20000)
	def(&l.Rank, 8)
	def(&l.Elements, 1<<28)
	if l.Bytes == 0 {
		l.Bytes = 8 << 30
	}
	if l.Work == 0 {
		l.Work = 1 << 44
	}
	return l
}

// Parse reads a graph from outside and believes nothing: operations, arity and
// attributes are checked against the registry, every shape is inferred again
// and must agree, inputs must be earlier nodes, weights must be there with
// their shapes. Weights that the graph does not name are left out. No input
// makes it panic.
func Parse(data []byte, weights map[string]Weight, limits Limits) (*Graph, error) {
	lim := limits.filled()
	if len(data) > lim.JSONBytes {
		return nil, fmt.Errorf("tensor: graph: %d bytes of JSON, limit %d", len(data), lim.JSONBytes)
	}
	// A node is an object with another for its attributes.
	if err := checkJSON(data, jsonBounds{objects: 1 + 2*lim.Nodes, keys: 8}); err != nil {
		return nil, fmt.Errorf("tensor: graph: %w; at most %d nodes are allowed", err, lim.Nodes)
	}
	var j graphJSON
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&j); err != nil {
		return nil, fmt.Errorf("tensor: graph: %w", err)
	}
	if j.Version != GraphVersion {
		return nil, fmt.Errorf("tensor: graph: version %d, want %d", j.Version, GraphVersion)
	}
	if len(j.Nodes) == 0 || len(j.Nodes) > lim.Nodes {
		return nil, fmt.Errorf("tensor: graph: %d nodes, want 1 to %d", len(j.Nodes), lim.Nodes)
	}
	g := &Graph{weights: map[string]Weight{}}
	var work int64
	for i, m := range j.Nodes {
		n, err := g.parseNode(i, m, weights, lim)
		if err == nil {
			if work += n.work(g); work > lim.Work {
				err = fmt.Errorf("the graph needs more than %d multiply-adds", lim.Work)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("tensor: graph: node %d (%.40q): %w", i, m.Op, err)
		}
		g.nodes = append(g.nodes, n)
	}
	if j.Output < 0 || j.Output >= len(g.nodes) {
		return nil, fmt.Errorf("tensor: graph: output %d of %d nodes", j.Output, len(g.nodes))
	}
	g.output = j.Output
	if err := g.checkOutput(); err != nil {
		return nil, fmt.Errorf("tensor: graph: %w", err)
	}
	g.prune()
	if p := g.plan(); int64(p.floats)*4 > lim.Bytes {
		return nil, fmt.Errorf("tensor: graph: needs %d bytes, limit %d", int64(p.floats)*4, lim.Bytes)
	}
	return g, nil
}

func (g *Graph) parseNode(i int, m nodeJSON, weights map[string]Weight, lim Limits) (node, error) {
	n := node{kind: m.Op, name: m.Name, in: m.In, ints: m.Ints}
	size, ok := sizeOf(m.Shape)
	if !ok || size > lim.Elements || len(m.Shape) > lim.Rank {
		return n, fmt.Errorf("shape %v is not allowed", clip(m.Shape))
	}
	n.spec = Spec{Shape: slices.Clone(m.Shape)}
	if (i == 0) != (m.Op == nodeIDs) {
		return n, fmt.Errorf("the ids are node 0 and no other")
	}
	switch m.Op {
	case nodeIDs, nodeWeight, nodeInts:
		return n, g.parseLeaf(&n, m, weights, size)
	}
	if n.op = registry[m.Op]; n.op == nil {
		return n, fmt.Errorf("unknown operation")
	}
	if n.op.TrainingOnly != "" {
		return n, &NotExportable{Op: m.Op, Msg: n.op.TrainingOnly}
	}
	return n, g.parseOp(i, &n, m)
}

func (g *Graph) parseLeaf(n *node, m nodeJSON, weights map[string]Weight, size int) error {
	if len(m.In) > 0 || len(m.Attrs) > 0 {
		return fmt.Errorf("it takes neither inputs nor attributes")
	}
	if m.Op != nodeInts && len(m.Ints) > 0 || m.Op != nodeWeight && m.Name != "" {
		return fmt.Errorf("fields of another kind of node")
	}
	switch m.Op {
	case nodeIDs:
		n.spec.Int = true
		if len(m.Shape) != 2 {
			return fmt.Errorf("shape %v, want [B,T]", clip(m.Shape))
		}
	case nodeInts:
		n.spec.Int = true
		if len(m.Ints) != size {
			return fmt.Errorf("%d values for shape %v", len(m.Ints), clip(m.Shape))
		}
	case nodeWeight:
		w, ok := weights[m.Name]
		if !ok {
			return fmt.Errorf("weight %.80q is missing", m.Name)
		}
		if !slices.Equal(w.Shape, m.Shape) || len(w.Data) != size {
			return fmt.Errorf("weight %.80q has shape %v and %d values, the graph says %v", m.Name, clip(w.Shape), len(w.Data), m.Shape)
		}
		g.weights[m.Name] = w
	}
	return nil
}

func (g *Graph) parseOp(i int, n *node, m nodeJSON) error {
	if m.Name != "" || len(m.Ints) > 0 {
		return fmt.Errorf("an operation has neither name nor values")
	}
	if n.op.Arity >= 0 && len(m.In) != n.op.Arity || len(m.In) == 0 {
		return fmt.Errorf("%d inputs, want %d", len(m.In), n.op.Arity)
	}
	if len(m.In) > maxInputs {
		return fmt.Errorf("%d inputs, limit %d", len(m.In), maxInputs)
	}
	in := make([]Spec, len(m.In))
	for k, j := range m.In {
		if j < 0 || j >= i {
			return fmt.Errorf("input %d is node %d, want an earlier node", k, j)
		}
		in[k] = g.nodes[j].spec
	}
	var err error
	if n.attrs, err = n.op.parseAttrs(m.Attrs); err != nil {
		return err
	}
	spec, err := n.op.Infer(n.attrs, in)
	if err != nil {
		return fmt.Errorf("%w (got %v)", err, in[:min(len(in), 8)])
	}
	if !slices.Equal(spec.Shape, m.Shape) {
		return fmt.Errorf("shape %v, but it computes %v", clip(m.Shape), spec.Shape)
	}
	n.spec = spec
	return nil
}

// maxInputs bounds the inputs of an operation that takes any number.
const maxInputs = 1000

// clip keeps hostile shapes from filling the message.
func clip(s []int) []int { return s[:min(len(s), 10)] }

// work estimates multiply-adds from shapes alone.
func (n *node) work(g *Graph) int64 {
	if n.op == nil {
		return 0
	}
	var most int64
	for _, j := range n.in {
		s, _ := sizeOf(g.nodes[j].spec.Shape)
		most = max(most, int64(s))
	}
	s, _ := sizeOf(n.spec.Shape)
	most = max(most, int64(s))
	first := g.nodes[n.in[0]].spec.Shape
	factor := 1
	switch n.op.Name {
	case "matmul", "matmul_t", "causal_matmul", "causal_solve", "expert_matmul":
		most, factor = int64(s), first[len(first)-1]
	case "attention":
		factor = 2 * first[1]
	case "causal_conv":
		factor = g.nodes[n.in[1]].spec.Shape[0]
	case "topk":
		factor = n.attrs.Ints[0]
	}
	return most * int64(factor)
}
