package target

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Train implements Target: the train command, charged from outside like our own
// trainer and with the same limits. The exported model is a bundle, which we
// make when the program has ended: what it left as {model}, and the program that
// is going to read it.
func (c *Command) Train(ctx context.Context, s TrainSpec, report func(Progress)) (Record, error) {
	if s.Log == nil {
		s.Log = io.Discard
	}
	s.Memory = memoryOr(s.Memory)
	if err := absolute(&s.Program, &s.Dir, &s.Train); err != nil {
		return Record{}, err
	}
	m, err := manifestAt(s.Program)
	if err != nil {
		return Record{}, fmt.Errorf("training in %s: %w", s.Dir, err)
	}
	list, wall, err := earlier(s.Resume)
	if err != nil {
		return Record{}, fmt.Errorf("looking for checkpoints of earlier attempts: %w", err)
	}
	from := checkpoint{} // without one, a fresh start
	if len(list) > 0 {
		from = list[0]
	}
	r, err := c.attempt(ctx, m, s, from, wall, report)
	return r, wrap("training in "+s.Dir, err)
}

// commandRun supervises one run of a train command.
type commandRun struct {
	spec     TrainSpec
	limits   limits
	from     checkpoint
	journal  *journal
	metrics  *metricsTail
	last     metrics
	reported time.Duration
	report   func(Progress)
	peak     int64
}

func (c *Command) attempt(ctx context.Context, m Manifest, s TrainSpec, from checkpoint, wall time.Duration, report func(Progress)) (Record, error) {
	from, err := from.adopt(s.Dir)
	if err != nil {
		return Record{}, err
	}
	run := &commandRun{spec: s, limits: c.host.limits, from: from, report: report, reported: -time.Hour, metrics: &metricsTail{path: filepath.Join(s.Dir, metricsFile)}}
	if run.journal, err = openJournal(s.Dir); err != nil {
		return Record{}, err
	}
	defer run.journal.close()
	if err := run.journal.add(run.entry(from.Charged, 0)); err != nil {
		return Record{}, err
	}
	made := filepath.Join(s.Dir, commandModel)
	w := words(s.Cores, s.Memory, made)
	w["run"], w["data"], w["seed"] = s.Dir, s.Train, strconv.FormatUint(s.Seed, 10)
	w["budget"], w["charged"], w["resume"] = s.Budget.String(), from.Charged.String(), from.path
	spec, err := m.spec(m.Train, programDir(s.Program), s.Dir, w)
	if err != nil {
		return Record{}, err
	}
	spec.ID, spec.Cores, spec.Memory, spec.Log = idOr(s.ID), s.Cores, s.Memory, s.Log
	spec.ReadOnly, spec.Grace, spec.Watch = append(spec.ReadOnly, s.Train), c.host.limits.grace, run.watch
	o, err := c.host.sandbox.Run(ctx, spec)
	if err != nil {
		return Record{}, err
	}
	return run.finish(o, programDir(s.Program), made, wall)
}

// commandModel is what {model} names in the run's directory.
const commandModel = "model"

func (r *commandRun) charge(cpu time.Duration) time.Duration {
	return r.from.Charged + cpu/time.Duration(max(1, r.spec.Cores))
}

func (r *commandRun) entry(charged, wall time.Duration) entry {
	e := entry{Charged: charged, Wall: wall, Peak: max(r.peak, r.from.Peak)}
	if newest := newestCheckpoint(r.spec.Dir); newest.step > 0 {
		e.Checkpoint = filepath.Base(newest.path)
	}
	return e
}

// watch looks after a sample.
func (r *commandRun) watch(s sandbox.Sample) error {
	if m, ok := r.metrics.read(); ok {
		r.last = m
	}
	charged, budget := r.charge(s.CPU), r.spec.Budget.Std()
	r.peak = max(r.peak, s.Memory)
	if err := r.journal.note(r.entry(charged, s.Wall)); err != nil {
		return fmt.Errorf("recording the time charged: %w", err)
	}
	if s.Wall-r.reported >= time.Second-sampleJitter && r.report != nil {
		r.reported = s.Wall
		r.report(Progress{Step: r.last.Step, Loss: r.last.Loss, ChargedSeconds: charged.Seconds(), TokensPerSec: r.last.TokensPerSecond, ResumedFrom: r.from.step})
	}
	switch {
	case charged > hardStop(budget):
		return &stop{timeout("the run used %.1f s of its budget of %.1f s and did not end", charged.Seconds(), budget.Seconds())}
	case s.Wall > wallSlack*budget+r.limits.wall:
		return &stop{timeout("the run did not end within %.0f s", s.Wall.Seconds())}
	}
	return nil
}

// finish says how the run ended and bundles what it left.
func (r *commandRun) finish(o sandbox.Outcome, program, made string, wall time.Duration) (Record, error) {
	if m, ok := r.metrics.read(); ok {
		r.last = m
	}
	r.peak = max(r.peak, o.PeakBytes)
	charged, budget := r.charge(o.CPU), r.spec.Budget.Std()
	rec := Record{
		ChargedSeconds: charged.Seconds(), WallSeconds: (wall + o.Wall).Seconds(), Tokens: r.last.Tokens, Steps: r.last.Step,
		PeakBytes: max(r.peak, r.from.Peak), ResumedFrom: r.from.step, LogTail: o.Tail, Sandbox: o.Isolation, Class: CPUClass(r.spec.Cores),
	}
	if err := r.journal.note(r.entry(charged, o.Wall)); err != nil {
		return rec, fmt.Errorf("recording the time charged: %w", err)
	}
	if o.ExitCode != 0 || o.OutOfMemory || o.Stopped != nil {
		if o.ExitCode == 0 {
			o.ExitCode = exitStopped // what it left when it was stopped is not its result
		}
		e := ended(o, r.spec.Dir, false)
		if rec.Failure = e.failure; e.badCheckpoint {
			rec.Failure = &experiment.Failure{Reason: experiment.RunFailed, Message: lastWords(o)}
		}
		return rec, e.err
	}
	if charged > hardStop(budget) {
		rec.Failure = timeout("the run used %.1f s of its budget of %.1f s", charged.Seconds(), budget.Seconds())
		return rec, nil
	}
	info, err := os.Lstat(made)
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		rec.Failure = &experiment.Failure{Reason: experiment.NotExportable, Message: "the run left no model: the train command has to write it to the file that {model} names"}
		return rec, nil
	}
	if rec.Parameters, err = commandParameters(made); err != nil {
		return rec, err
	}
	rec.Model = filepath.Join(r.spec.Dir, modelFile)
	return rec, wrap("bundling the model", writeBundle(rec.Model, program, made))
}

// commandParameters is how many float32s the model's file has room for: what a
// program that is not ours has of parameters, nobody else can say. Nothing is
// decided by it.
func commandParameters(model string) (int64, error) {
	info, err := os.Stat(model)
	if err != nil {
		return 0, err
	}
	return max(1, info.Size()/4), nil
}
