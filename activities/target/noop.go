package target

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/dataset"
	"github.com/autoresearch-go/autoresearch/activities/guard"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Noop is the target "noop": a campaign whose experiments take no time, or the
// wall time that a constant Seconds in noop/train.go says. It starts no process;
// the score is a smooth function of the other constants there, plus noise that
// depends on the file and the seed alone. It is for tests, and for measuring the
// loop itself.
type Noop struct{}

var _ Target = Noop{}

// NoopSource is a noop/train.go to start a campaign from. The best values are
// LR = 0.01, Depth = 6, Window = "SSSL". Outcome plays any failure: it may be
// the reason of a crash.
const NoopSource = `package noop

const (
	LR      = 0.03 // range 0.001..0.1 log
	Depth   = 3    // range 1..12 int
	Window  = "L"  // one of L, SL, SSSL
	Outcome = "ok"
)
`

const (
	noopFile   = "noop/train.go"
	noopNoise  = 0.01 // val_bpb
	noopAudit  = 0.05 // by so much the audit text is harder
	noopSteps  = 100
	noopTokens = 1000 // a step
)

// Name implements Target.
func (Noop) Name() string { return "noop" }

// Editable implements Target.
func (Noop) Editable() []string { return []string{noopFile} }

// Sources implements Target.
func (Noop) Sources() []string { return []string{"noop"} }

// PriorStdDev implements Target.
func (Noop) PriorStdDev(experiment.Duration) float64 { return noopNoise }

// Guard implements Target.
func (Noop) Guard(path string, src []byte) *experiment.Failure {
	if path != noopFile {
		return invalidEdit("%s may not be edited: only %s may", path, noopFile)
	}
	if f := guard.Text(path, src, maxSource); f != nil {
		return f
	}
	_, f := noopConstants(path, src)
	return f
}

// Format implements Target.
func (Noop) Format(path string, src []byte) ([]byte, *experiment.Failure) {
	out, err := format.Source(src)
	if err != nil {
		return nil, syntaxError(fmt.Errorf("%s:%w", path, err))
	}
	return out, nil
}

// Syntax implements Target.
func (Noop) Syntax(files map[string][]byte) (string, int, error) { return goSyntax(files) }

// Build implements Target: the program is the source.
func (Noop) Build(_ context.Context, role Role, src, outDir string, log io.Writer) (*experiment.Failure, error) {
	text, err := os.ReadFile(filepath.Join(src, noopFile))
	if err != nil {
		return nil, fmt.Errorf("building the %s: %w", role, err)
	}
	c, failure := noopConstants(noopFile, text)
	if failure == nil && c.outcome == experiment.BuildFailed {
		failure = c.failure()
	}
	if failure != nil {
		fmt.Fprintln(log, failure.Message)
		failure.Reason = experiment.BuildFailed
		return failure, nil
	}
	return nil, os.WriteFile(filepath.Join(outDir, string(role)), text, 0o755)
}

// Data implements Target: a data set of two lines.
func (Noop) Data(_ context.Context, s DataSpec) (Corpus, error) {
	if s.Dataset.String() != experiment.GoSource || s.Vocab != experiment.DefaultVocab {
		return Corpus{}, dataset.Refuse("leave dataset and vocab out", "the target noop has a data set of its own: it takes neither the dataset %s nor a vocab of %d", s.Dataset, s.Vocab)
	}
	fingerprint, err := noopData(s.Dir)
	return Corpus{Fingerprint: fingerprint, Vocab: s.Vocab}, err
}

func noopData(dir string) (string, error) {
	train, val, audit := []byte("noop training text\n"), []byte("noop validation text\n"), []byte("noop audit text\n")
	h := fnv.New128a()
	h.Write(slices.Concat(train, val, audit))
	fingerprint := fmt.Sprintf("noop%x", h.Sum(nil))
	if whole(dir, fingerprint) {
		return fingerprint, nil
	}
	tmp, err := os.MkdirTemp(dir, ".tmp-")
	if err != nil {
		return "", fmt.Errorf("making the data: %w", err)
	}
	defer os.RemoveAll(tmp)
	info, err := json.Marshal(Corpus{Fingerprint: fingerprint, TrainBytes: int64(len(train)), ValBytes: int64(len(val)), AuditBytes: int64(len(audit))})
	for name, text := range map[string][]byte{"train/train.bin": train, "val/val.bin": val, "audit/audit.bin": audit, "corpus.json": info} {
		path := filepath.Join(tmp, name)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o755)
		}
		if err == nil {
			err = os.WriteFile(path, text, 0o644)
		}
	}
	if err == nil {
		err = os.Chmod(tmp, 0o755)
	}
	if err == nil {
		err = os.Rename(tmp, filepath.Join(dir, fingerprint))
	}
	if err != nil && !whole(dir, fingerprint) { // another may have been first
		return "", fmt.Errorf("making the data: %w", err)
	}
	return fingerprint, nil
}

// Smoke implements Target.
func (Noop) Smoke(_ context.Context, s SmokeSpec) (string, *experiment.Failure, error) {
	c, err := readNoop(s.Program)
	if err == nil && (c.outcome == experiment.NotCausal || c.outcome == experiment.NotExportable) {
		return "", c.failure(), nil
	}
	return "noop-graph", nil, err
}

// noopModel is what a noop run exports.
type noopModel struct {
	ValBpb     float64 `json:"val_bpb"`
	Parameters int64   `json:"parameters"`
}

