package harness

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// Checkpoints come every tenth of the run, and at least every saveEvery of
// charged time, unless that would cost more than saveShare of the time.
//
// A checkpoint costs CPU time twice: the copy of the tensors between two steps,
// and their digest and the calls that write them, beside the steps that follow.
// Both are charged to the run like everything else in its process, and both
// count for saveShare. What the disk takes costs nothing and delays nothing.
//
// A run on a GPU is charged for wall time, so there the copy counts, for which the
// steps wait, and what goes on beside them does not.
const (
	savesPerRun  = 10
	saveEvery    = 5 * time.Second
	saveShare    = 0.02
	saveShareGPU = 0.005
)

// saveRate is what the first checkpoint is taken to cost, in bytes per second
// of CPU time, or of wall time on a GPU: less than machines do. Those after it
// are measured.
const (
	saveRate    = 500e6
	saveRateGPU = 2e9
)

// saver decides when a checkpoint is due, and knows of the one being written.
type saver struct {
	last     time.Duration // charged time at the last checkpoint
	lastStep int64
	cost     time.Duration // charged time that the last one took
	total    time.Duration // charged time that all of this process took
	slab     []float32     // the copy that is being written; used again
	writing  chan written  // of the write in flight, nil when there is none
}

// written is the end of a write.
type written struct {
	step int64
	cpu  time.Duration
	err  error
}

// due says whether it is time for a checkpoint. With steps they come by count,
// so that short runs have some too, and the same ones each time. A model so big
// that this is dear takes long steps as well. Runs of two or three steps, which
// only try a program, have one at most.
func (s *saver) due(now time.Duration, step int64, o options) bool {
	if step == s.lastStep {
		return false
	}
	since := now - s.last
	if o.steps > 0 {
		return step-s.lastStep >= int64(max(2, o.steps/savesPerRun)) || since >= saveEvery && s.affordable(since, o)
	}
	return since >= min(saveEvery, o.budget/savesPerRun) && s.affordable(since, o)
}

func (s *saver) affordable(since time.Duration, o options) bool {
	share := saveShare
	if o.onGPU() {
		share = saveShareGPU
	}
	return float64(s.cost) <= share*float64(since)
}

func (r *Run) checkpoints() string { return filepath.Join(r.opts.run, "checkpoints") }

// saveOrStop runs between steps: it begins a checkpoint when one is due, hears
// how the last one went, and ends the run when the worker has asked for it.
func (r *Run) saveOrStop() error {
	select {
	case <-r.signals:
		return r.stop()
	default:
	}
	due := r.saver.due(r.clock.charged(), r.step, r.opts)
	// Only with a step count does a run wait for the write before: there every
	// checkpoint is to appear, and charged time has no say.
	if err := r.collect(due && r.opts.steps > 0); err != nil {
		return err
	}
	if !due || r.saver.writing != nil {
		return nil
	}
	return r.save()
}

// stop writes a checkpoint of the latest step, if it has none yet, and ends the
// run. When that fails, the one before must do.
func (r *Run) stop() error {
	if err := r.collect(true); err != nil {
		return err
	}
	if r.step == 0 {
		fmt.Fprintln(r.out, "stopped by a signal before the first step")
		return errStopped
	}
	path := checkpointPath(r.checkpoints(), r.step)
	if _, err := os.Stat(path); err != nil {
		if err := errors.Join(r.save(), r.collect(true)); err != nil {
			return err
		}
	}
	if _, err := os.Stat(path); err == nil {
		fmt.Fprintf(r.out, "stopped by a signal after step %d; its checkpoint is written\n", r.step)
	} else {
		fmt.Fprintf(r.out, "stopped by a signal after step %d\n", r.step)
	}
	return errStopped
}

// save begins a checkpoint of the run as it stands between two steps. It
// returns when the state is copied, and the write goes on.
func (r *Run) save() error {
	start := r.clock.charged()
	tensors := r.dev.Persistent()
	if err := errors.Join(r.noneCreatedLate(tensors), r.finite()); err != nil {
		return err
	}
	rng, err := r.pcg.MarshalBinary()
	if err != nil {
		return err
	}
	h := checkpointHeader{
		Seed: r.opts.seed, Budget: r.opts.budget, Steps: r.opts.steps,
		Step: r.step, Tokens: r.tokens, Windows: r.windows,
		Charged: start, SmoothLoss: r.smoothLoss, RNG: rng, Tensors: describe(tensors),
	}
	s := &r.saver
	s.last, s.lastStep, s.writing = start, r.step, make(chan written, 1)
	if !r.roomForCopy(tensors) { // then the steps must wait
		r.writeBehind(h, oneByOne(tensors))
		if s.cost = 0; r.opts.onGPU() { // else the write counts all of it
			s.cost = r.clock.charged() - start
		}
		return r.collect(true)
	}
	values := s.copy(tensors)
	s.cost = r.clock.charged() - start
	go r.writeBehind(h, values)
	return nil
}

// writeBehind writes a checkpoint and tells saver.writing how it went. It may run beside
// the steps: of the run it uses nothing that they change.
func (r *Run) writeBehind(h checkpointHeader, values iter.Seq[[]float32]) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := threadCPU()
	// Metrics first: a checkpoint promises that the lines before it are there.
	err := system.sync(r.metrics.file)
	if err == nil {
		// Threads that compute wait for each other, so each chunk lets them go
		// first.
		err = writeCheckpoint(r.checkpoints(), h, values, runtime.Gosched)
	}
	r.saver.writing <- written{h.Step, threadCPU() - start, err}
}

