package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Charged time, as seen from outside the trainer:
//
//	charged = carried + (CPU of the process tree since exec - start) / cores
//
// start is what the harness used before it handed over to the candidate's
// code. Only the harness knows it, so the trainer's own figures are taken, but
// for at most startAllowance: whatever it claims, charged stays between the
// charge with all of the allowance and the charge without any.
//
// On a GPU
//
//	charged = carried + wall time since exec - start
//
// where start has room for what a process there begins with (a context, kernels
// to compile, memory to take): up to gpuAllowance. harness/clock.go says what
// exactly it takes off, and has the same bounds.
const (
	startAllowance = time.Second      // of CPU time
	gpuAllowance   = 10 * time.Second // of wall time
)

// A trainer ends by its own clock. It is stopped, and failed, when it goes
// beyond budgetSlack of its budget plus a second for the export of small runs,
// or beyond wallSlack of it in wall time.
// On a GPU the disk's time for the export is charged, too.
const (
	budgetSlack   = 1.05
	exportTime    = time.Second
	gpuExportTime = 5 * time.Second
	wallSlack     = 10
)

// trainerArgs are the arguments that every trainer gets.
func trainerArgs(dir, data string, seed uint64, cores int, memory int64) []string {
	args := []string{"--run", dir, "--data", data, "--seed", strconv.FormatUint(seed, 10), "--cores", strconv.Itoa(cores)}
	if memory > 0 {
		args = append(args, "--memory", strconv.FormatInt(memory, 10))
	}
	return args
}

// Train implements Target.
func (g *GoGPT) Train(ctx context.Context, s TrainSpec, report func(Progress)) (Record, error) {
	if s.Log == nil {
		s.Log = io.Discard
	}
	s.Memory = memoryOr(s.Memory)
	if err := absolute(&s.Program, &s.Dir, &s.Train); err != nil {
		return Record{}, err
	}
	if _, err := os.Stat(s.Train); err != nil {
		return Record{}, fmt.Errorf("training in %s: the training data are missing: %w", s.Dir, err)
	}
	from, wall, err := earlier(s.Resume)
	if err != nil {
		return Record{}, fmt.Errorf("looking for checkpoints of earlier attempts: %w", err)
	}
	for _, c := range append(from, checkpoint{}) { // the last resort is a fresh start
		record, bad, err := g.attempt(ctx, s, c, wall, report)
		if !bad || err != nil {
			return record, wrap("training in "+s.Dir, err)
		}
		fmt.Fprintf(s.Log, "the checkpoint of step %d cannot be used; trying an older one\n", c.step)
	}
	return Record{}, fmt.Errorf("training in %s: no attempt was made", s.Dir) // not reached: a fresh start has no bad checkpoint
}

// attempt runs the trainer from one checkpoint. wall is what earlier attempts
// took. bad reports that the checkpoint cannot be used.
func (g *GoGPT) attempt(ctx context.Context, s TrainSpec, from checkpoint, wall time.Duration, report func(Progress)) (r Record, bad bool, err error) {
	args := append(trainerArgs(s.Dir, s.Train, s.Seed, s.Cores, s.Memory), "--budget", s.Budget.String())
	from, err = from.adopt(s.Dir)
	if err != nil {
		return r, false, err
	}
	if from.step > 0 {
		args = append(args, "--resume", from.path, "--charged", from.Charged.String())
	}
	if err := clearResults(s.Dir); err != nil {
		return r, false, err
	}
	w, err := newWatcher(s, g.limits, from, report)
	if err != nil {
		return r, false, err
	}
	defer w.journal.close()
	run := sandbox.Spec{
		ID: idOr(s.ID), Path: s.Program, Args: args, Dir: s.Dir, Cores: s.Cores, Memory: s.Memory,
		ReadOnly: []string{s.Train}, Disk: runDisk, Processes: runProcesses,
		Log: s.Log, Grace: g.limits.grace, Watch: w.watch,
	}
	onGPU, err := s.GPU.give(&run, false)
	if err != nil {
		return r, false, err
	}
	run.Args = append(run.Args, onGPU...)
	o, err := g.sandbox.Run(ctx, run)
	if err != nil {
		return r, false, err
	}
	end := w.finish(o)
	if end.badCheckpoint && from.step > 0 {
		return r, true, os.Remove(from.path)
	}
	if end.badCheckpoint {
		end.failure = &experiment.Failure{Reason: experiment.RunFailed, Message: "the program complains about a checkpoint that it was not given"}
	}
	return w.record(o, end, wall), false, end.err
}

