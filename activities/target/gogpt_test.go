package target

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// fake is the target gogpt with stand-ins for trainer and evaluator.
type fake struct {
	*GoGPT
	candidate, evaluator string // programs
}

var theFake fake

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "target-test-")
	if err != nil {
		panic(err)
	}
	if err := buildFake(dir); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func buildFake(dir string) error {
	g := newGoGPT()
	src, out := filepath.Join(dir, "src"), filepath.Join(dir, "out")
	if err := errors.Join(os.CopyFS(src, os.DirFS("testdata/fake")), os.Mkdir(out, 0o755)); err != nil {
		return err
	}
	for _, role := range []Role{Candidate, Evaluator} {
		if f, err := g.Build(context.Background(), role, src, out, io.Discard); f != nil || err != nil {
			return errors.Join(err, errors.New("failed to build"))
		}
	}
	theFake = fake{g, filepath.Join(out, "candidate"), filepath.Join(out, "evaluator")}
	return nil
}

// newGoGPT uses the go command's own build cache, so that tests start fast.
func newGoGPT() *GoGPT {
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		panic(err)
	}
	g := NewGoGPT(Options{GoCache: strings.TrimSpace(string(cache))})
	g.limits.grace = 5 * time.Second
	return g
}

// spec is a training run of the stand-in, which plays a part.
func spec(t *testing.T, part string) TrainSpec {
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "play"), []byte(part), 0o644); err != nil {
		t.Fatal(err)
	}
	return TrainSpec{
		ID: t.Name(), Program: theFake.candidate, Dir: filepath.Join(t.TempDir(), "run-1"), Train: data,
		Seed: 5, Budget: experiment.Duration(time.Second), Cores: 1,
	}
}

func TestTrainEnds(t *testing.T) {
	for part, want := range map[string]struct {
		reason  experiment.Reason
		message string
	}{
		"nan":     {experiment.NaN, "the loss of step 3 is NaN"},
		"warned":  {experiment.NaN, "the loss of step 3 is NaN"}, // whatever the disk
		"oom":     {experiment.OOM, "too big"},
		"shape":   {experiment.NotExportable, "a custom op"},
		"lines":   {experiment.RunFailed, "exit code 1: line 59"},
		"panic":   {experiment.RunFailed, "panic: index out of range"},
		"nomodel": {experiment.NotExportable, "left no model"},
		"quit":    {experiment.RunFailed, "ended before its run did"},
		"hang":    {experiment.Timeout, "no step for"},
		"deaf":    {experiment.Timeout, "no step for"},
		"spin":    {experiment.Timeout, "of its budget of 0.2 s"},
		"slow":    {experiment.Timeout, "did not end within"},
		"eat":     {experiment.OOM, "a smaller batch"},
	} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			g := *theFake.GoGPT
			s := spec(t, part)
			s.Budget, s.Memory = experiment.Duration(200*time.Millisecond), 200<<20
			switch part {
			case "hang", "deaf":
				g.limits.hang = 500 * time.Millisecond
			case "slow":
				g.limits.wall = 500*time.Millisecond - wallSlack*s.Budget.Std()
			}
			r, err := g.Train(t.Context(), s, nil)
			if err != nil {
				t.Fatal(err)
			}
			if r.Failure == nil || r.Failure.Reason != want.reason || !strings.Contains(r.Failure.Message, want.message) {
				t.Errorf("got failure %+v", r.Failure)
			}
			if r.Model != "" || r.WallSeconds <= 0 || len(r.LogTail) == 0 || r.LogTail[0] != "from step 0 charged 0s" && part != "lines" && part != "panic" {
				t.Errorf("got %+v", r)
			}
			if part == "lines" && (len(r.LogTail) != 40 || r.LogTail[39] != "line 59") {
				t.Errorf("the tail is %q", r.LogTail)
			}
			if left, _ := exec.Command("pgrep", "-f", s.Dir).Output(); len(left) > 0 {
				t.Errorf("processes are left: %s", left)
			}
		})
	}
}

// TestTroubleOfOurs: what is not the candidate's fault is an error.
func TestTroubleOfOurs(t *testing.T) {
	if _, err := theFake.Train(t.Context(), spec(t, "full"), nil); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("full disk: %v", err)
	}
	if _, err := theFake.Train(t.Context(), spec(t, "die"), nil); err == nil || !strings.Contains(err.Error(), "stopped by somebody else") {
		t.Errorf("killed by hand: %v", err)
	}
	s := spec(t, "")
	s.Train = filepath.Join(s.Train, "absent")
	if _, err := theFake.Train(t.Context(), s, nil); err == nil || !strings.Contains(err.Error(), "training data are missing") {
		t.Errorf("no data: %v", err)
	}
	t.Setenv("PATH", "")
	if _, err := theFake.Build(t.Context(), Candidate, t.TempDir(), t.TempDir(), io.Discard); err == nil || !strings.Contains(err.Error(), "go.mod") {
		t.Errorf("no sources: %v", err)
	}
	src := t.TempDir()
	if err := os.CopyFS(src, os.DirFS("testdata/fake")); err != nil {
		t.Fatal(err)
	}
	if _, err := theFake.Build(t.Context(), Candidate, src, t.TempDir(), io.Discard); err == nil || !strings.Contains(err.Error(), "install Go from") {
		t.Errorf("no go command: %v", err)
	}
}

