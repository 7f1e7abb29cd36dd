package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// hooked is a target that calls a test before each run.
type hooked struct {
	target.Target
	train    func(target.TrainSpec)
	evaluate func(target.EvaluateSpec)
}

func (p *hooked) Train(ctx context.Context, s target.TrainSpec, report func(target.Progress)) (target.Record, error) {
	p.train(s)
	return p.Target.Train(ctx, s, report)
}

func (p *hooked) Evaluate(ctx context.Context, s target.EvaluateSpec) (target.Score, error) {
	p.evaluate(s)
	return p.Target.Evaluate(ctx, s)
}

// hook makes the runs of a slot call these first.
func (s slot) hook(train func(target.TrainSpec), evaluate func(target.EvaluateSpec)) {
	real := s.Targets
	s.Targets = func(name string) (target.Target, error) {
		t, err := real(name)
		return &hooked{t, train, evaluate}, err
	}
}

// beside is another slot of the same home, for another experiment.
func (s slot) beside(number int) slot {
	s.Train = &Train{Home: s.Home, Store: s.Store, Targets: s.Targets, Slot: s.Slot + "-1", Cores: s.Cores, Memory: s.Memory}
	s.in.Number = number
	return s
}

func isVacant(s slot) bool {
	select {
	case <-s.Tenancy.Vacant():
		return true
	default:
		return false
	}
}

// A run has its slot from the start of its training to the end of its
// evaluation; before that, nobody had it.
func TestSlotTime(t *testing.T) {
	s := noopSlot(t)
	now := testClock
	wait := func(d time.Duration) { now = now.Add(d) }
	s.Tenancy.clock, s.Tenancy.patience = func() time.Time { return now }, time.Hour
	s.hook(func(target.TrainSpec) { wait(3 * time.Second) }, func(target.EvaluateSpec) { wait(2 * time.Second) })
	elsewhere := s.beside(8)
	elsewhere.Tenancy.clock = s.Tenancy.clock
	want := func(m experiment.Measurement, slot, idle float64) {
		t.Helper()
		if m.SlotSeconds != slot || m.IdleSeconds != idle || m.Failure != nil {
			t.Errorf("got %+v, want %v s on the slot and %v s idle", m, slot, idle)
		}
	}
	first := s.train(t)
	want(first.Measurement, 3, 0)
	if isVacant(s) {
		t.Error("the slot is given away before the evaluation")
	}
	wait(500 * time.Millisecond)
	scored := s.evaluateIt(t, s.evaluation(first))
	want(scored, 5.5, 0)
	if !isVacant(s) {
		t.Error("the slot is kept after the evaluation")
	}
	wait(250 * time.Millisecond)
	s.in.Number = 8
	second := s.train(t)
	want(second.Measurement, 3, 0.25)
	wait(time.Second)
	want(s.train(t).Measurement, 3, 0.25)
	want(elsewhere.evaluateIt(t, s.evaluation(second)), 5, 0.25)
	want(s.evaluateIt(t, s.evaluation(second)), 5, 0.25)
	s.in.Number = 7
	want(s.evaluateIt(t, s.evaluation(first)), 5.5, 0)
}

// A slot that waits for no evaluation takes the next run at once.
func TestSlotOfAFailedRun(t *testing.T) {
	s := fakeSlot(t, t.TempDir())
	s.Tenancy.patience = time.Hour
	s.perform(t, "lines")
	if m := s.train(t).Measurement; m.Failure == nil || m.SlotSeconds <= 0 || !isVacant(s) {
		t.Errorf("got %+v, vacant %v", m, isVacant(s))
	}
	s.in.Source = strings.Repeat("0", 64)
	s.in.Number = 8
	if _, err := s.Train.Train(t.Context(), s.in); err == nil || !isVacant(s) {
		t.Errorf("got %v, vacant %v", err, isVacant(s))
	}
}

func TestCoresOfTheCampaign(t *testing.T) {
	s := noopSlot(t)
	var cores []int
	s.hook(func(spec target.TrainSpec) { cores = append(cores, spec.Cores) }, func(spec target.EvaluateSpec) { cores = append(cores, spec.Cores) })
	s.evaluateIt(t, s.evaluation(s.train(t)))
	s.in.Number, s.in.Campaign.Settings.Cores = 8, 3
	s.evaluateIt(t, s.evaluation(s.train(t)))
	if want := []int{1, 1, 3, 3}; !slices.Equal(cores, want) {
		t.Errorf("trained and evaluated with %v cores, want %v", cores, want)
	}
}

