package tensor

import (
	"runtime"
	"sync/atomic"
	"testing"
)

// TestSleeper: a call that comes late, for what the sleeper has seen already,
// does not end its next wait.
func TestSleeper(t *testing.T) {
	var ready, over atomic.Bool
	s := &sleeper{wake: make(chan struct{}, 1), shy: 1 << 30}
	done := make(chan struct{})
	go func() {
		s.until(ready.Load)
		over.Store(true)
		close(done)
	}()
	for range 3 {
		for !s.asleep.Load() {
			runtime.Gosched()
		}
		s.rouse()
		for !s.asleep.Load() && !over.Load() {
			runtime.Gosched()
		}
		if over.Load() {
			t.Fatal("the wait ended before what it waits for")
		}
	}
	ready.Store(true)
	s.rouse()
	<-done
}

// TestPool: when a loop returns, each of its items has run once, whether the
// helpers look or sleep.
func TestPool(t *testing.T) {
	for _, threads := range []int{2, 3, 5} {
		p := newPool(threads)
		seen := make([]int32, 64)
		for loop := range int32(4000) {
			if loop%500 == 250 {
				p.caller.shy = 200
			}
			p.split(len(seen), threads, func(w, lo, hi int) {
				if w > 0 && loop%700 == 350 {
					p.helpers[w-1].shy = 200
				}
				for i := lo; i < hi; i++ {
					seen[i]++
				}
			})
			for i, n := range seen {
				if n != loop+1 {
					t.Fatalf("%d threads: after loop %d item %d has run %d times", threads, loop+1, i, n)
				}
			}
		}
		p.close()
	}
}
