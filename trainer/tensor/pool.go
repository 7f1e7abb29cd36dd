package tensor

import (
	"sync/atomic"
	"time"
)

// pool is a fixed set of goroutines that run the parallel loops. Worker 0 is
// the caller. Loops never nest.
//
// A step is some hundred loops of tens of microseconds, and to wake a thread
// takes as long as some of them. So whoever waits looks for work a while before
// it sleeps: the helpers between two loops, the caller for the last helper. The
// budget is CPU time, which looking spends as work does: the while is short.
type pool struct {
	n       int
	helpers []*helper
	task    task         // what they are woken for
	busy    atomic.Int32 // helpers that have not finished
	caller  sleeper
	few     items // for each
}

// task is the body of a parallel loop. It is an interface so that a loop whose
// state lives on the device needs no closure, which would be an allocation.
type task interface{ run(worker, lo, hi int) }

type taskFunc func(worker, lo, hi int)

func (f taskFunc) run(w, lo, hi int) { f(w, lo, hi) }

// helper is one goroutine of the pool and its part of the present loop.
type helper struct {
	lo, hi int
	turn   atomic.Uint32 // counts the loops that it was called to
	closed bool
	sleeper
}

// sleeper lets one goroutine wait for a condition that another makes true.
type sleeper struct {
	asleep atomic.Bool
	wake   chan struct{}
	shy    int // waits to come that do without looking
	shyer  int // how many that will be the next time
}

// How a waiter looks before it sleeps: patience times so many looks, some 50 us
// in all. With less the second thread sleeps through a quarter of a step of the
// default size; more gains nothing. In between it offers its core to others. If
// somebody takes it, which shows by the time that takes, then whoever is waited
// for may need that very core, and the next waits sleep at once: few the first
// time, on a busy machine soon nearly all.
const (
	patience  = 200
	looks     = 200
	taken     = 100 * time.Microsecond
	shyest    = 5000
	forgiving = 10 // waits that go well halve shyer, about
)

// until returns when ready is true. Whoever makes it true calls rouse after; that
// may come late, when the sleeper has seen it already and waits for the next.
func (s *sleeper) until(ready func() bool) {
	for !s.looked(ready) {
		s.asleep.Store(true)
		if ready() && s.asleep.Swap(false) {
			return // nobody will send
		}
		<-s.wake
	}
}

// looked looks for a while and says whether ready has become true.
func (s *sleeper) looked(ready func() bool) bool {
	if s.shy > 0 {
		s.shy--
		return ready()
	}
	for range patience {
		for range looks {
			if ready() {
				s.shyer -= s.shyer / forgiving
				return true
			}
		}
		start := time.Now()
		offerCore()
		if time.Since(start) > taken {
			s.shyer = min(2*s.shyer+2*forgiving, shyest)
			s.shy = s.shyer
			break
		}
	}
	return ready()
}

func (s *sleeper) rouse() {
	if s.asleep.Load() && s.asleep.Swap(false) {
		s.wake <- struct{}{}
	}
}

func newPool(n int) *pool {
	p := &pool{n: n}
	p.caller.wake = make(chan struct{}, 1)
	for i := range n - 1 {
		h := &helper{}
		h.wake = make(chan struct{}, 1)
		p.helpers = append(p.helpers, h)
		go p.help(i+1, h)
	}
	return p
}

// help is the life of worker w.
func (p *pool) help(w int, h *helper) {
	done := uint32(0)
	called := func() bool { return h.turn.Load() != done }
	for {
		if h.until(called); h.closed {
			return
		}
		done++
		p.task.run(w, h.lo, h.hi)
		if p.busy.Add(-1) == 0 {
			p.caller.rouse()
		}
	}
}

// call gives the helper its part of the loop.
func (h *helper) call(lo, hi int) {
	h.lo, h.hi = lo, hi
	h.turn.Add(1)
	h.rouse()
}

func (p *pool) close() {
	for _, h := range p.helpers {
		h.closed = true
		h.call(0, 0)
	}
}

// parts is how many parts of at least grain items n items give.
func (p *pool) parts(n, grain int) int { return min(p.n, n/max(grain, 1)) }

// run splits 0..n into at most p.n contiguous parts of at least grain items.
// Every item must be computed the same way whichever part it falls in: then
// the bits depend neither on scheduling nor on the number of threads.
func (p *pool) run(n, grain int, f func(worker, lo, hi int)) {
	p.do(n, p.parts(n, grain), taskFunc(f))
}

// split is run with the number of parts given.
func (p *pool) split(n, parts int, f func(worker, lo, hi int)) { p.do(n, parts, taskFunc(f)) }

// do runs a task over 0..n in the given number of parts.
func (p *pool) do(n, parts int, t task) {
	if parts <= 1 {
		if n > 0 {
			t.run(0, 0, n)
		}
		return
	}
	p.task = t
	p.busy.Store(int32(parts - 1))
	for i, h := range p.helpers[:parts-1] {
		h.call(n*(i+1)/parts, n*(i+2)/parts)
	}
	t.run(0, 0, n/parts)
	p.caller.until(p.idle)
	p.task = nil
}

func (p *pool) idle() bool { return p.busy.Load() == 0 }

// item is the body of a loop over few, large and uneven items.
type item interface{ item(worker, i int) }

type itemFunc func(worker, i int)

func (f itemFunc) item(w, i int) { f(w, i) }

// items hands out 0..n as workers become free.
type items struct {
	n    int64
	next atomic.Int64
	body item
}

func (e *items) run(w, _, _ int) {
	for i := e.next.Add(1) - 1; i < e.n; i = e.next.Add(1) - 1 {
		e.body.item(w, int(i))
	}
}

// each runs f for every item 0..n, handing items out as workers become free:
// better than run when items are few, large and uneven.
func (p *pool) each(n int, f func(worker, i int)) { p.eachItem(n, itemFunc(f)) }

func (p *pool) eachItem(n int, body item) {
	p.few.n, p.few.body = int64(n), body
	p.few.next.Store(0)
	p.do(n, min(n, p.n), &p.few)
	p.few.body = nil
}
