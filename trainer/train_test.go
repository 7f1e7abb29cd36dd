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

// corpus is a directory with both splits of a text of 13 letters.
func corpus(t *testing.T) string {
	t.Helper()
	data := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 1))
	text := make([]byte, 1<<14)
	for i := range text {
		text[i] = "etaoin shrdlu"[rng.IntN(13)]
	}
	for _, name := range []string{"train.bin", "val.bin"} {
		if err := os.WriteFile(filepath.Join(data, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

// train runs a trainer for some steps, then again from its first checkpoint, and
// wants the same model. It returns the place of that.
func train(t *testing.T, name, data, steps string) string {
	t.Helper()
	once := func(dir string, more ...string) []byte {
		args := []string{"--run", dir, "--data", data, "--seed", "3", "--cores", "2", "--steps", steps}
		tool(t, name, append(args, more...)...)
		return read(t, dir, "model.safetensors")
	}
	dir := t.TempDir()
	model := once(dir)
	checkpoints, _ := filepath.Glob(filepath.Join(dir, "checkpoints", "*"))
	slices.Sort(checkpoints)
	if again := once(t.TempDir(), "--resume", checkpoints[0]); !bytes.Equal(model, again) {
		t.Errorf("%s: the run resumed from %s gave another model", name, filepath.Base(checkpoints[0]))
	}
	return filepath.Join(dir, "model.safetensors")
}

// prove lets the evaluator prove that a model is causal.
func prove(t *testing.T, model, data string) (digest string) {
	t.Helper()
	var c struct {
		GraphDigest string `json:"graph_digest"`
	}
	if err := json.Unmarshal(tool(t, "evaluate", "check", "--model", model, "--data", data, "--cores", "2"), &c); err != nil {
		t.Fatal(err)
	}
	return c.GraphDigest
}

// The program as it stands trains, resumes to the same bits, exports a causal
// model, and that model has learned something.
func TestTrainCheckScore(t *testing.T) {
	data := corpus(t)
	model := train(t, "trainer", data, "12")
	var score struct {
		ValBpb float64 `json:"val_bpb"`
	}
	if err := json.Unmarshal(tool(t, "evaluate", "score", "--model", model, "--data", data, "--cores", "2", "--proved", prove(t, model, data)), &score); err != nil {
		t.Fatal(err)
	}
	if score.ValBpb < 3.5 || score.ValBpb > 7 { // log2(13) = 3.7, untrained 8
		t.Errorf("val_bpb is %.3f after 12 steps on 13 letters", score.ValBpb)
	}
}

// variant builds the program with some constants changed.
func variant(t *testing.T, changes map[string]string) (name string) {
	t.Helper()
	text := string(read(t, "train.go"))
	for constant, value := range changes {
		line := regexp.MustCompile(`(?m)^(\t` + constant + ` += )\S+`)
		if !line.MatchString(text) {
			t.Fatalf("train.go has no constant %s", constant)
		}
		text = line.ReplaceAllString(text, "${1}"+value)
	}
	dir := t.TempDir()
	edited, overlay := filepath.Join(dir, "train.go"), filepath.Join(dir, "overlay.json")
	path, err := filepath.Abs("train.go")
	if err != nil {
		t.Fatal(err)
	}
	replace, _ := json.Marshal(map[string]map[string]string{"Replace": {path: edited}})
	for name, content := range map[string][]byte{edited: []byte(text), overlay: replace} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	name = filepath.Base(t.Name())
	build := exec.Command("go", "build", "-overlay", overlay, "-o", filepath.Join(tools, name), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building with %v: %v\n%s", changes, err, out)
	}
	return name
}

// Every part can be switched off, and every other way of doing it works too:
// finite losses, the same bits after a resume, a causal model.
func TestVariants(t *testing.T) {
	for name, changes := range map[string]map[string]string{
		"off":   {"ValueEmbeds": "false", "Scalars": "false", "Normalize": "false", "Warmup": "0.0", "Warmdown": "0.0", "MomentumWarmup": "0.0", "Context": "64"},
		"other": {"Depth": "3", "Aspect": "32", "HeadDim": "16", "KVShare": "3", "Window": `"SSL"`, "Context": "64", "BatchSize": "2", "Accumulate": "3", "WeightDecay": "0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := corpus(t)
			prove(t, train(t, variant(t, changes), data, "5"), data)
		})
	}
}

// Constants that cannot be what they are end the run before it trains, all named
// at once, with what they may be.
func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		changes map[string]string
		want    []string
	}{
		"alone": {
			map[string]string{
				"Accumulate": "-1", "Window": `"SX"`, "RopeBase": "0.0", "Softcap": "-1.0", "InitScale": "-1.0", "WeightDecay": "11.0",
				"Momentum": "1.0", "Beta1": "-0.1", "Beta2": "1.0", "X0Beta1": "1.5", "NormalizeBeta": "1.0", "MomentumStart": "2.0",
				"MomentumWarmup": "-0.5", "Warmup": "1.1", "Warmdown": "-0.1", "FinalLR": "2.0", "GateDim": "0", "MatrixLR": "-0.1", "EmbedLR": "-1.0",
			},
			[]string{
				"Accumulate = -1, must be 1 to", "Window = SX, must be of letters S and L", "RopeBase = 0, must be 1 to", "Softcap = -1, must be",
				"InitScale = -1, must be", "WeightDecay = 11, must be 0 to 10", "Momentum = 1, must be 0 to 0.99999", "Beta1 = -0.1, must", "Beta2 = 1, must",
				"X0Beta1 = 1.5, must", "NormalizeBeta = 1, must", "MomentumStart = 2, must", "MomentumWarmup = -0.5, must be 0 to 1", "Warmup = 1.1, must be 0 to 1",
				"Warmdown = -0.1, must", "FinalLR = 2, must", "GateDim = 0, must", "MatrixLR = -0.1, must", "EmbedLR = -1, must",
			},
		},
		"together": {
			map[string]string{"Depth": "3", "Aspect": "33", "HeadDim": "15", "KVShare": "4", "Context": "100", "ShortSpan": "8", "GateDim": "128"},
			[]string{
				"HeadDim = 15, must be even", "HeadDim = 15, must be a divisor of Depth * Aspect = 99", "KVShare = 4, must be a divisor of the 6 heads",
				"ShortSpan = 8, must be a divisor of Context = 100", "GateDim = 128, must be 1 to 99",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cmd := exec.Command(filepath.Join(tools, variant(t, c.changes)), "--run", dir, "--data", corpus(t), "--cores", "1", "--steps", "1")
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Errorf("%v trained", c.changes)
			}
			var f struct{ Reason, Message string }
			if err := json.Unmarshal(read(t, dir, "failure.json"), &f); err != nil || f.Reason != "error" {
				t.Errorf("failure.json says %+v, %v", f, err)
			}
			lines := strings.Split(f.Message, "\n")
			for _, want := range c.want {
				if !strings.Contains(string(out), want) || !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, want) }) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			if len(lines) != len(c.want) {
				t.Errorf("%d complaints, want %d:\n%s", len(lines), len(c.want), f.Message)
			}
		})
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
		if word, ok := value.(*ast.Ident); ok && (word.Name == "true" || word.Name == "false") {
			value = &ast.BasicLit{Kind: token.IDENT, Value: word.Name}
		}
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
	for _, head := range values["HeadDim"] {
		if d, err := strconv.Atoi(head); err != nil || d%2 != 0 {
			t.Errorf("HeadDim %s cannot be turned in pairs by RoPE", head)
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
