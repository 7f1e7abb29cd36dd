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
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/guard"
	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Exit codes of the evaluator: exitFault is for a model that is at fault, with
// the reason on standard output. Any other than 0 is our trouble.
const (
	exitFault = 2
	exitOther = 1
	// exitGPU is a GPU or a driver that failed, as of a trainer.
)

// modelFault is an evaluator's complaint about a model.
type modelFault struct {
	Reason  experiment.Reason `json:"reason"`
	Message string            `json:"message"`
}

func (f *modelFault) Error() string { return string(f.Reason) + ": " + f.Message }

// failure is the fault as a candidate's failure.
func (f *modelFault) failure() *experiment.Failure {
	// It may quote what a candidate has written into its model.
	return &experiment.Failure{Reason: f.Reason, Message: clip(guard.Plain(f.Message), 600)}
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
	case o.ExitCode == exitGPU:
		return fmt.Errorf("%w: %s", ErrGPU, lastWords(o))
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

// withKnown runs the evaluator, without the optional flags that it does not
// know: a campaign's evaluator is built from its own base, which may be older
// than we are.
func (g *GoGPT) withKnown(args, optional []string, run func(args []string, stdout io.Writer) (sandbox.Outcome, error)) (sandbox.Outcome, []byte, error) {
	for {
		var out bytes.Buffer
		o, err := run(args, &out)
		at := -1
		for _, name := range optional {
			if i := slices.Index(args, "--"+name); err == nil && o.ExitCode == exitOther && i >= 0 && says(o.Tail, "flag provided but not defined: -"+name) {
				at = i
			}
		}
		if at < 0 {
			return o, out.Bytes(), err
		}
		args = slices.Delete(slices.Clone(args), at, at+2)
	}
}

func says(lines []string, line string) bool {
	return slices.ContainsFunc(lines, func(l string) bool { return strings.HasSuffix(l, line) })
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
	args = append(args, "--model", s.Model, "--data", s.Val, "--cores", strconv.Itoa(s.Cores), "--memory", strconv.FormatInt(s.Memory, 10))
	readOnly := []string{s.Model, s.Val} // it needs nothing else, and its own directory
	if s.Audit != "" {
		readOnly = append(readOnly, s.Audit)
	}
	run := sandbox.Spec{
		ID: s.ID, Path: s.Evaluator, Dir: s.Dir, ReadOnly: readOnly,
		Cores: s.Cores, Memory: s.Memory, Disk: runDisk, Processes: runProcesses, Log: s.Log,
	}
	onGPU, err := s.GPU.give(&run, true)
	if err != nil {
		return Score{}, fmt.Errorf("evaluating %s: %w", s.Model, err)
	}
	o, out, err := g.withKnown(append(args, onGPU...), []string{"limit", "memory"}, func(args []string, out io.Writer) (sandbox.Outcome, error) {
		run := run
		run.Args, run.Stdout = args, out
		return g.run(ctx, g.limits.evaluate, run)
	})
	if err != nil {
		return Score{}, fmt.Errorf("evaluating %s: %w", s.Model, err)
	}
	perCore, its := o.CPU.Seconds()/float64(max(1, s.Cores)), 2*o.CPU >= o.Wall
	if s.GPU != nil { // nobody else has it
		perCore, its = o.Wall.Seconds(), true
	}
	var answer struct {
		ValBpb      *float64 `json:"val_bpb"`
		AuditBpb    float64  `json:"audit_bpb"`
		ValSeconds  float64  `json:"val_seconds"`
		GraphDigest string   `json:"graph_digest"`
		Parameters  int64    `json:"parameters"`
	}
	err = evaluatorResult(o, out, &answer)
	var fault *modelFault
	switch {
	case errors.As(err, &fault):
		return Score{Seconds: perCore, Failure: fault.failure()}, nil
	case errors.Is(o.Stopped, errTooLong) && its:
		// It had a core for half of that time at least, or a GPU: it is the model.
		return Score{Seconds: perCore, Failure: timeout("evaluating the model did not end within %v, %.0f s of CPU time on each of %d cores; make it smaller", g.limits.evaluate, o.CPU.Seconds()/float64(max(1, s.Cores)), s.Cores)}, nil
	case err != nil:
		return Score{}, fmt.Errorf("evaluating %s: %w", s.Model, err)
	}
	score := Score{ValBpb: math.NaN(), AuditBpb: answer.AuditBpb, Seconds: answer.ValSeconds, GraphDigest: answer.GraphDigest, Parameters: answer.Parameters}
	if answer.ValBpb != nil {
		score.ValBpb = *answer.ValBpb
	}
	if score.Seconds == 0 { // an evaluator that does not say
		score.Seconds = perCore
	}
	return score, nil
}

// What a model may cost in units of the incumbent's cost, and what it may cost
// in any case: CPU time of less than seconds is too noisy to judge by.
const (
	slowdown   = 3
	leastLimit = 2.0 // CPU-seconds per core
)

// Evaluate implements Target.
func (g *GoGPT) Evaluate(ctx context.Context, s EvaluateSpec) (Score, error) {
	args := []string{"score"}
	if s.Proved != "" {
		args = append(args, "--proved", s.Proved)
	}
	if s.Audit != "" {
		if err := absolute(&s.Audit); err != nil {
			return Score{}, err
		}
		args = append(args, "--audit", s.Audit)
	}
	if s.Reference > 0 {
		args = append(args, "--limit", strconv.FormatFloat(max(leastLimit, slowdown*s.Reference), 'f', 3, 64))
	}
	score, err := g.evaluator(ctx, s, args...)
	if f := score.Failure; f != nil && f.Reason == experiment.Timeout && s.Reference > 0 {
		f.Message += fmt.Sprintf(". The incumbent takes %.2f s, and a model may take %d times as long to be evaluated", s.Reference, slowdown)
	}
	if err == nil && score.Failure == nil && !(score.ValBpb > 0) {
		return Score{}, fmt.Errorf("evaluating %s: the evaluator gave no val_bpb", s.Model)
	}
	if err == nil && score.Failure == nil {
		score.Failure = PlausibleScore(score.ValBpb, 8) // a byte has eight bits
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
	args, limit := append(trainerArgs(s.Dir, s.Train, 1, s.Cores, s.Memory), "--steps", strconv.Itoa(smokeSteps)), g.limits.smoke
	check := []string{"check"}
	if s.ForGPU {
		args, limit = append(args, "--rows", strconv.Itoa(smokeRows)), g.limits.smokeGPU
		check = append(check, "--cuts", strconv.Itoa(smokeCuts))
	}
	o, err := g.run(ctx, limit, sandbox.Spec{
		Path: s.Program, Args: args,
		Dir: s.Dir, Cores: s.Cores, Memory: s.Memory, Log: s.Log,
		ReadOnly: []string{s.Train}, Disk: runDisk, Processes: runProcesses,
	})
	if err != nil {
		return "", nil, fmt.Errorf("smoke run: %w", err)
	}
	if errors.Is(o.Stopped, errTooLong) {
		return "", timeout("%d steps and the export did not end within %v", smokeSteps, limit), nil
	}
	if end := ended(o, s.Dir, false); end.err != nil || end.failure != nil {
		return "", end.failure, wrap("smoke run", end.err)
	}
	score, err := g.evaluator(ctx, EvaluateSpec{
		Evaluator: s.Evaluator, Model: filepath.Join(s.Dir, modelFile), Val: s.Train,
		Cores: s.Cores, Memory: s.Memory, Dir: s.Dir, Log: s.Log,
	}, check...)
	if s.ForGPU { // not all was tried, and the digest says that it was
		score.GraphDigest = ""
	}
	return score.GraphDigest, score.Failure, wrap("smoke run", err)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
