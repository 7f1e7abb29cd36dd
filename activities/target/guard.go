package target

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// The static rules for trainer/train.go. They keep a candidate inside the
// harness: no files, no network, no clock, no processes, no unsafe memory, and
// no text brought along. Whatever they overlook still meets the sandbox and an
// evaluation that runs none of the candidate's code.
const (
	maxSource = 64 << 10 // bytes
	// maxLiterals bounds what a file can carry as data. Language models know
	// the corpus by heart, and a table of it would beat any training.
	maxLiterals = 1 << 10 // bytes
	// freeDigits is how long a number may be before it counts as data: integer
	// constants have no upper bound in Go. In a composite literal all count.
	freeDigits = 20
)

// allowedImports is everything that numerics need.
var allowedImports = []string{
	"cmp", "errors", "fmt", "maps", "math", "math/bits", "math/cmplx", "math/rand/v2", "slices", "sort", "strconv", "strings",
	modulePath + "/trainer/harness", modulePath + "/trainer/tensor",
}

func invalidEdit(format string, args ...any) *experiment.Failure {
	return &experiment.Failure{Reason: experiment.InvalidEdit, Message: fmt.Sprintf(format, args...)}
}

// Guard implements Target.
func (g *GoGPT) Guard(path string, src []byte) *experiment.Failure {
	if !slices.Contains(g.Editable(), path) {
		return invalidEdit("%s may not be edited: only %s may", path, strings.Join(g.Editable(), ", "))
	}
	if f := guardText(path, src); f != nil {
		return f
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return syntaxError(err)
	}
	for _, rule := range []func(*token.FileSet, *ast.File) *experiment.Failure{guardImports, guardDirectives, guardLiterals} {
		if f := rule(fset, file); f != nil {
			return f
		}
	}
	return nil
}

func syntaxError(err error) *experiment.Failure {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return invalidEdit("%s: the file must be valid Go", first)
}

// guardText wants plain text of a sane size.
func guardText(path string, src []byte) *experiment.Failure {
	if len(src) > maxSource {
		return invalidEdit("%s has %d bytes: at most %d are allowed", path, len(src), maxSource)
	}
	for n, line := range bytes.Split(src, []byte("\n")) {
		if !utf8.Valid(line) {
			return invalidEdit("%s:%d: not valid UTF-8: the file must be plain text", path, n+1)
		}
		if i := bytes.IndexFunc(line, func(r rune) bool { return r < ' ' && r != '\t' && r != '\r' || r == 0x7f || r == 0xfeff }); i >= 0 {
			return invalidEdit("%s:%d: control character %q: the file must be plain text", path, n+1, line[i])
		}
	}
	return nil
}

func guardImports(fset *token.FileSet, file *ast.File) *experiment.Failure {
	for _, spec := range file.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil || !slices.Contains(allowedImports, name) {
			return invalidEdit("%s: import %s is not allowed: only %s are", fset.Position(spec.Pos()), spec.Path.Value, strings.Join(allowedImports, ", "))
		}
	}
	return nil
}

// directives start comments that the compiler, the linker or the go command
// would obey.
var directives = []string{"//go:", "//line ", "/*line ", "// +build", "//+build", "//export ", "//extern ", "#cgo"}

func guardDirectives(fset *token.FileSet, file *ast.File) *experiment.Failure {
	for _, group := range file.Comments {
		for _, c := range group.List {
			for _, d := range directives {
				if strings.HasPrefix(c.Text, d) {
					return invalidEdit("%s: the compiler directive %q is not allowed", fset.PositionFor(c.Pos(), false), strings.TrimSpace(d))
				}
			}
		}
	}
	return nil
}

// guardLiterals adds up the bytes of strings, characters, tables and very long
// numbers. Import paths are not data.
func guardLiterals(fset *token.FileSet, file *ast.File) *experiment.Failure {
	total, tables := 0, 0
	var failure *experiment.Failure
	var stack []ast.Node
	ast.Inspect(file, func(n ast.Node) bool {
		if n == nil {
			if _, ok := stack[len(stack)-1].(*ast.CompositeLit); ok {
				tables--
			}
			stack = stack[:len(stack)-1]
			return true
		}
		if _, ok := n.(*ast.ImportSpec); ok || failure != nil {
			return false
		}
		stack = append(stack, n)
		switch n := n.(type) {
		case *ast.CompositeLit:
			tables++
		case *ast.BasicLit:
			if total += dataBytes(n, tables > 0); total > maxLiterals {
				failure = invalidEdit("%s: the literals up to here hold %d bytes (strings, characters, numbers in tables): at most %d are allowed in a file", fset.Position(n.Pos()), total, maxLiterals)
			}
		}
		return true
	})
	return failure
}

func dataBytes(lit *ast.BasicLit, inTable bool) int {
	switch n := len(lit.Value); {
	case lit.Kind == token.STRING, lit.Kind == token.CHAR:
		return n - 2
	case inTable, n > freeDigits:
		return n
	}
	return 0
}

// Format implements Target.
func (*GoGPT) Format(path string, src []byte) ([]byte, *experiment.Failure) {
	out, err := format.Source(src)
	if err != nil {
		return nil, syntaxError(fmt.Errorf("%s:%w", path, err))
	}
	return out, nil
}
