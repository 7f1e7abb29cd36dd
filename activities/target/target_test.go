package target

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/experiment"
)

func TestNoop(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, noopFile), NoopSource)
	conform(t, Noop{}, root, experiment.Duration(time.Second))
}

// TestGoGPT runs the real trainer and evaluator: about half a minute of it is
// the first build of a cold cache.
func TestGoGPT(t *testing.T) {
	root := "../.."
	for _, need := range []string{"trainer/train.go", "trainer/evaluate/main.go"} {
		if _, err := os.Stat(filepath.Join(root, need)); err != nil {
			t.Fatal("no trainer in this checkout")
		}
	}
	conform(t, newGoGPT(), root, experiment.Duration(time.Second))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// copySources copies what a build needs from a checkout.
func copySources(t testing.TB, g Target, root, src string) {
	t.Helper()
	for _, path := range g.Sources() {
		from, to := filepath.Join(root, path), filepath.Join(src, path)
		info, err := os.Stat(from)
		require.NoError(t, err)
		if info.IsDir() {
			require.NoError(t, os.CopyFS(to, os.DirFS(from)))
			continue
		}
		text, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
		require.NoError(t, os.WriteFile(to, text, 0o644))
	}
}

// conform is the contract of a Target in executable form. root is a checkout.
func conform(t *testing.T, g Target, root string, budget experiment.Duration) {
	must := func(f *experiment.Failure, err error) {
		t.Helper()
		if f != nil || err != nil {
			t.Fatalf("failure %+v, error %v", f, err)
		}
	}
	src, out := t.TempDir(), t.TempDir()
	copySources(t, g, root, src)

	// The edited files as they stand are allowed and formatted; comments and
	// blank lines do not make another candidate.
	files, edited := map[string][]byte{}, map[string][]byte{}
	for _, path := range g.Editable() {
		if !slices.ContainsFunc(g.Sources(), func(s string) bool { return path == s || strings.HasPrefix(path, s+"/") }) {
			t.Errorf("%s can be edited but is no source", path)
		}
		text, err := os.ReadFile(filepath.Join(src, path))
		must(nil, err)
		must(g.Guard(path, text), nil)
		formatted, f := g.Format(path, text)
		must(f, nil)
		again, f := g.Format(path, formatted)
		must(f, nil)
		if !bytes.Equal(formatted, again) {
			t.Errorf("formatting %s twice gives something else", path)
		}
		if _, f := g.Format(path, []byte("package p\nfunc {")); f == nil || f.Reason != experiment.InvalidEdit || !strings.Contains(f.Message, path+":2") {
			t.Errorf("formatting nonsense gave %+v", f)
		}
		files[path], edited[path] = text, append([]byte("// A comment.\n\n"), text...)
	}
	if f := g.Guard("README.md", nil); f == nil || f.Reason != experiment.InvalidEdit {
		t.Errorf("editing README.md gave %+v", f)
	}
	digest, tokens, err := g.Syntax(files)
	must(nil, err)
	if same, n, _ := g.Syntax(edited); same != digest || n != tokens || tokens == 0 {
		t.Error("a comment makes another candidate")
	}

	var log bytes.Buffer
	program, evaluator := filepath.Join(out, string(Candidate)), filepath.Join(out, string(Evaluator))
	for _, role := range []Role{Evaluator, Candidate} {
		start := time.Now()
		must(g.Build(t.Context(), role, src, out, &log))
		t.Logf("%s built in %v", role, time.Since(start).Round(time.Millisecond))
	}
	data := t.TempDir()
	start := time.Now()
	spec := DataSpec{Evaluator: evaluator, Dir: data, Dataset: experiment.Dataset{Name: experiment.GoSource}, Vocab: experiment.DefaultVocab, Log: &log}
	made, err := g.Data(t.Context(), spec)
	must(nil, err)
	fingerprint := made.Fingerprint
	t.Logf("data made in %v", time.Since(start).Round(time.Millisecond))
	start = time.Now()
	if again, err := g.Data(t.Context(), spec); again != made || err != nil || time.Since(start) > time.Second {
		t.Errorf("the second time the data are %+v after %v, %v; want %+v", again, time.Since(start), err, made)
	}
	t.Logf("data found again in %v", time.Since(start).Round(time.Millisecond))
	split := func(name string) string {
		dir := filepath.Join(data, fingerprint, name)
		if info, err := os.Stat(filepath.Join(dir, name+".bin")); err != nil || info.Size() == 0 {
			t.Fatalf("split %s: %v", name, err)
		}
		return dir
	}
	train, val := split("train"), split("val")

	start = time.Now()
	graph, f, err := g.Smoke(t.Context(), SmokeSpec{Program: program, Evaluator: evaluator, Dir: t.TempDir(), Train: train, Cores: 2, Log: &log})
	must(f, err)
	t.Logf("smoke run in %v", time.Since(start).Round(time.Millisecond))
	run := func(ctx context.Context, name string, report func(Progress), resume ...string) (Record, error) {
		dir := filepath.Join(out, name)
		must(nil, os.MkdirAll(dir, 0o755))
		return g.Train(ctx, TrainSpec{Program: program, Dir: dir, Train: train, Seed: 1, Budget: budget, Cores: 2, Resume: resume, Log: &log}, report)
	}
	reported := 0
	r, err := run(t.Context(), "one", func(Progress) { reported++ })
	must(r.Failure, err)
	if reported == 0 {
		t.Error("no progress was reported")
	}
	if math.Abs(r.ChargedSeconds/budget.Seconds()-1) > 0.3 || r.Steps < 1 || r.Tokens < 1 || r.PeakBytes < 1 || r.Parameters < 1 {
		t.Errorf("the run's record is %+v", r)
	}
	if curve, err := os.ReadFile(filepath.Join(out, "one", metricsFile)); err != nil || !strings.HasPrefix(string(curve), `{"step":`) {
		t.Errorf("metrics.jsonl: %v", err)
	}
	score := func(proved string) Score {
		s, err := g.Evaluate(t.Context(), EvaluateSpec{Evaluator: evaluator, Model: r.Model, Val: val, Proved: proved, Cores: 2, Dir: t.TempDir(), Log: &log})
		must(s.Failure, err)
		return s
	}
	s := score(graph)
	if !(s.ValBpb > 0 && s.ValBpb < 10) || s.GraphDigest != graph || s.Parameters != r.Parameters {
		t.Errorf("score %+v, want the graph %s", s, graph)
	}
	if again := score(""); again.ValBpb != s.ValBpb {
		t.Errorf("scored %v and then %v", s.ValBpb, again.ValBpb)
	}
	t.Logf("record %+v, score %+v", r, s)

	// A run that is stopped goes on from where it was, for the rest of its budget.
	because := errors.New("because")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	_, err = run(ctx, "two", func(p Progress) { cancel(because) })
	if err != nil && !errors.Is(err, because) {
		t.Errorf("a stopped run gave %v", err)
	}
	again, resumeErr := run(t.Context(), "three", nil, filepath.Join(out, "two"))
	must(again.Failure, resumeErr)
	if err != nil && (again.ResumedFrom == 0 || math.Abs(again.ChargedSeconds/budget.Seconds()-1) > 0.3) {
		t.Errorf("the resumed run's record is %+v", again)
	}
	t.Logf("resumed: %+v", again)
	if _, err := run(ctx, "four", nil); !errors.Is(err, because) {
		t.Errorf("a run that is stopped before it starts gave %v", err)
	}
	if t.Failed() {
		t.Logf("log:\n%s", log.String())
	}
}

func TestRegistry(t *testing.T) {
	r := Builtin(Options{GoCache: t.TempDir()})
	for _, name := range []string{"gogpt", "noop", "command"} {
		if g, err := r.ByName(name); err != nil || g.Name() != name {
			t.Errorf("target %s: %v, %v", name, g, err)
		}
	}
	if _, err := r.ByName("pytorch"); err == nil || !strings.Contains(err.Error(), "gogpt, noop, command") {
		t.Errorf("an unknown target gave %v", err)
	}
}

func TestNoopPlaysFailures(t *testing.T) {
	src, out := t.TempDir(), t.TempDir()
	play := func(outcome string) (*experiment.Failure, error) {
		write(t, filepath.Join(src, noopFile), strings.Replace(NoopSource, `"ok"`, `"`+outcome+`"`, 1))
		return Noop{}.Build(t.Context(), Candidate, src, out, io.Discard)
	}
	if f, err := play("build-failed"); f == nil || f.Reason != experiment.BuildFailed || err != nil {
		t.Errorf("got %+v, %v", f, err)
	}
	if f, err := play("nan"); f != nil || err != nil {
		t.Fatal(f, err)
	}
	r, err := Noop{}.Train(t.Context(), TrainSpec{Program: filepath.Join(out, "candidate"), Dir: out}, nil)
	if err != nil || r.Failure == nil || r.Failure.Reason != experiment.NaN || len(r.LogTail) == 0 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestNoopLasts(t *testing.T) {
	src, out := t.TempDir(), t.TempDir()
	program := func(seconds string) string {
		write(t, filepath.Join(src, noopFile), strings.Replace(NoopSource, ")\n", "\tSeconds = "+seconds+"\n)\n", 1))
		if f, err := (Noop{}).Build(t.Context(), Candidate, src, out, io.Discard); f != nil || err != nil {
			t.Fatal(f, err)
		}
		return filepath.Join(out, "candidate")
	}
	began := time.Now()
	r, err := Noop{}.Train(t.Context(), TrainSpec{Program: program("0.05"), Dir: out}, nil)
	if err != nil || r.Failure != nil || time.Since(began) < 50*time.Millisecond {
		t.Errorf("got %+v, %v after %v", r, err, time.Since(began))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := (Noop{}).Train(ctx, TrainSpec{Program: program("3600"), Dir: out}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a run that is cancelled gave %v", err)
	}
}

// BenchmarkWarmBuild builds the real candidate after an edit.
func BenchmarkWarmBuild(b *testing.B) {
	g, src, out := newGoGPT(), b.TempDir(), b.TempDir()
	train := filepath.Join(src, "trainer/train.go")
	copySources(b, g, "../..", src)
	text, err := os.ReadFile(train)
	if err != nil {
		b.Skip("no trainer in this checkout")
	}
	softcap := regexp.MustCompile(`\bSoftcap += [0-9.]+`)
	build := func(n int64) {
		text := softcap.ReplaceAllString(string(text), "Softcap = 15.0 + 1e-9*"+strconv.FormatInt(n, 10))
		if err := os.WriteFile(train, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
		if f, err := g.Build(b.Context(), Candidate, src, out, io.Discard); f != nil || err != nil {
			b.Fatal(f, err)
		}
	}
	build(0)
	for b.Loop() {
		build(time.Now().UnixNano())
	}
}
