package race

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

// gate is added to the trainer: it lets it take steps when the driver says so.
//
//go:embed testdata/gate.go
var gate []byte

const (
	// TrainFile is the program, from the root of the repository.
	TrainFile = "trainer/train.go"

	loop      = "for run.Next() {"
	gatedLoop = "for gate() && run.Next() {"
)

// Program is train.go with some constants changed.
type Program struct {
	Source    string
	Constants map[string]any // all of them by name, evaluated
}

// NewProgram changes constants in source, the text of train.go.
func NewProgram(source string, constants map[string]string) (Program, error) {
	for _, name := range slices.Sorted(maps.Keys(constants)) {
		line := regexp.MustCompile(`(?m)^(\t` + name + `\s*= )\S+`)
		if n := len(line.FindAllString(source, -1)); n != 1 {
			return Program{}, fmt.Errorf("%s has %d lines that define %s, want 1", TrainFile, n, name)
		}
		source = line.ReplaceAllString(source, "${1}"+constants[name])
	}
	c, err := Evaluate(source)
	return Program{source, c}, err
}

// gated is the program under the driver's control.
func (p Program) gated() (string, error) {
	if n := strings.Count(p.Source, loop); n != 1 {
		return "", fmt.Errorf("%s has %d loops %q, want 1: the driver needs a place to count steps", TrainFile, n, loop)
	}
	return strings.Replace(p.Source, loop, gatedLoop, 1), nil
}

// Evaluate returns the package-level constants of source.
func Evaluate(source string) (map[string]any, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, TrainFile, source, 0)
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

// Build compiles the program under control in dir, with the packages of the
// working directory's module. Flags and env are those of go build.
func (p Program) Build(dir string, flags []string, env ...string) (string, error) {
	text, err := p.gated()
	if err != nil {
		return "", err
	}
	files := map[string]string{"train.go": text, "gate.go": string(gate)}
	replace := map[string]string{}
	for name, text := range files {
		replace[absolute(filepath.Dir(TrainFile), name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := WriteJSON(overlay, map[string]any{"Replace": replace}); err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "trainer")
	args := slices.Concat([]string{"build", "-overlay", overlay, "-o", binary}, flags, []string{"./" + filepath.Dir(TrainFile)})
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), env...)
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

// WriteJSON writes a value to a file.
func WriteJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}
