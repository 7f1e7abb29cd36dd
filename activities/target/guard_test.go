package target

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/experiment"
)

func TestGuard(t *testing.T) {
	const path = "trainer/train.go"
	file := func(imports, body string) string {
		return "package main\n\n" + imports + "\n\n" + body + "\n"
	}
	long := func(s string) string { return strings.Repeat(s, 1025/len(s)+1) }
	for name, c := range map[string]struct{ path, src, want string }{
		"fine":          {path, file(`import ("math"; "github.com/autoresearch-go/autoresearch/trainer/tensor")`, "var x = math.Pi"), ""},
		"other file":    {"trainer/harness/clock.go", "package harness", "only trainer/train.go may"},
		"syntax":        {path, "package main\n\nfunc {", "trainer/train.go:3:6"},
		"os":            {path, file(`import "os"`, ""), `trainer/train.go:3:8: import "os" is not allowed`},
		"unsafe":        {path, file("import (\n\t_ \"unsafe\"\n)", ""), "train.go:4:2: import"},
		"cgo":           {path, file(`import "C"`, ""), "not allowed"},
		"subpackage":    {path, file(`import "github.com/autoresearch-go/autoresearch/trainer/tensor/cpu"`, ""), "not allowed"},
		"raw import":    {path, file("import `net/http`", ""), "not allowed"},
		"linkname":      {path, file("", "//go:linkname x runtime.x\nfunc x()"), `train.go:5:1: the compiler directive "//go:"`},
		"in a function": {path, file("", "func f() {\n//go:noinline\n}"), "train.go:6:1"},
		"build tag":     {path, "// +build ignore\n\npackage main\n", "directive"},
		"line":          {path, file("", "/*line other.go:1:1*/ var x = 1"), "directive"},
		"comment":       {path, file("", "// go: on, said the compiler\nvar x = 1"), ""},
		"NUL":           {path, "package main\n\n// \x00\n", "train.go:3: control character"},
		"binary":        {path, "package main\n// \xff\n", "train.go:2: not valid UTF-8"},
		"too long":      {path, "package main\n" + strings.Repeat("// x\n", 14000), "at most 65536"},
		"long comment":  {path, file("", "// "+long("x")), ""},
		"string":        {path, file("", `var x = "`+long("x")+`"`), "literals up to here hold"},
		"strings":       {path, file("", "var x = []string{"+long(`"abc", `)+long(`"abc", `)+long(`"abc", `)+"}"), "at most 1024"},
		"table":         {path, file("", "var x = []int{"+long("12, 34, ")+long("12, 34, ")+"}"), "at most 1024"},
		"bignum":        {path, file("", "const x = "+long("12345678")), "at most 1024"},
		"numbers":       {path, file("", "func f(int) {}\nfunc g() {"+long("f(12);")+long("f(12);")+"}"), ""},
	} {
		f := theFake.Guard(c.path, []byte(c.src))
		switch {
		case f == nil && c.want == "":
		case f == nil:
			t.Errorf("%s: accepted, want a refusal with %q", name, c.want)
		case f.Reason != experiment.InvalidEdit || c.want == "" || !strings.Contains(f.Message, c.want):
			t.Errorf("%s: refused with %+v, want %q", name, f, c.want)
		}
	}
}

func TestRealTrainerIsAllowed(t *testing.T) {
	src, err := os.ReadFile("../../trainer/train.go")
	if err != nil {
		t.Fatal("no trainer in this checkout")
	}
	if f := theFake.Guard("trainer/train.go", src); f != nil {
		t.Error(f.Message)
	}
}

func TestSyntax(t *testing.T) {
	digest := func(src string) string {
		d, n, err := goSyntax(map[string][]byte{"a.go": []byte(src)})
		if err != nil || n == 0 {
			t.Fatalf("%q: %d tokens, %v", src, n, err)
		}
		return d
	}
	base := "package p\nconst LR = 0.02\nfunc f() (int, error) { return g(1, \"a\"), nil }\n"
	for _, same := range []string{
		"// Package p.\npackage p\n\nconst LR = 0.020 // range\n\nfunc f() (int, error) {\n\treturn g(\n\t\t1,\n\t\t\"a\",\n\t), nil\n}\n",
		"package p; const LR = 2e-2; func f() (int, error) { return g(0x1, `a`), nil; }",
	} {
		if digest(same) != digest(base) {
			t.Errorf("differs from the base:\n%s", same)
		}
	}
	for _, other := range []string{
		strings.Replace(base, "0.02", "0.03", 1), strings.Replace(base, "(1", "(1.0", 1), strings.Replace(base, `"a"`, `"b"`, 1),
		strings.Replace(base, "f()", "h()", 1), base + "var x int\n", strings.Replace(base, "g(1, ", "g(1+", 1),
	} {
		if digest(other) == digest(base) {
			t.Errorf("taken for the base:\n%s", other)
		}
	}
	if _, _, err := goSyntax(map[string][]byte{"a.go": []byte("package p\nvar x = \"open")}); err == nil || !strings.Contains(err.Error(), "a.go:2") {
		t.Errorf("an open string gave %v", err)
	}
	_, n, _ := goSyntax(map[string][]byte{"a.go": []byte("package p"), "b.go": []byte("package q // two")})
	if fmt.Sprint(n) != "4" {
		t.Errorf("%d tokens, want 4", n)
	}
}
