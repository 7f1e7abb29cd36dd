package target

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/experiment"
)

func TestPlausible(t *testing.T) {
	const mib = 1 << 20
	ok := claims{done: &done{Steps: 100, Tokens: 200_000, ChargedSeconds: 59.8, Parameters: 1e6}, last: metrics{Step: 99, Tokens: 198_000, Charged: 59.5, Memory: 90 * mib}}
	seen := measured{low: 59500 * time.Millisecond, high: 60 * time.Second, computing: 121 * time.Second, held: 80 * mib, peak: 100 * mib, model: 4 * mib}
	for name, c := range map[string]struct {
		change func(*claims, *measured)
		want   string
	}{
		"honest": {func(*claims, *measured) {}, ""},
		"over in a blink": {func(c *claims, m *measured) {
			*c = claims{done: &done{Steps: 1, Tokens: 16, ChargedSeconds: 0.0001}}
			m.low, m.high = 0, time.Millisecond
		}, ""},
		"no step":              {func(c *claims, m *measured) { *c = claims{done: &done{}}; m.low, m.high = 0, time.Second }, ""},
		"one batch":            {func(c *claims, m *measured) { c.done.Tokens, c.last.Tokens = 64, 64 }, ""},
		"charged for less":     {func(c *claims, m *measured) { c.done.ChargedSeconds = 52 }, ""},
		"a table of a model":   {func(c *claims, m *measured) { c.done.Parameters, m.peak, m.model = 1e9, 4200*mib, 4000*mib }, ""},
		"swapped out":          {func(c *claims, m *measured) { m.peak, m.model = 2200*mib, 4000*mib }, ""},
		"reads only":           {func(c *claims, m *measured) { c.done.Tokens = 60e9 }, ""},
		"says nothing":         {func(c *claims, m *measured) { c.last.Memory, m.held = 0, 1<<40 }, ""},
		"failed early":         {func(c *claims, m *measured) { *c = claims{}; m.low, m.high = 0, 0 }, ""},
		"failed in the middle": {func(c *claims, m *measured) { c.done = nil; c.last.Charged = 3 }, ""},

		"contradiction":      {func(c *claims, m *measured) { c.contradicted = "step 3 follows step 4" }, "contradict themselves: step 3 follows"},
		"fewer steps":        {func(c *claims, m *measured) { c.done.Steps = 98 }, "ended after 98 steps"},
		"fewer tokens":       {func(c *claims, m *measured) { c.done.Tokens = 1 }, "and 1 tokens"},
		"negative":           {func(c *claims, m *measured) { c.done.ChargedSeconds = -1 }, "in -1 s"},
		"charged for little": {func(c *claims, m *measured) { c.done.ChargedSeconds = 30 }, "was charged 30.0 s, and used 59.5 s at least"},
		"charged for more":   {func(c *claims, m *measured) { c.done.ChargedSeconds = 100 }, "used 60.0 s at most"},
		"a line from later":  {func(c *claims, m *measured) { c.done, c.last.Charged = nil, 100 }, "used 60.0 s at most"},
		"too many tokens":    {func(c *claims, m *measured) { c.done.Tokens = 2e12 }, "which no processor does in 121.0 s"},
		"too many steps":     {func(c *claims, m *measured) { c.done.Steps = 2e9 }, "2000000000 steps"},
		"too little memory":  {func(c *claims, m *measured) { m.held = 900 * mib }, "held 90 MiB at most, and held 900 MiB"},
		"too large a model":  {func(c *claims, m *measured) { m.model = 1 << 30 }, "a model of 1024 MiB, and held 100 MiB"},
	} {
		said, was := ok, seen
		d := *ok.done
		said.done = &d
		c.change(&said, &was)
		f := plausible(said, was)
		switch {
		case f == nil && c.want == "":
		case f == nil:
			t.Errorf("%s: believed, want %q", name, c.want)
		case f.Reason != experiment.Tampered || c.want == "" || !strings.Contains(f.Message, c.want):
			t.Errorf("%s: %+v, want %q", name, f, c.want)
		}
	}
}

func TestPlausibleScore(t *testing.T) {
	for _, c := range []struct {
		score, uniform float64
		want           bool
	}{
		{2.1, 8, true}, {8.5, 8, true}, {0.6, 8, true}, {0.08, 8, true}, {0.079, 8, false}, {0, 8, false}, {-1, 8, false},
		{math.NaN(), 8, false}, {math.Inf(1), 8, true}, {0.04, 3.7, true}, {0.5, 0, true},
	} {
		f := PlausibleScore(c.score, c.uniform)
		if (f == nil) != c.want || f != nil && f.Reason != experiment.Tampered {
			t.Errorf("%v of %v: %+v", c.score, c.uniform, f)
		}
	}
}

