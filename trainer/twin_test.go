package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/harness"
	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// The twin: bench/peers/model.py is this model in PyTorch, and
// testdata/twin_*.json is what PyTorch computed from weights and batches of
// this test: the loss of every step, the gradients of the first, and how far
// each parameter moved. Constants are those of the recording, so that a default
// may change; the mathematics may not. The test needs no Python; recording does:
const recordTwin = "go run ./bench/peers twin -python PYTHON"

// The constants of a twin run. Progress is 0 in the first step and with it the
// learning rate: the second is the first to move weights.
const (
	twinSteps = 20
	twinMoved = 2     // steps after which movements are compared, and at the end
	twinRate  = 0.002 // of the matrices under AdamW: PLAIN_RATE of model.py
)

// How much may differ, relative. Gradients are 3e-7 to 9e-7 from PyTorch's, no
// farther than those are from the same in float64, and the losses of twenty
// steps agree to the last bit or two of a float32 (1e-7). The rest is room for
// instruction sets that add up in another order.
const (
	lossTol     = 1e-5 // of every loss
	gradientTol = 1e-5 // gradients of the first step, of their norm
	movedTol    = 5e-4 // movements of the parameters in the first steps, of their norm: cautious decay makes a step where the sign of an update tips over
	endTol      = 5e-3 // and to the end
)

// twinCase is a run that both sides have made.
type twinCase struct {
	name      string
	optimizer string            // muon, as train.go has it, or adamw for everything
	constants map[string]string // of train.go, changed; nil for the program as it stands
}

var twinCases = []twinCase{
	{"muon", "muon", nil},
	{"adamw", "adamw", nil},
	// What the program as it stands may have switched off.
	{"all", "muon", map[string]string{"Window": `"SSSL"`, "KVShare": "2", "WeightDecay": "0.2", "Accumulate": "2", "BatchSize": "4"}},
}

// twinRecord is what both sides report of a run.
type twinRecord struct {
	Recorder  string              `json:"recorder"`            // what computed it
	Constants map[string]any      `json:"constants,omitempty"` // of train.go
	MovedIn   int                 `json:"moved_in"`            // steps, for Moved
	Losses    []float64           `json:"losses"`
	Gradients map[string]checksum `json:"gradients"` // of the first step
	Moved     map[string]checksum `json:"moved"`     // parameters after MovedIn steps, less those at the start
	End       map[string]checksum `json:"end"`       // the same after the last step
}

// checksum stands for a tensor: its Euclidean norm, its mean, and the sum of its
// elements with signs that look random.
type checksum struct {
	Size  int     `json:"size"`
	Norm  float64 `json:"norm"`
	Mean  float64 `json:"mean"`
	Probe float64 `json:"probe"`
}

func checksumOf(v []float32) checksum {
	c := checksum{Size: len(v)}
	for i, x := range v {
		x := float64(x)
		c.Norm += x * x
		c.Mean += x / float64(len(v))
		if uint32(i)*2654435761 < 1<<31 {
			c.Probe += x
		} else {
			c.Probe -= x
		}
	}
	c.Norm = math.Sqrt(c.Norm)
	return c
}

// differs returns how far c is from want, in units of want's norm. A difference d
// of norm e changes the norm by at most e, the mean by at most e/sqrt(n), and
// the probe by about e, seldom by more than four times that.
func (c checksum) differs(want checksum) float64 {
	if c.Size != want.Size {
		return math.Inf(1)
	}
	d := max(math.Abs(c.Norm-want.Norm), math.Abs(c.Mean-want.Mean)*math.Sqrt(float64(c.Size)), math.Abs(c.Probe-want.Probe)/4)
	return d / max(want.Norm, 1e-30)
}

// TestTwin compares training under both optimizers with the recorded runs.
func TestTwin(t *testing.T) {
	data := twinData(t)
	for _, c := range twinCases {
		t.Run(c.name, func(t *testing.T) {
			dir, export := t.TempDir(), os.Getenv("TWIN_EXPORT")
			if export != "" {
				dir = filepath.Join(export, c.name)
			}
			if export != "" {
				binary := c.build(t, dir)
				runTwin(t, binary, c.optimizer, data, dir)
				runTwin(t, binary, "batches", data, dir)
				return
			}
			want := readTwin(t, "testdata", "twin_"+c.name+".json")
			c.constants = tuned(t, want.Constants)
			binary := c.build(t, dir)
			runTwin(t, binary, c.optimizer, data, dir)
			compareTwins(t, readTwin(t, dir, "twin.json"), want)
			if t.Failed() {
				t.Logf("recorded by %s; if the mathematics of train.go were meant to change, change bench/peers/model.py with them and record again: %s", want.Recorder, recordTwin)
			}
			if c.optimizer == "muon" {
				sameAsTrain(t, binary, dir, data)
			}
		})
	}
}

