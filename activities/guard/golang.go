package guard

import (
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/scanner"
	"go/token"
	"slices"
	"strconv"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// GoFile is a parsed file in Go. Lines are those of the text: a //line comment
// does not move them.
type GoFile struct {
	Path   string
	Syntax *ast.File
	fset   *token.FileSet
}

// ParseGo parses a file with its comments.
func ParseGo(path string, src []byte) (*GoFile, *experiment.Failure) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return nil, &experiment.Failure{Reason: experiment.InvalidEdit, Message: first + ": the file must be valid Go (rule: syntax)"}
	}
	return &GoFile{path, file, fset}, nil
}

// Refuse makes the failure for a place in the file.
func (g *GoFile) Refuse(at token.Pos, rule, format string, args ...any) *experiment.Failure {
	return Refuse(g.Path, g.fset.PositionFor(at, false).Line, rule, format, args...)
}

// GoImports wants every import to be in the list, under its own name. A dot or a
// blank import, or another name, would let a reader take one package for another.
func (g *GoFile) GoImports(allowed []string) *experiment.Failure {
	for _, spec := range g.Syntax.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil || !slices.Contains(allowed, name) {
			may := "none is"
			if len(allowed) > 0 {
				may = "only " + strings.Join(allowed, ", ") + " are"
			}
			return g.Refuse(spec.Pos(), "imports", "import %s is not allowed: %s", spec.Path.Value, may)
		}
		if spec.Name != nil {
			return g.Refuse(spec.Pos(), "imports", "import %s must keep its own name, and not be %s", spec.Path.Value, spec.Name.Name)
		}
	}
	return nil
}

// GoDirectives refuses comments that the compiler, the linker or the go command
// would obey.
func (g *GoFile) GoDirectives() *experiment.Failure {
	for _, group := range g.Syntax.Comments {
		for _, c := range group.List {
			if d := directive(c.Text); d != "" {
				return g.Refuse(c.Pos(), "directives", "the compiler directive %q is not allowed", d)
			}
		}
	}
	return nil
}

// directive returns what makes a comment one that tools obey.
func directive(comment string) string {
	for _, d := range []string{"//go:", "//line ", "/*line ", "//export ", "//extern "} {
		if strings.HasPrefix(comment, d) {
			return strings.TrimSpace(d)
		}
	}
	if constraint.IsPlusBuild(comment) {
		return "// +build"
	}
	for line := range strings.Lines(comment) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(line, "//"), "/*"))
		if strings.HasPrefix(line, "#cgo") {
			return "#cgo"
		}
	}
	return ""
}

// checkGo applies the rules that need a parsed file, and returns the code
// without its comments.
func (r Rules) checkGo(path string, src []byte) (string, *experiment.Failure) {
	g, f := ParseGo(path, src)
	if f != nil {
		return "", f
	}
	if r.Imports != nil {
		if f := g.GoImports(*r.Imports); f != nil {
			return "", f
		}
		if f := g.GoDirectives(); f != nil {
			return "", f
		}
	}
	if r.MaxLiteralBytes > 0 {
		if f := g.GoData(DataLimits{Bytes: r.MaxLiteralBytes}); f != nil {
			return "", f
		}
	}
	return goCode(src), nil
}

// goCode is the text with comments blanked out, so that lines and columns stay.
func goCode(src []byte) string {
	code := slices.Clone(src)
	fset := token.NewFileSet()
	file := fset.AddFile("", -1, len(src))
	var s scanner.Scanner
	s.Init(file, src, nil, scanner.ScanComments)
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return string(code)
		}
		if tok == token.COMMENT {
			blank(code, file.Offset(pos), len(text))
		}
	}
}

// blank overwrites a part of the text, but for its line ends.
func blank(text []byte, from, n int) {
	for i := from; i < min(from+n, len(text)); i++ {
		if text[i] != '\n' {
			text[i] = ' '
		}
	}
}
