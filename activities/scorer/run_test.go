package scorer

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/experiment"
)

const (
	testVocab   = 16
	testT       = 20
	testWindows = 60
)

// bigram makes a random model and a text that follows it.
func bigram(r *rand.Rand, n int) (model []float32, text []int32) {
	weights := make([]float64, testVocab*testVocab)
	model = make([]float32, len(weights))
	for row := range testVocab {
		sum := 0.0
		for i := range testVocab {
			weights[row*testVocab+i] = math.Exp(1.5 * r.NormFloat64())
			sum += weights[row*testVocab+i]
		}
		for i := range testVocab {
			weights[row*testVocab+i] /= sum
			model[row*testVocab+i] = float32(math.Log(weights[row*testVocab+i]))
		}
	}
	text = make([]int32, n)
	for i := 1; i < n; i++ {
		u := r.Float64()
		for int(text[i]) < testVocab-1 && u > weights[int(text[i-1])*testVocab+int(text[i])] {
			u -= weights[int(text[i-1])*testVocab+int(text[i])]
			text[i]++
		}
	}
	return model, text
}

// job is the scoring of a part by so many passes.
func job(t *testing.T, s sandbox.Sandbox, part string, passes int) Job {
	t.Helper()
	model, text := bigram(rand.New(Seeded(7)), 2*testWindows*(testT+1))
	raw := make([]byte, 0, 4*len(model))
	for _, v := range model {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "model", "weights")
	runs := filepath.Join(dir, "runs")
	self, err := os.Executable()
	if err := errors.Join(err, os.Mkdir(filepath.Dir(path), 0o755), os.Mkdir(runs, 0o755), os.WriteFile(path, raw, 0o644)); err != nil {
		t.Fatal(err)
	}
	val := text[:testWindows*(testT+1)]
	return Job{
		Sandbox: s, Dir: runs, Model: path, Limit: 20 * time.Second,
		Program: sandbox.Spec{Path: self, ReadOnly: []string{path, self}, Env: []string{play + "=" + part, "MODEL=" + path, "NOTES=" + crand.Text()}},
		Text:    Text{Tokens: val, Positions: testT, Vocab: testVocab, Bytes: testWindows * testT},
		Decoys:  DecoysFrom(text[len(val):]), Tolerance: tolerances["float32"], Passes: passes, Secret: Seeded(11),
	}
}

func run(t *testing.T, j Job) Result {
	t.Helper()
	r, err := Run(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(j.Dir, "score-*")); len(left) > 0 {
		t.Errorf("%s is left", left[0])
	}
	return r
}

func TestHonestPrograms(t *testing.T) {
	for _, part := range []string{"honest", "noise", "floods the log"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			j := job(t, sandbox.Process{}, part, 3)
			j.Program.Log = &strings.Builder{}
			r := run(t, j)
			if r.Failure != nil {
				t.Fatalf("%+v", r.Failure)
			}
			// The text follows the model: its loss is the model's entropy, in bits.
			if r.ValBpb < 1.5 || r.ValBpb > 3.5 || r.ClampedBpb > r.ValBpb || r.ClampedBpb < r.ValBpb-0.5 {
				t.Errorf("bits per byte: %v, clamped %v", r.ValBpb, r.ClampedBpb)
			}
			if r.Tokens != testWindows*testT || r.Passes != 3 || r.Finding.Cuts != 3*testWindows || r.Why != AlwaysCheck || len(r.Claims) != 64 || len(r.Model) != 64 {
				t.Errorf("%+v", r)
			}
			if log := j.Program.Log.(*strings.Builder).Len(); log > 4*maxLog { // of four processes
				t.Errorf("the log has %d bytes", log)
			}
		})
	}
}

// The score is the model's, counted by hand.
func TestKnownAnswer(t *testing.T) {
	j := job(t, sandbox.Process{}, "honest", 1)
	model, _ := bigram(rand.New(Seeded(7)), 2)
	plain := 0.0
	for w := range testWindows {
		window := j.Text.window(w)
		for at := range testT {
			plain -= float64(model[int(window[at])*testVocab+int(window[at+1])])
		}
	}
	r := run(t, j)
	if want := plain / math.Ln2 / (testWindows * testT); math.Abs(r.ValBpb-want) > 1e-9 {
		t.Errorf("scored %v, counted %v", r.ValBpb, want)
	}
}

