package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const resumeSteps = 20

// killedRun is a run of the program that is killed and resumed in one directory.
type killedRun struct {
	t         *testing.T
	dir, data string
}

func (k killedRun) checkpoints() []string {
	paths, _ := filepath.Glob(filepath.Join(k.dir, "checkpoints", "step-*.ckpt"))
	slices.Sort(paths)
	return paths
}

func (k killedRun) args(resume string) []string {
	args := []string{"--run", k.dir, "--data", k.data, "--seed", "11", "--cores", "2", "--steps", fmt.Sprint(resumeSteps)}
	if resume != "" {
		args = append(args, "--resume", resume)
	}
	return args
}

// latest returns the latest checkpoint, or "".
func (k killedRun) latest() string {
	if all := k.checkpoints(); len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// killWhen starts the program from the latest checkpoint and kills it at what
// reached waits for. A run that ends before is no failure.
func (k killedRun) killWhen(reached func() bool) {
	k.t.Helper()
	from := k.latest()
	var out bytes.Buffer
	cmd := exec.Command(filepath.Join(tools, "trainer"), k.args(from)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	for deadline := time.After(time.Minute); !reached(); {
		select {
		case <-ended:
		case <-deadline:
			k.t.Errorf("never reached: %s", &out)
		case <-time.After(200 * time.Microsecond):
			continue
		}
		break
	}
	_ = cmd.Process.Kill()
	<-ended
	if code := cmd.ProcessState.ExitCode(); code > 0 {
		k.t.Fatalf("exit code %d\n%s", code, &out)
	}
	k.t.Logf("from %q, killed at %q", filepath.Base(from), filepath.Base(k.latest()))
}

// The program as it stands gives the same bits when it is killed in its steps
// and while checkpoints are being written.
func TestKilledAndResumed(t *testing.T) {
	data := corpus(t)
	straight := killedRun{t, t.TempDir(), data}
	tool(t, "trainer", straight.args("")...)
	want := read(t, straight.dir, "model.safetensors")

	k := killedRun{t, t.TempDir(), data}
	lines := func() int {
		text, _ := os.ReadFile(filepath.Join(k.dir, "metrics.jsonl"))
		return bytes.Count(text, []byte("\n"))
	}
	steps := func(n int) func() bool { return func() bool { return lines() >= n } }
	writing := func() func() bool { // a checkpoint other than one that a kill has left
		pattern := filepath.Join(k.dir, "checkpoints", ".tmp-*")
		left, _ := filepath.Glob(pattern)
		return func() bool {
			now, _ := filepath.Glob(pattern)
			return slices.ContainsFunc(now, func(p string) bool { return !slices.Contains(left, p) })
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	k.killWhen(steps(1 + rng.IntN(4)))
	k.killWhen(writing())
	k.killWhen(steps(5 + rng.IntN(5)))
	k.killWhen(writing())
	k.killWhen(steps(11 + rng.IntN(resumeSteps-11)))
	k.wantDone(want)

	// With its newest checkpoint damaged, a run says so and names the older one,
	// from which it goes on.
	latest, older := k.checkpoints()[1], k.checkpoints()[0]
	damaged := read(t, latest)
	damaged[len(damaged)/3] ^= 4
	if err := os.WriteFile(latest, damaged, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(tools, "trainer"), k.args(latest)...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "its checksum does not match; resume from the one before, "+older) {
		t.Errorf("with a damaged checkpoint: %v\n%s", err, out)
	}
	if err := os.Remove(latest); err != nil {
		t.Fatal(err)
	}
	k.wantDone(want)
}

// wantDone lets the run end, and wants the model and a line for every step.
func (k killedRun) wantDone(model []byte) {
	k.t.Helper()
	tool(k.t, "trainer", k.args(k.latest())...)
	if !bytes.Equal(read(k.t, k.dir, "model.safetensors"), model) {
		k.t.Error("the run gave another model than one that was not killed")
	}
	step := 0
	for line := range bytes.Lines(read(k.t, k.dir, "metrics.jsonl")) {
		var m struct{ Step int }
		if err := json.Unmarshal(line, &m); err != nil || m.Step != step+1 {
			k.t.Fatalf("after the line of step %d comes %q (%v)", step, line, err)
		}
		step = m.Step
	}
	if step != resumeSteps {
		k.t.Errorf("the metrics end at step %d", step)
	}
}
