package activities

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/gpu/health"
)

// A run on a GPU ends in one of four ways:
//
//	it counts          the candidate did it, well or badly
//	it is void         the GPU held it back, or was shared: done again, here
//	the GPU is busy    with somebody else's process: done again, when it is free or elsewhere
//	the GPU is unfit   goes on from its last checkpoint, elsewhere
//
// Only the first is charged and recorded.

// void says that a run does not count although its GPU can go on.
type void struct{ reason string }

func (v *void) Error() string { return "the run does not count: " + v.reason }

// sampleEvery is how often a GPU is looked at while a run has it.
const sampleEvery = time.Second

// onGPU trains until an attempt counts. It returns what was seen of the GPU.
func (a *Train) onGPU(ctx context.Context, in TrainInput, run attempts, beat *heartbeat) (target.Record, *experiment.GPU, error) {
	g := a.GPU
	release, err := g.use(ctx)
	if err != nil {
		return target.Record{}, nil, err
	}
	defer release()
	for {
		before, err := g.preflight(ctx)
		if err != nil {
			return target.Record{}, nil, err
		}
		w := &gpuRun{g: g, ctx: ctx, run: run.prefix(), budget: in.Campaign.Settings.Budget.Std(), seen: health.NewWatch(before)}
		r, err := a.attempt(ctx, in, run, beat, g.spec(w.look))
		err = g.judge(ctx, w, r.Failure, err)
		if w.spoilt {
			run.void() // its checkpoints have a price that nobody shall pay
		}
		var again *void
		switch {
		case errors.As(err, &again):
			if err := g.spoilt(again.reason); err != nil {
				return target.Record{}, nil, err
			}
			continue
		case errors.Is(err, target.ErrGPU) && run.tally(blameFile) >= maxBlames:
			g.counted(w.seen, &experiment.Failure{})
			r = target.Record{Failure: &experiment.Failure{Reason: experiment.RunFailed, Message: fmt.Sprintf("%d attempts ended with an error of the GPU, and no GPU has one: %v", maxBlames, err)}}
		case err != nil:
			return target.Record{}, nil, err
		}
		if peak := w.seen.PeakBytes(); peak > 0 {
			r.PeakBytes = peak
		}
		return r, w.figures(run.counted(voidFile)), nil
	}
}

// preflight is the last look before a run.
func (g *GPU) preflight(ctx context.Context) (before health.Snapshot, err error) {
	if lost := g.Host.Drained(); lost != "" {
		return before, g.unfit(health.Verdict{State: health.Lost, Reason: "the host takes no new work: " + lost})
	}
	if err := g.check(ctx, true); err != nil {
		return before, err
	}
	before, err = g.Look(ctx)
	if err != nil && ctx.Err() == nil {
		v := health.Unseen(err)
		g.believe(v)
		err = g.unfit(v)
	}
	return before, err
}

// gpuRun is one attempt at a run, as its GPU saw it. Its methods are called from
// one goroutine at a time.
type gpuRun struct {
	g      *GPU
	ctx    context.Context
	run    string // all attempts at the run have it
	budget time.Duration
	seen   *health.Watch
	last   time.Time
	mine   []int // processes of the run, where their ids do not tell
	spoilt bool  // what it has done must not be built on
}

// look is target.GPU.Watch.
func (w *gpuRun) look(pid int) error {
	if now := w.g.clock(); now.Sub(w.last) >= sampleEvery {
		w.last = now
	} else {
		return nil
	}
	s, err := w.g.Look(w.ctx)
	if w.ctx.Err() != nil {
		return nil // it is being stopped anyway
	}
	if err != nil {
		return w.g.unfit(health.Unseen(err))
	}
	if v := s.Lasting(); !v.OK() {
		return w.g.unfit(v)
	}
	ours := w.ours(s, pid)
	w.seen.Add(s, ours)
	if foreign := s.Foreign(ours); len(foreign) > 0 {
		return w.g.unfit(s.Judge(ours, 0))
	}
	if w.seen.Hopeless(health.DefaultLimits, w.budget) {
		return &void{w.seen.Void(health.Limits{Throttled: 0}, 0)}
	}
	return nil
}

// ours tells the processes of the run. Where ids do not tell, it is those that
// came first: before it began there were none.
func (w *gpuRun) ours(s health.Snapshot, pid int) func(int) bool {
	if health.PIDsTold() && pid > 0 {
		return func(other int) bool { return descends(other, pid) }
	}
	if len(w.mine) == 0 {
		for _, p := range s.Processes {
			w.mine = append(w.mine, p.PID)
		}
	}
	return func(other int) bool { return slices.Contains(w.mine, other) }
}

// descends says whether a process is another's descendant, or that one.
func descends(pid, of int) bool {
	for range 64 { // no tree of a run is as deep
		if pid == of {
			return true
		}
		if pid <= 1 {
			return false
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return false
		}
		// "12 (a name) S 7 ...": the name may hold anything.
		_, rest, _ := strings.Cut(string(b[max(0, strings.LastIndex(string(b), ")")):]), " ")
		fields := strings.Fields(rest)
		if len(fields) < 2 {
			return false
		}
		if pid, err = strconv.Atoi(fields[1]); err != nil {
			return false
		}
	}
	return false
}