// TestClaims: a trainer cannot talk its charge up or down by more than the
// allowance for its start.
func TestClaims(t *testing.T) {
	w := &watcher{spec: TrainSpec{Cores: 2}, from: checkpoint{entry: entry{Charged: 10 * time.Second}}}
	for _, c := range []struct {
		cpu     time.Duration
		claimed float64
		want    time.Duration
	}{
		{8 * time.Second, 13.9, 13900 * time.Millisecond},
		{8 * time.Second, 0, 13500 * time.Millisecond},
		{8 * time.Second, 99, 14 * time.Second},
		{8 * time.Second, -1, 14 * time.Second},
		{100 * time.Millisecond, 0, 10 * time.Second},
	} {
		if got := w.charge(c.cpu, time.Hour, c.claimed); got != c.want {
			t.Errorf("%v of CPU, claim %v: charged %v, want %v", c.cpu, c.claimed, got, c.want)
		}
	}
	w.spec.GPU = &GPU{}
	for _, c := range []struct {
		wall    time.Duration
		claimed float64
		want    time.Duration
	}{
		{300 * time.Second, 305, 305 * time.Second},
		{300 * time.Second, 0, 300 * time.Second},
		{300 * time.Second, 999, 310 * time.Second},
		{300 * time.Second, -1, 310 * time.Second},
		{3 * time.Second, 0, 10 * time.Second},
	} {
		if got := w.charge(time.Hour, c.wall, c.claimed); got != c.want {
			t.Errorf("%v on a GPU, claim %v: charged %v, want %v", c.wall, c.claimed, got, c.want)
		}
	}
}

// interrupted runs the "slow" part in dir until it has reached a step, and
// stops it in the orderly way.
func interrupted(t *testing.T, s TrainSpec, step int64) error {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("the worker stops")
	_, err := theFake.Train(ctx, s, func(p Progress) {
		if p.Step >= step {
			cancel(stop)
		}
	})
	if !errors.Is(err, stop) {
		t.Fatalf("stopped training gave %v", err)
	}
	return err
}

func TestResume(t *testing.T) {
	s := spec(t, "slow")
	interrupted(t, s, 10)
	newest := newestCheckpoint(s.Dir)
	if newest.step < 10 {
		t.Fatalf("no checkpoint was written after SIGTERM: %+v", newest)
	}
	resume := func(name string) (TrainSpec, Record, string) {
		var log bytes.Buffer
		next := s
		next.Dir, next.Resume, next.Log = filepath.Join(filepath.Dir(s.Dir), name), []string{s.Dir}, &log
		next.Train = spec(t, "").Train
		r, err := theFake.Train(t.Context(), next, nil)
		if err != nil || r.Failure != nil {
			t.Fatalf("resumed training gave %+v, %v", r, err)
		}
		return next, r, log.String()
	}

	next, r, log := resume("run-2")
	entries, err := readJournal(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	price := entries[len(entries)-1].Charged
	if r.ResumedFrom != newest.step || price <= 0 || !strings.Contains(log, "charged "+price.String()) || r.ChargedSeconds < price.Seconds() {
		t.Errorf("resumed from %d at %v: %+v\n%s", newest.step, price, r, log)
	}
	if r.WallSeconds < entries[len(entries)-1].Wall.Seconds() {
		t.Errorf("the wall time of the first attempt is missing: %+v", r)
	}
	if own := checkpoints(next.Dir); len(own) == 0 {
		t.Error("the checkpoint was not taken over")
	}

	// The newest one is damaged: the older one serves. All are: a fresh start.
	list := checkpoints(s.Dir)
	if len(list) < 2 {
		t.Fatalf("only %d checkpoints", len(list))
	}
	damage := func(path string) {
		os.Remove(path)
		if err := os.WriteFile(path, []byte("st"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	damage(list[0].path)
	if _, r, log := resume("run-3"); r.ResumedFrom != list[1].step || !strings.Contains(log, "cannot be used") {
		t.Errorf("with one damaged: %+v\n%s", r, log)
	}
	for _, c := range list {
		damage(c.path)
	}
	if _, r, _ := resume("run-4"); r.ResumedFrom != 0 || r.ChargedSeconds >= 1 {
		t.Errorf("with all damaged: %+v", r)
	}
	os.Remove(journalPath(s.Dir))
	if _, r, _ := resume("run-5"); r.ResumedFrom != 0 {
		t.Errorf("without a price: %+v", r)
	}
}

func TestBuildComplaints(t *testing.T) {
	src := t.TempDir()
	if err := os.CopyFS(src, os.DirFS("testdata/fake")); err != nil {
		t.Fatal(err)
	}
	edit := func(text string) {
		if err := os.WriteFile(filepath.Join(src, "trainer/train.go"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string]string{
		"package main\n\nfunc main() { undefined() }\n":              "trainer/train.go:3:15: undefined: undefined",
		"package main\n\nimport \"example.com/x\"\n\nfunc main() {}": "trainer/train.go:3:8",
		"package main\n":       "function main is undeclared",
		"package main\nfunc (": "trainer/train.go:2",
	} {
		edit(text)
		f, err := theFake.Build(t.Context(), Candidate, src, t.TempDir(), io.Discard)
		if err != nil || f == nil || f.Reason != experiment.BuildFailed || !strings.Contains(f.Message, want) || strings.Contains(f.Message, src) {
			t.Errorf("%q gave %+v, %v", text, f, err)
		}
	}
	edit("package main\nfunc main() {}\n")
	if err := os.WriteFile(filepath.Join(src, "go.mod"), []byte("module m\n\ngo 1.99.0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if f, err := theFake.Build(t.Context(), Candidate, src, t.TempDir(), io.Discard); f != nil || err == nil {
		t.Errorf("a newer Go gave %+v, %v", f, err)
	}
}
