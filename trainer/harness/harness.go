// Package harness is the fixed half of the trainer: everything around the
// training loop that an experiment must not change. Its one user is
// trainer/train.go, which hands its Train function to Main and then asks the
// Run for batches and for leave to go on:
//
//	func main() { harness.Main(Train) }
//
//	func Train(run *harness.Run) error {
//		model := NewModel(run)         // Params and States, all before the loop
//		for run.Next() {               // false when the budget is spent
//			x, y := run.Batch(B, T)
//			loss := model.Loss(x, y)
//			loss.Backward()
//			optimizer.Step(run.Progress())
//			run.Step(loss, lr)
//		}
//		return run.Export(T, model.Forward)
//	}
//
// # The contract with the worker
//
// The built trainer is started as
//
//	trainer --run DIR --data DIR --seed N (--budget 60s | --steps N) --cores N
//	        [--resume FILE] [--charged 12.3s] [--memory BYTES] [--eval-batch N]
//	        [--device cuda[:UUID] [--precision bfloat16] [--cache DIR]] [--rows N]
//
// and leaves in its run directory
//
//	metrics.jsonl          one Metrics object a line, at most about a thousand lines
//	checkpoints/*.ckpt     the last two checkpoints
//	model.safetensors      the weights, with the forward graph in the metadata
//	done.json              Done, written last: its presence means success
//	failure.json           Failure, instead of done.json
//
// Every file but metrics.jsonl appears whole or not at all. Standard output is
// the training log; errors go to standard error. Exit codes are ExitOK to
// ExitGPU, and ExitStopped after SIGTERM, when a checkpoint of the
// latest step has been written (or a warning that it could not be).
//
// # Time
//
// The budget is CPU time, counted from exec on and divided by the cores of the
// slot, so that a busy machine changes the result little and nothing runs for
// free before main. The harness's own start is taken off, up to a second. On a
// GPU it is wall time since exec, less what a start takes there, up to ten
// seconds; clock.go says what that is. Schedules follow Run.Progress, the share of the budget that is spent. With
// --steps they follow the step count, and then seed, threads and instruction
// set decide every bit of the model, whether the run was resumed or not.
//
// # Checkpoints
//
// The state is copied between two steps and written beside those that follow:
// a temporary file, synced, renamed, and the directory synced. One write is in
// flight at most. A run with a budget never waits for the disk; one with
// --steps does, when the next checkpoint is due, so that the same ones appear
// each time. Copy, digest and system calls are CPU time of this process and so
// are charged; the distance between checkpoints grows until that is at most two
// percent. On a GPU the copy alone holds up the steps, and it is at most half a
// percent. SIGTERM waits for a checkpoint of the latest step.
//
// A checkpoint that cannot be written, on a full disk for instance, is a warning
// in the log as long as an older one stands: the run goes on and tries again.
// If none stands the run fails, and so it does when metrics or model cannot be
// written. A damaged checkpoint is the Failure "bad-checkpoint" on resuming; the
// worker then takes the older one.
//
// # State
//
// Whatever a later step depends on lives in the Device's Params and States, in
// Run.Rand, or follows from Run.Progress and Run.StepsDone. The harness
// checkpoints those without the program's help. A program that keeps state in Go
// variables across steps will train, but will not resume to the same bits.
//
// # How it fails
//
// A panic of the tensor package (a shape mismatch, an op that cannot be
// exported), a loss that is not a number or above maxLoss, weights that are not
// finite (looked at before each checkpoint and the export, because a loss may
// hide them), memory above --memory, a fault of the GPU: each ends the process with a Failure that
// says what happened and what to do.
package harness

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// Main runs a training program as the process that the worker started, and
// exits. It does not return.
func Main(train func(*Run) error) {
	clock := newClock()
	os.Exit(execute(clock, train, os.Args[1:], os.Stdout, os.Stderr))
}

// execute is Main with its surroundings as arguments; it returns the exit code.
func execute(c *clock, train func(*Run) error, args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "trainer: %v\n", err)
		return ExitError
	}
	err = runTraining(c, train, o, stdout)
	if errors.Is(err, errStopped) {
		return ExitStopped
	}
	if err == nil {
		return ExitOK
	}
	f := asFailure(err)
	fmt.Fprintf(stderr, "trainer: %s: %s\n", f.Reason, f.Message)
	if err := writeJSON(filepath.Join(o.run, "failure.json"), f); err != nil {
		fmt.Fprintf(stderr, "trainer: recording the failure: %v\n", err)
	}
	return f.exitCode()
}

// runTraining sets up a Run, lets the program train, and turns panics into
// errors: Run stops a program in the middle of its loop by panicking.
func runTraining(c *clock, train func(*Run) error, o options, stdout io.Writer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = asError(p)
		}
	}()
	runtime.GOMAXPROCS(o.cores)
	run, err := newRun(c, o, stdout)
	if err != nil {
		return err
	}
	defer run.close()
	if err := train(run); err != nil {
		return err
	}
	return run.finish()
}

// asError takes what a program panicked with to an error. What the harness and
// the tensor package panic with says enough; a bug in the program gets its
// stack.
func asError(panicked any) error {
	err, ok := panicked.(error)
	if !ok {
		return fmt.Errorf("panic: %v\n%s", panicked, debug.Stack())
	}
	var failure *Failure
	var shapes *tensor.Error
	var device *gpu.Error
	if errors.As(err, &failure) || errors.As(err, &shapes) || errors.As(err, &device) || errors.Is(err, errStopped) {
		return err
	}
	return fmt.Errorf("panic: %w\n%s", err, debug.Stack())
}
