package tensor

import (
	"sync"
	"sync/atomic"
)

// pool is a fixed set of goroutines that run the parallel loops. Worker 0 is
// the caller. Loops never nest.
type pool struct {
	n    int
	jobs []chan span // one per helper: worker i reads jobs[i-1]
	task task        // what they are woken for
	wg   sync.WaitGroup
	few  items // for each
}

// task is the body of a parallel loop. It is an interface so that a loop whose
// state lives on the device needs no closure, which would be an allocation.
type task interface{ run(worker, lo, hi int) }

type span struct{ lo, hi int }

type taskFunc func(worker, lo, hi int)

func (f taskFunc) run(w, lo, hi int) { f(w, lo, hi) }

func newPool(n int) *pool {
	p := &pool{n: n, jobs: make([]chan span, n-1)}
	for i := range p.jobs {
		c := make(chan span)
		p.jobs[i] = c
		go func() {
			for s := range c {
				p.task.run(i+1, s.lo, s.hi)
				p.wg.Done()
			}
		}()
	}
	return p
}

func (p *pool) close() {
	for _, c := range p.jobs {
		close(c)
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
	p.wg.Add(parts - 1)
	for i := 1; i < parts; i++ {
		p.jobs[i-1] <- span{n * i / parts, n * (i + 1) / parts}
	}
	t.run(0, 0, n/parts)
	p.wg.Wait()
	p.task = nil
}

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
