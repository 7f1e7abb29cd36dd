package harness

import (
	"errors"
	"fmt"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// Exit codes of the trainer.
const (
	ExitOK            = 0
	ExitError         = 1
	ExitNaN           = 3
	ExitOOM           = 4
	ExitNotExportable = 5
	ExitGPU           = 6        // the machine's GPU or its driver failed: nobody's fault
	ExitStopped       = 128 + 15 // SIGTERM, with a checkpoint of the latest step
)

// Reasons for a Failure. The first three are reasons of a crash verdict; a bad
// checkpoint is the worker's cue to try the older one, and a GPU that failed is
// its cue to go on from there on another.
const (
	ReasonNaN           = "nan"
	ReasonOOM           = "oom"
	ReasonNotExportable = "not-exportable"
	ReasonBadCheckpoint = "bad-checkpoint"
	ReasonGPU           = "gpu"
	ReasonError         = "error"
)

// Failure is why a run ended without a model; failure.json holds it.
type Failure struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

func (f *Failure) Error() string { return f.Reason + ": " + f.Message }

func failuref(reason, format string, args ...any) *Failure {
	return &Failure{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// errStopped ends a run that was asked to stop by SIGTERM.
var errStopped = errors.New("stopped by SIGTERM")

// asFailure gives every error of a run its reason.
func asFailure(err error) *Failure {
	var f *Failure
	var n *tensor.NotExportable
	var g *gpu.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &n):
		return &Failure{ReasonNotExportable, err.Error()}
	case errors.As(err, &g):
		return &Failure{reasonOf(g.Fault), err.Error()}
	case errors.Is(err, gpu.ErrNotBuilt):
		return &Failure{ReasonGPU, err.Error()}
	}
	return &Failure{ReasonError, err.Error()}
}

// reasonOf says what a fault on a GPU is to the run. What is wrong with the
// machine says nothing about the program.
func reasonOf(fault gpu.Fault) string {
	switch fault {
	case gpu.ByMemory:
		return ReasonOOM
	case gpu.ByProgram:
		return ReasonError
	}
	return ReasonGPU
}

func (f *Failure) exitCode() int {
	switch f.Reason {
	case ReasonNaN:
		return ExitNaN
	case ReasonOOM:
		return ExitOOM
	case ReasonNotExportable:
		return ExitNotExportable
	case ReasonGPU:
		return ExitGPU
	}
	return ExitError
}
