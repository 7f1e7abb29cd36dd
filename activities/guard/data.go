package guard

import (
	"go/ast"
	"go/token"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// DataLimits bound how much data a file in Go can carry.
//
// Language models know public text by heart, and a table of the validation text
// beats any training. Whatever the form, it has to stand in the file; so all of
// these are added up, in bytes:
//
//   - strings and characters, struct tags included, as they stand;
//   - numbers of every kind wherever they stand, at half a byte for each digit
//     and half a byte for the number: constants that are shifted together, long
//     ones, cases of a switch and arguments of calls alike;
//   - elements of composite literals, one byte each at the least, names too:
//     a table of two constants is a table of bits;
//   - lines of a constant declaration that repeat the one above: where names
//     and blanks stand tells as much as a number;
//   - the names of types, fields and interface methods, because package fmt
//     prints them. No other name can be read without package reflect or
//     runtime, which is why those of variables, functions and labels are free;
//     and comments are not in the program at all.
//
// What is left is text spelled by plain code, by which function calls which:
// [GoTokens] bounds that.
type DataLimits struct {
	Bytes int // for what is beyond the allowances below
	// What normal code needs is not counted.
	FreeNumbers int // bytes of numbers, elements and repeated constants
	FreeNames   int // bytes of names of types, fields and methods
}

// GoData holds a file to limits.
func (g *GoFile) GoData(limits DataLimits) *experiment.Failure {
	c := &counter{file: g, limits: limits}
	ast.Walk(c, g.Syntax)
	return c.failure
}

// Data is what a file carries by the count of GoData, in bytes.
type Data struct{ Text, Numbers, Names int }

// GoDataOf measures a file.
func (g *GoFile) GoDataOf() Data {
	c := &counter{file: g, limits: DataLimits{Bytes: 1 << 40}}
	ast.Walk(c, g.Syntax)
	return Data{c.text, c.nibbles / 2, c.names}
}

// counter adds up what it walks past.
type counter struct {
	file                 *GoFile
	limits               DataLimits
	text, nibbles, names int
	failure              *experiment.Failure
}

// Visit implements ast.Visitor.
func (c *counter) Visit(n ast.Node) ast.Visitor {
	if c.failure != nil || n == nil {
		return nil
	}
	switch n := n.(type) {
	case *ast.ImportSpec:
		return nil // a path is no data: the list of imports says what it may be
	case *ast.BasicLit:
		c.literal(n)
	case *ast.CompositeLit:
		for _, e := range n.Elts {
			c.element(e)
		}
	case *ast.GenDecl:
		c.constants(n)
	case *ast.TypeSpec:
		c.names += len(n.Name.Name)
	case *ast.StructType:
		c.fields(n.Fields)
	case *ast.InterfaceType:
		c.fields(n.Methods)
	}
	if total := c.total(); total > c.limits.Bytes {
		c.failure = c.file.Refuse(n.Pos(), "data", "up to here the file carries %d bytes as data (strings, characters, numbers, tables, names of types and fields): at most %d are allowed", total, c.limits.Bytes)
	}
	return c
}

func (c *counter) total() int {
	return c.text + max(0, c.nibbles/2-c.limits.FreeNumbers) + max(0, c.names-c.limits.FreeNames)
}

func (c *counter) literal(lit *ast.BasicLit) {
	if lit.Kind == token.STRING || lit.Kind == token.CHAR {
		c.text += max(0, len(lit.Value)-2)
		return
	}
	c.nibbles += 1 + digits(lit.Value)
}

// digits counts those of a number, with its exponent. A prefix says how they
// are meant and carries nothing.
func digits(number string) int {
	number = strings.ToLower(number)
	for _, prefix := range []string{"0x", "0b", "0o"} {
		number = strings.TrimPrefix(number, prefix)
	}
	return len(number) - strings.Count(number, "_")
}

// element charges one of a composite literal for its place, and for what it
// names if it is no literal.
func (c *counter) element(e ast.Expr) {
	if kv, ok := e.(*ast.KeyValueExpr); ok {
		c.element(kv.Key)
		e = kv.Value
	}
	c.nibbles++
	if _, ok := e.(*ast.BasicLit); !ok {
		c.nibbles++
	}
}

// constants charges the lines that repeat the one above.
func (c *counter) constants(d *ast.GenDecl) {
	if d.Tok != token.CONST {
		return
	}
	for _, s := range d.Specs {
		if v, ok := s.(*ast.ValueSpec); ok && len(v.Values) == 0 {
			c.nibbles += 2 * len(v.Names)
		}
	}
}

func (c *counter) fields(list *ast.FieldList) {
	for _, f := range list.List {
		for _, name := range f.Names {
			c.names += len(name.Name)
		}
	}
}