func TestCheats(t *testing.T) {
	for part, want := range map[string]struct {
		reason experiment.Reason
		says   string
	}{
		"sees all":               {experiment.Tampered, "without having seen the token"},
		"sees rare tokens":       {experiment.Tampered, "claimed"},
		"sees the ends":          {experiment.Tampered, "claimed"},
		"sees a little of all":   {experiment.Tampered, "too good by"},
		"sees a few":             {experiment.Tampered, "claimed"},
		"looks one further":      {experiment.Tampered, "claimed"},
		"adapts":                 {experiment.Tampered, "claimed"},
		"adds up to more":        {experiment.Tampered, "add up to 1.1"},
		"always sure":            {experiment.Tampered, "add up to 16"},
		"follows the decoy":      {experiment.Tampered, "claimed"},
		"NaN":                    {experiment.NaN, "window 0, position 3"},
		"NaN in rows":            {experiment.NaN, "token 3 is NaN"},
		"negative":               {experiment.Tampered, "at least 0"},
		"huge":                   {experiment.NaN, "run away"},
		"never starts":           {experiment.RunFailed, "no such GPU"},
		"rubbish first":          {experiment.RunFailed, "print to standard error"},
		"floods":                 {experiment.RunFailed, "print to standard error"},
		"prints":                 {experiment.RunFailed, "print to standard error"},
		"another version":        {experiment.RunFailed, "autoresearch-scorer/0"},
		"no batch":               {experiment.RunFailed, "0 windows at once"},
		"huge batch":             {experiment.RunFailed, "1 to 4096"},
		"no JSON":                {experiment.RunFailed, "no JSON"},
		"ends early":             {experiment.RunFailed, "before it had answered (exit code 0"},
		"dies":                   {experiment.RunFailed, "killed"},
		"one too few":            {experiment.RunFailed, "float32s were due"},
		"one too many":           {experiment.RunFailed, "float32s were due"},
		"half a frame":           {experiment.RunFailed, "float32s were due"},
		"wrong kind":             {experiment.RunFailed, "where a frame"},
		"huge length":            {experiment.RunFailed, "4294967295 bytes"},
		"changes the model":      {experiment.Tampered, "was changed"},
		"remembers at home":      {experiment.Tampered, "claimed"},
		"remembers in a process": {experiment.Tampered, "claimed"},
	} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			r := run(t, job(t, sandbox.Process{}, part, 8))
			if r.Failure == nil || r.Failure.Reason != want.reason || !strings.Contains(r.Failure.Message, want.says) {
				t.Errorf("%+v, want %s: ...%s", r.Failure, want.reason, want.says)
			}
		})
	}
}

func TestTimeLimit(t *testing.T) {
	for _, part := range []string{"hangs", "deaf"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			j := job(t, sandbox.Process{}, part, 1)
			j.Limit = time.Second
			if r := run(t, j); r.Failure == nil || r.Failure.Reason != experiment.Timeout || !strings.Contains(r.Failure.Message, "1s") {
				t.Errorf("%+v", r.Failure)
			}
		})
	}
}

// leaky is a sandbox that ends a program and nothing of what it has started.
type leaky struct{ sandbox.Process }

func (leaky) Run(ctx context.Context, s sandbox.Spec) (sandbox.Outcome, error) {
	c := exec.CommandContext(ctx, s.Path, s.Args...)
	c.Dir, c.Env, c.Stdin, c.Stdout = s.Dir, append(s.Env, "HOME="+s.Dir, "TMPDIR="+s.Dir), s.Stdin, s.Stdout
	c.WaitDelay = time.Second
	_ = c.Run()
	return sandbox.Outcome{ExitCode: c.ProcessState.ExitCode()}, nil
}

// With a memory the cheats win: the cuts see nothing wrong when the process that
// answers knows the text. So the tests that catch them show something, and what
// a plain process cannot prevent is the sandbox's to prevent.
func TestMemoryWouldWin(t *testing.T) {
	for part, s := range map[string]sandbox.Sandbox{"remembers in a process": leaky{}, "remembers in the system": sandbox.Process{}} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			r := run(t, forgetful(t, s, part))
			honest := run(t, job(t, s, "honest", 1))
			if r.Failure != nil || r.ValBpb > 0.7*honest.ValBpb {
				t.Errorf("it scores %v, honestly %v; failure %+v", r.ValBpb, honest.ValBpb, r.Failure)
			}
		})
	}
}