// collect takes the result of the write in flight, and waits for it if asked
// to. A checkpoint that could not be written ends the run only if there is no
// other to go on from: the run itself is as good as before.
func (r *Run) collect(wait bool) error {
	s := &r.saver
	if s.writing == nil || !wait && len(s.writing) == 0 {
		return nil
	}
	w := <-s.writing
	s.writing = nil
	if !r.opts.onGPU() {
		s.cost += w.cpu / time.Duration(r.opts.cores)
	}
	s.total += s.cost
	if w.err == nil {
		return nil
	}
	older := r.standing()
	if older == "" {
		return fmt.Errorf("writing the checkpoint of step %d: %w", w.step, w.err)
	}
	fmt.Fprintf(r.out, "warning: checkpoint of step %d: %v; the latest is still %s\n", w.step, w.err, older)
	return nil
}

// standing returns the latest checkpoint that this run could go on from, or "".
func (r *Run) standing() string {
	if own := listCheckpoints(r.checkpoints()); len(own) > 0 {
		return filepath.Base(own[len(own)-1])
	}
	if _, err := os.Stat(r.opts.resume); err == nil {
		return r.opts.resume
	}
	return ""
}

func (r *Run) noneCreatedLate(tensors []*tensor.Tensor) error {
	if len(tensors) == len(r.created) {
		return nil
	}
	late := tensors[slices.IndexFunc(tensors, func(t *tensor.Tensor) bool {
		return !slices.ContainsFunc(r.created, func(c tensorInfo) bool { return c.Name == t.Name() })
	})]
	return failuref(ReasonError, "the tensor %q was created after the loop began, so a resumed run could not restore it; create every Param and State before the first run.Next()", late.Name())
}

// finite checks the trained weights, so that no checkpoint and no model holds a
// run that is dead. A loss need not show it: a gradient may overflow in weights
// that few tokens use.
func (r *Run) finite() error {
	for _, p := range r.dev.Params() {
		if n := float64(p.Norm()); math.IsNaN(n) || math.IsInf(n, 0) {
			return failuref(ReasonNaN, "the parameter %q is not finite after step %d, though the loss is; a lower learning rate, or a check of what divides or takes a logarithm, may help", p.Name(), r.step)
		}
	}
	return nil
}

// roomForCopy says whether the copy of the tensors fits into the memory that
// the run may use.
func (r *Run) roomForCopy(tensors []*tensor.Tensor) bool {
	need := size(tensors)
	return r.opts.memory == 0 || cap(r.saver.slab) >= need || memoryUsed()+4*int64(need) < r.opts.memory/10*9
}

// copy copies the tensors and yields the copy, which stays until the next one.
func (s *saver) copy(tensors []*tensor.Tensor) iter.Seq[[]float32] {
	if n := size(tensors); cap(s.slab) < n {
		s.slab = make([]float32, n)
	}
	at := 0
	for _, t := range tensors {
		t.HostTo(s.slab[at : at+t.Size()])
		at += t.Size()
	}
	return slices.Values([][]float32{s.slab[:at]})
}

// oneByOne yields the tensors through one buffer.
func oneByOne(tensors []*tensor.Tensor) iter.Seq[[]float32] {
	return func(yield func([]float32) bool) {
		var buffer []float32
		for _, t := range tensors {
			buffer = slices.Grow(buffer[:0], t.Size())[:t.Size()]
			t.HostTo(buffer)
			if !yield(buffer) {
				return
			}
		}
	}
}

// size is the number of values in tensors.
func size(tensors []*tensor.Tensor) (n int) {
	for _, t := range tensors {
		n += t.Size()
	}
	return n
}

// settle waits for the write in flight when the run is over. It has its model,
// so that a checkpoint more or less makes no difference.
func (r *Run) settle() {
	if err := r.collect(true); err != nil {
		fmt.Fprintf(r.out, "warning: %v; the model is written all the same\n", err)
	}
}

// checkpointShare is how much of the time charged to this process its
// checkpoints took.
func (r *Run) checkpointShare() float64 {
	return float64(r.saver.total) / float64(max(1, r.clock.charged()-r.clock.carried))
}

// clearPast removes what the run that begins does not go on from: files that
// were half written, checkpoints of later steps, which will not come back, and
// those that a kill has kept from being removed.
func (r *Run) clearPast() error {
	err := errors.Join(removeTemporary(r.opts.run), removeTemporary(r.checkpoints()))
	return errors.Join(err, pruneCheckpoints(r.checkpoints(), func(paths []string) []string {
		later := 0
		if r.opts.resume != "" {
			later, _ = slices.BinarySearch(paths, checkpointPath(r.checkpoints(), r.step+1))
		}
		return slices.Concat(paths[:max(0, later-checkpointsKept)], paths[later:])
	}))
}

// firstCost is what the first checkpoint is taken to cost.
func (r *Run) firstCost() time.Duration {
	seconds := 4 * float64(size(r.dev.Persistent())) / saveRate / float64(r.opts.cores)
	if r.opts.onGPU() {
		seconds = 4 * float64(size(r.dev.Persistent())) / saveRateGPU
	}
	return time.Duration(seconds * float64(time.Second))
}

// restore puts the run back to where the checkpoint was written.
func (r *Run) restore() error {
	c, err := openCheckpoint(r.opts.resume)
	if err != nil {
		return err
	}
	defer c.close()
	h, tensors := c.header, r.dev.Persistent()
	if err := h.belongsTo(r.opts, tensors); err != nil {
		return err
	}
	if err := c.load(tensors); err != nil {
		return err
	}
	if err := r.pcg.UnmarshalBinary(h.RNG); err != nil {
		return c.bad("its random state cannot be read: %v", err)
	}
	r.step, r.tokens, r.windows, r.smoothLoss = h.Step, h.Tokens, h.Windows, h.SmoothLoss
	r.clock.carried = h.Charged
	if r.opts.charged >= 0 {
		r.clock.carried = r.opts.charged
	}
	return nil
}
