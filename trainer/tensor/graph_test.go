package tensor

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
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
		{`"output":4}`, `"output":4}{}`, "after top-level value"},
		{`"output":4`, `"output":4,"Output":3`, "stands twice"},
		{`"op":"scale"`, `"op":"scale","op":"relu"`, "stands twice"},
		{`{"s":2}`, `{"s":2,"s":3}`, "stands twice"},
		{`{"s":2}`, `{"s":NaN}`, "invalid character"},
		{`{"s":2}`, `{"s":"NaN"}`, `attribute "s"`},
		{`{"s":2}`, `{"s":[2]}`, `attribute "s"`},
		{`"axis":2`, `"axis":4294967298`, `attribute "axis"`},
		{`"name":"w"`, "\"name\":\"w\xff\"", "UTF-8"},
		{`"shape":[1,2,3]`, `"shape":[-1,-2,3]`, "not allowed"},
		{`"shape":[1,2,3]`, `"shape":[4294967296,4294967296,3]`, "not allowed"},
		{`"shape":[1,2,3]`, `"shape":[1,1,1,1,1,1,1,2,3]`, "not allowed"},
		{`"shape":[1,2]`, `"shape":[0,2]`, "not allowed"},
		{`"shape":[1,2]`, `"shape":null`, "want [B,T]"},
		{`"output":4`, `"output":-1`, "output -1"},
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
