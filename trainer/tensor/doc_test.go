package tensor_test

import (
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// TestDocListsEveryMethod: the list in the package comment is what people and
// proposers choose from.
func TestDocListsEveryMethod(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Split(strings.Split(string(doc), "# What there is")[1], "// Anything between")[0]
	words := strings.Fields(list)
	typ := reflect.TypeFor[*tensor.Tensor]()
	for i := range typ.NumMethod() {
		m := typ.Method(i)
		if m.Type.NumOut() == 0 || m.Type.Out(0) != typ && m.Type.Out(0) != reflect.SliceOf(typ) || m.Name == "Grad" {
			continue
		}
		if !slices.Contains(words, m.Name) {
			t.Errorf("doc.go does not list %s", m.Name)
		}
	}
	for _, w := range words {
		if _, ok := typ.MethodByName(w); !ok && w[0] >= 'A' && w[0] <= 'Z' && w != "Custom" && w != "Methods" {
			t.Errorf("doc.go lists %s, which does not exist", w)
		}
	}
}

// TestDropout: the right share is gone, the rest is scaled, gradients follow
// the mask, and an exported model has none of it.
func TestDropout(t *testing.T) {
	d := open(t, 2)
	p := d.Param("p", 10000)
	p.Fill(3)
	rng := rand.New(rand.NewPCG(1, 2))
	y := p.Dropout(rng, 0.25)
	y.Sum(0).Backward()
	gone := 0
	for i, v := range y.Host() {
		if v == 0 {
			gone++
		} else if v != 4 {
			t.Fatalf("element %d is %v, want 0 or 3/0.75", i, v)
		}
		if g := p.Grad().Host()[0]; i == 0 && g*3 != v {
			t.Errorf("the gradient is %v where the value is %v", g, v)
		}
	}
	if gone < 2300 || gone > 2700 {
		t.Errorf("%d of 10000 are gone, want about a quarter", gone)
	}
	d.NoGrad(func() {
		if p.Dropout(rng, 0.25) != p {
			t.Error("without gradients dropout is not the identity")
		}
	})
	again := p.Dropout(rand.New(rand.NewPCG(1, 2)), 0.25)
	if !slices.Equal(again.Host(), y.Host()) {
		t.Error("the same seed gave another mask")
	}
}
