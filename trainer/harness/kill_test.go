package harness

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

const killSteps = 300 // every step has a line in metrics.jsonl

// places are where a process can be killed, %[1]d being which of the calls it is;
// see plantFault. The first number is how many calls there are to choose from.
var places = []struct {
	calls int
	fault string
}{
	{60, "write metrics.jsonl %[1]d %[1]d half"}, // in the middle of a line
	{60, "write metrics.jsonl %[1]d %[1]d after"},
	{1, "write .ckpt %[1]d %[1]d before"},
	{2, "write .ckpt %[1]d %[1]d half"}, // in the middle of a checkpoint
	{2, "sync .ckpt %[1]d %[1]d before"},
	{2, "rename .ckpt %[1]d %[1]d before"},
	{2, "rename .ckpt %[1]d %[1]d after"}, // before the older ones are removed
	{1, "remove .ckpt %[1]d %[1]d before"},
	{1, "remove .ckpt %[1]d %[1]d after"},
	{2, "sync metrics.jsonl %[1]d %[1]d before"},
	{2, "sync checkpoints %[1]d %[1]d after"},
}

// lastPlaces are those after the last step.
var lastPlaces = []string{
	"write model.safetensors 1 1 half",
	"rename model.safetensors 1 1 before",
	"rename model.safetensors 1 1 after",
	"write done.json 1 1 half",
	"rename done.json 1 1 before",
}

// A run that is killed again and again, anywhere, gives the bits and the metrics
// of one that is not.
func TestKillsAnywhere(t *testing.T) {
	data := textDir(t)
	steps := []string{"--steps", fmt.Sprint(killSteps)}
	want := start(t, "plain", t.TempDir(), data, steps...).wait(ExitOK).file("model.safetensors")
	seed := testSeed(t)
	for round := range uint64(4) {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, round))
			dir := t.TempDir()
			kills := 0
			kill := func(fault string) {
				r := startFaulty(t, fault, "plain", dir, data, append(steps, latest(t, dir)...)...)
				_ = r.cmd.Wait()
				code := r.cmd.ProcessState.ExitCode()
				t.Logf("%s: exit code %d, %d checkpoints are left", fault, code, len(r.checkpoints()))
				if code > 0 {
					t.Fatalf("exit code %d\n%s", code, &r.errOut)
				}
				kills -= code
			}
			for _, i := range rng.Perm(len(places))[:6] {
				kill(fmt.Sprintf(places[i].fault, 1+rng.IntN(places[i].calls)))
			}
			for _, i := range rng.Perm(len(lastPlaces))[:2] {
				kill(lastPlaces[i])
			}
			if kills < 4 {
				t.Errorf("only %d kills", kills)
			}
			wantWhole(t, start(t, "plain", dir, data, append(steps, latest(t, dir)...)...).wait(ExitOK), want)
		})
	}
}

// The same for kills from outside, at any time.
func TestKillsAnyTime(t *testing.T) {
	data := textDir(t)
	steps := []string{"--steps", fmt.Sprint(killSteps)}
	want := start(t, "plain", t.TempDir(), data, steps...).wait(ExitOK).file("model.safetensors")
	rng := rand.New(rand.NewPCG(testSeed(t), 0))
	dir := t.TempDir()
	file, size := filepath.Join(dir, "metrics.jsonl"), int64(0)
	for range 8 {
		size += rng.Int64N(4500) // some thirty lines
		r := start(t, "slow", dir, data, append(steps, latest(t, dir)...)...)
		eventually(t, "the metrics grow", func() bool {
			info, err := os.Stat(file)
			return err == nil && info.Size() >= size
		})
		for range rng.IntN(2000) { // some hundred microseconds
			_, _ = os.Stat(file)
		}
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
	}
	wantWhole(t, start(t, "plain", dir, data, append(steps, latest(t, dir)...)...).wait(ExitOK), want)
}

// testSeed returns a new seed each time, or the one to repeat.
func testSeed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("HARNESS_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("HARNESS_TEST_SEED=%d repeats this", seed)
	return seed
}

// latest returns the arguments that resume from the latest checkpoint in dir.
// Every one that is there must be whole.
func latest(t *testing.T, dir string) (args []string) {
	t.Helper()
	for _, path := range listCheckpoints(filepath.Join(dir, "checkpoints")) {
		c, err := openCheckpoint(path)
		if err != nil {
			t.Fatalf("a kill left a damaged checkpoint: %v", err)
		}
		c.close()
		args = []string{"--resume", path}
	}
	return args
}

// wantWhole checks a run that has come to its end at last.
func wantWhole(t *testing.T, r *trainerRun, model []byte) {
	t.Helper()
	if !bytes.Equal(r.file("model.safetensors"), model) {
		t.Error("the run gave another model than one that was not killed")
	}
	if n := len(r.metrics()); n != killSteps {
		t.Errorf("%d lines of metrics, want %d", n, killSteps)
	}
	for dir, want := range map[string]int{"checkpoints": checkpointsKept, ".": 4} {
		files, err := os.ReadDir(filepath.Join(r.dir, dir))
		if err != nil || len(files) != want {
			t.Errorf("%s holds %v (%v), want %d files: something was left", dir, files, err, want)
		}
	}
	var d Done
	if r.json("done.json", &d); d.Steps != killSteps {
		t.Errorf("done.json: %+v", d)
	}
}
