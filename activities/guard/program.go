package guard

import (
	"go/ast"
	"go/scanner"
	"go/token"
	"go/types"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// Program is what a file in Go must keep of the program that it is part of.
type Program struct {
	Entry   string   // the one call that main makes: "harness.Main(Train)"
	Package string   // import path of the package that is called there
	Main    string   // declaration of the function it is given: "func Train(run *harness.Run) error"
	Pure    []string // names of packages whose functions an initializer may call
}

// GoMain wants main to be the one call that hands over to the fixed half of the
// program, and the function that it names to be there. Nothing may run before:
// no init function, and no initializer of a variable that calls functions. What
// runs before the clock is started is charged all the same; but honest programs
// do not need it, and whoever reads a candidate starts at main.
func (g *GoFile) GoMain(p Program) *experiment.Failure {
	if g.Syntax.Name.Name != "main" {
		return g.Refuse(g.Syntax.Name.Pos(), "main", "the package must stay main")
	}
	if !slices.ContainsFunc(g.Syntax.Imports, func(s *ast.ImportSpec) bool { return s.Path.Value == strconv.Quote(p.Package) }) {
		return g.Refuse(g.Syntax.Name.Pos(), "main", "the file must import %q, and main must be func main() { %s }", p.Package, p.Entry)
	}
	var mains, entries int
	for _, d := range g.Syntax.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv != nil {
			continue
		}
		switch f.Name.Name {
		case "init":
			return g.Refuse(f.Pos(), "start", "init functions are not allowed: they run before the program does; call what is needed from it")
		case "main":
			if mains++; !onlyCalls(f, p.Entry) {
				return g.Refuse(f.Pos(), "main", "main must stay func main() { %s }", p.Entry)
			}
		case entryName(p.Main):
			if entries++; "func "+f.Name.Name+strings.TrimPrefix(types.ExprString(f.Type), "func") != p.Main {
				return g.Refuse(f.Pos(), "main", "the function %s must stay %s", f.Name.Name, p.Main)
			}
		}
	}
	if mains != 1 || entries != 1 {
		return g.Refuse(g.Syntax.Name.Pos(), "main", "the file must declare func main() { %s } and %s, once each", p.Entry, p.Main)
	}
	return g.initializers(p.Pure)
}

func entryName(declaration string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(declaration, "func "), "(")
	return name
}

// onlyCalls says whether the body of a function is one call, written so.
func onlyCalls(f *ast.FuncDecl, call string) bool {
	if f.Body == nil || len(f.Body.List) != 1 {
		return false
	}
	s, ok := f.Body.List[0].(*ast.ExprStmt)
	return ok && types.ExprString(s.X) == call
}

// initializers wants those of package-level variables to call nothing but
// conversions, built-in functions, and functions of the packages in pure.
func (g *GoFile) initializers(pure []string) *experiment.Failure {
	declared := map[string]bool{} // types of this file
	g.packageLevel(func(kind token.Token, name *ast.Ident) { declared[name.Name] = kind == token.TYPE })
	var failure *experiment.Failure
	for _, d := range g.Syntax.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.VAR {
			continue
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			if _, ok := n.(*ast.FuncLit); ok {
				return false // a function that is not called
			}
			if call, ok := n.(*ast.CallExpr); ok && failure == nil && !harmless(call.Fun, declared, pure) {
				failure = g.Refuse(call.Pos(), "start", "the initializer of a package variable may not call %s: it would run before the program does; set the variable in the program", quote(types.ExprString(call.Fun)))
			}
			return failure == nil
		})
	}
	return failure
}

// harmless says whether calling f runs no code of the file.
func harmless(f ast.Expr, declared map[string]bool, pure []string) bool {
	switch f := f.(type) {
	case *ast.Ident:
		return declared[f.Name] || predeclared(f.Name) && !slices.Contains([]string{"panic", "print", "println", "recover"}, f.Name)
	case *ast.SelectorExpr:
		x, ok := f.X.(*ast.Ident)
		return ok && slices.Contains(pure, x.Name)
	case *ast.ParenExpr:
		return harmless(f.X, declared, pure)
	case *ast.ArrayType, *ast.MapType, *ast.InterfaceType, *ast.StructType, *ast.FuncType, *ast.ChanType:
		return true // a conversion
	case *ast.StarExpr:
		return harmless(f.X, declared, pure)
	}
	return false
}

