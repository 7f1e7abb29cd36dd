package gpu

import (
	"cmp"
	"slices"
)

// The pool hands out memory of the GPU from segments that it keeps, since asking
// the driver for memory makes the whole GPU wait. What is freed goes to whoever
// asks next, while work that was launched before may still use it: that one comes
// later in the same stream.
//
// A request takes the smallest free span that fits, and what is left of the span
// stays free; neighbours that are both free become one. Small requests have
// segments of their own, so that what lives long and is small does not cut up
// what is large.
const (
	granule      = 256       // sizes and addresses are multiples of it
	smallRequest = 256 << 10 // and below: from small segments
	smallSegment = 4 << 20
	largeSegment = 32 << 20 // at least
	pageBytes    = 2 << 20  // segments are multiples of it, as the driver's own pages are
)

// span is a part of a segment, free or handed out. The spans of a segment are
// linked in the order of their addresses.
type span struct {
	at         Ptr
	bytes      int64
	small      bool
	used       bool
	prev, next *span
}

// pool holds the memory of one GPU.
type pool struct {
	take func(bytes int64) (Ptr, *Error) // a segment from the driver
	give func(at Ptr, bytes int64)
	// apart asks the driver for each request alone and gives it back at once: slow,
	// but what checks accesses (compute-sanitizer, the emulation) sees where each
	// array ends, and not only where segments do.
	apart bool

	used  []*span // by address
	free  []*span // by class, size and address
	spare *span   // spans without a place, linked by next
	want  span    // what is looked for, here so that it is not allocated each time

	bytes, peak, held int64 // handed out, the most of it so far, and of the driver
}

func bySpace(a, b *span) int {
	switch {
	case a.small != b.small:
		if a.small {
			return -1
		}
		return 1
	case a.bytes != b.bytes:
		return cmp.Compare(a.bytes, b.bytes)
	}
	return cmp.Compare(a.at, b.at)
}

func byAddress(a, b *span) int { return cmp.Compare(a.at, b.at) }

// alloc gives memory, or the driver's error once nothing cached is left.
func (p *pool) alloc(bytes int64) (Ptr, *Error) {
	if bytes = max(bytes, 1); !p.apart {
		bytes = roundUp(bytes, granule)
	}
	s := p.fit(bytes)
	if s == nil {
		var err *Error
		if s, err = p.grow(bytes); err != nil {
			return 0, err
		}
	}
	p.split(s, bytes)
	s.used = true
	insert(&p.used, s, byAddress)
	p.bytes += bytes
	p.peak = max(p.peak, p.bytes)
	return s.at, nil
}

// fit takes the smallest free span that is large enough, or nil.
func (p *pool) fit(bytes int64) *span {
	p.want = span{bytes: bytes, small: bytes <= smallRequest}
	i, _ := slices.BinarySearchFunc(p.free, &p.want, bySpace)
	if i == len(p.free) || p.free[i].small != p.want.small {
		return nil
	}
	s := p.free[i]
	p.free = slices.Delete(p.free, i, i+1)
	return s
}

// grow takes a segment from the driver. When the driver has none, it gets back
// what lies idle here, and is asked for just what is needed.
func (p *pool) grow(bytes int64) (*span, *Error) {
	small := bytes <= smallRequest
	size := max(roundUp(bytes, pageBytes), largeSegment)
	switch {
	case p.apart:
		size = bytes
	case small:
		size = smallSegment
	}
	at, err := p.take(size)
	if err != nil && err.Fault == ByMemory {
		p.trim()
		size = min(size, roundUp(bytes, pageBytes))
		at, err = p.take(size)
	}
	if err != nil {
		return nil, err
	}
	p.held += size
	s := p.newSpan()
	*s = span{at: at, bytes: size, small: small}
	return s, nil
}

// trim gives the segments back in which nothing is used.
func (p *pool) trim() {
	p.free = slices.DeleteFunc(p.free, func(s *span) bool {
		if s.prev != nil || s.next != nil {
			return false
		}
		p.give(s.at, s.bytes)
		p.held -= s.bytes
		p.drop(s)
		return true
	})
}

// close gives all segments back, whatever is used of them.
func (p *pool) close() {
	for _, s := range slices.Concat(p.used, p.free) {
		if s.prev != nil {
			continue // a segment begins with a span that has none before it
		}
		bytes := s.bytes
		for n := s.next; n != nil; n = n.next {
			bytes += n.bytes
		}
		p.give(s.at, bytes)
	}
	*p = pool{take: p.take, give: p.give}
}

// split leaves bytes of a span to its taker, and the rest free.
func (p *pool) split(s *span, bytes int64) {
	if s.bytes == bytes {
		return
	}
	rest := p.newSpan()
	*rest = span{at: s.at.At(bytes), bytes: s.bytes - bytes, small: s.small, prev: s, next: s.next}
	if s.next != nil {
		s.next.prev = rest
	}
	s.next, s.bytes = rest, bytes
	insert(&p.free, rest, bySpace)
}

// release takes memory back; it is false for an address that is not handed out.
func (p *pool) release(at Ptr) bool {
	p.want = span{at: at}
	i, found := slices.BinarySearchFunc(p.used, &p.want, byAddress)
	if !found {
		return false
	}
	s := p.used[i]
	p.used = slices.Delete(p.used, i, i+1)
	s.used = false
	p.bytes -= s.bytes
	if n := s.next; n != nil && !n.used {
		p.join(s, n)
	}
	if b := s.prev; b != nil && !b.used {
		p.unfree(b)
		s.at, s.bytes, s.prev = b.at, s.bytes+b.bytes, b.prev
		if b.prev != nil {
			b.prev.next = s
		}
		p.drop(b)
	}
	insert(&p.free, s, bySpace)
	if p.apart {
		p.trim()
	}
	return true
}

// join makes the free span after s a part of s.
func (p *pool) join(s, n *span) {
	p.unfree(n)
	s.bytes += n.bytes
	if s.next = n.next; n.next != nil {
		n.next.prev = s
	}
	p.drop(n)
}

func (p *pool) unfree(s *span) {
	if i, found := slices.BinarySearchFunc(p.free, s, bySpace); found {
		p.free = slices.Delete(p.free, i, i+1)
	}
}

// newSpan and drop recycle spans: a training step allocates no Go memory.
func (p *pool) newSpan() *span {
	if s := p.spare; s != nil {
		p.spare = s.next
		return s
	}
	return new(span)
}

func (p *pool) drop(s *span) {
	*s = span{next: p.spare}
	p.spare = s
}

func insert(list *[]*span, s *span, order func(a, b *span) int) {
	i, _ := slices.BinarySearchFunc(*list, s, order)
	*list = slices.Insert(*list, i, s)
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }
