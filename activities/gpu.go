package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/gpu/health"
)

// GPU is the GPU of a training slot, and whether it may work.
//
// A slot asks for work only while its GPU is fit (Ready). A run begins after a
// last look (preflight), is watched while it goes on, and is judged at its end
// (gpu_run.go): what the GPU has spoilt does not count and is done again. A GPU
// that is sick is quarantined: the slot takes nothing more until its worker is
// started again, by a person who has looked at it. A GPU that is lost drains all
// slots of the host in this process.
//
// It is safe for concurrent use; but only the holder of the slot's lock runs
// anything on the GPU.
type GPU struct {
	UUID   string
	Name   string
	Class  string // as in target.GPU
	Cache  string // as in target.GPU
	Memory int64  // bytes of the whole GPU; 0 is not known
	Queue  string // the slot's own task queue
	// Libraries are as in target.GPU. They are found by whoever found the GPU: to
	// look for them loads the driver, which a worker does in other processes alone.
	Libraries []string
	Host      *Host // of all slots of the process; see NewGPU

	// Look is one look at the GPU, Test the self-test, which needs it for itself
	// and gives TFLOP/s. Both come back whatever the driver does.
	Look func(context.Context) (health.Snapshot, error)
	Test func(context.Context) (tflops float64, err error)
	// Tell hears of every change of the slot's health, and returns at once. Nil is
	// nobody.
	Tell func(experiment.SlotHealth)
	// Book is a file that remembers what is usual on this GPU; "" forgets it.
	Book string

	using chan struct{} // holds one while a run, an evaluation or a test has the GPU; NewGPU makes it

	mu      sync.Mutex
	said    experiment.SlotHealth
	sick    string    // why it is quarantined
	suspect bool      // the last run ended badly: it is tested before the next
	tested  time.Time // when it was last
	warning string    // of the last test
	voids   int       // runs that it spoilt, in a row
	blamer  string    // the last run that blamed it without proof; "" after one that counts
	usual   health.Usual
	read    bool // usual is what the book says

	now    func() time.Time // nil is time.Now
	pause  time.Duration    // between two looks at a GPU that is busy; 0 is lookAgain
	settle time.Duration    // for what has just ended to be gone; 0 is settleWithin
}

// NewGPU makes g a GPU of the host.
func NewGPU(g *GPU, h *Host) *GPU {
	g.using = make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	g.Host, h.gpus = h, append(h.gpus, g)
	return g
}

const (
	// lookAgain is how soon a GPU is found free after somebody else has left it.
	lookAgain = 5 * time.Second
	// settleWithin is how long the driver may name a process that has ended.
	settleWithin = 3 * time.Second
	// testEvery bounds how long a GPU may compute wrongly unnoticed. A test takes
	// a few seconds, which is a thousandth of that.
	testEvery = time.Hour
	// maxVoids in a row say that a GPU will not get better by itself.
	maxVoids = 3
	// needsFree is the share of its memory that must be free for a run to begin: a
	// driver keeps some for itself, and so does a desktop.
	needsFree = 0.8
)

// Host is the machine of some GPUs, as far as one process serves them.
type Host struct {
	mu   sync.Mutex
	lost string // why no slot takes new work
	gpus []*GPU
}

// Drained is why no slot of the host takes new work, or "".
func (h *Host) Drained() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

// drain tells all slots that one GPU is lost, the first time.
func (h *Host) drain(reason string) {
	h.mu.Lock()
	if h.lost != "" {
		h.mu.Unlock()
		return
	}
	h.lost = reason
	all := h.gpus
	h.mu.Unlock()
	for _, g := range all {
		g.say(experiment.SlotDrained, reason)
	}
}

// unfit says that a slot's GPU cannot do the work; another one may.
type unfit struct {
	verdict health.Verdict
	uuid    string
}

func (u *unfit) Error() string { return fmt.Sprintf("%s: %s", u.uuid, u.verdict.Reason) }

func (g *GPU) unfit(v health.Verdict) error { return &unfit{v, g.UUID} }

// Health is what was last said of the slot; healthy before anything was.
func (g *GPU) Health() experiment.SlotHealth {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.said.State == "" {
		return experiment.SlotHealth{Queue: g.Queue, State: experiment.SlotHealthy, At: g.clock()}
	}
	return g.said
}

// say tells the world, if that is news.
func (g *GPU) say(s experiment.SlotState, reason string) {
	g.mu.Lock()
	if g.said.State == s && g.said.Reason == reason {
		g.mu.Unlock()
		return
	}
	g.said = experiment.SlotHealth{Queue: g.Queue, State: s, Reason: reason, At: g.clock()}
	said, tell := g.said, g.Tell
	g.mu.Unlock()
	if tell != nil {
		tell(said)
	}
}

func (g *GPU) clock() time.Time {
	if g.now != nil {
		return g.now()
	}
	return time.Now()
}

