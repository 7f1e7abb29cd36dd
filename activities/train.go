package activities

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/activities/target/filelock"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Train serves one training slot: the activities Train and Evaluate. It needs
// the artifact store and a cache directory, nothing of the research worker's,
// and may run on any host.
//
// A run is paid for once. Its record, run-<k>.json, is written when everything
// else of it is stored, and whoever asks again gets that; but for a model that
// was lost with the disk it was on (TrainInput.Again). A run that was cut
// short goes on from its last checkpoint, in a directory of its own. One that a
// GPU has spoilt is no run at all, and is done again (gpu_run.go).
//
// A process may serve several slots, each with a Train of its own over the same
// home. One lock per slot sees to it that nothing else trains there meanwhile,
// and whoever gets the lock first ends what a killed worker may have left. The
// caches they share have locks of their own.
type Train struct {
	Home    experiment.Home
	Store   artifact.Store
	Targets func(name string) (target.Target, error)
	Sandbox sandbox.Sandbox // ends leftovers; nil is the default of this machine
	Slot    string          // the slot's own task queue; no other slot of the home has it
	Cores   int             // of the slot, for campaigns that do not say; at least 1
	Memory  int64           // bytes a run may hold; 0 leaves it to the target
	GPU     *GPU            // of the slot; nil is the CPU
	Tenancy Tenancy         // who has the slot, and since when
}

// runRecord is what run-<k>.json holds.
type runRecord struct {
	TrainResult
	Source  string   `json:"source,omitempty"`   // digest of what was trained; runs of old have none
	LogTail []string `json:"log_tail,omitempty"` // of a run that failed
}

// Train trains a candidate until its budget is spent.
func (a *Train) Train(ctx context.Context, in TrainInput) (TrainResult, error) {
	r, err := a.train(ctx, in)
	return r.TrainResult, edge(err)
}

func (a *Train) train(ctx context.Context, in TrainInput) (runRecord, error) {
	if err := checkNumbers(in.Campaign, in.Number, in.Run); err != nil {
		return runRecord{}, err
	}
	if err := a.checkDevice(in.Campaign); err != nil {
		return runRecord{}, err
	}
	run := attempts{a.Home, in.Campaign.Tag(), in.Number, in.Revision, in.Run}
	if record, found, err := a.recorded(ctx, in, run); found || err != nil {
		return record, err
	}
	beat := beat(ctx, Progress{BudgetSeconds: in.Campaign.Settings.Budget.Seconds()})
	defer beat.stop()
	running, cancel := untilWorkerStops(ctx)
	defer cancel()
	release, err := a.takeRun(running, run)
	if err != nil {
		return runRecord{}, stopped(running, err)
	}
	defer release()
	// An attempt that was taken for dead may have finished while we waited.
	if record, found, err := a.recorded(ctx, in, run); found || err != nil {
		return record, err
	}
	idle := a.Tenancy.train(run.prefix())
	good := false
	defer func() { a.Tenancy.trained(good) }()
	var result target.Record
	var seen *experiment.GPU
	if a.GPU != nil {
		result, seen, err = a.onGPU(running, in, run, beat)
	} else {
		result, err = a.attempt(running, in, run, beat, nil)
	}
	if err != nil {
		return runRecord{}, fmt.Errorf("training experiment %d, run %d: %w", in.Number, in.Run, stopped(running, err))
	}
	// From here on the worker's stopping does not matter: the run is over, and
	// to store it takes a moment.
	record, err := a.keep(ctx, in, run, result, seen, idle)
	good = err == nil && record.Measurement.Failure == nil
	return record, err
}

