package tensor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// Names of the nodes that are no operations.
const (
	nodeIDs    = "ids"    // the token ids [B,T]: node 0 of every graph
	nodeWeight = "weight" // a Param, Const or constant floats, by name
	nodeInts   = "ints"   // constant ids, stored in the graph itself
)

// GraphVersion is the version of the JSON form that this package writes and
// the only one it reads.
const GraphVersion = 1

// Weight is a named array that a graph reads.
type Weight struct {
	Shape []int
	Data  []float32 // row-major
}

// Graph is a forward computation from token ids [B,T] to logits [B,T,V]: a
// list of registered operations without control flow, each reading earlier
// nodes only. It comes from [Device.Trace] or, judged anew, from [Parse].
type Graph struct {
	nodes   []node
	output  int
	weights map[string]Weight
	live    map[string]*Tensor // where weights come from that live on a GPU
	exec    *executor
	gpuExec *gpuExecutor
}

// node is one step of a graph.
type node struct {
	op    *Op // nil for ids, weight and ints
	kind  string
	name  string
	in    []int
	attrs Attrs
	spec  Spec
	ints  []int32
}

// BT is the batch size and the number of tokens that the graph was traced at.
func (g *Graph) BT() (b, t int) { s := g.nodes[0].spec.Shape; return s[0], s[1] }

// Vocab is V, the number of logits per position.
func (g *Graph) Vocab() int { return g.nodes[g.output].spec.Shape[2] }

// Nodes is the number of nodes, leaves included.
func (g *Graph) Nodes() int { return len(g.nodes) }

// Weights are the arrays the graph reads. A traced graph shares them with the
// device's persistent tensors: they change when training goes on.
// Of a device that is a GPU they are copies, which Weights renews.
func (g *Graph) Weights() map[string]Weight {
	for name, t := range g.live {
		t.readFloats(g.weights[name].Data)
	}
	return g.weights
}

// Reload has the next run read the data of Weights again, after it was changed: a
// GPU has copies.
func (g *Graph) Reload() {
	if g.gpuExec != nil {
		g.gpuExec.reload(g)
	}
}

// recorder turns eager calls into nodes.
type recorder struct {
	g   *Graph
	ids map[*Tensor]int
	err *NotExportable
}

// Trace runs f once on ids [B,T] without gradients and returns what it
// computed as a graph. The error is a *NotExportable when f used something
// that only exists in training; programmer errors panic as everywhere.
func (d *Device) Trace(ids *Tensor, f func(ids *Tensor) *Tensor) (*Graph, error) {
	if !ids.isInt || len(ids.shape) != 2 {
		fail("trace", "got %v, want ids of shape [B,T]", ids)
	}
	if d.rec != nil {
		fail("trace", "already tracing")
	}
	r := &recorder{g: &Graph{weights: map[string]Weight{}}, ids: map[*Tensor]int{}}
	r.push(ids, node{kind: nodeIDs, spec: ids.spec()})
	var out *Tensor
	d.rec = r
	func() {
		defer func() { d.rec = nil }()
		d.NoGrad(func() { out = f(ids) })
	}()
	if r.err != nil {
		return nil, r.err
	}
	i := r.node(out)
	if r.err != nil {
		return nil, r.err
	}
	r.g.output = i
	if err := r.g.checkOutput(); err != nil {
		return nil, &NotExportable{Op: "trace", Msg: err.Error()}
	}
	r.g.prune()
	return r.g, nil
}

func (r *recorder) push(t *Tensor, n node) int {
	n.spec.Shape = slices.Clone(n.spec.Shape)
	r.g.nodes = append(r.g.nodes, n)
	r.ids[t] = len(r.g.nodes) - 1
	return r.ids[t]
}

func (r *recorder) refuse(op, format string, args ...any) {
	if r.err == nil {
		r.err = &NotExportable{Op: op, Msg: fmt.Sprintf(format, args...)}
	}
}

// add records one call.
func (r *recorder) add(c *call) {
	if c.op.TrainingOnly != "" {
		name := c.op.Name
		if c.custom != nil {
			name += " " + c.custom.name
		}
		r.refuse(name, "%s", c.op.TrainingOnly)
	}
	for _, f := range c.attrs.Floats {
		if f-f != 0 {
			r.refuse(c.op.Name, "attribute %v is not finite", f)
		}
	}
	n := node{op: c.op, kind: c.op.Name, spec: c.out.spec(),
		attrs: Attrs{Ints: slices.Clone(c.attrs.Ints), Floats: slices.Clone(c.attrs.Floats)}}
	for _, t := range c.in {
		n.in = append(n.in, r.node(t))
	}
	r.push(c.out, n)
}

// node finds the node of a tensor, making one for leaves.
func (r *recorder) node(t *Tensor) int {
	if i, ok := r.ids[t]; ok {
		return i
	}
	switch {
	case t.kind == kindParam || t.kind == kindConst:
		if t.dev.acc == nil {
			return r.weight(t, t.name, t.data)
		}
		if r.g.live == nil {
			r.g.live = map[string]*Tensor{}
		}
		r.g.live[t.name] = t
		return r.weight(t, t.name, make([]float32, t.size)) // filled by Weights
	case t.kind == kindState:
		r.refuse("state", "%q is optimizer state; make it a Const or a Param", t.name)
	case !t.given:
		r.refuse("trace", "a value of shape %v was computed outside of the traced function", t.shape)
	case t.isInt:
		return r.push(t, node{kind: nodeInts, spec: t.spec(), ints: t.HostInts()})
	default:
		return r.weight(t, fmt.Sprintf("floats.%d", len(r.g.nodes)), t.Host())
	}
	return 0
}

