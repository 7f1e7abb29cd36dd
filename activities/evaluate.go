package activities

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/target"
)

// ErrModelLost says that an exported model is nowhere any more, or is not the
// one that was trained. It is not retried: the run has to be trained again.
const ErrModelLost = "ModelLost"

// Evaluate measures an exported model with a program of ours, built from the
// campaign's base, on the validation split. It runs none of the candidate's
// code. The score is stored once, as evaluation.json; whoever asks again gets it.
func (a *Train) Evaluate(ctx context.Context, in EvaluateInput) (EvaluateResult, error) {
	r, err := a.evaluate(ctx, in)
	return r, edge(err)
}

func (a *Train) evaluate(ctx context.Context, in EvaluateInput) (EvaluateResult, error) {
	result := EvaluateResult{Measurement: in.Measurement}
	if err := checkNumbers(in.Campaign, in.Number, in.Run); err != nil || in.Measurement.Failure != nil {
		return result, err // a run that failed has no model to measure
	}
	if err := a.checkDevice(in.Campaign); err != nil {
		return result, err
	}
	run := attempts{a.Home, in.Campaign.Tag(), in.Number, in.Revision, in.Run}
	key := run.key("evaluation.json")
	if found, err := readJSON(ctx, a.Store, key, &result); found || err != nil {
		return result, err
	}
	beat := beat(ctx, Progress{
		Step: in.Measurement.Steps, ChargedSeconds: in.Measurement.ChargedSeconds, BudgetSeconds: in.Campaign.Settings.Budget.Seconds(),
	})
	defer beat.stop()
	running, cancel := untilWorkerStops(ctx)
	defer cancel()
	score, spent, err := a.score(running, in, run)
	if err != nil {
		return result, fmt.Errorf("evaluating experiment %d, run %d: %w", in.Number, in.Run, stopped(running, err))
	}
	m := &result.Measurement
	m.ValBpb, m.AuditBpb, m.EvalSeconds, m.GraphDigest, m.Failure = score.ValBpb, score.AuditBpb, inMillis(score.Seconds), score.GraphDigest, score.Failure
	m.SlotSeconds = inMillis(spent.Seconds())
	if score.Failure != nil {
		m.ValBpb, m.AuditBpb = 0, 0 // JSON has no NaN
	} else if score.Parameters > 0 {
		m.Parameters = score.Parameters // counted by us
	}
	if err := putOnceJSON(ctx, a.Store, key, &result); err != nil {
		return result, fmt.Errorf("storing the score of experiment %d, run %d: %w", in.Number, in.Run, err)
	}
	run.remove()
	return result, nil
}

// score runs the evaluator, alone on the slot. Spent is how long the run has had
// slots in all: from the start of its training to now, the moment in between
// included, if both were here, and else the one time and the other.
func (a *Train) score(ctx context.Context, in EvaluateInput, run attempts) (score target.Score, spent time.Duration, err error) {
	release, err := a.takeRun(ctx, run)
	if err != nil {
		return score, 0, err
	}
	defer release()
	a.Tenancy.evaluate(run.prefix())
	defer func() {
		var whole bool
		if spent, whole = a.Tenancy.evaluated(run.prefix(), err == nil); !whole {
			spent += time.Duration(in.Measurement.SlotSeconds * float64(time.Second))
		}
	}()
	if a.GPU == nil {
		score, err = a.runEvaluator(ctx, in, run, nil)
		return score, 0, err
	}
	score, err = a.GPU.evaluate(ctx, func(gpu *target.GPU) (target.Score, error) { return a.runEvaluator(ctx, in, run, gpu) })
	return score, 0, err
}

// runEvaluator builds and runs the program that scores a model.
func (a *Train) runEvaluator(ctx context.Context, in EvaluateInput, run attempts, gpu *target.GPU) (target.Score, error) {
	t, err := a.target(in.Campaign)
	if err != nil {
		return target.Score{}, err
	}
	evaluator, failure, err := build(ctx, a.Home, a.Store, t, in.Campaign.Evaluator, target.Evaluator.On(gpu != nil))
	if failure != nil {
		err = refuse(ErrTarget, "the evaluator of target %s does not build: %s", t.Name(), failure.Message)
	}
	if err != nil {
		return target.Score{}, err
	}
	data, err := fetchData(ctx, a.Home, a.Store, in.Campaign.Data)
	if err != nil {
		return target.Score{}, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(filepath.Dir(run.prefix())), ".evaluate-")
	if err != nil {
		return target.Score{}, fmt.Errorf("making a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	model, err := a.model(ctx, in, run, dir)
	if err != nil {
		return target.Score{}, err
	}
	audit := ""
	if in.Audit && isDir(filepath.Join(data, "audit")) { // a corpus that was made earlier may have none
		audit = filepath.Join(data, "audit")
	}
	var log bytes.Buffer
	score, err := t.Evaluate(ctx, target.EvaluateSpec{
		ID: a.slotID() + filepath.Base(dir), Evaluator: evaluator, Model: model, Val: filepath.Join(data, "val"), Audit: audit, Reference: in.Reference,
		Proved: in.GraphDigest, Cores: a.cores(in.Campaign), Memory: a.Memory, GPU: gpu, Dir: dir, Log: &log,
	})
	if log.Len() > 0 && ctx.Err() == nil {
		err = errors.Join(err, putText(ctx, a.Store, run.key("evaluate.log"), log.Bytes()))
	}
	return score, err
}

// model finds the exported model: where it was trained if that was here, and
// else in the artifact store.
func (a *Train) model(ctx context.Context, in EvaluateInput, run attempts, tmp string) (string, error) {
	for _, n := range run.list() {
		path := filepath.Join(run.dir(n), "model.safetensors")
		if f, err := target.OpenRegular(path); err == nil {
			digest, err := copyDigest(io.Discard, f)
			f.Close()
			if err == nil && digest == in.Model {
				return path, nil
			}
		}
	}
	key := run.key("model.safetensors")
	r, err := a.Store.Open(ctx, key)
	if errors.Is(err, artifact.ErrNotFound) {
		return "", refuse(ErrModelLost, "the model %s is neither on this host nor in the artifact store: train the run again", short(in.Model))
	}
	if err != nil {
		return "", err
	}
	defer r.Close()
	path := filepath.Join(tmp, "model.safetensors")
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	digest, err := copyDigest(f, r)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("fetching the model: %w", err)
	}
	if digest != in.Model {
		return "", refuse(ErrModelLost, "the artifact %s is not the model %s that was trained, but %s: train the run again", key, short(in.Model), short(digest))
	}
	return path, nil
}
