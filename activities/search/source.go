package search

import (
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

// Constant is one tunable constant of a source file.
type Constant struct {
	Dim
	Value       string // canonical literal
	Line        int
	Offset, End int // of the literal's bytes: src[Offset:End]
}

// Parse finds the tunable constants of a Go file, in the order of their lines.
// The error lists every malformed one, each with line and rule; the constants
// returned beside it are the well-formed ones.
func Parse(name string, src []byte) ([]Constant, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("no tunable constants can be read: %w", err)
	}
	var found []Constant
	var errs []error
	for _, spec := range specs(file) {
		rule, ok := ruleOf(spec)
		if !ok {
			continue
		}
		c, err := parseConstant(fset, spec, rule, src)
		if err == nil && slices.ContainsFunc(found, func(o Constant) bool { return o.Name == c.Name }) {
			err = fmt.Errorf("%s is declared twice", c.Name)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", name, fset.Position(spec.Pos()).Line, err))
			continue
		}
		found = append(found, c)
	}
	return found, errors.Join(errs...)
}

// specs lists the package-level const and var declarations.
func specs(file *ast.File) []*ast.ValueSpec {
	var out []*ast.ValueSpec
	for _, decl := range file.Decls {
		if d, ok := decl.(*ast.GenDecl); ok {
			for _, s := range d.Specs {
				if v, ok := s.(*ast.ValueSpec); ok {
					out = append(out, v)
				}
			}
		}
	}
	return out
}

// ruleOf returns the trailing comment without its free part, if it is a rule.
func ruleOf(spec *ast.ValueSpec) (string, bool) {
	if spec.Comment == nil {
		return "", false
	}
	text := strings.Trim(spec.Comment.List[0].Text, "/* \t")
	text, _, _ = strings.Cut(text, ";")
	text = strings.TrimSpace(text)
	return text, strings.HasPrefix(text, "range ") || strings.HasPrefix(text, "one of ")
}

func parseConstant(fset *token.FileSet, spec *ast.ValueSpec, rule string, src []byte) (Constant, error) {
	if len(spec.Names) != 1 || len(spec.Values) != 1 {
		return Constant{}, errors.New("a tunable constant is one name and one value on a line of its own")
	}
	name := spec.Names[0].Name
	pos := fset.Position(spec.Values[0].Pos())
	c := Constant{Line: pos.Line, Offset: pos.Offset, End: fset.Position(spec.Values[0].End()).Offset}
	text := string(src[c.Offset:c.End])
	if !isLiteral(spec.Values[0]) {
		return c, fmt.Errorf("%s is %s: a tunable constant needs a literal, such as 0.02 or \"SL\"", name, text)
	}
	dim, err := parseRule(name, rule)
	if err != nil {
		return c, err
	}
	if dim.Kind == Integer && strings.ContainsAny(text, ".") {
		return c, fmt.Errorf("%s is %s: its range says int", name, text)
	}
	c.Dim = dim
	c.Value, err = dim.Canonical(text)
	return c, err
}

func isLiteral(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Kind != token.CHAR && e.Kind != token.IMAG
	case *ast.Ident:
		return e.Name == "true" || e.Name == "false"
	case *ast.UnaryExpr:
		lit, ok := e.X.(*ast.BasicLit)
		return ok && e.Op == token.SUB && (lit.Kind == token.INT || lit.Kind == token.FLOAT)
	}
	return false
}

// parseRule reads "range lo..hi [log] [int]" or "one of a, b, c".
func parseRule(name, rule string) (Dim, error) {
	if list, ok := strings.CutPrefix(rule, "one of "); ok {
		return parseChoices(name, list)
	}
	d := Dim{Name: name}
	words := strings.Fields(rule)[1:]
	if len(words) == 0 {
		return d, fmt.Errorf("%s: a range is written lo..hi", name)
	}
	for _, w := range words[1:] {
		switch w {
		case "log":
			d.Log = true
		case "int":
			d.Kind = Integer
		default:
			return d, fmt.Errorf("%s: %q after a range: only log and int may stand there, and remarks after a semicolon", name, w)
		}
	}
	lo, hi, ok := strings.Cut(words[0], "..")
	var errLo, errHi error
	d.Lo, errLo = number(lo)
	d.Hi, errHi = number(hi)
	switch {
	case !ok || errLo != nil || errHi != nil:
		return d, fmt.Errorf("%s: a range is written lo..hi with two numbers, not %q", name, words[0])
	case d.Lo >= d.Hi:
		return d, fmt.Errorf("%s: the range %s is empty: its lower end must be below its upper end", name, words[0])
	case d.Log && d.Lo <= 0:
		return d, fmt.Errorf("%s: the range %s is logarithmic: its lower end must be above zero", name, words[0])
	case d.Kind == Integer && (d.Lo != float64(int64(d.Lo)) || d.Hi != float64(int64(d.Hi))):
		return d, fmt.Errorf("%s: the range %s says int: its ends must be integers", name, words[0])
	}
	return d, nil
}

