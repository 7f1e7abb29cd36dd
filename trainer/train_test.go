package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// tools holds the built trainer and evaluator: real processes, as the worker
// starts them.
var tools string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	var err error
	if tools, err = os.MkdirTemp("", "trainer-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(tools)
	for name, pkg := range map[string]string{"trainer": ".", "evaluate": "./evaluate"} {
		build := exec.Command("go", "build", "-o", filepath.Join(tools, name), pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building %s: %v\n%s", pkg, err, out)
			return 1
		}
	}
	return m.Run()
}

// tool runs one of the tools and returns what it prints.
func tool(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(filepath.Join(tools, name), args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %v: %v\n%s%s", name, args, err, &stdout, &stderr)
	}
	return stdout.Bytes()
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The program as it stands trains, resumes to the same bits, exports a causal
// model, and that model has learned something.
func TestTrainCheckScore(t *testing.T) {
	data := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 1))
	text := make([]byte, 1<<14)
	for i := range text {
		text[i] = "etaoin shrdlu"[rng.IntN(13)]
	}
	for _, name := range []string{"train.bin", "val.bin"} {
		if err := os.WriteFile(filepath.Join(data, name), text[:1<<14], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	train := func(dir string, more ...string) []byte {
		t.Helper()
		args := []string{"--run", dir, "--data", data, "--seed", "3", "--cores", "2", "--steps", "12"}
		tool(t, "trainer", append(args, more...)...)
		return read(t, dir, "model.safetensors")
	}
	dir, other := t.TempDir(), t.TempDir()
	model := train(dir)
	checkpoints, _ := filepath.Glob(filepath.Join(dir, "checkpoints", "*"))
	slices.Sort(checkpoints)
	if again := train(other, "--resume", checkpoints[0]); !bytes.Equal(model, again) {
		t.Error("the resumed run gave another model")
	}

	file := filepath.Join(dir, "model.safetensors")
	var check struct {
		GraphDigest string `json:"graph_digest"`
	}
	var score struct {
		ValBpb float64 `json:"val_bpb"`
	}
	if err := json.Unmarshal(tool(t, "evaluate", "check", "--model", file, "--data", data, "--cores", "2"), &check); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(tool(t, "evaluate", "score", "--model", file, "--data", data, "--cores", "2", "--proved", check.GraphDigest), &score); err != nil {
		t.Fatal(err)
	}
	if score.ValBpb < 3.5 || score.ValBpb > 7 { // log2(13) = 3.7, untrained 8
		t.Errorf("val_bpb is %.3f after 12 steps on 13 letters", score.ValBpb)
	}
}

var (
	rangeComment = regexp.MustCompile(`^// range (\S+)\.\.([^\s;]+)( log)?( int)?(; .+)?$`)
	oneOfComment = regexp.MustCompile(`^// one of ([^;]+)(; .+)?$`)
)

// Every constant of the first block is a literal with a comment that says what
// it may become, in the grammar that the hpo proposer reads, and is within.
func TestHyperparameters(t *testing.T) {
	values := map[string][]string{}
	for _, c := range constants(t) {
		value, comment := c.Values[0], strings.TrimSpace(c.Comment.List[0].Text)
		literal, ok := value.(*ast.BasicLit)
		if !ok {
			t.Errorf("%s: the value is not one literal", c.Names[0])
			continue
		}
		text := strings.Trim(literal.Value, `"`)
		if m := oneOfComment.FindStringSubmatch(comment); m != nil {
			options := strings.Split(m[1], ", ")
			values[c.Names[0].Name] = options
			if !slices.Contains(options, text) {
				t.Errorf("%s = %s is none of %v", c.Names[0], text, options)
			}
			continue
		}
		m := rangeComment.FindStringSubmatch(comment)
		if m == nil {
			t.Errorf("%s: %q is neither // range LO..HI [log] [int] nor // one of A, B", c.Names[0], comment)
			continue
		}
		lo, err1 := strconv.ParseFloat(m[1], 64)
		hi, err2 := strconv.ParseFloat(m[2], 64)
		v, err3 := strconv.ParseFloat(text, 64)
		if err1 != nil || err2 != nil || err3 != nil || lo > v || v > hi || m[3] != "" && lo <= 0 || (m[4] != "") != (literal.Kind == token.INT) {
			t.Errorf("%s = %s is not in its range: %q", c.Names[0], text, comment)
		}
	}
	for _, dim := range values["Dim"] {
		for _, head := range values["HeadDim"] {
			d, _ := strconv.Atoi(dim)
			h, _ := strconv.Atoi(head)
			if d%h != 0 || h%2 != 0 {
				t.Errorf("Dim %d does not divide into rotary heads of %d", d, h)
			}
		}
	}
}

// constants returns the declarations of the first const block of train.go.
func constants(t *testing.T) (specs []*ast.ValueSpec) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "train.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		if block, ok := d.(*ast.GenDecl); ok && block.Tok == token.CONST {
			for _, s := range block.Specs {
				specs = append(specs, s.(*ast.ValueSpec))
			}
			return specs
		}
	}
	t.Fatal("train.go has no const block")
	return nil
}
