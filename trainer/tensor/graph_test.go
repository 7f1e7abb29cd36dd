package tensor

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

func traced(t testing.TB, d *Device) (*gpt, *Graph) {
	m := newGPT(d, 2, 16, 2, 12, 2, 13)
	ids := d.Ints(make([]int32, 24), 2, 12)
	g, err := d.Trace(ids, m.logits)
	if err != nil {
		t.Fatal(err)
	}
	return m, g
}

func TestGraphRoundTrip(t *testing.T) {
	d := openTest(t, Config{Threads: 2})
	m, g := traced(t, d)
	b, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse(b, g.Weights(), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Digest() != g.Digest() {
		t.Error("the parsed graph has another digest")
	}
	rng := rand.New(rand.NewPCG(5, 5))
	for range 3 {
		ids, _ := batch(rng, 24, 13)
		d.Reset()
		want := m.logits(d.Ints(ids, 2, 12)).Host()
		for _, g := range []*Graph{g, p} {
			got, err := g.Run(d, ids)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range got {
				if math.Abs(float64(v-want[i])) > 1e-5 {
					t.Fatalf("logit %d is %v, eager says %v", i, v, want[i])
				}
			}
		}
	}
	if plan, all := g.plan().floats, 0; true {
		for _, n := range g.nodes {
			s, _ := sizeOf(n.spec.Shape)
			all += s
		}
		if plan*3 > all {
			t.Errorf("the plan needs %d floats of %d: memory is not reused", plan, all)
		}
	}
}

// TestPoison is the evaluator's proof on a whole model: poisoned later tokens
// leave earlier logits finite, and reach all from their own position on.
func TestPoison(t *testing.T) {
	d := openTest(t, Config{Threads: 2})
	_, g := traced(t, d)
	for cut := range 12 {
		ids := make([]int32, 24)
		for i := range ids {
			if i%12 >= cut {
				ids[i] = PoisonID
			}
		}
		got, err := g.Run(d, ids)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range got {
			pos := i / 13 % 12
			if (v != v) != (pos >= cut) {
				t.Fatalf("cut %d: logit at position %d is %v", cut, pos, v)
			}
		}
	}
}

func TestTraceRefuses(t *testing.T) {
	d := openTest(t, Config{Threads: 1})
	table := d.Param("table", 5, 3)
	state := d.State("state", 5, 3)
	ids := d.Ints([]int32{0, 1}, 1, 2)
	outside := table.Scale(2)
	for want, f := range map[string]func(ids *Tensor) *Tensor{
		"custom mine": func(ids *Tensor) *Tensor {
			x := table.Embed(ids)
			return Custom("mine", []*Tensor{x}, x.Shape(), func(out []float32, in [][]float32) { copy(out, in[0]) }, nil)
		},
		"cross_entropy":    func(ids *Tensor) *Tensor { return table.Embed(ids).CrossEntropy(ids, 0) },
		"computed outside": func(ids *Tensor) *Tensor { return outside.Embed(ids) },
		"optimizer state":  func(ids *Tensor) *Tensor { return state.Embed(ids) },
		"want logits":      func(ids *Tensor) *Tensor { return table.Embed(ids).Sum(1) },
		"is not finite":    func(ids *Tensor) *Tensor { return table.Embed(ids).Scale(float32(math.Inf(1))) },
	} {
		_, err := d.Trace(ids, f)
		var ne *NotExportable
		if !errors.As(err, &ne) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want NotExportable with %q", err, want)
		}
	}
}

