package activities

import (
	"sync"
	"time"
)

// Tenancy says who has a training slot: the run that trains there, from the
// moment it takes the slot until it is evaluated or has failed. Between its
// training and its evaluation nobody works there, while the workflow schedules
// the one after the other; the slot is the run's all the same, and whoever asks
// for the next training waits for Vacant.
//
// It is also the slot's time sheet. It lives in memory, as long as its worker
// process: what another process did on the slot it does not know. The zero
// value is a slot that nobody has had. It is safe for concurrent use, but only
// the holder of the slot's lock tells it anything.
type Tenancy struct {
	mu      sync.Mutex
	tenant  string        // the run that trained here last and is not evaluated yet; "" for none
	taken   time.Time     // when the tenant took the slot
	begun   time.Time     // when the work in progress began
	left    time.Time     // when the last work ended; zero before any
	working bool          // the slot is locked
	awaited *time.Timer   // runs while the tenant's evaluation is expected
	vacant  chan struct{} // closed as soon as the slot is vacant; nil until somebody asks

	clock    func() time.Time // nil is time.Now, which is monotonic
	patience time.Duration    // 0 is awaitEvaluation
}

// awaitEvaluation is how long a slot stays with a run that was trained. The
// workflow schedules the evaluation within milliseconds. If it does not, its
// worker or Temporal is away, or the evaluation went to another slot.
const awaitEvaluation = 5 * time.Second

// closed is the answer for a slot that is vacant already.
var closed = func() <-chan struct{} { c := make(chan struct{}); close(c); return c }()

// Vacant is closed as soon as the slot can take another run.
func (t *Tenancy) Vacant() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.occupied() {
		return closed
	}
	if t.vacant == nil {
		t.vacant = make(chan struct{})
	}
	return t.vacant
}

func (t *Tenancy) occupied() bool { return t.working || t.awaited != nil }

func (t *Tenancy) now() time.Time {
	if t.clock != nil {
		return t.clock()
	}
	return time.Now()
}

// train begins a training run. Idle is how long nobody had the slot before; 0 if
// that is not known.
func (t *Tenancy) train(run string) (idle time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begin()
	if !t.left.IsZero() {
		idle = t.begun.Sub(t.left)
	}
	t.expectNothing() // whoever had the slot before is evaluated elsewhere, or never
	t.tenant, t.taken = run, t.begun
	return idle
}

// busy is how long the work in progress has taken so far.
func (t *Tenancy) busy() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now().Sub(t.begun)
}

// trained ends a training run. If its evaluation is to follow, the slot stays
// with it for now.
func (t *Tenancy) trained(evaluate bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if evaluate {
		t.expect()
	} else {
		t.tenant = ""
	}
	t.end()
}

// evaluate begins an evaluation, of the tenant or of a run that trained
// elsewhere.
func (t *Tenancy) evaluate(run string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tenant == run {
		t.expectNothing()
	}
	t.begin()
}

// evaluated ends an evaluation; one that is not done is tried again. Spent is
// how long the run had the slot: whole, from the start of its training, if that
// was here, and else for this evaluation.
func (t *Tenancy) evaluated(run string, done bool) (spent time.Duration, whole bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	since := t.begun
	if whole = t.tenant == run; whole {
		since = t.taken
		if done {
			t.tenant = ""
		} else {
			t.expect()
		}
	}
	t.end()
	return t.left.Sub(since), whole
}

// The methods below are called with mu held.

func (t *Tenancy) begin() { t.begun, t.working = t.now(), true }

func (t *Tenancy) end() {
	t.left, t.working = t.now(), false
	t.settle()
}

func (t *Tenancy) expect() {
	t.expectNothing()
	patience := t.patience
	if patience == 0 {
		patience = awaitEvaluation
	}
	var timer *time.Timer
	timer = time.AfterFunc(patience, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.awaited == timer {
			t.awaited = nil
			t.settle()
		}
	})
	t.awaited = timer
}

func (t *Tenancy) expectNothing() {
	if t.awaited != nil {
		t.awaited.Stop()
		t.awaited = nil
	}
}

// settle tells those who wait that the slot is vacant, if it is.
func (t *Tenancy) settle() {
	if !t.occupied() && t.vacant != nil {
		close(t.vacant)
		t.vacant = nil
	}
}