// Train implements Target.
func (Noop) Train(ctx context.Context, s TrainSpec, report func(Progress)) (Record, error) {
	if ctx.Err() != nil {
		return Record{}, fmt.Errorf("training in %s: %w", s.Dir, context.Cause(ctx))
	}
	c, err := readNoop(s.Program)
	if err != nil {
		return Record{}, fmt.Errorf("training in %s: %w", s.Dir, err)
	}
	budget := s.Budget.Seconds()
	r := Record{ChargedSeconds: budget, Tokens: noopSteps * noopTokens, Steps: noopSteps, PeakBytes: 1 << 20, Parameters: int64(1000 * c.depth), Sandbox: "none", Class: "noop"}
	if s.GPU != nil {
		r.Class = s.GPU.Class
	}
	if c.outcome != "ok" {
		r.Failure, r.LogTail = c.failure(), []string{"playing " + string(c.outcome)}
		return r, nil
	}
	if err := c.wait(ctx, s.GPU); err != nil {
		return Record{}, fmt.Errorf("training in %s: %w", s.Dir, err)
	}
	score := c.score(s.Seed)
	var curve bytes.Buffer
	for step := 20; step <= noopSteps; step += 20 {
		charged := budget * float64(step) / noopSteps
		loss := (score + 6*math.Exp(-float64(step)/20)) * math.Ln2
		fmt.Fprintf(&curve, `{"step":%d,"charged_seconds":%g,"tokens":%d,"loss":%.4f}`+"\n", step, charged, step*noopTokens, loss)
		if report != nil {
			report(Progress{Step: int64(step), Loss: loss, ChargedSeconds: charged})
		}
	}
	model, err := json.Marshal(noopModel{score, r.Parameters})
	if err == nil {
		err = os.WriteFile(filepath.Join(s.Dir, metricsFile), curve.Bytes(), 0o644)
	}
	r.Model = filepath.Join(s.Dir, modelFile)
	if err == nil {
		err = os.WriteFile(r.Model, model, 0o644)
	}
	return r, wrap("training in "+s.Dir, err)
}

// wait takes the time of the run, watched if it has a GPU, as a process would be.
func (c noopProgram) wait(ctx context.Context, gpu *GPU) error {
	end, tick := time.After(c.lasts), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-end:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			if gpu == nil || gpu.Watch == nil {
				continue
			}
			if err := gpu.Watch(os.Getpid()); err != nil {
				return err
			}
		}
	}
}

// Evaluate implements Target.
func (Noop) Evaluate(_ context.Context, s EvaluateSpec) (Score, error) {
	text, err := os.ReadFile(s.Model)
	var m noopModel
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	score := Score{ValBpb: m.ValBpb, GraphDigest: "noop-graph", Parameters: m.Parameters}
	if s.Audit != "" {
		score.AuditBpb = m.ValBpb + noopAudit
	}
	return score, wrap("evaluating "+s.Model, err)
}

// noopProgram is what the constants of a noop/train.go say.
type noopProgram struct {
	lr, depth float64
	window    string
	outcome   experiment.Reason
	lasts     time.Duration
	hash      uint64
}

func readNoop(path string) (noopProgram, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return noopProgram{}, err
	}
	c, f := noopConstants(path, src)
	if f != nil {
		return c, fmt.Errorf("%s", f.Message)
	}
	return c, nil
}

func noopConstants(path string, src []byte) (noopProgram, *experiment.Failure) {
	file, err := parser.ParseFile(token.NewFileSet(), path, src, parser.SkipObjectResolution)
	if err != nil {
		return noopProgram{}, syntaxError(err)
	}
	values := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Names) == 1 && len(v.Values) == 1 {
			if lit, ok := v.Values[0].(*ast.BasicLit); ok {
				values[v.Names[0].Name] = lit.Value
			}
		}
		return true
	})
	h := fnv.New64a()
	h.Write(src)
	c := noopProgram{hash: h.Sum64()}
	var errs [4]error
	c.lr, errs[0] = strconv.ParseFloat(values["LR"], 64)
	c.depth, errs[1] = strconv.ParseFloat(values["Depth"], 64)
	c.window, errs[2] = strconv.Unquote(values["Window"])
	outcome, err := strconv.Unquote(values["Outcome"])
	c.outcome, errs[3] = experiment.Reason(outcome), err
	if seconds, err := strconv.ParseFloat(values["Seconds"], 64); err == nil {
		c.lasts = time.Duration(seconds * float64(time.Second))
	}
	for i, name := range []string{"LR", "Depth", "Window", "Outcome"} {
		if errs[i] != nil || !(c.lr > 0) {
			return c, invalidEdit("%s: the constant %s is missing or has no usable value", path, name)
		}
	}
	return c, nil
}

func (c noopProgram) failure() *experiment.Failure {
	return &experiment.Failure{Reason: c.outcome, Message: "playing " + string(c.outcome)}
}

// score is a bowl with its bottom at the best values, and noise.
func (c noopProgram) score(seed uint64) float64 {
	lr := math.Log10(c.lr / 0.01)
	window := map[string]float64{"L": 0.03, "SL": 0.01}[c.window]
	noise := rand.New(rand.NewPCG(c.hash, seed)).NormFloat64()
	return 2 + 0.2*lr*lr + 0.01*(c.depth-6)*(c.depth-6) + window + noopNoise*noise
}
