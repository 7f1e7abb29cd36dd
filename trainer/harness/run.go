package harness

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// Run is one training run, as the program in train.go sees it.
// It is used by one goroutine.
type Run struct {
	opts    options
	out     io.Writer // the training log
	clock   *clock
	started time.Time
	dev     *tensor.Device
	data    *loader
	pcg     *rand.PCG
	rng     *rand.Rand
	metrics *metricsLog
	memory  *memoryGuard
	saver   saver
	signals chan os.Signal

	begun      bool
	open       bool         // between Next and Step
	exported   bool         //
	created    []tensorInfo // persistent tensors when the loop began
	progress   float64
	stepBegan  time.Duration // charged time when the step began, 0 before the first
	step       int64
	tokens     int64
	windows    int64 // drawn so far: the position in the data
	smoothLoss float64
	sample     string
	x, y       []int32 // scratch of Batch
}

func newRun(c *clock, o options, out io.Writer) (_ *Run, err error) {
	r := &Run{opts: o, out: out, clock: c, started: time.Now(), signals: make(chan os.Signal, 1)}
	signal.Notify(r.signals, syscall.SIGTERM)
	c.cores = o.cores
	if err := os.MkdirAll(r.checkpoints(), 0o755); err != nil {
		return nil, fmt.Errorf("making the run directory: %w%s", err, advice(err))
	}
	for _, stale := range []string{"done.json", "failure.json"} {
		if err := os.RemoveAll(filepath.Join(o.run, stale)); err != nil {
			return nil, fmt.Errorf("clearing the run directory: %w", err)
		}
	}
	if r.data, err = openLoader(o.data, o.seed); err != nil {
		return nil, err
	}
	if o.onGPU() {
		c.onGPU()
	}
	r.dev, err = tensor.Open(tensor.Config{Threads: o.cores, Kernels: o.kernels, Device: o.device, Precision: o.precision, Cache: o.cache})
	if err != nil {
		return nil, fmt.Errorf("opening the device: %w", err)
	}
	r.pcg = rand.NewPCG(o.seed, mix(o.seed, 0))
	r.rng = rand.New(r.pcg)
	r.memory = watchMemory(o.memory, func(f *Failure) {
		_ = writeJSON(filepath.Join(o.run, "failure.json"), f)
		fmt.Fprintf(os.Stderr, "trainer: %s: %s\n", f.Reason, f.Message)
		os.Exit(f.exitCode())
	})
	c.endFree() // from here on the program runs
	return r, nil
}

func (r *Run) close() {
	signal.Stop(r.signals)
	r.memory.stop()
	if r.saver.writing != nil {
		<-r.saver.writing
	}
	if r.metrics != nil {
		_ = r.metrics.close()
	}
	r.data.Close()
	r.dev.Close()
}

// Device returns the device that the run trains on.
func (r *Run) Device() *tensor.Device { return r.dev }

// Vocab returns V, the number of token ids: a property of the data, like the
// meaning of each id. It is 256 when tokens are bytes.
func (r *Run) Vocab() int { return r.data.Vocab().Size() }

// Rand returns the run's random numbers, seeded by --seed and checkpointed.
func (r *Run) Rand() *rand.Rand { return r.rng }

// Progress returns the share of the budget that was spent when the current
// step began, from 0 to 1: the x-axis of every schedule.
func (r *Run) Progress() float64 { return r.progress }

// StepsDone returns the number of steps that have ended.
func (r *Run) StepsDone() int64 { return r.step }

// Next reports whether there is budget left for another step, and prepares the
// device for it: tensors of the step before are gone, gradients are zero. All
// Params and States must exist before its first call, which restores them when
// the run is resumed.
func (r *Run) Next() bool {
	if !r.begun {
		r.must(r.begin())
	}
	if r.open {
		panic(failuref(ReasonError, "Next was called twice without a Step in between; call run.Step(loss, lr) once in every step"))
	}
	r.must(r.saveOrStop())
	r.progress = r.spent()
	if r.progress >= 1 || !r.fits() {
		return false
	}
	r.dev.Reset()
	r.dev.ZeroGrad()
	r.open = true
	return true
}

// Batch returns the next B windows of T tokens, x [B, T], and the tokens that
// follow each of them in their document, y [B, T]. A window may hold parts of
// several documents. Call it several times in a step to accumulate gradients.
// With --rows it may return fewer windows.
func (r *Run) Batch(B, T int) (x, y *tensor.Tensor) {
	if B < 1 || T < 1 {
		panic(failuref(ReasonError, "Batch(%d, %d): batch and context must be at least 1", B, T))
	}
	if r.opts.rows > 0 {
		B = min(B, r.opts.rows)
	}
	r.x, r.y = slices.Grow(r.x[:0], B*T)[:B*T], slices.Grow(r.y[:0], B*T)[:B*T]
	r.must(r.data.batch(r.windows, T, r.x, r.y))
	r.windows += int64(B)
	r.tokens += int64(B * T)
	return r.dev.Ints(r.x, B, T), r.dev.Ints(r.y, B, T)
}

