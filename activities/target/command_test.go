package target

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/dataset"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// commandCheckout is the example with tokens that follow each other in pairs
// more often than not: 200 windows of 32 to score.
func commandCheckout(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS("testdata/command")); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	text := func(n int) string {
		b := make([]byte, n)
		for i := 1; i < n; i++ {
			if b[i] = byte(r.IntN(16)); r.IntN(3) > 0 {
				b[i] = (5*b[i-1] + 3) % 16
			}
		}
		return string(b)
	}
	write(t, filepath.Join(root, "data/train.bin"), text(50_000))
	write(t, filepath.Join(root, "data/val.bin"), text(200*33))
	return root
}

func newCommand(root string) *Command {
	c := NewCommand(Options{Checkout: root})
	c.host = newGoGPT()
	return c
}

func TestCommand(t *testing.T) {
	root := commandCheckout(t)
	conform(t, newCommand(root), root, experiment.Duration(time.Second))
}

// edit replaces pieces of a file of the checkout.
func edit(t *testing.T, name string, pairs ...string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(string(text), pairs[i]) {
			t.Fatalf("%s has no %q", name, pairs[i])
		}
	}
	write(t, name, strings.NewReplacer(pairs...).Replace(string(text)))
}

// built is a program of target command, ready to run.
type built struct {
	*Command
	program, evaluator, train, val string
}

func buildCommand(t *testing.T, root string) built {
	t.Helper()
	b := built{Command: newCommand(root)}
	out, data := t.TempDir(), t.TempDir()
	b.program, b.evaluator = filepath.Join(out, "candidate"), filepath.Join(out, "evaluator")
	for _, role := range []Role{Evaluator, Candidate} {
		if f, err := b.Build(t.Context(), role, root, out, io.Discard); f != nil || err != nil {
			t.Fatalf("%s: %+v, %v", role, f, err)
		}
	}
	corpus, err := b.Data(t.Context(), DataSpec{Evaluator: b.evaluator, Dir: data, Dataset: experiment.Dataset{Name: experiment.GoSource}})
	if err != nil {
		t.Fatal(err)
	}
	b.train, b.val = filepath.Join(data, corpus.Fingerprint, "train"), filepath.Join(data, corpus.Fingerprint, "val")
	return b
}

func (b built) trained(t *testing.T, ctx context.Context) (Record, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run-1")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return b.Train(ctx, TrainSpec{Program: b.program, Dir: dir, Train: b.train, Budget: experiment.Duration(100 * time.Millisecond), Cores: 1}, nil)
}

// What the edited file can do about its own score is found out, in the smoke run
// and when it counts.
func TestCommandCheats(t *testing.T) {
	for name, c := range map[string]struct {
		old, new string
		want     experiment.Reason
	}{
		"honest": {"prior = 0.5", "prior = 0.25", ""},
		"looks ahead in the first pass": {
			"out[at] = -row[window[at+1]]", "out[at] = 0.3 * -row[window[at+1]]", experiment.Tampered},
		"looks ahead on rare tokens": {
			"out[at] = -row[window[at+1]]", "if out[at] = -row[window[at+1]]; window[at+1] == 7 && row[7] < -2 {\n\t\t\tout[at] = 0.1\n\t\t}", experiment.Tampered},
		"takes the next token where it finds it": {
			"row := m", "if at+1 < len(window) {\n\t\tfor i := range out {\n\t\t\tout[i] = -9\n\t\t}\n\t\tout[window[at+1]] = -0.0019\n\t\treturn\n\t}\n\trow := m", experiment.Tampered},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := commandCheckout(t)
			edit(t, filepath.Join(root, "model.go"), c.old, c.new)
			b := buildCommand(t, root)
			check := func(step string, f *experiment.Failure, err error) {
				t.Helper()
				if err != nil || (f == nil) != (c.want == "") || f != nil && f.Reason != c.want {
					t.Errorf("%s: %+v, %v; want %q", step, f, err, c.want)
				}
			}
			_, f, err := b.Smoke(t.Context(), SmokeSpec{Program: b.program, Evaluator: b.evaluator, Dir: t.TempDir(), Train: b.train, Cores: 1})
			if name != "looks ahead on rare tokens" { // 16 cuts may miss those
				check("smoke run", f, err)
			}
			r, err := b.trained(t, t.Context())
			if err != nil || r.Failure != nil {
				t.Fatalf("%+v, %v", r.Failure, err)
			}
			var log strings.Builder
			s, err := b.Evaluate(t.Context(), EvaluateSpec{Evaluator: b.evaluator, Model: r.Model, Val: b.val, Cores: 1, Dir: t.TempDir(), Log: &log})
			check("score", s.Failure, err)
			var note struct {
				Clamped float64 `json:"clamped_bpb"`
				Passes  int     `json:"passes"`
			}
			if err := json.Unmarshal([]byte(log.String()), &note); err != nil || c.want == "" && (note.Clamped <= 0 || note.Clamped > s.ValBpb || note.Passes != 3) {
				t.Errorf("%v, the log: %s", err, log.String())
			}
		})
	}
}