// TestGraphConstants: ids and floats made inside the trace travel with the
// graph; ids count for the digest, floats do not.
func TestGraphConstants(t *testing.T) {
	d := openTest(t, Config{Threads: 1})
	table := d.Param("table", 5, 4)
	table.Fill(1)
	build := func(id int32, x float32) *Graph {
		g, err := d.Trace(d.Ints([]int32{0, 1}, 1, 2), func(ids *Tensor) *Tensor {
			return table.Embed(ids).Gather(2, d.Ints([]int32{id, 0, 3}, 3)).Scale(1).Mul(d.Floats([]float32{x}, 1))
		})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	a, b, c := build(1, 2), build(2, 2), build(1, 3)
	if a.Digest() == b.Digest() || a.Digest() != c.Digest() {
		t.Error("the digest must see constant ids and nothing of floats")
	}
	j, _ := json.Marshal(c)
	p, err := Parse(j, c.Weights(), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := p.Run(d, []int32{0, 1}); err != nil || out[0] != 3 {
		t.Errorf("got %v, %v, want 3", out, err)
	}
	if _, err := p.Run(d, []int32{0, 5}); err == nil || !strings.Contains(err.Error(), "id 5") {
		t.Errorf("id out of range: got %v", err)
	}
	if _, err := p.Run(d, []int32{0}); err == nil {
		t.Error("wrong number of ids was accepted")
	}
}

const tinyGraph = `{"version":1,"nodes":[
 {"op":"ids","shape":[1,2]},
 {"op":"weight","name":"w","shape":[5,4]},
 {"op":"embed","in":[1,0],"shape":[1,2,4]},
 {"op":"scale","in":[2],"attrs":{"s":2},"shape":[1,2,4]},
 {"op":"slice","in":[3],"attrs":{"axis":2,"lo":0,"hi":3},"shape":[1,2,3]}],"output":4}`

var tinyWeights = map[string]Weight{"w": {[]int{5, 4}, make([]float32, 20)}}

func TestParseMalformed(t *testing.T) {
	if _, err := Parse([]byte(tinyGraph), tinyWeights, Limits{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{`"scale"`, `"bless"`, "unknown operation"},
		{`"in":[2],"attrs":{"s":2}`, `"in":[3],"attrs":{"s":2}`, "earlier node"},
		{`"in":[2],"attrs":{"s":2}`, `"in":[4],"attrs":{"s":2}`, "earlier node"},
		{`"in":[2],"attrs":{"s":2}`, `"in":[-1],"attrs":{"s":2}`, "earlier node"},
		{`"in":[2],"attrs":{"s":2}`, `"in":[2,2],"attrs":{"s":2}`, "2 inputs, want 1"},
		{`"in":[2],"attrs":{"s":2}`, `"attrs":{"s":2}`, "0 inputs"},
		{`{"s":2}`, `{"t":2}`, `"s" is missing`},
		{`{"s":2}`, `{"s":1e99}`, `attribute "s"`},
		{`{"s":2}`, `{"s":null}`, `"s" is missing`},
		{`{"s":2}`, `{"s":2,"x":1}`, "2 attributes, want 1"},
		{`"lo":0`, `"lo":-1`, "range"},
		{`"axis":2`, `"axis":7`, "out of range"},
		{`"axis":2`, `"axis":1.5`, `attribute "axis"`},
		{`"shape":[1,2,3]`, `"shape":[1,2,4]`, "but it computes"},
		{`"shape":[5,4]`, `"shape":[5,5]`, "has shape"},
		{`"shape":[5,4]`, `"shape":[2147483647,4]`, "not allowed"},
		{`"name":"w"`, `"name":"v"`, "missing"},
		{`"output":4`, `"output":9`, "output 9"},
		{`"output":4`, `"output":0`, "want logits"},
		{`"version":1`, `"version":2`, "version 2"},
		{`"output":4`, `"output":4,"run":"rm"`, "unknown field"},
		{`"scale"`, `"custom"`, "not exportable"},
		{`"op":"weight","name":"w"`, `"op":"ids"`, "node 0"},
		{`"op":"weight","name":"w"`, `"op":"ints","ints":[1]`, "1 values"},
		{`"output":4}`, `"output":4}{}`, "after the end"},
	} {
		bad := strings.Replace(tinyGraph, c.old, c.new, 1)
		if bad == tinyGraph {
			t.Fatalf("%s is not in the graph", c.old)
		}
		if _, err := Parse([]byte(bad), tinyWeights, Limits{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s for %s: got %v, want %q", c.new, c.old, err, c.want)
		}
	}
	for want, lim := range map[string]Limits{"JSON": {JSONBytes: 10}, "nodes": {Nodes: 2}, "not allowed": {Elements: 10},
		"shape [1 2 4]": {Rank: 2}, "multiply-adds": {Work: 10}, "needs": {Bytes: 8}} {
		if _, err := Parse([]byte(tinyGraph), tinyWeights, lim); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", lim, err, want)
		}
	}
	short := maps.Clone(tinyWeights)
	short["w"] = Weight{[]int{5, 4}, make([]float32, 3)}
	if _, err := Parse([]byte(tinyGraph), short, Limits{}); err == nil {
		t.Error("a weight with missing values was accepted")
	}
}

// TestParseMutations puts hostile numbers at every place of a graph of every
// operation: Parse must refuse it or accept something that runs.
func TestParseMutations(t *testing.T) {
	d := openTest(t, Config{Threads: 1})
	_, g := traced(t, d)
	number := regexp.MustCompile(`-?\d+(\.\d+)?`)
	seen := map[string]bool{}
	accepted := 0
	for _, oc := range opCases() {
		if seen[oc.op] || registry[oc.op].TrainingOnly != "" {
			continue
		}
		s := oc.graph(d)
		if s == "" {
			continue
		}
		seen[oc.op] = true
		if _, err := Parse([]byte(s), g.Weights(), Limits{}); err != nil {
			t.Fatalf("%s: %v", oc.op, err)
		}
		for _, at := range number.FindAllStringIndex(s, -1) {
			for _, v := range []string{"-1", "0", "1", "3", "-2147483648", "2147483647", "9223372036854775807", "[]", "null"} {
				p, err := Parse([]byte(s[:at[0]]+v+s[at[1]:]), g.Weights(), Limits{Elements: 1 << 16, Bytes: 1 << 22, Work: 1 << 24})
				if err == nil {
					accepted++
					b, tt := p.BT()
					p.Run(d, make([]int32, b*tt))
				}
			}
		}
	}
	for _, op := range Ops() {
		if op.TrainingOnly == "" && !seen[op.Name] {
			t.Errorf("%s was not tried: give it a small case", op.Name)
		}
	}
	t.Logf("%d mutations were accepted", accepted)
}

// FuzzParse: whatever the text, Parse returns, and what it accepts runs.
func FuzzParse(f *testing.F) {
	f.Add(tinyGraph)
	d, err := Open(Config{Threads: 1})
	if err != nil {
		f.Fatal(err)
	}
	// Every operation once, so that mutations meet all of them.
	for _, oc := range opCases() {
		if registry[oc.op].TrainingOnly != "" {
			continue
		}
		if s := oc.graph(d); s != "" {
			f.Add(s)
		}
	}
	_, g := traced(f, d)
	b, _ := json.Marshal(g)
	f.Add(string(b))
	weights := maps.Clone(g.Weights())
	maps.Copy(weights, tinyWeights)
	f.Fuzz(func(t *testing.T, s string) {
		g, err := Parse([]byte(s), weights, Limits{Elements: 1 << 16, Bytes: 1 << 22, Work: 1 << 24, Nodes: 200})
		if err != nil {
			return
		}
		b, tt := g.BT()
		g.Run(d, make([]int32, b*tt)) // ids out of range are an error, not a panic
	})
}

// graph is the case as a graph whose float inputs are views of the embedding
// table, or "" where that takes too much.
func (oc opCase) graph(d *Device) string {
	for _, s := range oc.in {
		if n, _ := sizeOf(s); n > 200 {
			return ""
		}
	}
	name := "fuzz." + oc.op
	for d.byName[name] != nil {
		name += "+"
	}
	table := d.Param(name, 13, 16) // the shape of emb in traced
	g, err := d.Trace(d.Ints(make([]int32, 16), 1, 16), func(ids *Tensor) *Tensor {
		x := table.Embed(ids).Reshape(-1)
		var in []*Tensor
		for _, s := range oc.in {
			if s[0] == 0 {
				n, _ := sizeOf(s[1:])
				in = append(in, d.Ints(make([]int32, n), s[1:]...))
				continue
			}
			n, _ := sizeOf(s)
			in = append(in, x.Slice(0, 0, n).Reshape(s...))
		}
		out := oc.f(in).Reshape(-1)
		if out.IsInt() {
			out = x.Slice(0, 0, 16).Gather(0, out)
		}
		return x.Slice(0, 0, 16).Reshape(1, 16, 1).Add(out.Slice(0, 0, 1))
	})
	if err != nil {
		return ""
	}
	b, _ := json.Marshal(g)
	return strings.ReplaceAll(string(b), name, "emb")
}
