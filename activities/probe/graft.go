package probe

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// trainFile is what candidates edit.
const trainFile = "trainer/train.go"

// graft is train.go with marked places. They are found in the syntax tree:
// main, the function that it gives to harness.Main, the loop in it over
// run.Next, and its return of run.Export.
type graft struct {
	src  []byte
	fset *token.FileSet
	file *ast.File

	imports, main, train, step int // offsets
	export                     [2]int
	run                        string   // how Train calls its Run
	exportArgs                 []string // of run.Export
}

// edit replaces src[lo:hi].
type edit struct {
	lo, hi int
	text   string
}

// ErrForeign says that the corpus does not fit the program under research, which
// is no mistake of either.
var ErrForeign = errors.New("the program under research has no place for the cheats of the corpus")

func parseTrainer(src []byte) (*graft, error) {
	g := &graft{src: src, fset: token.NewFileSet()}
	var err error
	if g.file, err = parser.ParseFile(g.fset, trainFile, src, parser.ParseComments|parser.SkipObjectResolution); err != nil {
		return nil, err
	}
	if err := g.find(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrForeign, trainFile, err)
	}
	return g, nil
}

func (g *graft) at(p token.Pos) int { return g.fset.Position(p).Offset }

func (g *graft) text(n ast.Node) string { return string(g.src[g.at(n.Pos()):g.at(n.End())]) }

func (g *graft) find() error {
	last := g.file.Name.End()
	for _, spec := range g.file.Imports {
		last = spec.End()
	}
	for _, d := range g.file.Decls {
		if d, ok := d.(*ast.GenDecl); ok && d.Tok == token.IMPORT {
			last = d.End()
		}
	}
	g.imports = g.at(last)
	mainFunc := g.function("main")
	if mainFunc == nil {
		return errors.New("no function main")
	}
	g.main = g.at(mainFunc.Body.Lbrace) + 1
	train := g.function(g.trainName(mainFunc))
	if train == nil || len(train.Type.Params.List) != 1 || len(train.Type.Params.List[0].Names) != 1 {
		return errors.New("main does not call harness.Main with a function of this file that takes a run")
	}
	g.run = train.Type.Params.List[0].Names[0].Name
	g.train = g.at(train.Body.Lbrace) + 1
	ast.Inspect(train.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ForStmt:
			if isCall(n.Cond, "Next") != nil && g.step == 0 {
				g.step = g.at(n.Body.Lbrace) + 1
			}
		case *ast.ReturnStmt:
			if len(n.Results) != 1 {
				return true
			}
			if call := isCall(n.Results[0], "Export"); call != nil && len(call.Args) == 2 {
				g.export = [2]int{g.at(n.Pos()), g.at(n.End())}
				g.exportArgs = []string{g.text(call.Args[0]), g.text(call.Args[1])}
			}
		}
		return true
	})
	if g.step == 0 || g.exportArgs == nil {
		return fmt.Errorf("%s has no loop over %s.Next(), or does not end with return %s.Export(...)", train.Name.Name, g.run, g.run)
	}
	return nil
}

func (g *graft) function(name string) *ast.FuncDecl {
	for _, d := range g.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == name && f.Body != nil {
			return f
		}
	}
	return nil
}

// trainName is the argument of harness.Main.
func (g *graft) trainName(main *ast.FuncDecl) (name string) {
	ast.Inspect(main.Body, func(n ast.Node) bool {
		if e, ok := n.(ast.Expr); ok {
			if call := isCall(e, "Main"); call != nil && len(call.Args) == 1 {
				name = g.text(call.Args[0])
			}
		}
		return true
	})
	return name
}

// isCall returns e as a call of a method or function of that name.
func isCall(e ast.Expr, name string) *ast.CallExpr {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return nil
	}
	if s, ok := call.Fun.(*ast.SelectorExpr); !ok || s.Sel.Name != name {
		return nil
	}
	return call
}

// part is a piece under a condition: "" holds always.
type part struct {
	piece
	when string
}

// block makes statements one that runs under the part's condition.
func (p part) block(statements string) string {
	switch {
	case strings.TrimSpace(statements) == "":
		return ""
	case p.when == "":
		return "\n{\n" + statements + "\n}\n"
	}
	return "\nif " + p.when + " {\n" + statements + "\n}\n"
}

// with returns train.go with the parts put in and constants set.
func (g *graft) with(parts []part, constants map[string]string) []byte {
	var imports []string
	var main, train, step, wrap, exported, top strings.Builder
	for i, p := range parts {
		for _, path := range p.imports {
			if !slices.Contains(imports, path) && !g.has(path) {
				imports = append(imports, path)
			}
		}
		top.WriteString("\n" + p.top)
		main.WriteString(p.block(p.main))
		train.WriteString(p.block(p.train))
		step.WriteString(p.block(p.step))
		exported.WriteString(p.block(p.exported))
		if p.forward != "" {
			wrap.WriteString(p.block(fmt.Sprintf("forward = forward%d(%s, forward)", i, g.run)))
			fmt.Fprintf(&top, "\nfunc forward%d(run *harness.Run, forward func(*tensor.Tensor) *tensor.Tensor) func(*tensor.Tensor) *tensor.Tensor {\n\treturn func(ids *tensor.Tensor) *tensor.Tensor {\n%s\n\t}\n}\n", i, p.forward)
		}
	}
	edits := g.constants(constants)
	add := func(at int, text string) { edits = append(edits, edit{at, at, text}) }
	for _, path := range imports {
		add(g.imports, "\nimport "+strconv.Quote(path))
	}
	alias := ""
	if g.run != "run" {
		alias = "\nrun := " + g.run + "\n_ = run\n"
	}
	add(g.main, main.String())
	add(g.train, alias+train.String())
	add(g.step, step.String())
	add(len(g.src), top.String())
	if wrap.Len()+exported.Len() > 0 {
		edits = append(edits, edit{g.export[0], g.export[1], fmt.Sprintf("forward := %s\n%s\nif err := %s.Export(%s, forward); err != nil {\nreturn err\n}\n%s\nreturn nil",
			g.exportArgs[1], wrap.String(), g.run, g.exportArgs[0], exported.String())})
	}
	return apply(g.src, edits)
}

func (g *graft) has(path string) bool {
	return slices.ContainsFunc(g.file.Imports, func(s *ast.ImportSpec) bool { return s.Path.Value == strconv.Quote(path) })
}

// constants are edits that give constants other values. One that is not there,
// or is no plain number, stays.
func (g *graft) constants(values map[string]string) (edits []edit) {
	for _, d := range g.file.Decls {
		d, ok := d.(*ast.GenDecl)
		if !ok || d.Tok != token.CONST {
			continue
		}
		for _, s := range d.Specs {
			s := s.(*ast.ValueSpec)
			for i, v := range s.Values {
				if lit, ok := v.(*ast.BasicLit); ok && values[s.Names[i].Name] != "" {
					edits = append(edits, edit{g.at(lit.Pos()), g.at(lit.End()), values[s.Names[i].Name]})
				}
			}
		}
	}
	return edits
}

// apply makes edits that do not overlap; those at one place in their order.
func apply(src []byte, edits []edit) []byte {
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Compare(a.lo, b.lo) })
	var out bytes.Buffer
	at := 0
	for _, e := range edits {
		out.Write(src[at:e.lo])
		out.WriteString(e.text)
		at = e.hi
	}
	out.Write(src[at:])
	return out.Bytes()
}
