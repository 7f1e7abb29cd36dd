package harness

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// resumed finishes the run in dir without the fault, and returns its model.
func resumed(t *testing.T, dir, data string) []byte {
	t.Helper()
	return start(t, "plain", dir, data, append([]string{"--steps", "60"}, latest(t, dir)...)...).wait(ExitOK).file("model.safetensors")
}

// Trouble with the disk: whether the run goes on, what it says, and that what is
// on the disk afterwards serves to go on.
func TestDiskTrouble(t *testing.T) {
	data := textDir(t)
	want := start(t, "plain", t.TempDir(), data, "--steps", "60").wait(ExitOK).file("model.safetensors")
	const full = "no space left on device"
	for name, c := range map[string]struct {
		fault string
		code  int
		says  []string // in the log of a run that goes on, in the error of one that does not
	}{
		"one checkpoint":        {"write .ckpt 3 3 " + full, ExitOK, []string{"warning: checkpoint of step 18", full, "free some space", "the latest is still step-00000012.ckpt"}},
		"all but one":           {"write .ckpt 2 9999 " + full, ExitOK, []string{"warning: checkpoint of step 12", "warning: checkpoint of step 60", "the latest is still step-00000006.ckpt"}},
		"the first":             {"write .ckpt 1 1 " + full, ExitError, []string{"writing the checkpoint of step 6", full, "free some space"}},
		"sync":                  {"sync .ckpt 3 3 input/output error", ExitOK, []string{"warning: checkpoint of step 18", "input/output error"}},
		"sync of metrics":       {"sync metrics.jsonl 4 4 input/output error", ExitOK, []string{"warning: checkpoint of step"}},
		"rename":                {"rename .ckpt 2 3 permission denied", ExitOK, []string{"warning: checkpoint of step 18", "permission denied", "needs permission to write there"}},
		"first rename":          {"rename .ckpt 1 1 read-only file system", ExitError, []string{"step-00000006.ckpt", "read-only file system; the trainer needs permission"}},
		"removal of old ones":   {"remove .ckpt 1 1 permission denied", ExitOK, []string{"warning: checkpoint of step 18: removing old checkpoints", "the latest is still step-00000018.ckpt"}},
		"metrics":               {"write metrics.jsonl 20 9999 " + full, ExitError, []string{"metrics.jsonl", full, "free some space"}},
		"model":                 {"write model.safetensors 1 1 " + full, ExitError, []string{"exporting the model", "model.safetensors", full}},
		"rename of the model":   {"rename model.safetensors 1 1 " + full, ExitError, []string{"exporting the model", full}},
		"the record of the end": {"write done.json 1 1 " + full, ExitError, []string{"done.json", full}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := startFaulty(t, c.fault, "plain", dir, data, "--steps", "60").wait(c.code)
			said := r.out.String()
			if c.code != ExitOK {
				said = r.errOut.String()
				wantFailure(t, r, ReasonError, c.says[0])
			}
			for _, text := range c.says {
				if !strings.Contains(said, text) {
					t.Errorf("it should say %q:\n%s", text, said)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*", temporary+"*")); len(left) > 0 {
				t.Errorf("these are left: %v", left)
			}
			if c.code == ExitOK && !bytes.Equal(r.file("model.safetensors"), want) || !bytes.Equal(resumed(t, dir, data), want) {
				t.Error("the trouble has changed the model")
			}
		})
	}
}

// A run whose directory is removed says so, rather than go on for nobody; a
// directory of checkpoints comes back.
func TestVanishedDirectory(t *testing.T) {
	data := textDir(t)
	atGate := func() *trainerRun {
		r := start(t, "gate", filepath.Join(t.TempDir(), "run"), data, "--steps", "60")
		waitFor(t, filepath.Join(r.dir, gateFile))
		waitFor(t, checkpointPath(filepath.Join(r.dir, "checkpoints"), 24)) // none is in flight
		return r
	}
	r := atGate()
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	r.wait(ExitError)
	if said := r.errOut.String(); !strings.Contains(said, "a directory of the run has been removed") || strings.Contains(said, "goroutine") {
		t.Errorf("it says: %s", said)
	}
	if _, err := os.Stat(r.dir); err == nil {
		t.Error("the removed directory came back")
	}

	r = atGate()
	if err := os.RemoveAll(filepath.Join(r.dir, "checkpoints")); err != nil {
		t.Fatal(err)
	}
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	r.wait(ExitStopped)
	if len(r.checkpoints()) != 1 || !strings.Contains(r.out.String(), "after step 26; its checkpoint is written") {
		t.Errorf("checkpoints %v, log: %s", r.checkpoints(), &r.out)
	}
}

// SIGTERM on a full disk: the older checkpoint is what is left.
func TestStoppedOnFullDisk(t *testing.T) {
	r := startFaulty(t, "write .ckpt 5 9999 no space left on device", "gate", t.TempDir(), textDir(t), "--steps", "60")
	waitFor(t, filepath.Join(r.dir, gateFile))
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	r.wait(ExitStopped)
	if said := r.out.String(); !strings.Contains(said, "warning: checkpoint of step 26") || strings.Contains(said, "its checkpoint is written") {
		t.Errorf("it says: %s", said)
	}
	latest(t, r.dir)
}