// A revision is another candidate: it finds nothing of the one before.
func TestRevisionsAreApart(t *testing.T) {
	s := fakeSlot(t, t.TempDir())
	s.perform(t, "slow")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		eventually(t, "a checkpoint", func() bool { return s.checkpointed(1) })
		cancel()
	}()
	if _, err := s.Train.Train(ctx, s.in); err == nil {
		t.Fatal("the first revision has ended")
	}
	s.perform(t, "")
	s.in.Revision = 2
	r := s.train(t)
	if log := s.artifact(t, "train-rev-2.log"); r.Measurement.Attempts != 1 || !strings.Contains(log, "from step 0 ") {
		t.Errorf("got %+v with the log %s", r, log)
	}
	in := s.evaluation(r)
	in.Revision = 2
	s.evaluateIt(t, in)
	s.in.Run = 1
	s.train(t)
	attempts{s.Home, "mar5", 7, 2, 1}.remove()
	for _, name := range []string{"run-0-rev-2.json", "metrics-rev-2.jsonl", "model-rev-2.safetensors", "evaluation-rev-2.json", "run-1-rev-2.json", "train-1-rev-2.log"} {
		s.artifact(t, name)
	}
	s.in.Run, s.in.Revision = 0, 0
	s.resumed(t, 2)
}

func TestRunRecordRevision(t *testing.T) {
	for _, revision := range []int{0, 1, 12} {
		for run := range 2 {
			for again := range 3 {
				name := recordName(revision, run, again)
				if got, ok := runRecordRevision(name); got != revision || !ok {
					t.Errorf("%s is taken for revision %d, %v", name, got, ok)
				}
			}
		}
	}
	for _, name := range []string{"run-0.json.tmp", "run-.json", "run-x.json", "run-0-rev-.json", "run-0-rev-0.json", "run-0-rev-99999999999999999999.json", "evaluation.json", "proposal-0-1.json", ""} {
		if revision, ok := runRecordRevision(name); ok {
			t.Errorf("%q is taken for a record of revision %d", name, revision)
		}
	}
}

// The record of one candidate is never taken for that of another.
func TestRecordOfOtherSources(t *testing.T) {
	s := noopSlot(t)
	r, trained := s.train(t), s.in.Source
	s.in.Source = strings.Repeat("0", 64)
	_, err := s.environment().ExecuteActivity(s.Train.Train, s.in)
	wantRefusal(t, err, ErrInvalidInput, false, "is to train the sources 000000000000", "run-0.json is the record of a run of "+short(trained), "move that file away")

	var old map[string]any
	if err := json.Unmarshal([]byte(s.artifact(t, "run-0.json")), &old); err != nil || old["source"] == "" {
		t.Fatalf("the record is %v, %v", old, err)
	}
	delete(old, "source") // as it was written before there were revisions
	if err := putText(t.Context(), s.Store, experiment.Key("mar5", 7, "run-0.json"), []byte(asJSON(t, old))); err != nil {
		t.Fatal(err)
	}
	if again := s.train(t); again != r {
		t.Errorf("got %+v, want %+v", again, r)
	}
}

// lines counts what an attempt has written so far.
func (s slot) lines(number int) int {
	text, _ := os.ReadFile(filepath.Join(s.Home.Run("mar5", number, 0, 0, 1), "metrics.jsonl"))
	return bytes.Count(text, []byte("\n"))
}

func (s slot) trainers(number int) int {
	out, _ := exec.Command("pgrep", "-f", s.Home.Run("mar5", number, 0, 0, 1)).Output() // none is an error
	return bytes.Count(out, []byte("\n"))
}

