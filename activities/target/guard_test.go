package target

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/guard"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// trainFile is a small train.go that keeps the contract; its body begins in
// line 5.
func trainFile(imports, body string) string {
	return "package main\n\nimport \"" + harnessPath + "\"\n" + imports + "\n" + body + "\n\n" +
		"func main() { harness.Main(Train) }\n\nfunc Train(run *harness.Run) error { return run.Export(8, nil) }\n"
}

func TestGuard(t *testing.T) {
	const path = "trainer/train.go"
	file := trainFile
	many := func(n int, s string) string { return strings.Repeat(s, n) }
	long := func(s string) string { return many(1025/len(s)+1, s) }
	nested := func(n int) string { return "var x = " + many(n, "f(") + "1" + many(n, ")") }
	spelled := "type p struct{}\nfunc (p) a() p { return p{} }\nfunc (p) b() p { return p{} }\nfunc f(x p) {\n" + many(600, "x.a().b().b().a()\n") + "}"
	steps := func(s string) string { return "func f(x int) int {\n" + s + "\nreturn x }" }
	for name, c := range map[string]struct{ path, src, want string }{
		"fine":       {path, file(`import ("math"; "`+tensorPath+`")`, "var x = math.Pi"), ""},
		"other file": {"trainer/harness/clock.go", "package harness", "only trainer/train.go may"},
		"syntax":     {path, "package main\n\nfunc {", "trainer/train.go:3:6"},

		"os":         {path, file(`import "os"`, ""), `trainer/train.go:4: import "os" is not allowed`},
		"unsafe":     {path, file("import (\n\t_ \"unsafe\"\n)", ""), "train.go:5: import"},
		"cgo":        {path, file(`import "C"`, ""), "not allowed"},
		"driver":     {path, file(`import "github.com/autoresearch-go/autoresearch/gpu"`, ""), "not allowed"},
		"kernels":    {path, file(`import "github.com/autoresearch-go/autoresearch/trainer/tensor/cuda"`, ""), "not allowed"},
		"cu":         {path, file(`import "gorgonia.org/cu"`, ""), "not allowed"},
		"embed":      {path, file(`import "embed"`, ""), `import "embed" is not allowed`},
		"time":       {path, file(`import "time"`, ""), `import "time" is not allowed`},
		"iter":       {path, file(`import "iter"`, ""), `import "iter" is not allowed`},
		"subpackage": {path, file(`import "github.com/autoresearch-go/autoresearch/trainer/tensor/cpu"`, ""), "not allowed"},
		"raw import": {path, file("import `net/http`", ""), "not allowed"},
		"escaped":    {path, file(`import "\x6fs"`, ""), "not allowed"},
		"renamed":    {path, file(`import os "math"`, ""), `import "math" must keep its own name, and not be os`},
		"dot":        {path, file(`import . "math"`, ""), "and not be ."},
		"blank":      {path, file(`import _ "math"`, ""), "and not be _"},

		"linkname":      {path, file("", "//go:linkname x runtime.x\nfunc x()"), `train.go:5: the compiler directive "//go:"`},
		"go:embed":      {path, file("", "//go:embed train.go\nvar x string"), `train.go:5: the compiler directive "//go:"`},
		"in a function": {path, file("", "func f() {\n//go:noinline\n}"), "train.go:6"},
		"build tag":     {path, "//go:build ignore\n\n" + file("", ""), "train.go:1: the compiler directive"},
		"old build tag": {path, "//  \t +build ignore\n\n" + file("", ""), "train.go:1: the compiler directive"},
		"line":          {path, file("", "/*line other.go:1:1*/ var x = 1"), "train.go:5: the compiler directive"},
		"cgo flags":     {path, file("", "/*\n#cgo LDFLAGS: -lm\n*/\nvar x = 1"), "directive"},
		"comment":       {path, file("", "// go: on, said the compiler\nvar x = 1"), ""},

		"NUL":        {path, "package main\n\n// \x00\n", "train.go:3: control character"},
		"binary":     {path, "package main\n// \xff\n", "train.go:2: not valid UTF-8"},
		"escape":     {path, "package main\n// \x1b[2J\n", "control character"},
		"bidi":       {path, "package main\n// \u202e\n", "cannot be seen"},
		"homoglyph":  {path, file("", "var \u0430 = 1"), "letters beyond ASCII"},
		"invisible":  {path, file("", "var \u3164 = 1"), "cannot be seen"},
		"Greek text": {path, file("", "// \u03b2 is 0.9\nvar x = 1"), ""},

		"too long":     {path, "package main\n" + many(14000, "// x\n"), "at most 65536"},
		"long comment": {path, file("", "// "+long("x")), ""},
		"long names":   {path, file("", "func f(x int) {\n"+many(20, "{ "+long("x")[:100]+" := x; _ = "+long("x")[:100]+" }\n")+"}"), ""},
		"string":       {path, file("", `var x = "`+long("x")+`"`), "train.go:5: up to here the file carries"},
		"raw string":   {path, file("", "var x = `"+long("x\n")+"`"), "at most 1024"},
		"strings":      {path, file("", "var x = []string{"+many(400, `"abc", `)+"}"), "at most 1024"},
		"characters":   {path, file("", "var x = []rune{"+many(1100, `'x', `)+"}"), "at most 1024"},
		"cut in two":   {path, file("", "var x = `"+long("x")[:600]+"`\nvar y = `"+long("y")[:600]+"`"), "train.go:6"},
		"table":        {path, file("", "var x = []int{"+many(900, "12, ")+"}"), "at most 1024"},
		"floats":       {path, file("", "var x = []float64{"+many(300, "1.0625e-7, ")+"}"), "at most 1024"},
		"imaginary":    {path, file("", "var x = []complex128{"+many(600, "123i, ")+"}"), "at most 1024"},
		"names, table": {path, file("", "const a, b = 0, 1\nvar x = []int{"+many(800, "a, b, ")+"}"), "at most 1024"},
		"keyed":        {path, file("", "const a, b = 0, 1\nvar x = map[int]int{"+many(800, "a: b, ")+"}"), "at most 1024"},
		"bignum":       {path, file("", "const x = "+long("12345678")+long("12345678")+long("12345678")+long("12345678")), "at most 1024"},
		"shifted":      {path, file("", "const x = "+many(200, "0x0123456789abcdef<<64 | ")+"1"), "at most 1024"},
		"arguments":    {path, file("", "func f(int) {}\nfunc g() {"+many(1100, "f(12);")+"}"), "at most 1024"},
		"switch":       {path, file("", steps("switch x {\n"+many(700, "case 17: return 3\n")+"}")), "at most 1024"},
		"chain of ifs": {path, file("", steps(many(700, "if x == 17 { return 3 }\n"))), "at most 1024"},
		"small steps":  {path, file("", steps(many(2000, "x+=5;"))), "at most 1024"},
		"iota":         {path, file("", "const (\na0 = iota\n"+many(1600, "_\n")+"a1\n)"), "at most 1024"},
		"tags":         {path, file("", "type x struct { a int `"+long("x")+"` }"), "at most 1024"},
		"field names":  {path, file("", "type x struct { a"+long("x")+long("x")+" int }"), "at most 1024"},
		"type names":   {path, file("", "func f() {\n"+many(3, "{ type a"+long("x")[:500]+" int }\n")+"}"), "at most 1024"},
		"method names": {path, file("", "var x interface { A"+long("x")+long("x")+"() }"), "at most 1024"},
		"spelled":      {path, file("", spelled), "more than 10000 tokens"},
		"some numbers": {path, file("", steps(many(200, "x += 5\n"))), ""},
		"nested":       {path, file("func f(x int) int { return x }", "func g() { "+nested(100)+"; _ = x }"), ""},

		"init":            {path, file("", "func init() {}"), "train.go:5: init functions are not allowed"},
		"method init":     {path, file("", "type x int\nfunc (x) init() {}"), ""},
		"initializer":     {path, file("", "func f() int { return 1 }\nvar x = f()"), "train.go:6: the initializer of a package variable may not call"},
		"called at once":  {path, file("", "var x = func() int { return 1 }()"), "may not call"},
		"in a table":      {path, file("", "func f() int { return 1 }\nvar x = []int{1, f()}"), "may not call"},
		"by a method":     {path, file("", "type x int\nfunc (x) f() int { return 1 }\nvar y = x(1).f()"), "may not call"},
		"by a package":    {path, file(`import "slices"`, "func f(a, b int) int { return 1 }\nvar x = slices.MaxFunc([]int{1}, f)"), "may not call"},
		"not called":      {path, file("", "func f() int { return 1 }\nvar x = func() int { return f() }"), ""},
		"constants":       {path, file(`import ("math"; "errors")`, "type x float32\nvar a, b = x(math.Sqrt(2)), errors.New(`no`)\nvar c = make([]int, len(d))\nvar d = []float32(nil)"), ""},
		"other main":      {path, strings.Replace(file("", "func g() {}"), "harness.Main(Train)", "harness.Main(Train); g()", 1), "main must stay func main() { harness.Main(Train) }"},
		"main before":     {path, strings.Replace(file("", "func g() {}"), "harness.Main(Train)", "g(); harness.Main(Train)", 1), "main must stay"},
		"other call":      {path, strings.Replace(file("", "func g() func(*harness.Run) error { return Train }"), "harness.Main(Train)", "harness.Main(g())", 1), "main must stay"},
		"no main":         {path, strings.Replace(file("", ""), "func main()", "func other()", 1), "must declare func main()"},
		"no Train":        {path, strings.Replace(file("", "var Train = other"), "func Train", "func other", 1), "must declare func main()"},
		"other signature": {path, strings.Replace(file("", ""), "Train(run *harness.Run) error", "Train(run *harness.Run) (err error)", 1), "Train must stay func Train(run *harness.Run) error"},
		"other package":   {path, strings.Replace(file("", ""), "package main", "package other", 1), "the package must stay main"},
		"own harness":     {path, "package main\n\nvar harness int\n\nfunc main() { harness.Main(Train) }", "must import"},
		"own tensor":      {path, file("", "type tensor struct{}"), "tensor is the name of something else"},
		"own true":        {path, file("", "const true = false"), "true is the name of something else"},
		"own float32":     {path, file("", "type float32 float64"), "float32 is the name"},
		"own len":         {path, file("", "func len(x []int) int { return 0 }"), "len is the name"},
		"local max":       {path, file("", "func f(max int) int { len := max; return len }"), ""},

		"goroutine": {path, file("", "func f() { go f() }"), "train.go:5: goroutines are not allowed"},
		"recover":   {path, file("", "func f() { defer func() { _ = recover() }() }"), "recover is not allowed"},
		"defer":     {path, file("", "func f() { defer f() }"), ""},
		"own seed":  {path, file(`import "math/rand/v2"`, "func f() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }"), "is not allowed: random numbers come from run.Rand()"},
		"no seed":   {path, file(`import "math/rand/v2"`, "func f() int { return rand.IntN(5) }"), "rand.IntN is not allowed"},
		"its seed":  {path, file(`import "math/rand/v2"`, "func f(r *rand.Rand) int { return r.IntN(5) }"), ""},
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

// TestRealTrainerIsAllowed, with room for as much again, of everything.
func TestRealTrainerIsAllowed(t *testing.T) {
	src := realTrainer(t)
	if f := theFake.Guard("trainer/train.go", src); f != nil {
		t.Fatal(f.Message)
	}
	file, _ := guard.ParseGo("train.go", src)
	data := file.GoDataOf()
	counted := data.Text + max(0, data.Numbers-dataLimits.FreeNumbers) + max(0, data.Names-dataLimits.FreeNames)
	t.Logf("%d bytes of source; data: %+v, of which %d of %d bytes count", len(src), data, counted, dataLimits.Bytes)
	if 2*len(src) > maxSource || 2*counted > dataLimits.Bytes {
		t.Error("a candidate has no room to grow")
	}
	if f := guard.GoTokens("train.go", src, maxTokens/2); f != nil {
		t.Error(f.Message)
	}
}

func realTrainer(t testing.TB) []byte {
	t.Helper()
	src, err := os.ReadFile("../../trainer/train.go")
	if err != nil {
		t.Fatal("no trainer in this checkout")
	}
	return src
}

// FuzzGuard: no text makes the guard panic; what it accepts is Go that imports
// nothing but what is allowed, and has the one main.
func FuzzGuard(f *testing.F) {
	f.Add(string(realTrainer(f)))
	for _, body := range []string{"", "var x = []int{1, 2}", "const (\na = iota\nb\n)", "type T[P any] struct{ a P }\nvar x T[int]", "var x = (*T)(nil)\ntype T = int", "func f() { L: for { goto L } }"} {
		f.Add(trainFile("import \"math\"", body))
	}
	g := NewGoGPT(Options{})
	f.Fuzz(func(t *testing.T, src string) {
		failure := g.Guard("trainer/train.go", []byte(src))
		if failure != nil {
			if failure.Reason != experiment.InvalidEdit || !strings.HasPrefix(failure.Message, "trainer/train.go:") {
				t.Errorf("refused with %+v", failure)
			}
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), "", src, 0)
		if err != nil {
			t.Fatalf("accepted, and no Go: %v", err)
		}
		for _, spec := range file.Imports {
			if name, _ := strconv.Unquote(spec.Path.Value); !slices.Contains(allowedImports, name) || spec.Name != nil {
				t.Errorf("accepted with import %s", spec.Path.Value)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if _, ok := n.(*ast.GoStmt); ok {
				t.Error("accepted with a go statement")
			}
			return true
		})
		if !strings.Contains(src, "harness.Main") || len(src) > maxSource || strings.Contains(src, "\u202e") {
			t.Error("accepted without main, too long, or with text that runs backwards")
		}
	})
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
