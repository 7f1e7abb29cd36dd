package harness

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	now := 300 * time.Millisecond // used before main: charged
	c := &clock{cores: 2, cpu: func() time.Duration { return now }}
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