// shellCheckout is a program that is a line of shell: $0 is {model}.
func shellCheckout(t *testing.T, line string) string {
	t.Helper()
	root := commandCheckout(t)
	m, err := readManifest(root)
	if err != nil {
		t.Fatal(err)
	}
	m.Build, m.Train = nil, []string{"sh", "-c", line, "{model}"}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, ManifestFile), string(text))
	return root
}

func TestCommandRunsThatEndBadly(t *testing.T) {
	for line, want := range map[string]struct {
		reason experiment.Reason
		says   string
	}{
		"exit 0":                           {experiment.NotExportable, "{model}"},
		"ln -s /etc/passwd $0":             {experiment.NotExportable, "no model"},
		"echo no such device >&2; exit 7":  {experiment.RunFailed, "no such device"},
		"echo x > $0; while :; do :; done": {experiment.Timeout, "budget"},
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			r, err := buildCommand(t, shellCheckout(t, line)).trained(t, t.Context())
			if err != nil || r.Failure == nil || r.Failure.Reason != want.reason || !strings.Contains(r.Failure.Message, want.says) || r.Model != "" {
				t.Errorf("%+v, %v", r.Failure, err)
			}
		})
	}
}

// A program that leaves a model when it is stopped, and says that all is well,
// has no result all the same.
func TestCommandStoppedIsNoResult(t *testing.T) {
	b := buildCommand(t, shellCheckout(t, `trap "exit 0" TERM; echo x > $0; while :; do sleep 0.01; done`))
	because := errors.New("because")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	dir := filepath.Join(t.TempDir(), "run-1")
	spec := TrainSpec{Program: b.program, Dir: dir, Train: b.train, Budget: experiment.Duration(time.Hour), Cores: 1}
	r, err := b.Train(ctx, spec, func(Progress) {
		if _, err := os.Stat(filepath.Join(dir, commandModel)); err == nil {
			cancel(because)
		}
	})
	if !errors.Is(err, because) || r.Model != "" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestCommandGuard(t *testing.T) {
	root := commandCheckout(t)
	c := newCommand(root)
	text, err := os.ReadFile(filepath.Join(root, "model.go"))
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]string{
		"import":   {`import "math"`, `import "os"`},
		"protects": {"const V = 16", "const V = 17"},
		"literal":  {"prior = 0.5", `prior, text = 0.5, "` + strings.Repeat("x", 2000) + `"`},
	} {
		if f := c.Guard("model.go", []byte(strings.Replace(string(text), pair[0], pair[1], 1))); f == nil || f.Reason != experiment.InvalidEdit {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if f := c.Guard("score.go", text); f == nil || !strings.Contains(f.Message, "only model.go may") {
		t.Errorf("another file: %+v", f)
	}
	if got := c.Sources(); !slices.Contains(got, "data/val.bin") || !slices.Contains(got, ManifestFile) {
		t.Errorf("sources: %v", got)
	}
	below := NewCommand(Options{Checkout: filepath.Join(root, "data")})
	if got := below.Editable(); !slices.Equal(got, []string{"model.go"}) {
		t.Errorf("from below the top: %v", got)
	}
	none := NewCommand(Options{Checkout: t.TempDir()})
	if f := none.Guard("model.go", text); len(none.Editable()) > 0 || f == nil || !strings.Contains(f.Message, ManifestFile) {
		t.Errorf("without a manifest: %v, %+v", none.Editable(), f)
	}
}

// Candidates get their sources, and nothing of the data.
func TestCommandKeepsDataApart(t *testing.T) {
	b := buildCommand(t, shellCheckout(t, "exit 0"))
	for _, name := range []string{"data/val.bin", "data/train.bin"} {
		if _, err := os.Stat(filepath.Join(programDir(b.program), name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s lies with the program: %v", name, err)
		}
	}
	if _, err := os.Stat(filepath.Join(programDir(b.program), "model.go")); err != nil {
		t.Error(err)
	}
	spec := DataSpec{Evaluator: b.evaluator, Dir: t.TempDir(), Dataset: experiment.Dataset{Name: "tinystories"}}
	var refused *dataset.Error
	if _, err := b.Data(t.Context(), spec); !errors.As(err, &refused) {
		t.Errorf("another data set gave %v", err)
	}
}

func TestManifest(t *testing.T) {
	text, err := os.ReadFile("testdata/command/" + ManifestFile)
	if err != nil {
		t.Fatal(err)
	}
	for says, pair := range map[string][2]string{
		"":                         {"", ""},
		"unknown field":            {`"name"`, `"nmae"`},
		"name is missing":          {`"bigram"`, `""`},
		"edit is empty":            {`["model.go"]`, `[]`},
		"must not be edited":       {`["model.go"]`, `["data/val.bin"]`},
		"no path below":            {`["model.go"]`, `["../model.go"]`},
		"train and score":          {`"score": [`, `"score": [], "needs": [`},
		"window is 0":              {`"window": 32`, `"window": 0`},
		"prior_sd is 0":            {`"prior_sd": 0.01`, `"prior_sd": 0`},
		"train and val are both":   {`"data/val.bin"`, `""`},
		"vocab is 1":               {`"vocab": 16`, `"vocab": 1`},
		"token_bytes is missing":   {`"vocab": 16`, `"vocab": 8192`},
		"no arithmetic":            {`"window"`, `"arithmetic": "float8", "window"`},
		"is no absolute path":      {`"window"`, `"needs": ["venv"], "window"`},
		"guard: max_literal_bytes": {"1024", "-1"},
	} {
		_, err := parseManifest([]byte(strings.Replace(string(text), pair[0], pair[1], 1)))
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("want %q, got %v", says, err)
		}
	}
}

// Who checks an old campaign asks its own manifest, not that of where they are.
func TestFromAManifest(t *testing.T) {
	text, err := os.ReadFile("testdata/command/" + ManifestFile)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := NewCommand(Options{Checkout: t.TempDir()})
	own, err := elsewhere.From(text)
	if err != nil || !slices.Equal(own.Editable(), []string{"model.go"}) || len(own.Sources()) < 2 {
		t.Errorf("edits %v of %v, %v", own.Editable(), own.Sources(), err)
	}
	if len(elsewhere.Editable()) != 0 {
		t.Errorf("without a manifest %v may be edited", elsewhere.Editable())
	}
	if _, err := elsewhere.From([]byte("{")); err == nil {
		t.Error("a broken manifest is taken")
	}
}

// A model comes from another machine: nothing in it leaves its directory.
func TestBundle(t *testing.T) {
	for _, h := range []tar.Header{
		{Name: "../model"}, {Name: "/model"}, {Name: "other"}, {Name: "program/../../x"},
		{Name: "program/link", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
	} {
		name := filepath.Join(t.TempDir(), "bundle")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		w := tar.NewWriter(f)
		if err := errors.Join(w.WriteHeader(&h), w.Close(), f.Close(), readBundle(t.TempDir(), name)); err == nil || !strings.Contains(err.Error(), "none of ours") {
			t.Errorf("%s: %v", h.Name, err)
		}
	}
	program := t.TempDir()
	write(t, filepath.Join(program, "a/b"), "text")
	model := filepath.Join(t.TempDir(), "m")
	write(t, model, "weights")
	name, dir := filepath.Join(t.TempDir(), "bundle"), t.TempDir()
	if err := errors.Join(writeBundle(name, program, model), readBundle(dir, name)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"model": "weights", "program/a/b": "text"} {
		if got, err := os.ReadFile(filepath.Join(dir, path)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
}

func TestTokensOfTwoBytes(t *testing.T) {
	root := t.TempDir()
	m := Manifest{Window: 2, Data: ManifestData{Vocab: 300, TokenBytes: "lengths.json"}}
	lengths := make([]int, 300)
	lengths[299], lengths[1] = 5, 2
	text, err := json.Marshal(lengths)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dataDir(root), "lengths.json"), string(text))
	// The first token of each window is given, the last two are no whole window.
	write(t, filepath.Join(root, "val/val.bin"), "\x01\x00\x2b\x01\x01\x00"+"\x00\x00\x01\x00\x01\x00"+"\x01\x00\x01\x00")
	got, err := readText(filepath.Join(root, "val"), root, m)
	if err != nil || !slices.Equal(got.Tokens, []int32{1, 299, 1, 0, 1, 1}) || got.Bytes != 11 {
		t.Errorf("%+v, %v", got, err)
	}
	write(t, filepath.Join(root, "val/val.bin"), "\x01\x00\x2c\x01\x01\x00")
	if _, err := readText(filepath.Join(root, "val"), root, m); err == nil || !strings.Contains(err.Error(), "token 1 of val.bin is 300") {
		t.Errorf("a token beyond the vocabulary gave %v", err)
	}
}