// tuned gives the constants of a recording that train.go has a range for, as
// they stand in source code; the others follow from them.
func tuned(t *testing.T, recorded map[string]any) map[string]string {
	t.Helper()
	constants := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\t(\w+)\s*= \S+\s+// (?:range|one of) `).FindAllStringSubmatch(string(read(t, "train.go")), -1) {
		value, ok := recorded[m[1]]
		if !ok {
			t.Fatalf("train.go has the constant %s, which the recording knows nothing of; change bench/peers/model.py with it and record again: %s", m[1], recordTwin)
		}
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		constants[m[1]] = string(text)
	}
	return constants
}

// build returns a program that is this test and train.go with the constants of
// the case, which it leaves in dir.
func (c twinCase) build(t *testing.T, dir string) string {
	t.Helper()
	source := string(read(t, "train.go"))
	for name, value := range c.constants {
		line := regexp.MustCompile(`(?m)^(\t` + name + `\s*= )\S+`)
		if n := len(line.FindAllString(source, -1)); n != 1 {
			t.Fatalf("train.go has %d lines that define %s, want 1: change twinCases, and record again: %s", n, name, recordTwin)
		}
		source = line.ReplaceAllString(source, "${1}"+value)
	}
	changed := filepath.Join(dir, "train.go")
	here, err := filepath.Abs("train.go")
	overlay, _ := json.Marshal(map[string]any{"Replace": map[string]string{here: changed}})
	err = errors.Join(err, os.MkdirAll(dir, 0o755), os.WriteFile(changed, []byte(source), 0o644),
		os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o644))
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "twin.test")
	cmd := exec.Command("go", "test", "-c", "-vet=off", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the case %s: %v\n%s", c.name, err, out)
	}
	return binary
}

func readTwin(t *testing.T, path ...string) (r twinRecord) {
	t.Helper()
	if err := json.Unmarshal(read(t, path...), &r); err != nil {
		t.Fatalf("%v: %v", path, err)
	}
	return r
}

func compareTwins(t *testing.T, got, want twinRecord) {
	t.Helper()
	if len(got.Losses) != twinSteps || len(want.Losses) != twinSteps {
		t.Fatalf("%d losses, recorded %d, want %d", len(got.Losses), len(want.Losses), twinSteps)
	}
	for i, loss := range got.Losses {
		if d := math.Abs(loss/want.Losses[i] - 1); !(d <= lossTol) {
			t.Errorf("step %d: loss %.7f, PyTorch has %.7f: %.1e apart, at most %.1e", i+1, loss, want.Losses[i], d, lossTol)
		}
	}
	compareSums(t, "the gradient of the first step", got.Gradients, want.Gradients, gradientTol)
	compareSums(t, fmt.Sprintf("the movement in %d steps", want.MovedIn), got.Moved, want.Moved, movedTol)
	compareSums(t, "the movement to the end", got.End, want.End, endTol)
}

func compareSums(t *testing.T, what string, got, want map[string]checksum, tol float64) {
	t.Helper()
	if len(got) == 0 || len(got) != len(want) {
		t.Errorf("%s: %d tensors, PyTorch has %d", what, len(got), len(want))
	}
	worst := 0.
	for name, w := range want {
		g, ok := got[name]
		d := g.differs(w)
		worst = max(worst, d)
		if !ok || !(d <= tol) {
			t.Errorf("%s of %s: %+v, PyTorch has %+v: %.1e apart, at most %.1e", what, name, g, w, d, tol)
		}
	}
	t.Logf("%s: at most %.1e apart", what, worst)
}

// sameAsTrain lets Train itself go on from a checkpoint of the twin run in dir:
// the loop of this test is that of Train if the model at the end has the same bits.
func sameAsTrain(t *testing.T, binary, dir, data string) {
	t.Helper()
	checkpoints, _ := filepath.Glob(filepath.Join(dir, "checkpoints", "*.ckpt"))
	if len(checkpoints) == 0 {
		t.Fatal("the twin run left no checkpoint")
	}
	other := t.TempDir()
	runTwin(t, binary, "train", data, other, "--resume", slices.Min(checkpoints))
	if !bytes.Equal(read(t, dir, "model.safetensors"), read(t, other, "model.safetensors")) {
		t.Errorf("Train gives another model than the loop of this test, which should do the same")
	}
}

// The programs that this test runs as trainers.
var twinPrograms = map[string]func(*harness.Run) error{
	"muon":    func(run *harness.Run) error { return twinTrain(run, false) },
	"adamw":   func(run *harness.Run) error { return twinTrain(run, true) },
	"batches": twinBatches,
	"train":   Train,
}

// init makes the test binary a trainer when runTwin starts it as one.
func init() {
	if program := os.Getenv("TWIN_PROGRAM"); program != "" {
		harness.Main(twinPrograms[program])
	}
}

// runTwin runs a program to its end, with what it writes in dir.
func runTwin(t *testing.T, binary, program, data, dir string, more ...string) {
	t.Helper()
	args := []string{"--run", dir, "--data", data, "--seed", "5", "--cores", "2", "--steps", fmt.Sprint(twinSteps)}
	cmd := exec.Command(binary, append(args, more...)...)
	cmd.Env = append(os.Environ(), "TWIN_PROGRAM="+program, "TWIN_DIR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("twin program %s: %v\n%s", program, err, out)
	}
}