// watcher supervises one trainer process. Its methods are called from one goroutine.
type watcher struct {
	spec    TrainSpec
	limits  limits
	from    checkpoint
	metrics *metricsTail
	journal *journal
	report  func(Progress)

	last     metrics // the newest line
	lastAt   time.Duration
	reported time.Duration // wall time of the last report
	peak     int64
	memory   int64 // bytes held at the last sample
	held     int64 // and at the one before the newest line was there
}

func newWatcher(s TrainSpec, l limits, from checkpoint, report func(Progress)) (*watcher, error) {
	j, err := openJournal(s.Dir)
	if err != nil {
		return nil, err
	}
	// The first entry is there before the process is, so that a checkpoint has
	// a price even if everything is killed before the first sample.
	start := entry{Charged: from.Charged, Peak: from.Peak}
	if newest := newestCheckpoint(s.Dir); from.step > 0 { // it lies in our directory now
		start.Checkpoint, start.Modified = newest.Checkpoint, newest.Modified
	}
	if err := j.add(start); err != nil {
		return nil, errors.Join(err, j.f.Close())
	}
	return &watcher{
		spec: s, limits: l, from: from, report: report, journal: j, reported: -time.Hour,
		metrics: &metricsTail{path: filepath.Join(s.Dir, metricsFile)},
	}, nil
}

// charge returns the time charged to the run when this process has used so much
// and claims to be charged for claimed.
func (w *watcher) charge(cpu, wall time.Duration, claimed float64) time.Duration {
	cores := time.Duration(max(1, w.spec.Cores))
	low := w.from.Charged + max(0, cpu-startAllowance)/cores
	high := w.from.Charged + cpu/cores
	if w.spec.GPU != nil {
		low, high = w.from.Charged+max(0, wall-gpuAllowance), w.from.Charged+wall
	}
	if !(claimed >= 0 && claimed < 1e9) {
		return high
	}
	return min(max(time.Duration(claimed*float64(time.Second)), low), high)
}

// watch looks after a sample: it stops what will not end by itself, and records
// what the next attempt needs to know.
func (w *watcher) watch(s sandbox.Sample) error {
	if m, ok := w.metrics.read(); ok {
		w.last, w.lastAt, w.held = m, s.Wall, w.memory
	}
	w.memory = s.Memory
	charged := w.charge(s.CPU, s.Wall, w.last.Charged)
	w.peak = max(w.peak, s.Memory)
	if err := w.note(charged, s.Wall); err != nil {
		return fmt.Errorf("recording the time charged: %w", err)
	}
	if s.Wall-w.reported >= time.Second-sampleJitter && w.report != nil {
		w.reported = s.Wall
		w.report(Progress{Step: w.last.Step, Loss: w.last.Loss, ChargedSeconds: charged.Seconds(), TokensPerSec: w.last.TokensPerSecond, ResumedFrom: w.from.step})
	}
	if f := w.overdue(s); f != nil {
		return &stop{f}
	}
	if g := w.spec.GPU; g != nil && g.Watch != nil && s.PID != 0 {
		if err := g.Watch(s.PID); err != nil {
			return &void{err}
		}
	}
	return nil
}

// sampleJitter lets samples that come a little early count for their second.
const sampleJitter = 50 * time.Millisecond

// overdue is the failure of a trainer that should have ended, or stepped, by now.
func (w *watcher) overdue(s sandbox.Sample) *experiment.Failure {
	budget := w.spec.Budget.Std()
	// A run writes about a thousand lines, so that those of a long one are far
	// apart on a busy machine.
	hang := w.limits.hang + wallSlack*budget/1000
	charged := w.charge(s.CPU, s.Wall, 0) // with all of the allowance
	switch {
	case charged > w.hardStop():
		return timeout("the run used %.1f s of its budget of %.1f s and did not end; the last step was %d", charged.Seconds(), budget.Seconds(), w.last.Step)
	case s.Wall > wallSlack*budget+w.limits.wall:
		return timeout("the run did not end within %.0f s; the last step was %d", s.Wall.Seconds(), w.last.Step)
	case s.Wall-w.lastAt > hang:
		return timeout("no step for %.0f s after step %d: the run hangs", (s.Wall - w.lastAt).Seconds(), w.last.Step)
	}
	return nil
}

// hardStop is the charge at which a run is ended that has not done so itself.
func (w *watcher) hardStop() time.Duration {
	if w.spec.GPU != nil {
		return hardStop(w.spec.Budget.Std()) - exportTime + gpuExportTime
	}
	return hardStop(w.spec.Budget.Std())
}

func hardStop(budget time.Duration) time.Duration {
	return time.Duration(budgetSlack*float64(budget)) + exportTime
}

