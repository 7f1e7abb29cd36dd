package target

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// exitFault is the evaluator's exit code for a model that is at fault, with
// the reason on standard output. Any other than 0 is our trouble.
const exitFault = 2

// modelFault is an evaluator's complaint about a model.
type modelFault struct {
	Reason  experiment.Reason `json:"reason"`
	Message string            `json:"message"`
}

func (f *modelFault) Error() string { return string(f.Reason) + ": " + f.Message }

// failure is the fault as a candidate's failure.
func (f *modelFault) failure() *experiment.Failure {
	return &experiment.Failure{Reason: f.Reason, Message: f.Message}
}

// evaluatorResult reads what a subcommand of the evaluator has said. The error
// is a *modelFault when the model is at fault.
func evaluatorResult(o sandbox.Outcome, stdout []byte, result any) error {
	switch {
	case o.OutOfMemory:
		return &modelFault{experiment.OOM, fmt.Sprintf("evaluating the model took more memory than there is (%d MiB)", o.PeakBytes>>20)}
	case o.Stopped != nil:
		return fmt.Errorf("the evaluator was stopped after %v: %w", o.Wall.Round(time.Millisecond), o.Stopped)
	case o.ExitCode == exitFault:
		var f modelFault
		if json.Unmarshal(stdout, &f) == nil && f.Reason != "" {
			return &f
		}
	case o.ExitCode == 0:
		if err := json.Unmarshal(stdout, result); err != nil {
			return fmt.Errorf("reading the evaluator's answer: %w", err)
		}
		return nil
	}
	if full := diskFull(o.Tail); full != nil {
		return full
	}
	return fmt.Errorf("the evaluator ended with exit code %d %v:\n%s", o.ExitCode, o.Signal, strings.Join(o.Tail, "\n"))
}

// evaluator runs a subcommand that looks at a model.
func (g *GoGPT) evaluator(ctx context.Context, s EvaluateSpec, args ...string) (Score, error) {
	s.Memory = memoryOr(s.Memory)
	if err := absolute(&s.Evaluator, &s.Model, &s.Val, &s.Dir); err != nil {
		return Score{}, err
	}
	if _, err := os.Stat(s.Val); err != nil {
		return Score{}, fmt.Errorf("evaluating %s: the data are missing: %w", s.Model, err)
	}
	if info, err := os.Lstat(s.Model); err != nil || !info.Mode().IsRegular() {
		return Score{}, fmt.Errorf("evaluating %s: no regular file is there: %w", s.Model, errors.Join(err))
	}
	var out bytes.Buffer
	o, err := g.run(ctx, g.limits.evaluate, sandbox.Spec{
		ID: s.ID, Path: s.Evaluator, Dir: s.Dir, Cores: s.Cores, Memory: s.Memory, Stdout: &out, Log: s.Log,
		ReadOnly: []string{s.Model, s.Val}, Disk: runDisk, Processes: runProcesses,
		Args: append(args, "--model", s.Model, "--data", s.Val, "--cores", strconv.Itoa(s.Cores)),
	})
	if err != nil {
		return Score{}, fmt.Errorf("evaluating %s: %w", s.Model, err)
	}
	var answer struct {
		ValBpb      *float64 `json:"val_bpb"`
		GraphDigest string   `json:"graph_digest"`
		Parameters  int64    `json:"parameters"`
	}
	err = evaluatorResult(o, out.Bytes(), &answer)
	var fault *modelFault
	switch {
	case errors.As(err, &fault):
		return Score{Seconds: o.Wall.Seconds(), Failure: fault.failure()}, nil
	case err != nil:
		return Score{}, fmt.Errorf("evaluating %s: %w", s.Model, err)
	}
	score := Score{ValBpb: math.NaN(), Seconds: o.Wall.Seconds(), GraphDigest: answer.GraphDigest, Parameters: answer.Parameters}
	if answer.ValBpb != nil {
		score.ValBpb = *answer.ValBpb
	}
	return score, nil
}

// Evaluate implements Target.
func (g *GoGPT) Evaluate(ctx context.Context, s EvaluateSpec) (Score, error) {
	args := []string{"score"}
	if s.Proved != "" {
		args = append(args, "--proved", s.Proved)
	}
	score, err := g.evaluator(ctx, s, args...)
	if err == nil && score.Failure == nil && !(score.ValBpb > 0) {
		return Score{}, fmt.Errorf("evaluating %s: the evaluator gave no val_bpb", s.Model)
	}
	return score, err
}

// Smoke implements Target: a candidate that trains a few steps, exports, and is
// causal is worth a training run.
func (g *GoGPT) Smoke(ctx context.Context, s SmokeSpec) (string, *experiment.Failure, error) {
	if s.Log == nil {
		s.Log = io.Discard
	}
	s.Memory = memoryOr(s.Memory)
	if err := absolute(&s.Program, &s.Evaluator, &s.Dir, &s.Train); err != nil {
		return "", nil, err
	}
	if _, err := os.Stat(s.Train); err != nil {
		return "", nil, fmt.Errorf("smoke run: the training data are missing: %w", err)
	}
	args := trainerArgs(s.Dir, s.Train, 1, s.Cores, s.Memory)
	o, err := g.run(ctx, g.limits.smoke, sandbox.Spec{
		Path: s.Program, Args: append(args, "--steps", strconv.Itoa(smokeSteps)),
		Dir: s.Dir, Cores: s.Cores, Memory: s.Memory, Log: s.Log,
		ReadOnly: []string{s.Train}, Disk: runDisk, Processes: runProcesses,
	})
	if err != nil {
		return "", nil, fmt.Errorf("smoke run: %w", err)
	}
	if errors.Is(o.Stopped, errTooLong) {
		return "", timeout("%d steps and the export did not end within %v", smokeSteps, g.limits.smoke), nil
	}
	if end := ended(o, s.Dir); end.err != nil || end.failure != nil {
		return "", end.failure, wrap("smoke run", end.err)
	}
	score, err := g.evaluator(ctx, EvaluateSpec{
		Evaluator: s.Evaluator, Model: filepath.Join(s.Dir, modelFile), Val: s.Train,
		Cores: s.Cores, Memory: s.Memory, Dir: s.Dir, Log: s.Log,
	}, "check")
	return score.GraphDigest, score.Failure, wrap("smoke run", err)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
