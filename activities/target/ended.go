package target

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/autoresearch-go/autoresearch/activities/guard"
	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Exit codes of a trainer, from trainer/harness.
const (
	exitNaN           = 3
	exitOOM           = 4
	exitNotExportable = 5
	exitGPU           = 6
	exitStopped       = 128 + int(syscall.SIGTERM)
)

// Files in a run directory, from trainer/harness.
const (
	metricsFile    = "metrics.jsonl"
	modelFile      = "model.safetensors"
	doneFile       = "done.json"
	failureFile    = "failure.json"
	checkpointsDir = "checkpoints"
)

// done is what a trainer says about a run that went well. We believe none of
// it where we can measure.
type done struct {
	Steps          int64   `json:"steps"`
	Tokens         int64   `json:"tokens"`
	ChargedSeconds float64 `json:"charged_seconds"`
	Parameters     int64   `json:"parameters"`
	GPUMemory      int64   `json:"peak_gpu_bytes"`
}

// end is what the end of a trainer process means: one of its fields is set.
type end struct {
	done          *done
	failure       *experiment.Failure
	badCheckpoint bool
	err           error // ours: worth another attempt
}

// stop is why the supervisor ends a trainer: a failure of the candidate.
type stop struct{ failure *experiment.Failure }

func (s *stop) Error() string { return s.failure.Message }

// void is why the supervisor ends a run that nobody is to blame for.
type void struct{ err error }

func (v *void) Error() string { return "the run is void: " + v.err.Error() }
func (v *void) Unwrap() error { return v.err }

// errKilled: a signal that was not ours. It says nothing about the candidate the
// first times.
var errKilled = errors.New("the trainer was stopped by somebody else")

// maxKills is how many attempts at a run may end so. A service that is restarted
// ends some; a program that kills itself would have its slot for ever.
const maxKills = 8

func timeout(format string, args ...any) *experiment.Failure {
	return &experiment.Failure{Reason: experiment.Timeout, Message: fmt.Sprintf(format, args...)}
}

// ended interprets the end of a trainer that ran in dir, on a GPU or not.
func ended(o sandbox.Outcome, dir string, onGPU bool) end {
	var s *stop
	var v *void
	switch {
	case errors.As(o.Stopped, &v): // whatever it has managed to do
		return end{err: v}
	case o.OutOfMemory:
		return end{failure: oom(fmt.Sprintf("the trainer held %d MiB of memory; %s", o.PeakBytes>>20, "a smaller batch, context or model may help"))}
	case errors.As(o.Stopped, &s):
		return end{failure: s.failure}
	case errors.Is(o.Stopped, sandbox.ErrDisk), errors.Is(o.Stopped, sandbox.ErrProcesses):
		return end{failure: &experiment.Failure{Reason: experiment.RunFailed, Message: o.Stopped.Error()}}
	case o.ExitCode == 0:
		return finished(dir)
	case o.Stopped != nil:
		return end{err: fmt.Errorf("the trainer was stopped: %w", o.Stopped)}
	case o.Signal == syscall.SIGKILL, o.Signal == syscall.SIGTERM, o.Signal == syscall.SIGINT, o.Signal == syscall.SIGHUP, o.ExitCode == exitStopped:
		return end{err: fmt.Errorf("%w (exit code %d %v)", errKilled, o.ExitCode, o.Signal)}
	}
	if onGPU && o.ExitCode == exitGPU {
		return end{err: fmt.Errorf("%w: %s", ErrGPU, complaint(o, dir))}
	}
	if err := diskFull(o.Tail); err != nil && !ofTheProgram(o.ExitCode) {
		return end{err: fmt.Errorf("the trainer could not go on: %w", err)}
	}
	return failed(o, dir)
}

// ofTheProgram says whether an exit code is that of a failure which no disk can
// cause. A full disk may be in the log all the same: a checkpoint that does not
// fit is a warning.
func ofTheProgram(code int) bool {
	return code == exitNaN || code == exitOOM || code == exitNotExportable
}

// finished checks that a trainer which reports success has left its results.
func finished(dir string) end {
	var d done
	if !readSmallJSON(filepath.Join(dir, doneFile), &d) {
		return end{failure: &experiment.Failure{Reason: experiment.RunFailed, Message: "the program ended before its run did: main must end with harness.Main"}}
	}
	if info, err := os.Lstat(filepath.Join(dir, modelFile)); err != nil || !info.Mode().IsRegular() {
		return end{failure: &experiment.Failure{Reason: experiment.NotExportable, Message: "the run left no model: Train must end with return run.Export(T, model.Forward)"}}
	}
	return end{done: &d}
}

// failed names the reason of a non-zero exit.
func failed(o sandbox.Outcome, dir string) end {
	var said experiment.Failure
	readSmallJSON(filepath.Join(dir, failureFile), &said)
	if said.Reason == "bad-checkpoint" {
		return end{badCheckpoint: true}
	}
	message := complaint(o, dir)
	reason := experiment.RunFailed
	switch {
	case o.ExitCode == exitNaN:
		reason = experiment.NaN
	case o.ExitCode == exitNotExportable:
		reason = experiment.NotExportable
	case o.ExitCode == exitOOM, outOfMemory(o.Tail):
		reason = experiment.OOM
	}
	return end{failure: &experiment.Failure{Reason: reason, Message: message}}
}

// complaint is what a trainer says about its end.
func complaint(o sandbox.Outcome, dir string) string {
	var said experiment.Failure
	readSmallJSON(filepath.Join(dir, failureFile), &said)
	if message := clip(guard.Plain(strings.ReplaceAll(said.Message, dir+"/", "")), 600); message != "" {
		return message
	}
	return lastWords(o)
}

// outOfMemory recognizes the Go runtime's last words.
func outOfMemory(tail []string) bool {
	for _, line := range tail {
		if strings.HasPrefix(line, "fatal error: runtime: out of memory") || strings.HasPrefix(line, "runtime: out of memory") || strings.HasPrefix(line, "fatal error: runtime: cannot allocate memory") {
			return true
		}
	}
	return false
}

func oom(message string) *experiment.Failure {
	return &experiment.Failure{Reason: experiment.OOM, Message: message}
}

// lastWords describes an end by what was printed: the line of a panic, or the
// last line.
func lastWords(o sandbox.Outcome) string {
	how := fmt.Sprintf("exit code %d", o.ExitCode)
	if o.Signal != 0 {
		how = "signal: " + o.Signal.String()
	}
	words := ""
	for _, line := range o.Tail {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			words = line
			break
		}
		if strings.TrimSpace(line) != "" {
			words = line
		}
	}
	return clip(how+": "+words, 600)
}

func clip(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "..."
	}
	return s
}
