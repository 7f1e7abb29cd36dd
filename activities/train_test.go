package activities

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/guard"
	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// slot is a training slot in a home of its own, and an experiment to run there.
type slot struct {
	*Train
	in   TrainInput
	play string // file that tells the stand-in for the trainer what to do
}

// newSlot makes a slot for a target whose sources are in root.
func newSlot(t testing.TB, home, name string, root fs.FS) slot {
	t.Helper()
	goCache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	targets := target.Builtin(target.Options{GoCache: strings.TrimSpace(string(goCache))})
	s := slot{Train: &Train{
		Home: experiment.Home(home), Store: artifact.NewFile(filepath.Join(home, "artifacts")),
		Targets: targets.ByName, Slot: "train-test-0", Cores: 1, Memory: 1 << 30,
	}}
	settings := experiment.Settings{Tag: "mar5", Target: name, Budget: experiment.Duration(time.Second)}
	archive := archiveOf(t, root)
	digest := digestOf(archive)
	if err := s.Store.Put(t.Context(), sourceKey(digest), bytes.NewReader(archive)); err != nil {
		t.Fatal(err)
	}
	s.in = TrainInput{
		Campaign: experiment.Campaign{Settings: settings.WithDefaults(), Evaluator: digest, Data: "testdata0123"},
		Number:   7, Seed: 42, Source: digest,
	}
	data := s.Home.Data(s.in.Campaign.Data)
	s.play = filepath.Join(data, "train", "play")
	for _, dir := range []string{"train", "val"} {
		if err := os.MkdirAll(filepath.Join(data, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func archiveOf(t testing.TB, root fs.FS) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		err = w.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg})
		if err == nil {
			_, err = w.Write(text)
		}
		return err
	})
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func fakeSlot(t *testing.T, home string) slot {
	return newSlot(t, home, "gogpt", os.DirFS("target/testdata/fake"))
}

func noopSlot(t testing.TB) slot {
	root := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(root, "noop"), 0o755), os.WriteFile(filepath.Join(root, "noop/train.go"), []byte(target.NoopSource), 0o644)); err != nil {
		t.Fatal(err)
	}
	return newSlot(t, t.TempDir(), "noop", os.DirFS(root))
}

func (s slot) perform(t *testing.T, part string) {
	t.Helper()
	if err := os.WriteFile(s.play, []byte(part), 0o644); err != nil {
		t.Fatal(err)
	}
}

// environment is a Temporal worker for one activity at a time.
func (s slot) environment() *testsuite.TestActivityEnvironment {
	env := new(testsuite.WorkflowTestSuite).NewTestActivityEnvironment()
	env.SetTestTimeout(time.Minute)
	env.SetWorkerOptions(worker.Options{})
	env.RegisterActivity(s.Train)
	return env
}