func (r *recorder) weight(t *Tensor, name string, data []float32) int {
	if _, taken := r.g.weights[name]; taken {
		r.refuse("trace", "the name %q is used by two weights", name)
	}
	r.g.weights[name] = Weight{Shape: slices.Clone(t.shape), Data: data}
	return r.push(t, node{kind: nodeWeight, name: name, spec: t.spec()})
}

func (g *Graph) checkOutput() error {
	s, ids := g.nodes[g.output].spec, g.nodes[0].spec.Shape
	if s.Int || len(s.Shape) != 3 || s.Shape[0] != ids[0] || s.Shape[1] != ids[1] {
		return fmt.Errorf("the output is %v, want logits [%d,%d,V]", s, ids[0], ids[1])
	}
	return nil
}

// prune drops nodes that the output does not need (the ids stay).
func (g *Graph) prune() {
	used := make([]bool, len(g.nodes))
	used[0], used[g.output] = true, true
	for i := len(g.nodes) - 1; i >= 0; i-- {
		for _, j := range g.nodes[i].in {
			used[j] = used[j] || used[i]
		}
	}
	at := make([]int, len(g.nodes))
	var keep []node
	weights := map[string]Weight{}
	for i, n := range g.nodes {
		if !used[i] {
			continue
		}
		for k, j := range n.in {
			n.in[k] = at[j]
		}
		if n.kind == nodeWeight {
			weights[n.name] = g.weights[n.name]
		}
		at[i] = len(keep)
		keep = append(keep, n)
	}
	g.nodes, g.output, g.weights = keep, at[g.output], weights
	for name := range g.live {
		if _, ok := weights[name]; !ok {
			delete(g.live, name)
		}
	}
}

// graphJSON is the stored form.
type graphJSON struct {
	Version int        `json:"version"`
	Nodes   []nodeJSON `json:"nodes"`
	Output  int        `json:"output"`
}

type nodeJSON struct {
	Op    string                     `json:"op"`
	Name  string                     `json:"name,omitempty"`
	In    []int                      `json:"in,omitempty"`
	Attrs map[string]json.RawMessage `json:"attrs,omitempty"`
	Ints  []int32                    `json:"ints,omitempty"`
	Shape []int                      `json:"shape"`
}

// MarshalJSON writes the form that Parse reads; weights are not part of it.
func (g *Graph) MarshalJSON() ([]byte, error) { return g.marshal(true) }

func (g *Graph) marshal(names bool) ([]byte, error) {
	j := graphJSON{Version: GraphVersion, Output: g.output}
	for _, n := range g.nodes {
		m := nodeJSON{Op: n.kind, In: n.in, Ints: n.ints, Shape: n.spec.Shape}
		if names {
			m.Name = n.name
		}
		if n.op != nil {
			m.Attrs = n.op.attrsJSON(n.attrs)
		}
		j.Nodes = append(j.Nodes, m)
	}
	return json.Marshal(j)
}

// Digest names the structure: operations, attributes, shapes and constant ids,
// but neither the weights' values nor their names.
func (g *Graph) Digest() string {
	b, err := g.marshal(false)
	if err != nil {
		panic(err) // only numbers and strings: cannot fail
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// attrsJSON names the attributes.
func (op *Op) attrsJSON(a Attrs) map[string]json.RawMessage {
	m := map[string]json.RawMessage{}
	for i, name := range op.Ints {
		if base, many := manyName(name); many {
			b, _ := json.Marshal(append([]int{}, a.Ints[i:]...))
			m[base] = b
			break
		}
		m[name] = fmt.Append(nil, a.Ints[i])
	}
	for i, name := range op.Floats {
		b, _ := json.Marshal(a.Floats[i])
		m[name] = b
	}
	return m
}

func manyName(name string) (base string, many bool) {
	if n := len(name) - 3; n > 0 && name[n:] == "..." {
		return name[:n], true
	}
	return name, false
}

// parseAttrs is the reverse of attrsJSON: every attribute once, no others.
func (op *Op) parseAttrs(m map[string]json.RawMessage) (a Attrs, err error) {
	want := len(op.Ints) + len(op.Floats)
	if len(m) != want {
		return a, fmt.Errorf("%d attributes, want %d: %v", len(m), want, append(slices.Clone(op.Ints), op.Floats...))
	}
	for _, name := range op.Ints {
		base, many := manyName(name)
		var l []int32
		if many {
			err = decode(m, base, &l)
		} else {
			l = make([]int32, 1)
			err = decode(m, base, &l[0])
		}
		if err != nil {
			return a, err
		}
		for _, v := range l {
			a.Ints = append(a.Ints, int(v))
		}
	}
	for _, name := range op.Floats {
		var f float32
		if err := decode(m, name, &f); err != nil {
			return a, err
		}
		if math.IsInf(float64(f), 0) {
			return a, fmt.Errorf("attribute %q is not finite", name)
		}
		a.Floats = append(a.Floats, f)
	}
	return a, nil
}

func decode(m map[string]json.RawMessage, name string, to any) error {
	raw, ok := m[name]
	if !ok || string(raw) == "null" {
		return fmt.Errorf("attribute %q is missing", name)
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("attribute %q: %w", name, err)
	}
	return nil
}