// recorded finds a run that is over. One of other sources is another candidate's,
// and its score would be taken for this one's.
func (a *Train) recorded(ctx context.Context, in TrainInput, run attempts) (record runRecord, found bool, err error) {
	key := run.record(in.Again)
	found, err = readJSON(ctx, a.Store, key, &record)
	if err == nil && found && record.Source != "" && record.Source != in.Source {
		err = refuse(ErrInvalidInput, "experiment %d, run %d is to train the sources %s, and %s is the record of a run of %s; move that file away to train them",
			in.Number, in.Run, short(in.Source), key, short(record.Source))
	}
	if err != nil {
		return runRecord{}, false, err
	}
	return record, found, nil
}

// checkDevice refuses a run that has come to the wrong kind of slot: its scores
// would not compare with the others'.
func (a *Train) checkDevice(c experiment.Campaign) error {
	if on := a.GPU != nil; on != c.Settings.OnGPU() {
		return refuse(ErrInvalidInput, "campaign %s trains on %s, and the slot %s does not", c.Tag(), cmp.Or(c.Settings.Device, experiment.CPU), a.Slot)
	}
	return nil
}

// attempt runs the candidate, from where earlier attempts have come to. gpu is
// nil on the CPU.
func (a *Train) attempt(ctx context.Context, in TrainInput, run attempts, beat *heartbeat, gpu *target.GPU) (target.Record, error) {
	t, err := a.target(in.Campaign)
	if err != nil {
		return target.Record{}, err
	}
	if gpu != nil { // what the base compiles serves others: the evaluator is built from it, too
		gpu.Trusted = in.Number == 0
	}
	program, failure, err := build(ctx, a.Home, a.Store, t, in.Source, target.Candidate.On(gpu != nil))
	if failure != nil || err != nil {
		return target.Record{Failure: failure}, err
	}
	data, err := fetchData(ctx, a.Home, a.Store, in.Campaign.Data)
	if err != nil {
		return target.Record{}, err
	}
	dir, earlier, err := run.next()
	if err != nil {
		return target.Record{}, err
	}
	log, err := os.Create(logOfAttempt(dir))
	if err != nil {
		return target.Record{}, fmt.Errorf("opening the run's log: %w", err)
	}
	defer log.Close()
	budget := in.Campaign.Settings.Budget
	return t.Train(ctx, target.TrainSpec{
		ID: a.slotID() + filepath.Base(filepath.Dir(dir)) + "/" + filepath.Base(dir), Program: program, Dir: dir,
		Train: filepath.Join(data, "train"), Seed: in.Seed, Budget: budget, Cores: a.cores(in.Campaign), Memory: a.Memory,
		Resume: earlier, GPU: gpu, Log: log,
	}, func(p target.Progress) {
		beat.set(Progress{
			Step: p.Step, Loss: p.Loss, ChargedSeconds: p.ChargedSeconds, BudgetSeconds: budget.Seconds(),
			TokensPerSec: p.TokensPerSec, Resumed: p.ResumedFrom,
		})
	})
}

// cores are those that charged time is divided by: the campaign's, so that its
// results compare whatever slot they come from.
func (a *Train) cores(c experiment.Campaign) int {
	if c.Settings.Cores > 0 {
		return c.Settings.Cores
	}
	return max(1, a.Cores)
}

