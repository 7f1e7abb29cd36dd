package gpu

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// bank is a driver of so much memory, which remembers what it gave.
type bank struct {
	capacity, taken int64
	next            Ptr
	segments        map[Ptr]int64
	t               testing.TB
}

func newPool(t testing.TB, capacity int64) (*pool, *bank) {
	b := &bank{capacity: capacity, next: 1 << 40, segments: map[Ptr]int64{}, t: t}
	return &pool{take: b.take, give: b.give}, b
}

func (b *bank) take(bytes int64) (Ptr, *Error) {
	if b.taken+bytes > b.capacity {
		return 0, blame("cuMemAlloc", 2)
	}
	at := b.next
	b.next += Ptr(bytes) + 1<<30 // segments are no neighbors
	b.taken += bytes
	b.segments[at] = bytes
	return at, nil
}

func (b *bank) give(at Ptr, bytes int64) {
	if b.segments[at] != bytes {
		b.t.Errorf("gave back %d bytes at %#x, which has %d", bytes, at, b.segments[at])
	}
	b.taken -= bytes
	delete(b.segments, at)
}

// mustAlloc is alloc that may not fail.
func mustAlloc(t testing.TB, p *pool, bytes int64) Ptr {
	t.Helper()
	at, err := p.alloc(bytes)
	if err != nil {
		t.Fatalf("alloc %d: %v", bytes, err)
	}
	return at
}

func TestPoolSizes(t *testing.T) {
	tests := []struct{ bytes, used, held int64 }{
		{0, 256, smallSegment},
		{1, 256, smallSegment},
		{257, 512, smallSegment},
		{smallRequest, smallRequest, smallSegment},
		{smallRequest + 1, smallRequest + 256, largeSegment},
		{largeSegment, largeSegment, largeSegment},
		{largeSegment + 1, largeSegment + 256, largeSegment + pageBytes},
		{100 << 20, 100 << 20, 100 << 20},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.bytes), func(t *testing.T) {
			p, b := newPool(t, 1<<40)
			at := mustAlloc(t, p, test.bytes)
			if at%granule != 0 || p.bytes != test.used || p.peak != test.used || p.held != test.held || b.taken != test.held {
				t.Errorf("at %#x: %d used, %d at most, %d held, %d of the driver; want %d and %d", at, p.bytes, p.peak, p.held, b.taken, test.used, test.held)
			}
			if !p.release(at) || p.bytes != 0 || p.peak != test.used {
				t.Errorf("released: %d used, peak %d", p.bytes, p.peak)
			}
			if p.release(at) || p.release(at+256) {
				t.Error("what is not handed out can be released")
			}
		})
	}
}

func TestPoolTakesTheSmallestThatFits(t *testing.T) {
	p, _ := newPool(t, 1<<40)
	mib := func(n int64) int64 { return n << 20 }
	a := mustAlloc(t, p, mib(10))
	keep := mustAlloc(t, p, mib(1))
	b := mustAlloc(t, p, mib(5))
	mustAlloc(t, p, mib(1))
	p.release(a)
	p.release(b)
	if got := mustAlloc(t, p, mib(4)); got != b {
		t.Errorf("4 MiB are at %#x, not in the gap of 5 MiB at %#x", got, b)
	}
	if got := mustAlloc(t, p, mib(10)); got != a {
		t.Errorf("10 MiB are at %#x, not in the gap at %#x", got, a)
	}
	if keep != a.At(mib(10)) {
		t.Errorf("arrays of one segment are not one behind the other: %#x, %#x", a, keep)
	}
}

// Freed neighbors become one, in whatever order they are freed.
func TestPoolJoinsNeighbors(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		p, b := newPool(t, 1<<40)
		var at []Ptr
		for range 3 {
			at = append(at, mustAlloc(t, p, largeSegment/4))
		}
		for _, i := range order {
			p.release(at[i])
		}
		if len(p.free) != 1 || p.free[0].bytes != largeSegment || p.free[0].at != at[0] {
			t.Errorf("freed in order %v: %d free spans, the first of %d bytes", order, len(p.free), p.free[0].bytes)
		}
		if mustAlloc(t, p, largeSegment); b.taken != largeSegment {
			t.Errorf("freed in order %v: the driver gave %d bytes for what was there", order, b.taken)
		}
	}
}