// Two slots of one home train at the same time, each in a process tree of its
// own: to begin or to end on one of them is nothing to the other.
func TestTwoSlots(t *testing.T) {
	s := fakeSlot(t, t.TempDir())
	s.perform(t, "slow")
	other := s.beside(8)
	begin := func(s slot) (stop func() error) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := s.Train.Train(ctx, s.in)
			ended <- err
		}()
		return func() error { cancel(); return <-ended }
	}
	stop := begin(s)
	eventually(t, "the first slot to train", func() bool { return s.lines(7) > 0 })
	stopOther := begin(other)
	eventually(t, "the second slot to train", func() bool { return s.lines(8) > 0 })
	before := s.lines(7)
	eventually(t, "the first slot to go on", func() bool { return s.lines(7) > before })
	if s.trainers(7) != 1 || s.trainers(8) != 1 {
		t.Errorf("there are %d and %d trainers", s.trainers(7), s.trainers(8))
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("the first slot ended with %v", err)
	}
	if s.trainers(7) != 0 {
		t.Error("the first trainer is left behind")
	}
	before = s.lines(8)
	eventually(t, "the second slot to go on", func() bool { return s.lines(8) > before })
	if err := stopOther(); !errors.Is(err, context.Canceled) {
		t.Errorf("the second slot ended with %v", err)
	}
}

// Slots that begin with the same sources build them once, and finish together.
func TestTwoSlotsOfOneSource(t *testing.T) {
	s := fakeSlot(t, t.TempDir())
	other := s.beside(8)
	var both sync.WaitGroup
	for _, s := range []slot{s, other} {
		both.Go(func() {
			r, err := s.Train.Train(t.Context(), s.in)
			if err == nil {
				in := s.evaluation(r)
				var scored EvaluateResult
				if scored, err = s.Evaluate(t.Context(), in); scored.Measurement.ValBpb == 0 {
					t.Errorf("experiment %d: %+v", s.in.Number, scored)
				}
			}
			if err != nil {
				t.Errorf("experiment %d: %v", s.in.Number, err)
			}
		})
	}
	both.Wait()
}

// A second attempt at a run, on another slot, waits until the first has ended.
func TestAttemptsTakeTurns(t *testing.T) {
	s := noopSlot(t)
	run := attempts{s.Home, "mar5", 7, 0, 0}
	release, err := underWay.take(t.Context(), run.prefix())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Train.Train(ctx, s.in); err == nil || !strings.Contains(err.Error(), "waiting for another attempt") {
		t.Errorf("got %v", err)
	}
	other := s.beside(8)
	other.train(t)
	done := make(chan error)
	go func() {
		_, err := s.Train.Train(t.Context(), s.in)
		done <- err
	}()
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// What a slot that is served no more has left is ended on request.
func TestClearSlot(t *testing.T) {
	s := noopSlot(t)
	gone := s.beside(8)
	left := exec.Command("sleep", "3600")
	left.Env = []string{sandbox.IDVariable + "=" + gone.slotID() + "mar5/0008-0-1"}
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { left.Process.Kill() })
	if err := errors.Join(ClearSlot(t.Context(), s.Train), left.Process.Signal(syscall.Signal(0))); err != nil {
		t.Errorf("another slot was cleared: %v", err)
	}
	if err := ClearSlot(t.Context(), gone.Train); err != nil {
		t.Fatal(err)
	}
	if err := left.Wait(); err == nil {
		t.Error("it ended by itself")
	}
}

// Candidates that are prepared at once are built and tried one after the other.
func TestBuildsTakeTurns(t *testing.T) {
	r := newResearch(t, newCheckout(t), setLR("0.02"))
	c := prepared(t, r)
	r.Builds = make(chan struct{}, 1)
	r.Builds <- struct{}{} // somebody builds
	began, ended := make(chan struct{}), make(chan ApplyResult)
	go func() {
		close(began)
		ended <- must(t, r, r.Apply, ApplyInput{Campaign: c, Parent: c.Base, Baseline: true})
	}()
	<-began
	select {
	case <-ended:
		t.Fatal("it did not wait")
	case <-time.After(200 * time.Millisecond): // time enough for a candidate of noop
	}
	<-r.Builds
	if applied := <-ended; applied.Failure != nil || len(r.Builds) != 0 {
		t.Errorf("got %+v, and %d still build", applied, len(r.Builds))
	}
}

func TestBuildSlot(t *testing.T) {
	r := &Research{}
	if release, err := r.buildSlot(t.Context()); err != nil {
		t.Error(err)
	} else {
		release()
	}
	r.Builds = make(chan struct{}, 1)
	release, err := r.buildSlot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.buildSlot(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "waiting for other candidates") {
		t.Errorf("got %v", err)
	}
	release()
	if _, err := r.buildSlot(t.Context()); err != nil {
		t.Error(err)
	}
}
