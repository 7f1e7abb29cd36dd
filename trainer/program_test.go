package main

import (
	"os"
	"reflect"
	"regexp"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// The instructions name the operations that a proposal may use; whoever follows
// them must find them.
func TestProgramNamesOperations(t *testing.T) {
	text, err := os.ReadFile("../program.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`([A-Z][A-Za-z0-9]*)\\(").FindAllSubmatch(text, -1)
	if len(names) < 80 {
		t.Errorf("program.md names %d operations, it has a table of them", len(names))
	}
	for _, name := range names {
		if _, ok := reflect.TypeFor[*tensor.Tensor]().MethodByName(string(name[1])); !ok {
			t.Errorf("program.md names the operation %s, which *tensor.Tensor does not have", name[1])
		}
	}
}