// peakBytes is the peak of the run so far: of memory as we saw it, or of a GPU's as
// the trainer says, whose allocations go through our own code alone.
func (w *watcher) peakBytes() int64 {
	peak := w.peak
	if w.spec.GPU != nil {
		peak = w.last.GPUMemory
	}
	return max(peak, w.from.Peak)
}

// note writes the journal: at each new checkpoint, and every second.
func (w *watcher) note(charged, wall time.Duration) error {
	e := entry{Charged: charged, Wall: wall, Peak: w.peakBytes()}
	if newest := newestCheckpoint(w.spec.Dir); newest.step > 0 {
		e.Checkpoint, e.Modified = newest.Checkpoint, newest.Modified
	}
	return w.journal.note(e)
}

// finish takes the last figures and says how the run ended.
func (w *watcher) finish(o sandbox.Outcome) end {
	if m, ok := w.metrics.read(); ok {
		w.last, w.held = m, w.memory
	}
	w.peak = max(w.peak, o.PeakBytes)
	e := ended(o, w.spec.Dir, w.spec.GPU != nil)
	said := claims{done: e.done, last: w.last, contradicted: w.metrics.wrong}
	if e.done != nil {
		w.last.Charged, w.last.GPUMemory = e.done.ChargedSeconds, max(w.last.GPUMemory, e.done.GPUMemory)
	}
	charged := w.charge(o.CPU, o.Wall, w.last.Charged)
	if err := w.note(charged, o.Wall); err != nil && e.err == nil {
		e = end{err: fmt.Errorf("recording the time charged: %w", err)}
	}
	if errors.Is(e.err, errKilled) {
		e = w.killed(e)
	}
	if e.done != nil && w.charge(o.CPU, o.Wall, 0) > w.hardStop() {
		e = end{failure: timeout("the run used %.1f s of its budget of %.1f s", charged.Seconds(), w.spec.Budget.Seconds())}
	}
	return w.believe(e, said, o)
}

// killed counts an attempt that a signal has ended.
func (w *watcher) killed(e end) end {
	last := w.journal.last
	last.Killed = true
	if err := w.journal.add(last); err != nil {
		return end{err: fmt.Errorf("recording the end of the attempt: %w", err)}
	}
	if n := 1 + kills(w.spec.Resume); n >= maxKills {
		return end{failure: &experiment.Failure{Reason: experiment.RunFailed, Message: fmt.Sprintf("%d attempts at the run were ended by a signal, and not by us; the last step was %d", n, w.last.Step)}}
	}
	return e
}

// believe holds what the trainer says against what was measured. A run that
// failed anyway keeps its failure, but not figures that cannot be.
func (w *watcher) believe(e end, said claims, o sandbox.Outcome) end {
	m := measured{
		low: w.charge(o.CPU, o.Wall, 0), high: w.charge(o.CPU, o.Wall, -1), computing: w.computing(o), held: w.held, peak: w.peak,
	}
	if info, err := os.Lstat(filepath.Join(w.spec.Dir, modelFile)); err == nil {
		m.model = info.Size()
	}
	f := plausible(said, m)
	if f == nil && e.done != nil {
		f = strays(w.spec.Dir)
	}
	if f == nil {
		return e
	}
	w.last = metrics{Charged: -1, GPUMemory: w.last.GPUMemory} // nothing of it: the charge is what was used, all of it
	if e.done != nil {
		e = end{failure: f}
	}
	return e
}

// computing is the time in which something can have been computed: of the CPU, or
// of a GPU, by all attempts.
func (w *watcher) computing(o sandbox.Outcome) time.Duration {
	high := w.charge(o.CPU, o.Wall, -1)
	if w.spec.GPU != nil {
		return high + gpuAllowance
	}
	return high*time.Duration(max(1, w.spec.Cores)) + startAllowance
}

// record sums up the run over all attempts.
func (w *watcher) record(o sandbox.Outcome, e end, wall time.Duration) Record {
	r := Record{
		ChargedSeconds: w.charge(o.CPU, o.Wall, w.last.Charged).Seconds(), WallSeconds: (wall + o.Wall).Seconds(),
		Tokens: w.last.Tokens, Steps: w.last.Step, PeakBytes: w.peakBytes(),
		ResumedFrom: w.from.step, Failure: e.failure, LogTail: o.Tail, Sandbox: o.Isolation, Class: CPUClass(w.spec.Cores),
	}
	if w.spec.GPU != nil {
		r.Class = w.spec.GPU.Class
	}
	if e.done != nil {
		r.Steps, r.Tokens, r.Parameters = e.done.Steps, e.done.Tokens, e.done.Parameters
		r.Model = filepath.Join(w.spec.Dir, modelFile)
	}
	return r
}