func (s slot) train(t *testing.T) TrainResult {
	t.Helper()
	v, err := s.environment().ExecuteActivity(s.Train.Train, s.in)
	if err != nil {
		t.Fatal(err)
	}
	var r TrainResult
	if err := v.Get(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

func (s slot) evaluation(r TrainResult) EvaluateInput {
	return EvaluateInput{Campaign: s.in.Campaign, Number: s.in.Number, Run: s.in.Run, Model: r.Model, Measurement: r.Measurement}
}

func (s slot) evaluateIt(t *testing.T, in EvaluateInput) experiment.Measurement {
	t.Helper()
	v, err := s.environment().ExecuteActivity(s.Evaluate, in)
	if err != nil {
		t.Fatal(err)
	}
	var r EvaluateResult
	if err := v.Get(&r); err != nil {
		t.Fatal(err)
	}
	return r.Measurement
}

func (s slot) artifact(t *testing.T, name string) string {
	t.Helper()
	b, err := readArtifact(t.Context(), s.Store, experiment.Key("mar5", 7, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// entries lists what is in the directory of runs.
func (s slot) entries() (names []string) {
	list, _ := os.ReadDir(filepath.Dir(s.Home.Run("mar5", 7, 0, 0, 1)))
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestWhereItRan: scores compare within a class of slots, and the figures of a
// drifted slot are found by its name.
func TestWhereItRan(t *testing.T) {
	for name, c := range map[string]struct {
		slot  slot
		class string
	}{
		"noop":  {noopSlot(t), "noop"},
		"gogpt": {fakeSlot(t, t.TempDir()), target.CPUClass(3)},
	} {
		c.slot.Cores = 3
		if m := c.slot.train(t).Measurement; m.Slot != "train-test-0" || m.Class != c.class || m.Failure != nil {
			t.Errorf("%s: %+v, want class %s", name, m, c.class)
		}
	}
}

// TestLogIsFitToBeSeen: people look at a stored log in a terminal, and the end
// of it goes into tables and prompts.
func TestLogIsFitToBeSeen(t *testing.T) {
	s := fakeSlot(t, t.TempDir())
	s.perform(t, "loud")
	r := s.train(t)
	log := s.artifact(t, "train.log")
	if r.Measurement.Failure == nil || !strings.Contains(log, "\nred link clip back\n") || log != guard.Plain(log) {
		t.Errorf("%+v\n%q", r, log)
	}
	raw := "first\n\x1b[2J\x1b]0;title\x07\u009b31mlast \u202eline\u200b\x00\xff\n"
	if got := lastLines([]byte(raw)); len(got) != 2 || got[1] != "last line\uFFFD" {
		t.Errorf("%q", got)
	}
}

// TestCurveIsAFile: what stands in the place of a curve is not followed, and
// not waited for.
func TestCurveIsAFile(t *testing.T) {
	dir := t.TempDir()
	secret, link, pipe := filepath.Join(dir, "secret"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	err := errors.Join(os.WriteFile(secret, []byte("{\"step\":1}\n"), 0o600), os.Symlink(secret, link), syscall.Mkfifo(pipe, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{secret: "{\"step\":1}\n", link: "", pipe: "", dir: "", filepath.Join(dir, "none"): ""} {
		if text, err := readIfThere(path); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
}

func TestTrainAndEvaluateOnce(t *testing.T) {
	s := noopSlot(t)
	r := s.train(t)
	m := r.Measurement
	if m.Failure != nil || m.Attempts != 1 || m.Seed != 42 || m.ChargedSeconds != 1 || m.Steps == 0 || r.Slot != "train-test-0" || len(r.Model) != 64 {
		t.Errorf("trained: %+v", r)
	}
	if !strings.HasPrefix(s.artifact(t, "metrics.jsonl"), `{"step":20,`) || digestOf([]byte(s.artifact(t, "model.safetensors"))) != r.Model {
		t.Error("the curve or the model is not in the store")
	}
	if again := s.train(t); again != r || len(s.entries()) != 2 {
		t.Errorf("trained again: %+v; %v", again, s.entries())
	}

	scored := s.evaluateIt(t, s.evaluation(r))
	if scored.ValBpb < 1 || scored.ValBpb > 4 || scored.Failure != nil || scored.Attempts != 1 || len(s.entries()) != 0 {
		t.Errorf("scored: %+v; left %v", scored, s.entries())
	}
	lie := s.evaluation(r)
	lie.Measurement.Tokens = 1
	if again := s.evaluateIt(t, lie); again != scored {
		t.Errorf("scored again: %+v", again)
	}

	// Another run of the same experiment has its own artifacts. On a host
	// without its directories the model comes from the store. The audit split is
	// measured when that is asked for, if the corpus has one.
	s.in.Run, s.in.Seed = 1, 43
	second := s.train(t)
	attempts{s.Home, "mar5", 7, 0, 1}.remove()
	in := s.evaluation(second)
	in.Audit = true
	other := s.evaluateIt(t, in)
	if other.ValBpb == scored.ValBpb || other.ValBpb == 0 || other.AuditBpb != 0 {
		t.Errorf("another seed scored: %+v", other)
	}
	s.in.Run, s.in.Seed = 2, 44
	in = s.evaluation(s.train(t))
	in.Audit = true
	if err := os.Mkdir(filepath.Join(s.Home.Data(s.in.Campaign.Data), "audit"), 0o755); err != nil {
		t.Fatal(err)
	}
	if m := s.evaluateIt(t, in); m.AuditBpb <= m.ValBpb || scored.AuditBpb != 0 {
		t.Errorf("with an audit split: %+v; not asked for: %+v", m, scored)
	}
	s.artifact(t, "metrics-1.jsonl")
	s.artifact(t, "evaluation-1.json")
}

func TestEvaluateRefusals(t *testing.T) {
	s := noopSlot(t)
	in := s.evaluation(TrainResult{Model: strings.Repeat("a", 64)})
	refused := func(want string) {
		t.Helper()
		_, err := s.environment().ExecuteActivity(s.Evaluate, in)
		var app *temporal.ApplicationError
		if !errors.As(err, &app) || app.Type() != ErrModelLost || !app.NonRetryable() || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v", err)
		}
	}
	refused("neither on this host nor in the artifact store")
	s.train(t)
	refused("is not the model aaaaaaaaaaaa that was trained")

	in.Measurement.Failure = &experiment.Failure{Reason: experiment.NaN}
	if m := s.evaluateIt(t, in); m.Failure == nil || m.ValBpb != 0 {
		t.Errorf("a failed run scored: %+v", m)
	}
}

// TestModelLost: a model that is gone is trained again, under a record of its
// own; the first one stays as it was written.
func TestModelLost(t *testing.T) {
	s := fakeSlot(t, t.TempDir())
	first := s.train(t)
	attempts{s.Home, "mar5", 7, 0, 0}.remove()
	if err := os.Remove(filepath.Join(s.Home.Artifacts(), "mar5", "0007", "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	_, err := s.environment().ExecuteActivity(s.Evaluate, s.evaluation(first))
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || app.Type() != ErrModelLost {
		t.Fatalf("got %v", err)
	}
	s.in.Again = 1
	second := s.train(t)
	if second.Model != first.Model || second.Measurement.Attempts != 1 || s.train(t) != second {
		t.Errorf("trained again: %+v, before %+v", second, first)
	}
	if m := s.evaluateIt(t, s.evaluation(second)); m.ValBpb == 0 || m.Failure != nil {
		t.Errorf("scored: %+v", m)
	}
	s.artifact(t, "run-0-again-1.json")
	if s.in.Again = 0; s.train(t) != first {
		t.Error("the first record has changed")
	}
}

// TestCandidateFails: what the candidate did wrong is a result.
func TestCandidateFails(t *testing.T) {
	s := fakeSlot(t, t.TempDir())
	s.perform(t, "lines")
	r := s.train(t)
	if f := r.Measurement.Failure; f == nil || f.Reason != experiment.RunFailed || r.Model != "" || r.Measurement.Tokens == 0 {
		t.Errorf("got %+v", r)
	}
	var record runRecord
	if err := json.Unmarshal([]byte(s.artifact(t, "run-0.json")), &record); err != nil || len(record.LogTail) != 40 || record.LogTail[39] != "line 59" {
		t.Errorf("the record is %+v, %v", record, err)
	}
	if !strings.HasSuffix(s.artifact(t, "train.log"), "line 59\n") || len(s.entries()) != 0 {
		t.Errorf("the log is %q, left is %v", s.artifact(t, "train.log"), s.entries())
	}

	s.in.Number = 8
	s.perform(t, "acausal")
	r = s.train(t)
	in := s.evaluation(r)
	if m := s.evaluateIt(t, in); m.Failure == nil || m.Failure.Reason != experiment.NotCausal || m.ValBpb != 0 {
		t.Errorf("a model that looks ahead scored: %+v", m)
	}
}

func TestTrainDamagedSources(t *testing.T) {
	s := fakeSlot(t, t.TempDir())
	if err := s.Store.Put(t.Context(), sourceKey(s.in.Source), strings.NewReader("rubbish")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.environment().ExecuteActivity(s.Train.Train, s.in); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("got %v", err)
	}
	s.in.Campaign.Settings.Target = "pytorch"
	if _, err := s.environment().ExecuteActivity(s.Train.Train, s.in); err == nil || !strings.Contains(err.Error(), "the targets are gogpt, noop") {
		t.Errorf("got %v", err)
	}
}

// checkpointed reports whether an attempt has come to a checkpoint of its own
// that its journal knows.
func (s slot) checkpointed(attempt int) bool {
	text, _ := os.ReadFile(s.Home.Run("mar5", 7, 0, 0, attempt) + ".journal")
	names := map[string]bool{}
	for line := range bytes.Lines(text) {
		var e struct{ Checkpoint string }
		if json.Unmarshal(line, &e) == nil && e.Checkpoint != "" {
			names[e.Checkpoint] = true
		}
	}
	return len(names) >= min(2, attempt) // the first line of a resumed one is what it came from
}

// resumed trains to the end and checks that the run went on.
func (s slot) resumed(t *testing.T, attempts int) {
	t.Helper()
	s.perform(t, "")
	r := s.train(t)
	log := s.artifact(t, "train.log")
	if r.Measurement.Attempts != attempts || r.Measurement.Failure != nil || strings.Count(log, "from step 0 charged 0s") != 1 || strings.Count(log, "from step ") != attempts {
		t.Errorf("got %+v with the log\n%s", r, log)
	}
	last := int64(0)
	for line := range strings.Lines(s.artifact(t, "metrics.jsonl")) {
		var m struct{ Step int64 }
		if err := json.Unmarshal([]byte(line), &m); err != nil || m.Step != last+1 {
			t.Fatalf("after step %d comes %q (%v)", last, line, err)
		}
		last = m.Step
	}
	if m := s.evaluateIt(t, s.evaluation(r)); m.ValBpb == 0 || m.Attempts != attempts || len(s.entries()) != 0 {
		t.Errorf("scored: %+v; left %v", m, s.entries())
	}
}

func TestWorkerStops(t *testing.T) {
	s := fakeSlot(t, t.TempDir())
	s.perform(t, "slow")
	for attempt := 1; attempt <= 2; attempt++ {
		env, stop := s.environment(), make(chan struct{})
		env.SetWorkerStopChannel(stop)
		go func() {
			eventually(t, "a checkpoint", func() bool { return s.checkpointed(attempt) })
			close(stop)
		}()
		_, err := env.ExecuteActivity(s.Train.Train, s.in)
		var app *temporal.ApplicationError
		if !errors.As(err, &app) || app.NonRetryable() || temporal.IsCanceledError(err) || !strings.Contains(err.Error(), "the worker stops") {
			t.Fatalf("got %v", err)
		}
	}
	s.resumed(t, 3)
}

// TestWorkerProcess is no test: TestWorkerKilled runs it as a worker.
func TestWorkerProcess(t *testing.T) {
	home := os.Getenv("TRAIN_IN_HOME")
	if home == "" {
		t.Skip("run by TestWorkerKilled")
	}
	s := fakeSlot(t, home)
	fmt.Println(s.Train.Train(t.Context(), s.in))
}

// TestWorkerKilled kills workers with SIGKILL: their trainers die with them,
// and the run goes on from its checkpoint.
func TestWorkerKilled(t *testing.T) {
	s := fakeSlot(t, t.TempDir())
	s.perform(t, "slow")
	for attempt := 1; attempt <= 2; attempt++ {
		w := exec.Command(os.Args[0], "-test.run=^TestWorkerProcess$")
		w.Env = append(os.Environ(), "TRAIN_IN_HOME="+string(s.Home))
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a checkpoint", func() bool { return s.checkpointed(attempt) })
		w.Process.Kill()
		w.Wait()
		eventually(t, "the trainer is gone", func() bool {
			return exec.Command("pgrep", "-f", s.Home.Run("mar5", 7, 0, 0, attempt)).Run() != nil
		})
	}
	s.resumed(t, 3)
}

// TestSlotIsCleared: what an earlier worker has left on the slot is ended
// before anything runs there, and nothing else is.
func TestSlotIsCleared(t *testing.T) {
	s, other := noopSlot(t), noopSlot(t)
	leave := func(s slot) <-chan error {
		c := exec.Command("sleep", "3600")
		c.Env = []string{sandbox.IDVariable + "=" + s.slotID() + "mar5/0006-0-1"}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Process.Kill() })
		ended := make(chan error, 1)
		go func() { ended <- c.Wait() }()
		return ended
	}
	ours, theirs := leave(s), leave(other)
	s.train(t)
	if err := <-ours; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("ended with %v", err)
	}
	select {
	case err := <-theirs:
		t.Errorf("a process of another slot was ended: %v", err)
	default:
	}
}

// TestSlotIsExclusive: nothing else runs on a slot that is taken.
func TestSlotIsExclusive(t *testing.T) {
	s := noopSlot(t)
	release, err := s.takeSlot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Train.Train(ctx, s.in); err == nil || !strings.Contains(err.Error(), "taking the slot train-test-0") {
		t.Errorf("got %v", err)
	}
	release()
	if _, err := s.Train.Train(t.Context(), s.in); err != nil {
		t.Error(err)
	}
}

func TestJoinCurves(t *testing.T) {
	curve := func(steps ...int) []byte {
		var b []byte
		for _, s := range steps {
			b = fmt.Appendf(b, `{"step":%d}`+"\n", s)
		}
		return b
	}
	for _, c := range []struct {
		curves [][]byte
		want   []byte
	}{
		{nil, nil},
		{[][]byte{curve(1, 2, 3), nil, curve(4, 5)}, curve(1, 2, 3, 4, 5)},
		{[][]byte{curve(1, 2, 3, 4), curve(3, 4, 5)}, curve(1, 2, 3, 4, 5)},
		{[][]byte{curve(1, 2, 3), curve(1, 2)}, curve(1, 2)},
		{[][]byte{append(curve(1, 2), `{"step":3`...), curve(3)}, curve(1, 2, 3)},
	} {
		if got := joinCurves(c.curves); !bytes.Equal(got, c.want) {
			t.Errorf("%q joined to %q", c.curves, got)
		}
	}
}

// TestStopped: Temporal tries again what a stopping worker has given up.
func TestStopped(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	lock := fmt.Errorf("waiting for the lock: %w", context.Canceled)
	if got := stopped(ctx, lock); got != lock {
		t.Errorf("while the worker goes on: %v", got)
	}
	cancel(errWorkerStops)
	if got := stopped(ctx, lock); errors.Is(got, context.Canceled) || !errors.Is(got, errWorkerStops) || !strings.Contains(got.Error(), "waiting for the lock") {
		t.Errorf("while it stops: %v", got)
	}
}