// maxLoss is the loss at which training has exploded for good: guessing gives
// the logarithm of V, 5.5 to 11. It is Karpathy's bound.
const maxLoss = 100

// Step ends a step: it records the loss, a scalar in nats per token, with the
// learning rate, for people to read. A loss that is not finite, or beyond
// maxLoss, ends the run.
func (r *Run) Step(loss *tensor.Tensor, lr float64) {
	if !r.open {
		panic(failuref(ReasonError, "Step was called without a Next before it; the loop is: for run.Next() { ...; run.Step(loss, lr) }"))
	}
	r.open = false
	r.step++
	v := float64(loss.Item())
	if !(v <= maxLoss) || v < -maxLoss { // NaN compares false
		panic(failuref(ReasonNaN, "the loss of step %d is %v, and training is given up when it is not a number or beyond %d; a lower learning rate, or a check of what divides or takes a logarithm, may help", r.step, v, maxLoss))
	}
	if math.IsNaN(lr) || math.IsInf(lr, 0) {
		panic(failuref(ReasonNaN, "the learning rate of step %d is %v; check the schedule", r.step, lr))
	}
	if r.step == 1 {
		r.smoothLoss = v
	}
	r.smoothLoss += 0.05 * (v - r.smoothLoss)
	r.clock.stepEnds()
	spent := r.spent()
	m := Metrics{
		Step: r.step, ChargedSeconds: r.clock.charged().Seconds(), Tokens: r.tokens,
		Loss: v, LR: lr, MemoryBytes: peakMemory(), GPUMemoryBytes: r.gpuMemory(),
	}
	r.must(r.metrics.add(m, spent, spent >= 1))
	r.metrics.report(m, spent, r.smoothLoss, spent >= 1)
}

// gpuMemory is the most that tensors have occupied on the GPU; 0 without one.
func (r *Run) gpuMemory() int64 {
	if r.opts.onGPU() {
		return r.dev.PeakBytes()
	}
	return 0
}

// spent measures Progress.
func (r *Run) spent() float64 { return r.opts.share(r.step, r.clock.charged()) }

// share is how much of the run is over after so many steps, or so much time.
func (o options) share(step int64, charged time.Duration) float64 {
	if o.steps > 0 {
		return min(1, float64(step)/float64(o.steps))
	}
	return min(1, float64(charged)/float64(o.budget))
}

// overrun is the share of the budget by which the last step may be late. The
// worker ends a trainer that is much later.
const overrun = 0.02

// fits reports whether another step as long as the last one would end in time.
// For all but very slow steps it does as long as there is budget at all.
func (r *Run) fits() bool {
	now := r.clock.charged()
	cost := now - r.stepBegan
	first := r.stepBegan == 0
	r.stepBegan = now
	return first || r.opts.steps > 0 || float64(now+cost) < (1+overrun)*float64(r.opts.budget)
}

// begin starts the loop: from the checkpoint, if there is one.
func (r *Run) begin() error {
	r.begun = true
	r.clock.beginFree()
	defer r.clock.endFree()
	r.created = describe(r.dev.Persistent())
	if r.opts.resume != "" {
		if err := r.restore(); err != nil {
			return err
		}
	}
	if err := r.clearPast(); err != nil {
		return fmt.Errorf("clearing the run directory: %w", err)
	}
	r.saver.last, r.saver.lastStep, r.saver.cost = r.clock.charged(), r.step, r.firstCost()
	var err error
	r.metrics, err = openMetrics(filepath.Join(r.opts.run, "metrics.jsonl"), r.step, r.out)
	if err != nil {
		return fmt.Errorf("opening the metrics of the run: %w", err)
	}
	last := r.metrics.last
	r.metrics.resume(r.tokens, r.clock.charged().Seconds(), r.opts.share(last.Step, time.Duration(last.ChargedSeconds*float64(time.Second))))
	r.clock.loopBegins()
	fmt.Fprintf(r.out, "%d parameters, seed %d, %d cores, %s, %s, from step %d\n", r.parameters(),
		r.opts.seed, r.opts.cores, r.computesWith(), length(r.opts.budget, r.opts.steps)[len("--"):], r.step)
	return nil
}

// computesWith is for people.
func (r *Run) computesWith() string {
	if r.opts.onGPU() {
		return fmt.Sprintf("%s, %s", r.dev.Name(), r.dev.Precision())
	}
	return r.dev.Kernels() + " kernels"
}

// must ends the run on an error; Main recovers the panic.
func (r *Run) must(err error) {
	switch {
	case err == nil:
	case errors.Is(err, errStopped):
		panic(err)
	default:
		panic(asFailure(err))
	}
}
