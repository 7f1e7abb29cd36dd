package answer

import (
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// constant is a declaration Name = literal at the top level of a file.
type constant struct {
	file       *file
	line       int // from 0
	start, end int // the literal, in the line
	literal    string
}

var (
	// Name = value, with what a list or a table of changes may have around it.
	setting = regexp.MustCompile("^\\s*(?:[-*+] +|\\d+[.)] +)?[`*]*(?:const +|var +|set +|let +)?([A-Za-z_]\\w*)[`*]*(?: +(?:float64|float32|int|string|bool))?\\s*(?:=|:=)\\s*[`*]*(.+?)[`*]*;?\\s*$")
	// "a -> b", "a => b", "a to b": the new value is the last one.
	arrow = regexp.MustCompile(`^(.+?)\s*(?:->|=>|→|➔|\bto\b)\s*[\x60*]*(.+)$`)

	pyConstant = regexp.MustCompile(`^([A-Za-z_]\w*)(?:\s*:\s*\w+)?(\s*=\s*)([^#\s][^#]*?)\s*(#.*)?$`)
)

// wish is a line of the answer: a name and its new value.
type wish struct{ name, value, line string }

// constants reads an answer without blocks as a list of new values. Nothing and
// no failure: it is no such list.
func (p *page) constants(files map[string][]byte) ([]experiment.Edit, *experiment.Failure) {
	declared := declaredIn(files)
	wishes, ok := p.wishes(declared)
	if !ok || len(wishes) == 0 {
		return nil, nil
	}
	var blocks []block
	values := map[string]string{}
	for _, w := range wishes {
		found := declared[w.name]
		switch {
		case len(found) == 0:
			return nil, refuse("the answer sets %s, which is not a constant of the file; %s. %s", w.name, listed(declared), askBlocks)
		case len(found) > 1:
			return nil, refuse("the answer sets %s, which is declared %d times. %s", w.name, len(found), askBlocks)
		}
		c := found[0]
		value, ok := sameKind(c.literal, w.value)
		if !ok {
			return nil, refuse("the answer sets %s to %s; it is %s now, and must stay a literal of that kind.", w.name, clip(w.value, 80), c.literal)
		}
		if value == c.literal { // said for comparison
			continue
		}
		if old, ok := values[w.name]; ok {
			if old != value {
				return nil, refuse("the answer sets %s to %s and to %s. Answer with one value.", w.name, old, value)
			}
			continue
		}
		values[w.name] = value
		old := c.file.lines[c.line]
		blocks = append(blocks, block{name: w.name, what: "line", path: c.file.path, line: c.line + 1, search: []string{old}, replace: []string{old[:c.start] + value + old[c.end:]}})
	}
	if len(blocks) == 0 {
		return nil, refuse("the answer sets the constants to the values that they have, so nothing changes.")
	}
	return apply(blocks, files)
}

// declaredIn returns the constants of all files by name.
func declaredIn(files map[string][]byte) map[string][]constant {
	declared := map[string][]constant{}
	for _, name := range editable(files) {
		declare(newFile(name, string(files[name])), declared)
	}
	return declared
}

// listed says which constants there are.
func listed(declared map[string][]constant) string {
	const most = 40
	names := slices.Sorted(maps.Keys(declared))
	switch {
	case len(names) == 0:
		return "it has none with a literal value"
	case len(names) > most:
		names = append(names[:most], "...")
	}
	return "those are " + strings.Join(names, ", ")
}

// unclear finds a line that sets a constant of the files to something that is no
// literal, and so is not read as a setting.
func (p *page) unclear(files map[string][]byte) (name, line string) {
	declared := declaredIn(files)
	for i, line := range p.lines {
		if m := setting.FindStringSubmatch(clip(line, 300)); m != nil && p.prose[i] && len(declared[m[1]]) > 0 {
			if _, ok := wishOf(line); !ok {
				return m[1], strings.TrimSpace(line)
			}
		}
	}
	return "", ""
}

// wishes gathers the lines Name = value of a page: a fence with nothing else in
// it, or lines in the open. Not ok: there is other code.
func (p *page) wishes(declared map[string][]constant) (out []wish, ok bool) {
	for _, f := range p.fences {
		if !programming(f.info) {
			continue
		}
		for _, line := range f.lines {
			w, ok := wishOf(line)
			switch text := strings.TrimSpace(line); {
			case ok:
				out = append(out, w)
			case idle(line), text == "const (", text == "var (", text == ")":
			default:
				return nil, false
			}
		}
	}
	for i, line := range p.lines {
		if w, ok := wishOf(line); ok && p.prose[i] && (literalKind(w.value) != "" || len(declared[w.name]) > 0) {
			out = append(out, w)
		}
	}
	return out, true
}

func wishOf(line string) (wish, bool) {
	m := setting.FindStringSubmatch(clip(line, 300))
	if m == nil {
		return wish{}, false
	}
	value := m[2]
	for _, mark := range []string{" //", "\t//", " #"} {
		value, _, _ = strings.Cut(value, mark)
	}
	if a := arrow.FindStringSubmatch(value); a != nil && literalKind(strings.Trim(a[1], " `*")) != "" {
		value = a[2]
	}
	if m := remark.FindStringSubmatch(value); m != nil {
		value = m[1]
	}
	value = strings.Trim(value, " \t`*;,")
	if literalKind(value) == "" && !bareWord.MatchString(value) {
		return wish{}, false
	}
	return wish{m[1], value, line}, true
}

// remark is a literal with a remark on the old value: 0.03 (was 0.02). Other
// remarks, such as (or 0.05), may change what is meant.
var remark = regexp.MustCompile(`(?i)^([^\s()]+)\s+\((?:(?:it )?(?:was|previously|originally|formerly|instead of|(?:(?:up|down|increased|decreased|raised|lowered|reduced) )?from)\b:? *[^\s()]*|[^\s()]+ (?:before|previously|originally))\)\s*[.;,]?$`)

var bareWord = regexp.MustCompile(`^[A-Za-z]\w{0,30}$`)

// declare adds the constants of a file.
func declare(f *file, into map[string][]constant) {
	add := func(name string, c constant) { into[name] = append(into[name], c) }
	if path.Ext(f.path) != ".go" {
		for i, line := range f.lines {
			if m := pyConstant.FindStringSubmatchIndex(line); m != nil && literalKind(line[m[6]:m[7]]) != "" {
				add(line[m[2]:m[3]], constant{f, i, m[6], m[7], line[m[6]:m[7]]})
			}
		}
		return
	}
	fset := token.NewFileSet()
	text := strings.Join(f.lines, "\n")
	tree, err := parser.ParseFile(fset, f.path, text, parser.SkipObjectResolution)
	if err != nil {
		return
	}
	for _, decl := range tree.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range group.Specs {
			v, ok := spec.(*ast.ValueSpec)
			if !ok || len(v.Names) != 1 || len(v.Values) != 1 {
				continue
			}
			tf := fset.File(v.Pos())
			start, end := tf.Offset(v.Values[0].Pos()), tf.Offset(v.Values[0].End())
			literal := text[start:end]
			if literalKind(literal) == "" {
				continue
			}
			line := strings.Count(text[:start], "\n")
			begin := strings.LastIndexByte(text[:start], '\n') + 1
			add(v.Names[0].Name, constant{f, line, start - begin, end - begin, literal})
		}
	}
}

