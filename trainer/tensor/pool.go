package tensor

import (
	"sync"
	"sync/atomic"
)

// pool is a fixed set of goroutines that run the parallel loops. Worker 0 is
// the caller. Loops never nest.
type pool struct {
	n    int
	jobs []chan job // one channel per helper: worker i reads jobs[i-1]
	wg   sync.WaitGroup
}

type job struct {
	f      func(worker, lo, hi int)
	lo, hi int
}

func newPool(n int) *pool {
	p := &pool{n: n, jobs: make([]chan job, n-1)}
	for i := range p.jobs {
		c := make(chan job)
		p.jobs[i] = c
		go func() {
			for j := range c {
				j.f(i+1, j.lo, j.hi)
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

// run splits 0..n into at most p.n contiguous parts of at least grain items.
// Every item must be computed the same way whichever part it falls in: then
// the bits depend neither on scheduling nor on the number of threads.
func (p *pool) run(n, grain int, f func(worker, lo, hi int)) {
	p.split(n, min(p.n, n/max(grain, 1)), f)
}

// split is run with the number of parts given.
func (p *pool) split(n, parts int, f func(worker, lo, hi int)) {
	if parts <= 1 {
		if n > 0 {
			f(0, 0, n)
		}
		return
	}
	p.wg.Add(parts - 1)
	for i := 1; i < parts; i++ {
		p.jobs[i-1] <- job{f, n * i / parts, n * (i + 1) / parts}
	}
	f(0, 0, n/parts)
	p.wg.Wait()
}

// each runs f for every item 0..n, handing items out as workers become free:
// better than run when items are few, large and uneven.
func (p *pool) each(n int, f func(worker, i int)) {
	if p.n == 1 || n == 1 {
		for i := range n {
			f(0, i)
		}
		return
	}
	var next atomic.Int64
	p.run(min(n, p.n), 1, func(w, _, _ int) {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			f(w, i)
		}
	})
}