func parseChoices(name, list string) (Dim, error) {
	d := Dim{Name: name, Kind: Ordered}
	for _, word := range strings.Split(list, ",") {
		c, err := canonicalChoice(strings.TrimSpace(word))
		if err != nil {
			return d, fmt.Errorf("%s: one of %s: %w", name, list, err)
		}
		if slices.Contains(d.Choices, c) {
			return d, fmt.Errorf("%s: one of %s: %s stands there twice", name, list, Plain(c))
		}
		if _, ok := Number(c); !ok {
			d.Kind = Nominal
		}
		d.Choices = append(d.Choices, c)
	}
	if len(d.Choices) < 2 {
		return d, fmt.Errorf("%s: one of %s: a choice needs two values or more, separated by commas", name, list)
	}
	if d.Kind == Ordered {
		d.order()
	}
	return d, nil
}

// order sorts numeric choices and writes all as floating-point literals if one is.
func (d *Dim) order() {
	value := func(c string) float64 { v, _ := Number(c); return v }
	slices.SortFunc(d.Choices, func(a, b string) int { return cmp.Compare(value(a), value(b)) })
	if slices.ContainsFunc(d.Choices, func(c string) bool { return kindOf(c) == Real }) {
		for i, c := range d.Choices {
			d.Choices[i] = Dim{}.literal(value(c))
		}
	}
}

// canonicalChoice reads a value of a list, written as a number, a bare word, a
// quoted string, or true and false. A number keeps its kind: 8 is an integer
// literal, 8.0 is not.
func canonicalChoice(text string) (string, error) {
	if v, err := number(text); err == nil {
		return Dim{Kind: kindOf(text)}.literal(v), nil
	}
	if word, err := strconv.Unquote(text); err == nil {
		return strconv.Quote(word), nil
	}
	if text == "true" || text == "false" {
		return text, nil
	}
	if text == "" || strings.ContainsAny(text, " \t\"`'") {
		return "", fmt.Errorf("%q is not one word", text)
	}
	return strconv.Quote(text), nil
}

func kindOf(numeric string) Kind {
	hex := strings.HasPrefix(strings.TrimPrefix(numeric, "-"), "0x")
	if strings.Contains(numeric, ".") || !hex && strings.ContainsAny(numeric, "eE") {
		return Real
	}
	return Integer
}

// SpaceOf gives the space of constants and the point where they stand.
func SpaceOf(constants []Constant) (Space, Point) {
	var s Space
	p := Point{}
	for _, c := range constants {
		s = append(s, c.Dim)
		p[c.Name] = c.Value
	}
	return s, p
}

// Set writes new values, given as Go literals, into the source of a file and
// leaves every other byte as it is. Values that do not change keep their
// spelling. Malformed constants that values does not name are no error.
func Set(src []byte, values map[string]string) ([]byte, error) {
	constants, malformed := Parse("source", src)
	left := len(values)
	out := slices.Clone(src)
	for _, c := range slices.Backward(constants) {
		text, ok := values[c.Name]
		if !ok {
			continue
		}
		left--
		value, err := c.Canonical(text)
		if err != nil {
			return nil, err
		}
		if value != c.Value {
			out = slices.Replace(out, c.Offset, c.End, []byte(value)...)
		}
	}
	if left > 0 {
		return nil, errors.Join(unknownNames(constants, values), malformed)
	}
	return out, nil
}

func unknownNames(constants []Constant, values map[string]string) error {
	var names, unknown []string
	for _, c := range constants {
		names = append(names, c.Name)
	}
	for name := range values {
		if !slices.Contains(names, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return fmt.Errorf("no tunable constant named %s: there are %s", strings.Join(unknown, ", "), strings.Join(names, ", "))
}
