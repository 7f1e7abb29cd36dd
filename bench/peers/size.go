package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// size is one model: train.go with some constants changed.
type size struct {
	name      string
	constants map[string]string // what differs from train.go as it stands
	vocab     int
	steps     int                // in a block: about two seconds of a peer
	floors    map[string]float64 // how much faster than a peer the trainer has to be
}

var sizes = map[string]size{
	"default": {"default", nil, 256, 60, map[string]float64{"eager": 2, "compile": 1}},
	"depth4":  {"depth4", map[string]string{"Depth": "4", "Context": "256", "BatchSize": "8"}, 4096, 12, map[string]float64{"eager": 1.2, "compile": 0.9}},
	"depth8":  {"depth8", map[string]string{"Depth": "8", "Context": "512", "BatchSize": "4"}, 8192, 3, map[string]float64{"eager": 1, "compile": 0.9}},
}

func sizeNames() string {
	return strings.Join(slices.Sorted(maps.Keys(sizes)), ", ")
}

// gate is added to the trainer: it lets it take steps when the driver says so.
//
//go:embed testdata/gate.go
var gate []byte

const (
	trainFile = "trainer/train.go"
	loop      = "for run.Next() {"
	gatedLoop = "for gate() && run.Next() {"
)

// program is train.go at a size.
type program struct {
	source    string
	constants map[string]any // all of them by name, evaluated
}

// program changes the constants in source, the text of train.go.
func (s size) program(source string) (program, error) {
	for _, name := range slices.Sorted(maps.Keys(s.constants)) {
		line := regexp.MustCompile(`(?m)^(\t` + name + `\s*= )\S+`)
		if n := len(line.FindAllString(source, -1)); n != 1 {
			return program{}, fmt.Errorf("%s has %d lines that define %s, want 1", trainFile, n, name)
		}
		source = line.ReplaceAllString(source, "${1}"+s.constants[name])
	}
	c, err := evaluate(source)
	return program{source, c}, err
}

// gated is the program under the driver's control.
func (p program) gated() (string, error) {
	if n := strings.Count(p.source, loop); n != 1 {
		return "", fmt.Errorf("%s has %d loops %q, want 1: the driver needs a place to count steps", trainFile, n, loop)
	}
	return strings.Replace(p.source, loop, gatedLoop, 1), nil
}

// evaluate returns the package-level constants of source.
func evaluate(source string) (map[string]any, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, trainFile, source, 0)
	if err != nil {
		return nil, err
	}
	// Constants need no imports: what is missing of those is no error here.
	check := types.Config{Importer: importer.Default(), Error: func(error) {}}
	pkg, _ := check.Check("main", set, []*ast.File{file}, nil)
	values := map[string]any{}
	for _, name := range pkg.Scope().Names() {
		if c, ok := pkg.Scope().Lookup(name).(*types.Const); ok {
			values[name] = value(c.Val())
		}
	}
	return values, nil
}

func value(v constant.Value) any {
	switch v.Kind() {
	case constant.Bool:
		return constant.BoolVal(v)
	case constant.String:
		return constant.StringVal(v)
	case constant.Int:
		n, _ := constant.Int64Val(v)
		return n
	}
	f, _ := constant.Float64Val(v)
	return f
}

// plainAdamW puts the matrices, too, under AdamW, at model.py's PLAIN_RATE.
func (p program) plainAdamW() (program, error) {
	call := regexp.MustCompile(`o\.muon\((b\.Q.*)\)`)
	if !call.MatchString(p.source) {
		return p, fmt.Errorf("%s has no call %v to replace by AdamW", trainFile, call)
	}
	p.source = call.ReplaceAllString(p.source, "for _, w := range []*tensor.Tensor{$1} {\no.adam(w, 0.002, Beta1)\n}")
	return p, nil
}

// build compiles the gated program in dir, with the packages of the working
// directory's module.
func (p program) build(dir string) (string, error) {
	text, err := p.gated()
	if err != nil {
		return "", err
	}
	files := map[string]string{"train.go": text, "gate.go": string(gate)}
	replace := map[string]string{}
	for name, text := range files {
		replace[absolute(filepath.Dir(trainFile), name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := writeJSON(overlay, map[string]any{"Replace": replace}); err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "trainer")
	cmd := exec.Command("go", "build", "-overlay", overlay, "-o", binary, "./"+filepath.Dir(trainFile))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the trainer: %w\n%s", err, out)
	}
	return binary, nil
}

func absolute(path ...string) string {
	p, err := filepath.Abs(filepath.Join(path...))
	if err != nil {
		panic(err) // there is no working directory
	}
	return p
}

func writeJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}