// TestTampered: whoever lies about a run that went well has no run. Nothing
// confines it here, where a sandbox would stop some of this before.
func TestTampered(t *testing.T) {
	g := *theFake.GoGPT
	g.sandbox = sandbox.Process{}
	for part, want := range map[string]string{
		"":            "",
		"hidden":      "",
		"braggart":    "which no processor does",
		"forgetful":   "ended after 3 steps",
		"overcharged": "was charged 1000.0 s",
		"rewritten":   "step 4 follows step 9",
		"linked":      "left no model",
		"shared":      "second name of another file",
		"piped":       "metrics.jsonl as no regular file",
		"stray":       `left "notes.txt"`,
		"sparse":      "a model of 1048576 MiB",
	} {
		t.Run("as "+part, func(t *testing.T) {
			t.Parallel()
			s := spec(t, part)
			s.Dir = filepath.Join(filepath.Dir(s.Train), "run-1") // on one file system, for links
			r, err := g.Train(t.Context(), s, nil)
			switch {
			case err != nil:
				t.Fatal(err)
			case want == "":
				if r.Failure != nil || r.Steps != 20 || r.Tokens != 2000 || r.Model == "" {
					t.Errorf("an honest run gave %+v", r)
				}
			case r.Failure == nil || !strings.Contains(r.Failure.Message, want) || r.Model != "":
				t.Errorf("%+v, want %q", r, want)
			case part != "linked" && (r.Failure.Reason != experiment.Tampered || r.Steps != 0 || r.Tokens != 0):
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestLoud: nothing of a log or of a failure can move a cursor, fill a clipboard
// or hide what it says.
func TestLoud(t *testing.T) {
	const want = "red link clip back"
	r, err := theFake.Train(t.Context(), spec(t, "loud"), nil)
	require.NoError(t, err)
	require.NotNil(t, r.Failure)
	require.Equal(t, want, r.Failure.Message)
	require.Equal(t, want, r.LogTail[len(r.LogTail)-1])
	require.Equal(t, want, (&modelFault{Message: "\x1b[1mred link\u009b0m clip\u2066 back"}).failure().Message)
}

// meter keeps what a sandbox has measured.
type meter struct {
	sandbox.Sandbox
	o sandbox.Outcome
}

func (m *meter) Run(ctx context.Context, s sandbox.Spec) (o sandbox.Outcome, err error) {
	m.o, err = m.Sandbox.Run(ctx, s)
	return m.o, err
}

// TestNothingIsFree: CPU time counts from exec on, on whatever thread and in
// whatever process it is used.
func TestNothingIsFree(t *testing.T) {
	const burnt = 200 * time.Millisecond
	var base time.Duration // what the stand-in uses for itself
	box, err := sandbox.Default(sandbox.Auto)
	require.NoError(t, err)
	for _, part := range []string{"", "init", "variable", "goroutine", "child", "orphan", "unmarked", "unwaited"} {
		m := &meter{Sandbox: box}
		g := *theFake.GoGPT
		g.sandbox = m
		r, err := g.Train(t.Context(), spec(t, part), nil)
		require.NoError(t, err)
		require.Nil(t, r.Failure, part)
		if part == "unmarked" && !strings.Contains(m.o.Isolation, "namespaces") {
			t.Logf("a process that leaves nothing of its descent can be seen in a namespace only, and here is: %s", m.o.Isolation)
			continue
		}
		if part == "" {
			base = m.o.CPU
			require.Less(t, base, burnt/2, "the stand-in is busy: the test says nothing")
			continue
		}
		// The kernel's table of processes counts in hundredths of a second.
		if m.o.CPU < burnt-20*time.Millisecond {
			t.Errorf("%q: %v of CPU time were charged, want %v and more", part, m.o.CPU, burnt)
		}
	}
}

// TestKillsItself: who is killed again and again has its slot not for ever.
func TestKillsItself(t *testing.T) {
	s := spec(t, "die")
	for n := 1; n < maxKills; n++ {
		s.Dir = filepath.Join(filepath.Dir(s.Dir), fmt.Sprintf("run-%d", n))
		_, err := theFake.Train(t.Context(), s, nil)
		require.ErrorIs(t, err, errKilled)
		s.Resume = append(s.Resume, s.Dir)
	}
	s.Dir = filepath.Join(filepath.Dir(s.Dir), "last")
	r, err := theFake.Train(t.Context(), s, nil)
	require.NoError(t, err)
	require.NotNil(t, r.Failure)
	require.Equal(t, experiment.RunFailed, r.Failure.Reason)
	require.Contains(t, r.Failure.Message, "8 attempts at the run were ended by a signal")
}

// TestMetricsTail follows a file that grows, ends in the middle of a line, is
// replaced by a resumed trainer, and contradicts itself.
func TestMetricsTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), metricsFile)
	tail := &metricsTail{path: path}
	add := func(text string) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		require.NoError(t, err)
		_, err = f.WriteString(text)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	expect := func(step int64, found bool, wrong string) {
		t.Helper()
		m, ok := tail.read()
		require.Equal(t, step, m.Step)
		require.Equal(t, found, ok)
		require.Contains(t, tail.wrong, wrong)
		require.Equal(t, wrong == "", tail.wrong == "")
	}
	_, ok := tail.read()
	require.False(t, ok)
	add(`{"step":1,"tokens":10,"charged_seconds":1}` + "\n" + `{"step":2,"tok`)
	expect(1, true, "")
	expect(1, false, "")
	add(`ens":20,"charged_seconds":0.5}` + "\n")
	expect(2, true, "") // a little earlier may be the kernel's books

	// A resumed trainer puts another file in its place, with earlier steps.
	require.NoError(t, os.WriteFile(path+".new", []byte(`{"step":1,"tokens":10}`+"\n"), 0o644))
	require.NoError(t, os.Rename(path+".new", path))
	expect(1, true, "")
	add(`{"step":2,"tokens":9}` + "\n")
	expect(2, true, "10 tokens after step 1, and 9 after step 2")
	add(`{"step":3,"tokens":"many"}` + "\n")
	expect(2, false, "10 tokens") // the first one stays

	for text, wrong := range map[string]string{
		`{"step":2}` + "\n" + `{"step":2}`: "step 2 follows step 2",
		`{"step":0}`:                       "step 0 follows step 0",
		"step 7":                           "line 1 is none of our harness",
		`{"step":1,"charged_seconds":9}` + "\n" + `{"step":2,"charged_seconds":2}`: "9 s charged after step 1",
	} {
		require.NoError(t, os.Remove(path))
		tail = &metricsTail{path: path}
		add(text + "\n")
		_, _ = tail.read()
		require.Contains(t, tail.wrong, wrong)
	}
	many := strings.Repeat(" ", 1000)
	require.NoError(t, os.Remove(path))
	tail = &metricsTail{path: path}
	var b strings.Builder
	for n := 1; n <= 3000; n++ {
		fmt.Fprintf(&b, `{"step":%d}%s`+"\n", n, many)
	}
	add(b.String())
	expect(3000, true, "")
}

func TestOpenRegular(t *testing.T) {
	dir := t.TempDir()
	file, link, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	write(t, file, "0123456789")
	require.NoError(t, os.Symlink(file, link))
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	text, err := ReadRegular(file, 4)
	require.NoError(t, err)
	require.Equal(t, "0123", string(text))
	for _, path := range []string{link, pipe, dir, filepath.Join(dir, "none"), os.DevNull} {
		_, err := OpenRegular(path)
		require.Error(t, err, path)
	}
}

// TestPriceOfARewrittenCheckpoint: a checkpoint that is written again under its
// name costs what had been charged by then.
func TestPriceOfARewrittenCheckpoint(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run-1")
	file := filepath.Join(dir, checkpointsDir, "step-00000011.ckpt")
	write(t, file, "weights")
	w, err := newWatcher(TrainSpec{Dir: dir}, limits{}, checkpoint{}, nil)
	require.NoError(t, err)
	price := func() time.Duration {
		list, _, err := earlier([]string{dir})
		require.NoError(t, err)
		require.Len(t, list, 1)
		return list[0].Charged
	}
	require.NoError(t, w.note(3*time.Second, 3*time.Second))
	require.NoError(t, w.note(50*time.Second, 50*time.Second))
	require.Equal(t, 3*time.Second, price())
	require.NoError(t, os.Chtimes(file, time.Time{}, time.Unix(1e9, 0)))
	require.Equal(t, 50*time.Second, price(), "nobody saw it appear")
	require.NoError(t, w.note(52*time.Second, 50*time.Second))
	require.NoError(t, w.note(60*time.Second, 60*time.Second))
	require.Equal(t, 52*time.Second, price(), "seen when it had changed")
	w.journal.close()
}