// believe takes a verdict in: a sick GPU is quarantined, a lost one drains its
// host, and the world hears of any change.
func (g *GPU) believe(v health.Verdict) {
	switch v.State {
	case health.Sick:
		g.quarantine(v.Reason)
	case health.Lost:
		g.mu.Lock()
		g.sick = v.Reason
		g.mu.Unlock()
		g.Host.drain(g.UUID + ": " + v.Reason)
	case health.Busy:
		if g.Host.Drained() == "" {
			g.say(experiment.SlotWaiting, v.Reason)
		}
	case health.Healthy:
		if g.Host.Drained() != "" {
			return // it is, but takes no new work all the same
		}
		g.mu.Lock()
		warning := g.warning
		g.mu.Unlock()
		g.say(experiment.SlotHealthy, warning)
	}
}

func (g *GPU) quarantine(reason string) {
	g.mu.Lock()
	if g.sick == "" {
		g.sick = reason
	}
	reason = g.sick
	g.mu.Unlock()
	g.say(experiment.SlotQuarantined, reason)
}

// out is why the slot is out of use for good, if it is. A host that is drained
// takes no new run, but what has been trained here may still be evaluated.
func (g *GPU) out() (v health.Verdict, out bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sick == "" {
		return v, false
	}
	return health.Verdict{State: health.Sick, Reason: g.sick}, true
}

// Ready returns when the slot may ask for a run, and an error only when ctx has
// ended: a GPU that is out of use is waited for in vain.
func (g *GPU) Ready(ctx context.Context) error {
	return g.wait(ctx, func() bool {
		release, err := g.use(ctx) // an evaluation may have come
		if err != nil {
			return false
		}
		defer release()
		return g.Host.Drained() == "" && g.check(ctx, true) == nil
	})
}

// Fit is Ready for the slot's own queue, where what was trained here is
// evaluated: a task there may wait for the run that has the GPU.
func (g *GPU) Fit(ctx context.Context) error {
	return g.wait(ctx, func() bool {
		select {
		case g.using <- struct{}{}:
			defer func() { <-g.using }()
			return g.check(ctx, false) == nil
		default:
			_, out := g.out()
			return !out
		}
	})
}

// use takes the GPU, from whoever else of this process has it.
func (g *GPU) use(ctx context.Context) (release func(), err error) {
	select {
	case g.using <- struct{}{}:
		return func() { <-g.using }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (g *GPU) wait(ctx context.Context, fit func() bool) error {
	pause := g.pause
	if pause == 0 {
		pause = lookAgain
	}
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for !fit() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return ctx.Err()
}

// check looks at the GPU while nothing of ours runs there: the caller has it. It tests it where that
// is due, and says what it found. Its error is an *unfit.
func (g *GPU) check(ctx context.Context, test bool) error {
	if v, out := g.out(); out {
		return g.unfit(v)
	}
	v := g.vacant(ctx, needsFree)
	if v.OK() && test {
		v = g.test(ctx)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	g.believe(v)
	if !v.OK() {
		return g.unfit(v)
	}
	return nil
}

// vacant looks whether nobody has the GPU, and whether it is well. What has only
// just ended gets a moment to be gone.
func (g *GPU) vacant(ctx context.Context, free float64) health.Verdict {
	settle := g.settle
	if settle == 0 {
		settle = settleWithin
	}
	end := time.After(settle)
	for {
		s, err := g.Look(ctx)
		v := health.Unseen(err)
		if err == nil {
			v = s.Judge(nil, int64(free*float64(s.Total)))
		}
		if v.State != health.Busy || s.Held.Back() {
			return v
		}
		select {
		case <-time.After(settle / 10):
		case <-end:
			return v
		case <-ctx.Done():
			return v
		}
	}
}

// test runs the self-test, where it is due: at first, after a run that ended
// badly, and once in a while.
func (g *GPU) test(ctx context.Context) health.Verdict {
	g.mu.Lock()
	due := g.suspect || g.tested.IsZero() || g.clock().Sub(g.tested) > testEvery
	g.mu.Unlock()
	if !due || g.Test == nil {
		return health.Verdict{State: health.Healthy}
	}
	return g.testNow(ctx)
}

func (g *GPU) testNow(ctx context.Context) health.Verdict {
	tflops, err := g.Test(ctx)
	if err != nil {
		return health.Verdict{State: health.Sick, Reason: "the self-test failed: " + err.Error()}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.suspect, g.tested = false, g.clock()
	g.load()
	g.warning = g.usual.Tested(tflops)
	g.save()
	return health.Verdict{State: health.Healthy}
}

// spec is what a target is told of the GPU.
func (g *GPU) spec(watch func(pid int) error) *target.GPU {
	return &target.GPU{UUID: g.UUID, Class: g.Class, Cache: g.Cache, Libraries: g.Libraries, Watch: watch}
}

// load and save keep the book; mu is held. What is lost is found out again.
func (g *GPU) load() {
	if g.read || g.Book == "" {
		return
	}
	g.read = true
	if b, err := os.ReadFile(g.Book); err == nil {
		_ = json.Unmarshal(b, &g.usual)
	}
}

func (g *GPU) save() {
	if g.Book == "" {
		return
	}
	b, err := json.Marshal(g.usual)
	tmp := g.Book + ".tmp"
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Dir(g.Book), 0o755), os.WriteFile(tmp, append(b, '\n'), 0o644))
	}
	if err == nil {
		_ = os.Rename(tmp, g.Book)
	}
}
