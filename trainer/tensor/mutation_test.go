package tensor_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/tensortest"
)

func open(t testing.TB, threads int) *tensor.Device {
	t.Helper()
	d, err := tensor.Open(tensor.Config{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// caseTable is the one weight of the graphs of cases.
var caseTable = map[string]tensor.Weight{"table": {Shape: []int{13, 16}, Data: make([]float32, 13*16)}}

// caseGraph is a case as a graph whose float inputs are views of an embedding
// table, or "" where that takes too much or cannot be exported.
func caseGraph(c tensortest.Case, d *tensor.Device, name string) string {
	size := func(s []int) int {
		n := 1
		for _, d := range s {
			n *= d
		}
		return n
	}
	for _, in := range c.In {
		if size(in.Shape) > 200 {
			return ""
		}
	}
	table := d.Param(name, 13, 16)
	g, err := d.Trace(d.Ints(make([]int32, 16), 1, 16), func(ids *tensor.Tensor) *tensor.Tensor {
		x := table.Embed(ids).Reshape(-1)
		var in []*tensor.Tensor
		for _, i := range c.In {
			if i.IDs > 0 {
				in = append(in, d.Ints(make([]int32, size(i.Shape)), i.Shape...))
				continue
			}
			in = append(in, x.Slice(0, 0, size(i.Shape)).Reshape(i.Shape...))
		}
		out := c.Build(in).Reshape(-1)
		if out.IsInt() {
			out = x.Slice(0, 0, 16).Gather(0, out)
		}
		return x.Slice(0, 0, 16).Reshape(1, 16, 1).Add(out.Slice(0, 0, 1))
	})
	if err != nil {
		return ""
	}
	b, _ := json.Marshal(g)
	return strings.ReplaceAll(string(b), name, "table")
}

// caseGraphs is one graph of every exportable operation.
func caseGraphs(t testing.TB, d *tensor.Device) map[string]string {
	graphs := map[string]string{}
	for i, c := range tensortest.Cases() {
		if graphs[c.Op] == "" && !c.TrainingOnly {
			graphs[c.Op] = caseGraph(c, d, fmt.Sprint("case", i))
		}
	}
	for _, op := range tensor.Ops() {
		if op.TrainingOnly == "" && graphs[op.Name] == "" {
			t.Errorf("%s was not tried: give it a small case", op.Name)
		}
	}
	return graphs
}

// TestParseMutations puts hostile numbers at every place of a graph of every
// operation: Parse must refuse it or accept something that runs.
func TestParseMutations(t *testing.T) {
	d := open(t, 1)
	number := regexp.MustCompile(`-?\d+(\.\d+)?`)
	accepted := 0
	for op, s := range caseGraphs(t, d) {
		if _, err := tensor.Parse([]byte(s), caseTable, tensor.Limits{}); err != nil {
			t.Fatalf("%s: %v", op, err)
		}
		for _, at := range number.FindAllStringIndex(s, -1) {
			for _, v := range []string{"-1", "0", "1", "3", "-2147483648", "2147483647", "9223372036854775807", "[]", "null"} {
				p, err := tensor.Parse([]byte(s[:at[0]]+v+s[at[1]:]), caseTable, tensor.Limits{Elements: 1 << 16, Bytes: 1 << 22, Work: 1 << 24})
				if err == nil {
					accepted++
					b, tt := p.BT()
					p.Run(d, make([]int32, b*tt))
				}
			}
		}
	}
	t.Logf("%d mutations were accepted", accepted)
}

// FuzzParse: whatever the text, Parse returns, and what it accepts runs.
func FuzzParse(f *testing.F) {
	d := open(f, 1)
	for _, s := range caseGraphs(f, d) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		g, err := tensor.Parse([]byte(s), caseTable, tensor.Limits{Elements: 1 << 16, Bytes: 1 << 22, Work: 1 << 24, Nodes: 200})
		if err != nil {
			return
		}
		b, tt := g.BT()
		g.Run(d, make([]int32, b*tt)) // ids out of range are an error, not a panic
	})
}