// literalKind is "number", "string" or "bool", or "" for what is no literal.
func literalKind(text string) string {
	if text == "true" || text == "false" || text == "True" || text == "False" {
		return "bool"
	}
	if len(text) > 200 || strings.ContainsAny(text, "\n`") {
		return ""
	}
	var s scanner.Scanner
	src := []byte(strings.TrimPrefix(text, "-"))
	errors := 0
	s.Init(token.NewFileSet().AddFile("", -1, len(src)), src, func(token.Position, string) { errors++ }, 0)
	_, tok, lit := s.Scan()
	if errors > 0 || lit != string(src) {
		return ""
	}
	switch tok {
	case token.INT, token.FLOAT:
		return "number"
	case token.STRING:
		if strings.HasPrefix(text, "-") {
			return ""
		}
		return "string"
	}
	return ""
}

// sameKind writes a value as a literal of the kind that the old one has. A bare
// word will do for a string.
func sameKind(old, value string) (string, bool) {
	kind := literalKind(old)
	if kind == "string" && literalKind(value) == "" && bareWord.MatchString(value) {
		return `"` + value + `"`, true
	}
	return value, kind == literalKind(value)
}

// settings reads a block of nothing but Name = literal lines, with comments that
// the file does not have: the names and old values say which lines are meant.
func settings(b block, f *file) []change {
	olds, news := wishesOf(b.search), wishesOf(b.replace)
	if len(olds) == 0 || len(olds) != len(news) {
		return nil
	}
	declared := map[string][]constant{}
	declare(f, declared)
	var out []change
	for i, old := range olds {
		found := declared[old.name]
		if news[i].name != old.name || len(found) != 1 || found[0].literal != old.value {
			return nil
		}
		value, ok := sameKind(old.value, news[i].value)
		if !ok {
			return nil
		}
		c := found[0]
		line := f.lines[c.line]
		out = append(out, change{
			search: []string{line}, replace: []string{line[:c.start] + value + line[c.end:]},
			place: place{from: c.line, to: c.line + 1},
		})
	}
	slices.SortFunc(out, func(a, b change) int { return a.place.from - b.place.from })
	for i := range out[1:] {
		if out[i].place.from == out[i+1].place.from {
			return nil
		}
	}
	return out
}

// wishesOf reads lines that all are Name = literal, or returns nothing.
func wishesOf(lines []string) []wish {
	var out []wish
	for _, l := range lines {
		if strings.Trim(l, blank) == "" {
			continue
		}
		w, ok := wishOf(l)
		if !ok || literalKind(w.value) == "" {
			return nil
		}
		out = append(out, w)
	}
	return out
}