// Where the machine confines programs, no process can leave anything for the
// next one, and the honest program does not notice.
func TestConfined(t *testing.T) {
	box, err := sandbox.Default(sandbox.Auto)
	if err != nil {
		t.Fatal(err)
	}
	if _, plain := box.(sandbox.Process); plain {
		t.Skip("this machine confines no programs")
	}
	for _, part := range []string{"honest", "remembers in the system", "remembers in a process", "remembers at home", "changes the model", "floods"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			r := run(t, forgetful(t, box, part))
			switch {
			case part == "honest" || part == "changes the model": // it cannot
				if r.Failure != nil || r.Passes != 8 || r.Isolation == "" || r.Isolation == "none" {
					t.Errorf("%+v, failure %+v", r, r.Failure)
				}
			case r.Failure == nil || part != "floods" && r.Failure.Reason != experiment.Tampered:
				t.Errorf("it scores %v, failure %+v", r.ValBpb, r.Failure)
			}
		})
	}
}

// What is fixed beside the model, such as the program, is watched as it is.
func TestFixedMustNotChange(t *testing.T) {
	j := job(t, sandbox.Process{}, "changes the model", 2)
	j.Model, j.Fixed = "", []string{j.Model}
	if r := run(t, j); r.Failure == nil || r.Failure.Reason != experiment.Tampered || !strings.Contains(r.Failure.Message, "was changed") {
		t.Errorf("%+v", r.Failure)
	}
}

// forgetful is a job that leaves nothing behind in the system.
func forgetful(t *testing.T, s sandbox.Sandbox, part string) Job {
	j := job(t, s, part, 8)
	self, _ := os.Executable()
	t.Cleanup(func() {
		own := strings.TrimPrefix(j.Program.Env[2], "NOTES=")
		for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm"} {
			left, _ := filepath.Glob(filepath.Join(dir, "autoresearch-scorer-test-"+own))
			for _, path := range append(left, self+".seen") {
				_ = os.Remove(path)
			}
		}
	})
	return j
}

func TestUnchecked(t *testing.T) {
	j := job(t, sandbox.Process{}, "sees all", 1)
	var told Loss
	j.Check = func(l Loss) Why { told = l; return NoCheck }
	r := run(t, j)
	if r.Failure != nil || r.Why != NoCheck || r.Passes != 0 || r.Claims == "" || told != r.Loss {
		t.Errorf("%+v", r)
	}
}

func TestStopped(t *testing.T) {
	because := errors.New("because")
	ctx, cancel := context.WithCancelCause(t.Context())
	j := job(t, sandbox.Process{}, "honest", 2)
	j.Check = func(Loss) Why { cancel(because); return KeepCheck }
	if _, err := Run(ctx, j); !errors.Is(err, because) {
		t.Errorf("a scoring that is stopped gave %v", err)
	}
	j.Check = nil
	if _, err := Run(ctx, j); !errors.Is(err, because) {
		t.Errorf("one that is stopped before it starts gave %v", err)
	}
}

func TestJobsThatMakeNoSense(t *testing.T) {
	for name, change := range map[string]func(*Job){
		"half a window":        func(j *Job) { j.Text.Tokens = j.Text.Tokens[1:] },
		"no text":              func(j *Job) { j.Text.Tokens = nil },
		"a token too large":    func(j *Job) { j.Text.Tokens[3] = testVocab },
		"a shared tree":        func(j *Job) { j.Program.Writable = []string{j.Dir} },
		"no passes":            func(j *Job) { j.Passes = 0 },
		"more than positions":  func(j *Job) { j.Passes = testT + 1 },
		"no source of secrets": func(j *Job) { j.Secret = Source{} },
		"no model":             func(j *Job) { j.Model += ".not" },
		"no program":           func(j *Job) { j.Program.Path += ".not" },
		"no directory":         func(j *Job) { j.Dir += ".not" },
	} {
		j := job(t, sandbox.Process{}, "honest", 1)
		change(&j)
		if _, err := Run(t.Context(), j); err == nil || !strings.HasPrefix(err.Error(), "scoring: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