func TestPoolOutOfMemory(t *testing.T) {
	p, b := newPool(t, 100<<20)
	idle := mustAlloc(t, p, 40<<20)
	used := mustAlloc(t, p, 40<<20)
	p.release(idle)
	at := mustAlloc(t, p, 50<<20) // fits once the idle segment is given back
	if b.taken != 90<<20 || p.held != b.taken {
		t.Errorf("the driver gave %d, the pool thinks %d", b.taken, p.held)
	}
	if _, err := p.alloc(30 << 20); err == nil || err.Fault != ByMemory {
		t.Errorf("more than there is: %v", err)
	}
	if p.bytes != 90<<20 {
		t.Errorf("a refusal changed what is used: %d", p.bytes)
	}
	// Less than a whole segment is left, which is enough for what is asked.
	if mustAlloc(t, p, 3<<20); b.taken != 94<<20 {
		t.Errorf("%d taken for 3 MiB more", b.taken)
	}
	p.release(used)
	p.release(at)
	p.close()
	if b.taken != 0 || len(b.segments) != 0 {
		t.Errorf("closed, and %d bytes in %d segments are held", b.taken, len(b.segments))
	}
}

// What the driver reports beside want of memory is passed on, and nothing tried again.
func TestPoolOtherErrors(t *testing.T) {
	calls := 0
	p := &pool{take: func(int64) (Ptr, *Error) { calls++; return 0, blame("cuMemAlloc", 700) }}
	if _, err := p.alloc(1); err == nil || err.Code != 700 || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// Ten thousand random requests: no two arrays overlap, none leaves its segment,
// the sums are right, and freeing all leaves whole segments.
func TestPoolRandom(t *testing.T) {
	p, b := newPool(t, 3<<30)
	r := rand.New(rand.NewPCG(1, 2))
	live := map[Ptr]int64{}
	var order []Ptr
	var used, peak int64
	for range 10_000 {
		if len(order) > 0 && r.IntN(100) < 49 {
			i := r.IntN(len(order))
			at := order[i]
			order = slices.Delete(order, i, i+1)
			p.release(at)
			used -= live[at]
			delete(live, at)
			continue
		}
		bytes := int64(1) << r.IntN(28) * int64(1+r.IntN(3))
		at, err := p.alloc(bytes)
		if err != nil {
			continue // the driver is at its end
		}
		live[at] = roundUp(bytes, granule)
		order = append(order, at)
		used += live[at]
		peak = max(peak, used)
	}
	if p.bytes != used || p.peak != peak || p.held != b.taken {
		t.Errorf("%d used of %d, peak %d of %d, %d held of %d", p.bytes, used, p.peak, peak, p.held, b.taken)
	}
	checkDisjoint(t, live, b)
	for _, at := range order {
		p.release(at)
	}
	if len(p.free) != len(b.segments) || p.bytes != 0 {
		t.Errorf("all is freed: %d free spans of %d segments, %d bytes used", len(p.free), len(b.segments), p.bytes)
	}
	if p.trim(); b.taken != 0 || p.held != 0 {
		t.Errorf("trimmed: %d held", p.held)
	}
}

func checkDisjoint(t *testing.T, live map[Ptr]int64, b *bank) {
	var at []Ptr
	for p := range live {
		at = append(at, p)
	}
	slices.Sort(at)
	for i, p := range at {
		if i+1 < len(at) && p.At(live[p]) > at[i+1] {
			t.Errorf("%#x with %d bytes reaches into %#x", p, live[p], at[i+1])
		}
		inside := false
		for s, bytes := range b.segments {
			inside = inside || s <= p && p.At(live[p]) <= s.At(bytes)
		}
		if !inside {
			t.Errorf("%#x is in no segment", p)
		}
	}
}

// A training step asks for the same again and again: no Go memory, no driver.
func TestPoolSteps(t *testing.T) {
	p, b := newPool(t, 1<<40)
	var at [100]Ptr
	step := func() {
		for i := range at {
			at[i], _ = p.alloc(int64(i+1) * 10_000)
		}
		for i := range at {
			p.release(at[(i*37)%100])
		}
	}
	step()
	taken := b.taken
	if n := testing.AllocsPerRun(20, step); n != 0 || b.taken != taken {
		t.Errorf("%.1f allocations in a step, %d bytes more from the driver", n, b.taken-taken)
	}
}

// Apart, the driver knows each array, and has it back when it is freed.
func TestPoolApart(t *testing.T) {
	p, b := newPool(t, 1000)
	p.apart = true
	x, y := mustAlloc(t, p, 300), mustAlloc(t, p, 1)
	if b.segments[x] != 300 || b.segments[y] != 1 || p.bytes != 301 {
		t.Errorf("the driver gave %v", b.segments)
	}
	if _, err := p.alloc(700); err == nil {
		t.Error("1001 of 1000 bytes")
	}
	if !p.release(x) || len(b.segments) != 1 || p.held != 1 {
		t.Errorf("after a release the driver has given %v", b.segments)
	}
	mustAlloc(t, p, 999)
}