// twinTrain is Train from weights of its own, with a record of what happens.
func twinTrain(run *harness.Run, adamwAlone bool) error {
	dev := run.Device()
	model := NewGPT(run)
	optimizer := NewOptimizer(dev, model)
	if adamwAlone {
		for _, p := range optimizer.matrices {
			for _, w := range p.W {
				optimizer.adam(w, twinRate, Beta1)
			}
		}
		optimizer.matrices = nil
	}
	start := twinWeights(dev.Params())
	if err := twinExport("weights", dev.Params(), itself); err != nil {
		return err
	}
	record := twinRecord{Recorder: "trainer/twin_test.go", MovedIn: twinMoved}
	for run.Next() {
		loss := gradients(run, model)
		if run.StepsDone() == 0 {
			record.Gradients = checksums(dev.Params(), (*tensor.Tensor).Grad, nil)
			if err := twinExport("gradients", dev.Params(), (*tensor.Tensor).Grad); err != nil {
				return err
			}
		}
		optimizer.Step(run.StepsDone()+1, run.Progress())
		run.Step(loss, 0)
		record.Losses = append(record.Losses, float64(loss.Item()))
		if run.StepsDone() == twinMoved {
			record.Moved = checksums(dev.Params(), itself, start)
		}
	}
	record.End = checksums(dev.Params(), itself, start)
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	err = os.WriteFile(filepath.Join(os.Getenv("TWIN_DIR"), "twin.json"), text, 0o644)
	return errors.Join(err, run.Export(Context, model.Forward))
}

func itself(p *tensor.Tensor) *tensor.Tensor { return p }

// twinWeights fills the parameters: all of them, so that no gradient is zero
// because a matrix is, and by their names, so that train.go may initialize as
// it likes. It returns what it filled them with.
func twinWeights(params []*tensor.Tensor) map[string][]float32 {
	start := map[string][]float32{}
	for _, p := range params {
		h := fnv.New64a()
		h.Write([]byte(p.Name()))
		rng := rand.New(rand.NewPCG(h.Sum64(), 7))
		mean, sd := 0., 1/math.Sqrt(float64(p.Dim(-1)))
		switch {
		case p.Name() == "embed":
			sd = 1
		case len(p.Shape()) == 1: // weights of the stream and of the embedding in it
			mean, sd = 0.7, 0.1
		}
		values := make([]float32, p.Size())
		for i := range values {
			values[i] = float32(mean + sd*rng.NormFloat64())
		}
		p.SetHost(values)
		start[p.Name()] = values
	}
	return start
}

// checksums sums up what of each parameter, less start.
func checksums(params []*tensor.Tensor, what func(*tensor.Tensor) *tensor.Tensor, start map[string][]float32) map[string]checksum {
	sums := map[string]checksum{}
	for _, p := range params {
		values := what(p).Host()
		for i, s := range start[p.Name()] {
			values[i] -= s
		}
		sums[p.Name()] = checksumOf(values)
	}
	return sums
}

// twinData writes a text whose letters follow from those before them often
// enough that there is something to learn.
func twinData(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	rng := rand.New(rand.NewPCG(11, 13))
	text := make([]byte, 1<<15)
	for i := range text {
		if i < 2 || rng.IntN(4) == 0 {
			text[i] = byte(rng.IntN(96)) + 32
		} else {
			text[i] = (text[i-1]*5+text[i-2]+7)%96 + 32
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "train.bin"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// twinBatches writes the batches that the runs draw, for Python to repeat them.
func twinBatches(run *harness.Run) error {
	model := NewGPT(run)
	batches := tensor.SafeTensors{Ints: map[string]tensor.IntWeight{}}
	for run.Next() {
		for i := range Accumulate {
			x, y := run.Batch(BatchSize, Context)
			name := fmt.Sprint(int(run.StepsDone())*Accumulate + i)
			batches.Ints["x"+name] = tensor.IntWeight{Shape: x.Shape(), Data: x.HostInts()}
			batches.Ints["y"+name] = tensor.IntWeight{Shape: y.Shape(), Data: y.HostInts()}
		}
		run.Step(run.Device().Floats([]float32{0}, 1), 0)
	}
	return errors.Join(writeTensors("batches", batches), run.Export(Context, model.Forward))
}

// twinExport writes what of each parameter, when Python wants it.
func twinExport(name string, params []*tensor.Tensor, what func(*tensor.Tensor) *tensor.Tensor) error {
	if os.Getenv("TWIN_EXPORT") == "" {
		return nil
	}
	s := tensor.SafeTensors{Floats: map[string]tensor.Weight{}}
	for _, p := range params {
		s.Floats[p.Name()] = tensor.Weight{Shape: p.Shape(), Data: what(p).Host()}
	}
	return writeTensors(name, s)
}

func writeTensors(name string, s tensor.SafeTensors) error {
	var b bytes.Buffer
	if err := tensor.WriteSafetensors(&b, s); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(os.Getenv("TWIN_DIR"), name+".safetensors"), b.Bytes(), 0o644)
}
