package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// programEnv makes the test binary a trainer that runs one of programs: a real
// process to kill, without building one.
const programEnv = "HARNESS_TEST_PROGRAM"

// gateFile is what the program "gate" leaves in its run directory.
const gateFile = "gate"

func TestMain(m *testing.M) {
	name := os.Getenv(programEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	if name == "burn" { // as an init function would
		for processCPU() < time.Second {
		}
	}
	plantFault(os.Getenv(faultEnv))
	Main(programs[name])
}

const testB, testT, testC = 4, 16, 8

// bigram is a tiny model: logits from the current byte alone, through a narrow
// layer, trained by gradient descent with momentum.
type bigram struct{ embed, head, de, dh *tensor.Tensor }

func newBigram(r *Run) *bigram {
	d := r.Device()
	V := r.Vocab()
	m := &bigram{d.Param("embed", V, testC), d.Param("head", V, testC), d.State("de", V, testC), d.State("dh", V, testC)}
	m.embed.Normal(r.Rand(), 1)
	return m
}

func (m *bigram) forward(ids *tensor.Tensor) *tensor.Tensor {
	return m.embed.Embed(ids).MatMulT(m.head)
}

func (m *bigram) update() {
	for _, p := range [][2]*tensor.Tensor{{m.embed, m.de}, {m.head, m.dh}} {
		p[1].ScaleInPlace(0.9)
		p[1].AddScaled(p[0].Grad(), 1)
		p[0].AddScaled(p[1], -0.5)
	}
}

// trainBigram trains it; before runs in every step, and what it returns is
// added to the loss. Rand is used in every step, so that it must be restored.
func trainBigram(before func(r *Run) float32) func(*Run) error {
	return func(r *Run) error { return loop(r, newBigram(r), before) }
}

func loop(r *Run, m *bigram, before func(r *Run) float32) error {
	for r.Next() {
		x, y := r.Batch(testB, testT)
		loss := m.forward(x).CrossEntropy(y, 0).AddScalar(before(r))
		loss.Backward()
		m.update()
		m.embed.AddScaled(m.embed, float32(1e-3*(r.Rand().Float64()-0.5)))
		r.Step(loss, 0.5)
	}
	return r.Export(testT, m.forward)
}

var hoard [][]byte

var programs = map[string]func(*Run) error{
	"plain": trainBigram(func(*Run) float32 { return 0 }),
	"burn":  trainBigram(func(*Run) float32 { return 0 }),
	"slow":  trainBigram(func(*Run) float32 { time.Sleep(300 * time.Microsecond); return 0 }),
	"nan": trainBigram(func(r *Run) float32 {
		zero := float32(0)
		return zero / max(zero, float32(3-r.StepsDone())) // 0/0 in step 4
	}),
	// gate stops in step 26, says so, and goes on when a signal has come.
	"gate": trainBigram(func(r *Run) float32 {
		if r.StepsDone() == 25 {
			_ = os.WriteFile(filepath.Join(r.opts.run, gateFile), nil, 0o644)
			for len(r.signals) == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		return 0
	}),
	// hidden has a weight overflow in step 3 that the loss does not show.
	"hidden": func(r *Run) error {
		spare := r.Device().Param("spare", 5)
		return loop(r, newBigram(r), func(r *Run) float32 {
			if r.StepsDone() == 2 {
				spare.SetHost([]float32{0, 0, 0, 0, float32(math.Inf(-1))})
			}
			return 0
		})
	},
	"explode": trainBigram(func(r *Run) float32 { return float32(40 * r.StepsDone()) }),
	"bad-lr": func(r *Run) error {
		for r.Next() {
			r.Step(r.Device().Floats([]float32{1}, 1), math.Inf(1))
		}
		return nil
	},
	"bad-context": func(r *Run) error { return r.Export(0, newBigram(r).forward) },
	// early is told to stop before its first step.
	"early": func(r *Run) error {
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		for len(r.signals) == 0 {
			time.Sleep(time.Millisecond)
		}
		return loop(r, newBigram(r), func(*Run) float32 { return 0 })
	},
	// behind has a disk that does not answer before ten more steps are done. It
	// says so in its run directory, with the number of writes in flight.
	"behind": func(r *Run) error { return loop(r, newBigram(r), slowDisk()) },
	"hoard": trainBigram(func(*Run) float32 {
		hoard = append(hoard, bytes.Repeat([]byte{1}, 32<<20))
		return 0
	}),
	"shapes": func(r *Run) error {
		r.Device().Param("w", 2, 3).MatMul(r.Device().Param("v", 4, 5))
		return nil
	},
	"error":     func(*Run) error { return errors.New("no luck today") },
	"crash":     func(*Run) error { panic("such is life") },
	"no-export": func(r *Run) error { return nil },
	"late": func(r *Run) error {
		for r.Next() {
			r.Device().State(fmt.Sprint("moment", r.StepsDone()), 3)
			r.Step(r.Device().Floats([]float32{1}, 1), 0)
		}
		return nil
	},
	"no-step": func(r *Run) error {
		for r.Next() {
		}
		return nil
	},
	"custom": func(r *Run) error {
		w := r.Device().Param("w", r.Vocab(), r.Vocab())
		return r.Export(testT, func(ids *tensor.Tensor) *tensor.Tensor {
			return tensor.Custom("mine", []*tensor.Tensor{w.Embed(ids)}, []int{ids.Dim(0), testT, r.Vocab()},
				func(out []float32, in [][]float32) { copy(out, in[0]) }, nil)
		})
	},
}

// slowDisk makes the first sync of a checkpoint wait for steps, and returns what
// runs in each of them.
func slowDisk() func(*Run) float32 {
	var waits atomic.Bool
	var since int64
	release := make(chan struct{})
	system.sync = func(f *os.File) error {
		if strings.HasSuffix(filepath.Dir(f.Name()), "checkpoints") && !waits.Swap(true) {
			select {
			case <-release:
			case <-time.After(10 * time.Second): // the trainer waits for the disk
			}
		}
		return f.Sync()
	}
	return func(r *Run) float32 {
		if waits.Load() && since == 0 {
			since = r.StepsDone()
		}
		if since > 0 && r.StepsDone() == since+10 {
			writes, _ := filepath.Glob(filepath.Join(r.checkpoints(), temporary+"*"))
			_ = os.WriteFile(filepath.Join(r.opts.run, "overtook"), fmt.Append(nil, len(writes)), 0o644)
			close(release)
		}
		return 0
	}
}

// trainerRun is one trainer process and its run directory.
type trainerRun struct {
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	out    bytes.Buffer
	errOut bytes.Buffer
}

// textDir writes training text: words in random order.
func textDir(t *testing.T) string {
	t.Helper()
	words := strings.Fields("func return if err != nil { } type struct for range := make map string int package import")
	rng := rand.New(rand.NewPCG(1, 2))
	var text bytes.Buffer
	for text.Len() < 1<<16 {
		text.WriteString(words[rng.IntN(len(words))] + " ")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "train.bin"), text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// start starts a program in dir with one core and one seed.
func start(t *testing.T, program, dir, data string, args ...string) *trainerRun {
	t.Helper()
	return startFaulty(t, "", program, dir, data, args...)
}

// startFaulty is start with a fault for the process, see plantFault.
func startFaulty(t *testing.T, fault, program, dir, data string, args ...string) *trainerRun {
	t.Helper()
	r := &trainerRun{t: t, dir: dir}
	r.cmd = exec.Command(os.Args[0], append([]string{"--run", dir, "--data", data, "--cores", "1", "--seed", "7"}, args...)...)
	r.cmd.Env = append(os.Environ(), programEnv+"="+program, faultEnv+"="+fault)
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.errOut
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.cmd.Process.Kill() })
	return r
}

// wait returns the exit code, -1 after a kill.
func (r *trainerRun) wait(want int) *trainerRun {
	r.t.Helper()
	_ = r.cmd.Wait()
	if got := r.cmd.ProcessState.ExitCode(); got != want {
		r.t.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", got, want, &r.out, &r.errOut)
	}
	return r
}

func (r *trainerRun) file(name string) []byte {
	r.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func (r *trainerRun) json(name string, v any) {
	r.t.Helper()
	if err := json.Unmarshal(r.file(name), v); err != nil {
		r.t.Fatal(err)
	}
}

// metrics reads metrics.jsonl and wants every step from 1 on, once.
func (r *trainerRun) metrics() (all []Metrics) {
	r.t.Helper()
	for line := range bytes.Lines(r.file("metrics.jsonl")) {
		var m Metrics
		if err := json.Unmarshal(line, &m); err != nil {
			r.t.Fatalf("line %q: %v", line, err)
		}
		all = append(all, m)
		if m.Step != int64(len(all)) {
			r.t.Fatalf("line %d is of step %d", len(all), m.Step)
		}
	}
	return all
}

// checkpoints returns the paths of the checkpoints, the latest last.
func (r *trainerRun) checkpoints() []string {
	return listCheckpoints(filepath.Join(r.dir, "checkpoints"))
}

// waitFor polls for a file.
func waitFor(t *testing.T, path string) {
	t.Helper()
	eventually(t, path+" appears", func() bool {
		_, err := os.Stat(path)
		return err == nil
	})
}

// eventually polls for a state.
func eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !reached(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

func TestTrainsAndExports(t *testing.T) {
	r := start(t, "plain", t.TempDir(), textDir(t), "--steps", "150").wait(ExitOK)
	m := r.metrics()
	first, last := m[0], m[len(m)-1]
	if last.Step != 150 || last.Tokens != 150*testB*testT || first.Loss < 5 || last.Loss > first.Loss-1.5 {
		t.Errorf("loss went from %+v to %+v, want a fall by 1.5 nats in 150 steps", first, last)
	}
	var d Done
	r.json("done.json", &d)
	if d.Steps != 150 || d.Tokens != last.Tokens || d.Parameters != 2*256*testC || d.ChargedSeconds <= 0 ||
		d.PeakMemoryBytes < 1<<20 || d.FinalLoss > first.Loss-1 || len(d.Sample) < promptLength {
		t.Errorf("done.json: %+v", d)
	}
	if got := len(r.checkpoints()); got != checkpointsKept {
		t.Errorf("%d checkpoints are kept, want %d", got, checkpointsKept)
	}
	if len(r.file("model.safetensors")) < 4*d.Parameters || !strings.Contains(r.out.String(), "sample: ") {
		t.Errorf("no model, or no log: %s", &r.out)
	}
}

// A run that is killed and resumed gives the bits of one that is not.
func TestResume(t *testing.T) {
	data := textDir(t)
	straight := start(t, "plain", t.TempDir(), data, "--steps", "60").wait(ExitOK)
	want := straight.file("model.safetensors")
	for name, interrupt := range map[string]func(*trainerRun){
		"SIGKILL": func(r *trainerRun) {
			_ = r.cmd.Process.Kill()
			r.wait(-1)
		},
		"SIGTERM": func(r *trainerRun) {
			_ = r.cmd.Process.Signal(syscall.SIGTERM)
			r.wait(ExitStopped)
			if last := r.checkpoints()[1]; !strings.HasSuffix(last, "step-00000026.ckpt") {
				t.Errorf("after SIGTERM the last checkpoint is %s, want that of step 26", last)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, "gate", t.TempDir(), data, "--steps", "60")
			waitFor(t, filepath.Join(r.dir, gateFile))
			interrupt(r)
			r = start(t, "plain", r.dir, data, "--steps", "60", "--resume", r.checkpoints()[1]).wait(ExitOK)
			if !bytes.Equal(r.file("model.safetensors"), want) {
				t.Error("the resumed run gave another model")
			}
			if len(r.metrics()) != 60 || !regexp.MustCompile("from step (18|24|26)\n").MatchString(r.out.String()) {
				t.Errorf("it did not go on from the checkpoint: %s", &r.out)
			}
			a, b := straight.metrics()[59], r.metrics()[59]
			if a.Loss != b.Loss || a.Tokens != b.Tokens {
				t.Errorf("last step: %+v straight, %+v resumed", a, b)
			}
		})
	}
}

func TestDamagedCheckpoint(t *testing.T) {
	data := textDir(t)
	r := start(t, "plain", t.TempDir(), data, "--steps", "20").wait(ExitOK)
	older, latest := r.checkpoints()[0], r.checkpoints()[1]
	whole, err := os.ReadFile(latest)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	for name, damaged := range map[string][]byte{"flipped": flipped, "cut": whole[:len(whole)/2], "empty": nil} {
		if err := os.WriteFile(latest, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		r = start(t, "plain", r.dir, data, "--steps", "20", "--resume", latest).wait(ExitError)
		wantFailure(t, r, ReasonBadCheckpoint, latest)
		t.Log(name, &r.errOut)
	}
	// The older one still serves, and the damaged one is gone afterwards.
	r = start(t, "plain", r.dir, data, "--steps", "20", "--resume", older).wait(ExitOK)
	c, err := openCheckpoint(latest)
	if err != nil {
		t.Fatalf("after the resumed run: %v", err)
	}
	c.close()
	// Another seed is another run.
	r = start(t, "plain", r.dir, data, "--steps", "20", "--resume", older, "--seed", "8").wait(ExitError)
	wantFailure(t, r, ReasonBadCheckpoint, "--seed")
}

func wantFailure(t *testing.T, r *trainerRun, reason, text string) {
	t.Helper()
	var f Failure
	r.json("failure.json", &f)
	if f.Reason != reason || !strings.Contains(f.Message, text) || !strings.Contains(r.errOut.String(), f.Message) {
		t.Errorf("failure %+v, want reason %s and a message with %q, also on standard error: %s", f, reason, text, &r.errOut)
	}
	if _, err := os.Stat(filepath.Join(r.dir, "done.json")); err == nil {
		t.Error("a failed run has a done.json")
	}
}

func TestFailures(t *testing.T) {
	data := textDir(t)
	for _, c := range []struct {
		program, reason, text string
		code                  int
		args                  []string
	}{
		{"nan", ReasonNaN, "step 4", ExitNaN, []string{"--steps", "9"}},
		{"explode", ReasonNaN, "the loss of step 4 is 12", ExitNaN, []string{"--steps", "9"}},
		{"hidden", ReasonNaN, "\"spare\" is not finite after step 4", ExitNaN, []string{"--steps", "9"}},
		{"hidden", ReasonNaN, "\"spare\" is not finite after step 3", ExitNaN, []string{"--steps", "3"}},
		{"bad-lr", ReasonNaN, "the learning rate of step 1 is +Inf", ExitNaN, []string{"--steps", "9"}},
		{"bad-context", ReasonError, "the context must be at least 1", ExitError, []string{"--steps", "9"}},
		{"hoard", ReasonOOM, "200 MiB", ExitOOM, []string{"--steps", "1000", "--memory", "209715200"}},
		{"custom", ReasonNotExportable, "custom", ExitNotExportable, []string{"--steps", "1"}},
		{"no-export", ReasonNotExportable, "run.Export", ExitNotExportable, []string{"--steps", "1"}},
		{"shapes", ReasonError, "matmul", ExitError, []string{"--steps", "1"}},
		{"error", ReasonError, "no luck", ExitError, []string{"--steps", "1"}},
		{"crash", ReasonError, "such is life", ExitError, []string{"--steps", "1"}},
		{"late", ReasonError, "moment0", ExitError, []string{"--steps", "9"}},
		{"no-step", ReasonError, "run.Step", ExitError, []string{"--steps", "1"}},
	} {
		t.Run(c.program, func(t *testing.T) {
			r := start(t, c.program, t.TempDir(), data, c.args...).wait(c.code)
			wantFailure(t, r, c.reason, c.text)
		})
	}
}

func TestBadCommandLine(t *testing.T) {
	data := textDir(t)
	for want, args := range map[string][]string{
		"--budget":          {"--run", "r", "--data", data, "--cores", "1"},
		"positive":          {"--run", "r", "--data", data, "--cores", "1", "--steps", "-3"},
		"--cores":           {"--run", "r", "--data", data, "--steps", "3"},
		"--run":             {"--steps", "3", "--cores", "1"},
		"--cores is 5000":   {"--run", "r", "--data", data, "--steps", "3", "--cores", "5000"},
		"--eval-batch is 0": {"--run", "r", "--data", data, "--steps", "3", "--cores", "1", "--eval-batch", "0"},
		"--rows":            {"--run", "r", "--data", data, "--steps", "3", "--cores", "1", "--rows", "-1"},
		"--memory":          {"--run", "r", "--data", data, "--steps", "3", "--cores", "1", "--memory", "-1"},
		"--charged":         {"--run", "r", "--data", data, "--steps", "3", "--cores", "1", "--charged", "-3s"},
		"either":            {"--run", "r", "--data", data, "--steps", "3", "--cores", "1", "--budget", "3s"},
		"60 seconds":        {"--run", "r", "--data", data, "--cores", "1", "--budget", "60 seconds"},
		"unexpected":        {"--run", "r", "--data", data, "--steps", "3", "--cores", "1", "more"},
		"not defined":       {"--frobnicate"},
	} {
		var stderr bytes.Buffer
		code := execute(newClock(), programs["plain"], args, io.Discard, &stderr)
		if code != ExitError || !strings.Contains(stderr.String(), want) {
			t.Errorf("%v: exit code %d, %s; want a word on %s", args, code, &stderr, want)
		}
	}
	r := start(t, "plain", t.TempDir(), data, "--steps", "3", "--kernels", "abacus").wait(ExitError)
	wantFailure(t, r, ReasonError, "abacus")
	r = start(t, "plain", t.TempDir(), t.TempDir(), "--steps", "3").wait(ExitError)
	wantFailure(t, r, ReasonError, "train.bin")
	r = start(t, "plain", filepath.Join(data, "train.bin"), data, "--steps", "3").wait(ExitError)
	if said := r.errOut.String(); !strings.Contains(said, "not a directory") || strings.Contains(said, "goroutine") {
		t.Errorf("a file as run directory: %s", said)
	}
}

// A run that only tries a program takes few windows at a time.
func TestRows(t *testing.T) {
	data := textDir(t)
	for rows, want := range map[string]int64{"0": testB, "1": 1, "100": testB} {
		var d Done
		start(t, "plain", t.TempDir(), data, "--steps", "3", "--rows", rows).wait(ExitOK).json("done.json", &d)
		if d.Tokens != 3*testT*want {
			t.Errorf("--rows %s: %d tokens, want %d", rows, d.Tokens, 3*testT*want)
		}
	}
}

// A budget is CPU time from exec on: what runs before main is paid for.
func TestBudget(t *testing.T) {
	data := textDir(t)
	var d Done
	start(t, "plain", t.TempDir(), data, "--budget", "300ms").wait(ExitOK).json("done.json", &d)
	if d.Steps < 10 || d.ChargedSeconds < 0.3 || d.ChargedSeconds > 0.6 {
		t.Errorf("a budget of 0.3 s gave %+v", d)
	}
	start(t, "burn", t.TempDir(), data, "--budget", "300ms").wait(ExitOK).json("done.json", &d)
	if d.Steps != 0 || d.ChargedSeconds < 0.9 {
		t.Errorf("a program that used 1 s before main and has 0.3 s gave %+v, want no steps", d)
	}
}

// A run with a budget does not wait for the disk, and has one write in flight.
func TestBudgetDoesNotWaitForTheDisk(t *testing.T) {
	r := start(t, "behind", t.TempDir(), textDir(t), "--budget", "500ms").wait(ExitOK)
	if writes := string(r.file("overtook")); writes != "1" {
		t.Errorf("%s writes in flight, want 1", writes)
	}
}

func TestStoppedBeforeTheFirstStep(t *testing.T) {
	r := start(t, "early", t.TempDir(), textDir(t), "--steps", "9").wait(ExitStopped)
	if len(r.checkpoints()) > 0 || !strings.Contains(r.out.String(), "before the first step") {
		t.Errorf("checkpoints %v, log: %s", r.checkpoints(), &r.out)
	}
}