// keep stores a run: its files first, its record last.
func (a *Train) keep(ctx context.Context, in TrainInput, run attempts, r target.Record, seen *experiment.GPU, idle time.Duration) (runRecord, error) {
	record := runRecord{Source: in.Source, TrainResult: TrainResult{
		Slot: a.Slot,
		Measurement: experiment.Measurement{
			Seed: in.Seed, ChargedSeconds: inMillis(r.ChargedSeconds), WallSeconds: inMillis(r.WallSeconds), Tokens: r.Tokens, Steps: r.Steps,
			Parameters: r.Parameters, PeakBytes: r.PeakBytes, Attempts: max(1, run.count()), Failure: r.Failure,
			IdleSeconds: inMillis(idle.Seconds()), Slot: a.Slot, Class: r.Class, Sandbox: r.Sandbox, GPU: seen,
		},
	}}
	if r.Class == "" && a.GPU != nil {
		record.Measurement.Class = a.GPU.Class
	} else if r.Class == "" {
		record.Measurement.Class = target.CPUClass(a.cores(in.Campaign))
	}
	if r.Failure != nil {
		record.LogTail = r.LogTail
	}
	err := run.store(ctx, a.Store)
	if err == nil && r.Failure == nil {
		record.Model, err = storeModel(ctx, a.Store, run.key("model.safetensors"), r.Model)
	}
	if err == nil {
		// From taking the slot until now; Evaluate counts on. What this run is
		// fetched and built for is the slot's time too.
		record.Measurement.SlotSeconds = inMillis(a.Tenancy.busy().Seconds())
		err = putOnceJSON(ctx, a.Store, run.record(in.Again), &record)
	}
	if err != nil {
		return runRecord{}, fmt.Errorf("storing experiment %d, run %d: %w", in.Number, in.Run, err)
	}
	// Evaluate will want the model, and nothing else. What cannot be removed
	// costs space only.
	if record.Measurement.Failure != nil {
		run.remove()
	} else {
		run.removeCheckpoints()
	}
	return record, nil
}

// storeModel returns the model's sha256. What is hashed is what is stored.
func storeModel(ctx context.Context, store artifact.Store, key, path string) (digest string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if err := store.Put(ctx, key, io.TeeReader(f, sum)); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// copyDigest copies and returns the sha256 of what it copied.
func copyDigest(w io.Writer, r io.Reader) (string, error) {
	sum := sha256.New()
	_, err := io.Copy(io.MultiWriter(w, sum), r)
	return hex.EncodeToString(sum.Sum(nil)), err
}

func (a *Train) target(c experiment.Campaign) (target.Target, error) {
	t, err := a.Targets(c.Settings.Target)
	if err != nil {
		return nil, refuse(ErrInvalidSettings, "target of campaign %s: %w", c.Tag(), err)
	}
	return t, nil
}

// takeRun waits until nobody in this process works on the run, and then for the
// slot. In this order: a run that waits for its slot may hold back itself only.
func (a *Train) takeRun(ctx context.Context, run attempts) (release func(), err error) {
	turn, err := underWay.take(ctx, run.prefix())
	if err != nil {
		return nil, err
	}
	slot, err := a.takeSlot(ctx)
	if err != nil {
		turn()
		return nil, err
	}
	return func() { slot(); turn() }, nil
}

// ClearSlot ends what a killed worker has left on a slot, while nobody works
// there. A slot that is in use clears itself, before each run.
func ClearSlot(ctx context.Context, a *Train) error {
	release, err := a.takeSlot(ctx)
	if err == nil {
		release()
	}
	return err
}

// takeSlot waits for the slot to be free and makes sure that it is empty.
func (a *Train) takeSlot(ctx context.Context) (release func(), err error) {
	runs := filepath.Dir(filepath.Dir(a.Home.Run("x", 0, 0, 0, 0)))
	if err := os.MkdirAll(runs, 0o755); err != nil {
		return nil, fmt.Errorf("making the directory of runs: %w", err)
	}
	release, err = filelock.Lock(ctx, filepath.Join(runs, ".slot-"+filepath.Base(a.slotID())))
	if err != nil {
		return nil, fmt.Errorf("taking the slot %s: %w", a.Slot, err)
	}
	if err := sandbox.OrDefault(a.Sandbox).Clear(ctx, a.slotID()); err != nil {
		release()
		return nil, fmt.Errorf("taking the slot %s: %w", a.Slot, err)
	}
	return release, nil
}

// slotID marks the processes of this slot; no other slot of the machine has it,
// in this home or in another.
func (a *Train) slotID() string {
	home, err := filepath.Abs(string(a.Home))
	if err != nil {
		home = string(a.Home)
	}
	return digestOf([]byte(home + "\x00" + a.Slot))[:16] + "/"
}