func predeclared(name string) bool { return types.Universe.Lookup(name) != nil }

// packageLevel visits the names that the file declares for the whole package.
func (g *GoFile) packageLevel(visit func(kind token.Token, name *ast.Ident)) {
	for _, d := range g.Syntax.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				visit(token.FUNC, d.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					visit(token.TYPE, s.Name)
				case *ast.ValueSpec:
					for _, name := range s.Names {
						visit(d.Tok, name)
					}
				}
			}
		}
	}
}

// GoNames protects names: what Go declares itself, and the packages in the list
// by their last elements, are nobody else's at package level. Every name is in
// ASCII, so that no two look the same.
func (g *GoFile) GoNames(packages []string) *experiment.Failure {
	var failure *experiment.Failure
	g.packageLevel(func(_ token.Token, name *ast.Ident) {
		own := slices.ContainsFunc(packages, func(p string) bool { return packageName(p) == name.Name })
		if failure == nil && name.Name != "_" && (predeclared(name.Name) || own) {
			failure = g.Refuse(name.Pos(), "names", "%s is the name of something else and may not be declared again", name.Name)
		}
	})
	ast.Inspect(g.Syntax, func(n ast.Node) bool {
		if name, ok := n.(*ast.Ident); ok && failure == nil && !ascii(name.Name) {
			failure = g.Refuse(name.Pos(), "names", "the name %q has letters beyond ASCII, which may look like others: spell it out", name.Name)
		}
		return failure == nil
	})
	return failure
}

// packageName is the name that a package of an import path goes by.
func packageName(importPath string) string {
	base := path.Base(importPath)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		return path.Base(path.Dir(importPath))
	}
	return base
}

// GoStatements refuses statements by which a program gets out of the hands of
// what runs it.
//
// A go statement: with goroutines come data races, and a race on an interface or
// a slice gives access to any memory, which nothing else here does; it also ends
// that a seed decides every bit of a run. CPU time counts on all threads, so
// there is nothing to gain, and the kernels use every core already.
//
// recover: a run is stopped, and ends when its loss is no number, by a panic
// that has to pass. defer is free.
func (g *GoFile) GoStatements() *experiment.Failure {
	var failure *experiment.Failure
	ast.Inspect(g.Syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			failure = g.Refuse(n.Pos(), "statements", "goroutines are not allowed: the operations of package tensor use all cores already, and a run must give the same bits for the same seed")
		case *ast.Ident:
			if n.Name == "recover" {
				failure = g.Refuse(n.Pos(), "statements", "recover is not allowed: a panic of the harness ends the run, and has to pass")
			}
		}
		return failure == nil
	})
	return failure
}

// GoSelectors wants only some names of an imported package to be used.
func (g *GoFile) GoSelectors(pkg string, allowed []string, why string) *experiment.Failure {
	var failure *experiment.Failure
	ast.Inspect(g.Syntax, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && failure == nil {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == pkg && !slices.Contains(allowed, s.Sel.Name) {
				failure = g.Refuse(s.Pos(), "selectors", "%s.%s is not allowed: %s", pkg, s.Sel.Name, why)
			}
		}
		return failure == nil
	})
	return failure
}

// GoTokens bounds the tokens of a file; comments and line ends are none. A data
// bound cannot see text that is spelled by which function calls which, at some
// three bits a token; this bounds that too.
func GoTokens(path string, src []byte, most int) *experiment.Failure {
	fset := token.NewFileSet()
	file := fset.AddFile("", -1, len(src))
	var s scanner.Scanner
	s.Init(file, src, nil, 0)
	for n := 0; ; {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			return nil
		}
		if tok == token.SEMICOLON && lit == "\n" {
			continue
		}
		if n++; n > most {
			return Refuse(path, file.Line(pos), "size", "the file has more than %d tokens: a program of this kind needs fewer", most)
		}
	}
}