// judge says whether an attempt counts: nil if it does, whether the candidate
// has failed or not; a *void, an *unfit, or what else went wrong.
func (g *GPU) judge(ctx context.Context, w *gpuRun, failure *experiment.Failure, err error) error {
	if ctx.Err() != nil {
		w.spoilt = w.seen.Void(health.DefaultLimits, 0) != ""
		return err
	}
	v := g.after(ctx, failure, err)
	if v.OK() && errors.Is(err, target.ErrGPU) {
		v = g.blame(ctx, w.run, err)
	}
	if v.State == health.Busy {
		w.spoilt = true
	}
	if !v.OK() {
		g.believe(v)
		return g.unfit(v)
	}
	var spoilt *void
	if errors.As(err, &spoilt) {
		w.spoilt = true
		return spoilt
	}
	if err != nil {
		g.doubt()
		return err
	}
	if failure == nil || failure.Reason == experiment.Timeout {
		if reason := w.seen.Void(health.DefaultLimits, g.clockOf()); reason != "" {
			w.spoilt = true
			return &void{reason}
		}
	}
	g.counted(w.seen, failure)
	return nil
}

// after is what a look and, where something went wrong, a test say of the GPU
// once a run has ended. Whose fault a failure is, they decide: a GPU on which
// nothing else fails was not the cause.
func (g *GPU) after(ctx context.Context, failure *experiment.Failure, err error) health.Verdict {
	s, unseen := g.Look(ctx)
	if v := health.Unseen(unseen); !v.OK() && ctx.Err() == nil {
		return v
	}
	if v := s.Lasting(); !v.OK() {
		return v
	}
	var found *unfit
	if errors.As(err, &found) {
		return found.verdict
	}
	if failure == nil {
		return health.Verdict{State: health.Healthy}
	}
	switch failure.Reason {
	case experiment.OOM:
		// The run is gone: whoever is left has the memory that it lacked.
		if v := g.vacant(ctx, 0); v.State == health.Busy && !s.Held.Back() {
			return v
		}
	case experiment.Timeout, experiment.RunFailed:
		if g.Test != nil {
			return g.testNow(ctx)
		}
	}
	return health.Verdict{State: health.Healthy}
}

// blame looks whether a GPU has the error that a run was told of. The run's word
// alone does not take a GPU out of use, since its program may say anything; but
// that of two different ones does. The driver's counters and its report (Xid) may
// come a little later than the error.
func (g *GPU) blame(ctx context.Context, run string, cause error) health.Verdict {
	if g.Test != nil {
		if v := g.testNow(ctx); !v.OK() || ctx.Err() != nil {
			return v
		}
	}
	s, err := g.Look(ctx)
	if v := health.Unseen(err); !v.OK() {
		return v
	}
	if v := s.Lasting(); !v.OK() {
		return v
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.blamer == "" || g.blamer == run {
		g.blamer = run
		return health.Verdict{State: health.Healthy}
	}
	return health.Verdict{State: health.Sick, Reason: fmt.Sprintf("two runs in a row ended with its errors, the last one: %v", cause)}
}

// maxBlames is how often a run may blame GPUs that nothing is found wrong with.
const maxBlames = 3

// doubt has the GPU tested before the next run.
func (g *GPU) doubt() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.suspect = true
}

func (g *GPU) clockOf() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.load()
	return g.usual.Clock()
}

// counted remembers a run that counts.
func (g *GPU) counted(seen *health.Watch, failure *experiment.Failure) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.voids, g.blamer = 0, ""
	if failure == nil {
		g.load()
		g.usual.Add(seen.Clock())
		g.save()
	}
}

// spoilt counts a run that the GPU has spoilt. After some in a row it is enough.
func (g *GPU) spoilt(reason string) error {
	g.mu.Lock()
	g.voids++
	n := g.voids
	g.mu.Unlock()
	if n < maxVoids {
		return nil
	}
	v := health.Verdict{State: health.Sick, Reason: fmt.Sprintf("throttling: %d runs in a row did not count, the last one because %s", n, reason)}
	g.believe(v)
	return g.unfit(v)
}

// figures are what the measurement keeps.
func (w *gpuRun) figures(voids int) *experiment.GPU {
	return &experiment.GPU{
		UUID: w.g.UUID, Name: w.g.Name, Samples: w.seen.Samples, ClockMHz: w.seen.Clock(), MinClockMHz: w.seen.MinClock(),
		MaxTempC: w.seen.MaxTemp(), MeanWatts: inMillis(w.seen.Watts()), Throttled: inMillis(w.seen.Share()), Voids: voids,
	}
}

// evaluate gives the evaluation its GPU. One that is shared or held back
// takes longer; what it computes is right all the same. Its samples are not kept.
func (g *GPU) evaluate(ctx context.Context, run func(*target.GPU) (target.Score, error)) (target.Score, error) {
	release, err := g.use(ctx)
	if err != nil {
		return target.Score{}, err
	}
	defer release()
	if err := g.check(ctx, false); err != nil {
		return target.Score{}, err
	}
	score, err := run(g.spec(nil))
	if ctx.Err() != nil {
		return score, err
	}
	v := g.after(ctx, score.Failure, err)
	if v.OK() && errors.Is(err, target.ErrGPU) { // the evaluator is ours: its word will do
		v = health.Verdict{State: health.Sick, Reason: err.Error()}
	}
	if !v.OK() {
		g.believe(v)
		return score, g.unfit(v)
	}
	if err != nil {
		g.doubt()
	}
	return score, err
}
