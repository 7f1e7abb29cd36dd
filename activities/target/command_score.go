package target

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/scorer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// commandGraph stands where other targets have the digest of a graph: what is
// scored by the protocol has none.
const commandGraph = scorer.Protocol

// Evaluate implements Target: the score command claims and is asked blind, see
// package scorer. val_bpb is by its claims, plain; the clamped one and what the
// cuts have shown are in the log. The audit split is scored the same way.
func (c *Command) Evaluate(ctx context.Context, s EvaluateSpec) (Score, error) {
	if s.Log == nil {
		s.Log = io.Discard
	}
	score, err := c.score(ctx, s, s.Val, scorer.Secret())
	if err != nil || score.Failure != nil || s.Audit == "" {
		return score, wrap("evaluating "+s.Model, err)
	}
	audit, err := c.score(ctx, s, s.Audit, scorer.Secret())
	if err != nil {
		return Score{}, fmt.Errorf("evaluating %s on the audit split: %w", s.Model, err)
	}
	score.AuditBpb, score.Failure = audit.ValBpb, audit.Failure
	return score, nil
}

// score measures a bundle on a split.
func (c *Command) score(ctx context.Context, s EvaluateSpec, split string, secret scorer.Source) (Score, error) {
	if err := absolute(&s.Evaluator, &s.Model, &s.Dir, &split); err != nil {
		return Score{}, err
	}
	m, err := manifestAt(s.Evaluator)
	if err != nil {
		return Score{}, err
	}
	dir, err := os.MkdirTemp(s.Dir, "bundle-")
	if err != nil {
		return Score{}, err
	}
	defer os.RemoveAll(dir)
	if err := readBundle(dir, s.Model); err != nil {
		return Score{}, fmt.Errorf("unpacking the model: %w", err)
	}
	text, err := readText(split, filepath.Dir(s.Evaluator), m)
	if err != nil {
		return Score{}, err
	}
	// Decoys are training text, which lies beside every split of a corpus.
	train, err := readTokens(filepath.Join(filepath.Dir(split), "train", "train.bin"), m.Data.Vocab)
	if err != nil {
		return Score{}, fmt.Errorf("reading decoys: %w", err)
	}
	job, err := c.job(m, s, dir, text, scorer.DecoysFrom(train), secret)
	if err != nil {
		return Score{}, err
	}
	r, err := scorer.Run(ctx, job)
	if err != nil {
		return Score{}, err
	}
	note, err := json.Marshal(r)
	if err != nil {
		return Score{}, err
	}
	fmt.Fprintf(s.Log, "%s\n", note)
	seconds := r.ClaimCPU.Seconds() / float64(max(1, s.Cores))
	if s.Reference > 0 && r.Failure == nil && seconds > 3*s.Reference+startAllowance.Seconds() {
		r.Failure = timeout("the score took %.1f s, more than three times the %.1f s of the incumbent's", seconds, s.Reference)
	}
	parameters, err := commandParameters(job.Model)
	return Score{ValBpb: r.ValBpb, Seconds: seconds, GraphDigest: commandGraph, Parameters: parameters, Failure: r.Failure}, err
}

// job is the scoring of the bundle that is unpacked in dir.
func (c *Command) job(m Manifest, s EvaluateSpec, dir string, text scorer.Text, decoys scorer.Decoys, secret scorer.Source) (scorer.Job, error) {
	d, err := m.design(text)
	if err != nil {
		return scorer.Job{}, err
	}
	passes, err := d.Passes()
	if err != nil {
		return scorer.Job{}, err
	}
	program, model := filepath.Join(dir, "program"), filepath.Join(dir, commandModel)
	runs := filepath.Join(dir, "runs")
	if err := os.Mkdir(runs, 0o755); err != nil {
		return scorer.Job{}, err
	}
	s.Memory = memoryOr(s.Memory)
	spec, err := m.spec(m.Score, program, runs, words(s.Cores, s.Memory, model))
	if err != nil {
		return scorer.Job{}, err
	}
	spec.ReadOnly, spec.Cores, spec.Memory, spec.Log = append(spec.ReadOnly, model), s.Cores, s.Memory, s.Log
	return scorer.Job{
		Sandbox: c.host.sandbox, Program: spec, ID: idOr(s.ID), Dir: runs, Model: model, Fixed: []string{program}, Limit: c.host.limits.evaluate,
		Text: text, Decoys: decoys, Tolerance: d.Tolerance, Passes: passes, Secret: secret,
	}, nil
}

// smokeWindows and smokeBudget make a smoke run short.
const (
	smokeWindows = 16
	smokeBudget  = experiment.Duration(time.Second)
)

// Smoke implements Target: a short run, and a score of some training text with
// one pass of cuts. It finds programs that do not run, do not keep to the
// protocol, or look ahead everywhere.
func (c *Command) Smoke(ctx context.Context, s SmokeSpec) (string, *experiment.Failure, error) {
	if s.Log == nil {
		s.Log = io.Discard
	}
	if err := absolute(&s.Program, &s.Evaluator, &s.Dir, &s.Train); err != nil {
		return "", nil, err
	}
	run, cancel := context.WithTimeoutCause(ctx, c.host.limits.smoke, errTooLong)
	defer cancel()
	r, err := c.Train(run, TrainSpec{Program: s.Program, Dir: s.Dir, Train: s.Train, Seed: 1, Budget: smokeBudget, Cores: s.Cores, Memory: s.Memory, Log: s.Log}, nil)
	switch {
	case ctx.Err() == nil && run.Err() != nil:
		return "", timeout("a run with a budget of %v did not end within %v", smokeBudget, c.host.limits.smoke), nil
	case err != nil || r.Failure != nil:
		return "", r.Failure, wrap("smoke run", err)
	}
	f, err := c.tryScore(ctx, s, r.Model)
	return commandGraph, f, wrap("smoke run", err)
}

func (c *Command) tryScore(ctx context.Context, s SmokeSpec, bundle string) (*experiment.Failure, error) {
	m, err := manifestAt(s.Evaluator)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(s.Dir, "bundle-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := readBundle(dir, bundle); err != nil {
		return nil, err
	}
	train, err := readTokens(filepath.Join(s.Train, "train.bin"), m.Data.Vocab)
	if err != nil {
		return nil, err
	}
	n := min(smokeWindows, len(train)/(m.Window+1))
	if n == 0 {
		return nil, fmt.Errorf("the training text has %d tokens, not one window of %d", len(train), m.Window+1)
	}
	text := scorer.Text{Tokens: train[:n*(m.Window+1)], Positions: m.Window, Vocab: m.Data.Vocab, Bytes: int64(n * m.Window)}
	m.Lie = 10 // any number of passes will do: nothing is decided here
	job, err := c.job(m, EvaluateSpec{Cores: s.Cores, Memory: s.Memory, Log: s.Log}, dir, text, scorer.DecoysFrom(train), scorer.Secret())
	if err != nil {
		return nil, err
	}
	job.Passes, job.Limit = 1, c.host.limits.smoke
	r, err := scorer.Run(ctx, job)
	return r.Failure, err
}
