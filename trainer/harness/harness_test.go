package harness

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/gpu"
)

func TestClock(t *testing.T) {
	now := 300 * time.Millisecond // used before main: charged
	c := &clock{cores: 2, used: func() time.Duration { return now }}
	c.beginFree()
	now += 200 * time.Millisecond
	c.endFree()
	if got := c.charged(); got != 150*time.Millisecond {
		t.Errorf("after the start: %v, want 150ms", got)
	}
	now += 3 * time.Second
	c.carried = 10 * time.Second
	if got := c.charged(); got != 11650*time.Millisecond {
		t.Errorf("after 3 CPU-seconds on two cores, with 10 s carried over: %v, want 11.65s", got)
	}
	c.beginFree()
	now += 5 * time.Second
	c.endFree()
	if want := 2*startAllowance - startAllowance; c.free != want {
		t.Errorf("%v are free, want no more than %v", c.free, want)
	}
}

// On a GPU all that a start takes is free, up to ten seconds, and what is charged
// never falls.
func TestClockOnGPU(t *testing.T) {
	for name, c := range map[string]struct {
		loop, first, second time.Duration // until the loop begins, and of the first steps
		charged             time.Duration // when they have ended
	}{
		"kernels in the cache": {time.Second, 300 * time.Millisecond, 300 * time.Millisecond, 600 * time.Millisecond},
		"compiled":             {2 * time.Second, 5 * time.Second, 300 * time.Millisecond, 600 * time.Millisecond},
		"the first is faster":  {2 * time.Second, 300 * time.Millisecond, 400 * time.Millisecond, 700 * time.Millisecond},
		"beyond the allowance": {9 * time.Second, 5 * time.Second, time.Second, 5 * time.Second},
		"long steps":           {time.Second, 20 * time.Second, 20 * time.Second, 40 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var now, last time.Duration
			clk := newClock()
			clk.onGPU()
			clk.used = func() time.Duration { return now }
			clk.carried = time.Minute
			pass := func(d time.Duration) {
				now += d
				if got := clk.charged(); got < last {
					t.Errorf("after %v %v are charged, and before it was %v", now, got, last)
				} else {
					last = got
				}
			}
			clk.beginFree()
			pass(c.loop / 2)
			clk.endFree()
			pass(c.loop / 2)
			clk.loopBegins()
			pass(c.first)
			clk.stepEnds()
			pass(c.second)
			if clk.charged() > time.Minute+max(0, now-gpuAllowance) {
				t.Errorf("%v are charged before the start is over", clk.charged())
			}
			clk.stepEnds()
			pass(0)
			if want := time.Minute + c.charged; clk.charged() != want {
				t.Errorf("charged %v, want %v", clk.charged(), want)
			}
			pass(time.Second)
			clk.stepEnds()
			if want := time.Minute + c.charged + time.Second; clk.charged() != want {
				t.Errorf("a second later %v are charged, want %v", clk.charged(), want)
			}
		})
	}
}

// The process's age is that which the system tells.
func TestSinceExec(t *testing.T) {
	age := sinceExec()()
	if own := time.Since(loaded); age < own-20*time.Millisecond || age > own+5*time.Second {
		t.Errorf("the process is %v old, and this package was loaded %v ago", age, own)
	}
}

func TestGPUFaults(t *testing.T) {
	for fault, want := range map[gpu.Fault]struct {
		reason string
		code   int
	}{
		gpu.ByMemory:  {ReasonOOM, ExitOOM},
		gpu.ByProgram: {ReasonError, ExitError},
		gpu.ByMachine: {ReasonGPU, ExitGPU},
		gpu.BySetup:   {ReasonGPU, ExitGPU},
	} {
		f := asFailure(asError(fmt.Errorf("in a step: %w", &gpu.Error{Call: "launch softmax", Code: 1, Name: "CUDA_ERROR", Fault: fault})))
		if f.Reason != want.reason || f.exitCode() != want.code || strings.Contains(f.Message, "goroutine") {
			t.Errorf("%s: got %+v, exit code %d", fault, f, f.exitCode())
		}
	}
	if f := asFailure(fmt.Errorf("opening the device: %w", gpu.ErrNotBuilt)); f.exitCode() != ExitGPU {
		t.Errorf("a program that is not for GPUs: %+v", f)
	}
}

func TestMetricsAreCutAtTheCheckpoint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	text := `{"step":1,"tokens":10}` + "\n" + `{"step":2,"tokens":20}` + "\n" + `{"step":3,"tokens":30}` + "\n" + `{"step":4,"tok`
	for step, want := range []string{"", text[:23], text[:46], text[:69], text[:69]} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		l, err := openMetrics(path, int64(step), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		_ = l.close()
		if got, _ := os.ReadFile(path); string(got) != want {
			t.Errorf("resumed at step %d: %q, want %q", step, got, want)
		}
	}
}

// However many steps a run takes, its metrics have about a thousand lines.
func TestMetricsStayShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	l, err := openMetrics(path, 0, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 20_000; i++ {
		if err := l.add(Metrics{Step: int64(i)}, float64(i)/20_000, i == 20_000); err != nil {
			t.Fatal(err)
		}
	}
	_ = l.close()
	text, _ := os.ReadFile(path)
	if n := bytes.Count(text, []byte("\n")); n < 900 || n > 1100 || !bytes.Contains(text, []byte(`"step":20000,`)) {
		t.Errorf("%d lines, want about %d, the last step among them", n, metricsLines)
	}
}

func TestCheckpointsAreDue(t *testing.T) {
	minute := options{budget: time.Minute}
	short := options{budget: 2 * time.Second}
	steps := options{steps: 100}
	s := func(x float64) time.Duration { return time.Duration(x * float64(time.Second)) }
	for _, c := range []struct {
		name  string
		saver saver
		now   time.Duration
		step  int64
		o     options
		want  bool
	}{
		{"too early", saver{}, s(4), 9, minute, false},
		{"every five seconds", saver{}, s(5), 9, minute, true},
		{"a tenth of a short run", saver{}, s(0.2), 9, short, true},
		{"no step since", saver{lastStep: 9}, s(50), 9, minute, false},
		{"dear, and not long ago", saver{cost: s(1)}, s(20), 9, minute, false},
		{"dear, and long ago", saver{cost: s(1)}, s(50), 9, minute, true},
		{"a tenth of the steps", saver{lastStep: 10}, 0, 20, steps, true},
		{"fewer steps", saver{lastStep: 10}, s(1), 19, steps, false},
		{"few steps that are slow", saver{lastStep: 10}, s(5), 11, steps, true},
		{"such steps, and dear", saver{lastStep: 10, cost: s(1)}, s(5), 11, steps, false},
		{"two percent", saver{cost: s(0.1)}, s(5), 9, minute, true},
		{"a little more", saver{cost: s(0.101)}, s(5), 9, minute, false},
		{"the first step of a trial", saver{}, 0, 1, options{steps: 3}, false},
		{"the second step of a trial", saver{}, 0, 2, options{steps: 3}, true},
	} {
		if got := c.saver.due(c.now, c.step, c.o); got != c.want {
			t.Errorf("%s: due is %v", c.name, got)
		}
	}
}
