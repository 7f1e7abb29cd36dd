package harness

import (
	"math/bits"
	"math/rand/v2"

	"github.com/autoresearch-go/autoresearch/trainer/harness/data"
)

// packBuffer is how many pieces a row may be put together from. More would cut
// fewer documents and empty more unevenly at the end of an epoch.
const packBuffer = 1000

// packer lays out the training text in rows of T targets, each with the token
// before it as its input, in epochs. In an epoch every token is a target once;
// only what does not fill a last row, fewer than T tokens, is left out.
//
// A document of up to T tokens is one piece, which begins a row or follows
// another piece. A longer one is cut every T tokens, from a random place on
// that is another in every epoch. Pieces come in random order; behind the one
// that comes next, a row takes the longest that fits of about a thousand until
// it is full, and when none fits, the longest is cut. So rows begin where
// documents begin whenever documents are short, and few are cut.
//
// The order is a function of seed, T and the number of the row.
type packer struct {
	split *data.Split
	docs  []int // where each document ends
	seed  uint64
	T     int

	epoch  int64  // -1 before the first
	packed int64  // rows of this epoch so far
	pieces []span // of this epoch that are to come, the last first
	buffer shelf  // those to choose from
	row    []span // the latest
}

// span is a piece of text: n targets from token at on.
type span struct{ at, n int }

func newPacker(split *data.Split, docs []int, seed uint64, T int) *packer {
	return &packer{split: split, docs: docs, seed: seed, T: T, epoch: -1}
}

// rows returns the number of rows in an epoch.
func (p *packer) rows() int64 { return int64(p.split.Len() / p.T) }

// fill writes row i to x and y, both [T]. Going on costs little, also when rows
// are left out; going back costs as much as the epoch so far.
func (p *packer) fill(i int64, x, y []int32) {
	epoch, row := i/p.rows(), i%p.rows()
	if epoch != p.epoch || row < p.packed-1 {
		p.begin(epoch)
	}
	for ; p.packed <= row; p.packed++ {
		p.pack()
	}
	for _, s := range p.row {
		p.split.Read(y[:s.n], s.at)
		if s.at > 0 {
			p.split.Read(x[:s.n], s.at-1)
		} else {
			x[0] = 0 // as if a document had ended
			copy(x[1:s.n], y)
		}
		x, y = x[s.n:], y[s.n:]
	}
}

// begin cuts the text into the pieces of an epoch and shuffles them.
func (p *packer) begin(epoch int64) {
	rng := rand.New(rand.NewPCG(p.seed, mix(uint64(p.T), uint64(epoch))))
	p.epoch, p.packed, p.pieces, p.buffer = epoch, 0, p.pieces[:0], newShelf(p.T)
	at := 0
	for _, end := range p.docs {
		if end-at > p.T {
			if head := rng.IntN(p.T); head > 0 {
				p.pieces = append(p.pieces, span{at, head})
				at += head
			}
		}
		for ; at < end; at += p.T {
			p.pieces = append(p.pieces, span{at, min(p.T, end-at)})
		}
		at = end
	}
	rng.Shuffle(len(p.pieces), func(i, j int) {
		p.pieces[i], p.pieces[j] = p.pieces[j], p.pieces[i]
	})
	// The buffer is filled at once. If it took the first short pieces that come
	// along, a run's first rows would have next to no beginnings and ends of
	// documents in them.
	rest := p.pieces[:0]
	for _, s := range p.pieces {
		if s.n < p.T && p.buffer.n < packBuffer {
			p.buffer.put(s)
		} else {
			rest = append(rest, s)
		}
	}
	p.pieces = rest
}

// next takes a piece from those to come.
func (p *packer) next() span {
	last := len(p.pieces) - 1
	s := p.pieces[last]
	p.pieces = p.pieces[:last]
	return s
}

// first takes the piece that the next row begins with: the next of all, unless
// it is to refill the buffer. At the end of an epoch only the buffer is left.
func (p *packer) first() span {
	for len(p.pieces) > 0 {
		s := p.next()
		if s.n == p.T || p.buffer.n >= packBuffer {
			return s
		}
		p.buffer.put(s)
	}
	s, _ := p.buffer.take(p.T)
	return s
}

// pack puts together the next row. There must be T tokens left in the epoch.
func (p *packer) pack() {
	first := p.first()
	p.row = append(p.row[:0], first)
	for room := p.T - first.n; room > 0; {
		if p.buffer.n == 0 { // with very short documents in long rows
			p.buffer.put(p.next())
		}
		s, fits := p.buffer.take(room)
		if !fits {
			s, _ = p.buffer.take(p.T)
			p.buffer.put(span{s.at + room, s.n - room})
			s.n = room
		}
		p.row = append(p.row, s)
		room -= s.n
	}
}

// shelf holds pieces by their length. Finding the longest that fits takes a few
// steps, however many there are.
type shelf struct {
	n    int
	by   [][]span // by length, 0 to T
	used []uint64 // a bit for each length that there is
}

func newShelf(T int) shelf {
	return shelf{by: make([][]span, T+1), used: make([]uint64, T/64+1)}
}

func (h *shelf) put(s span) {
	h.n++
	h.by[s.n] = append(h.by[s.n], s)
	h.used[s.n/64] |= 1 << (s.n % 64)
}

// take takes one of the longest pieces of at most room tokens, if there is one.
func (h *shelf) take(room int) (s span, ok bool) {
	word := room / 64
	found := h.used[word] << (63 - room%64) >> (63 - room%64)
	for found == 0 {
		if word--; word < 0 {
			return span{}, false
		}
		found = h.used[word]
	}
	length := 64*word + bits.Len64(found) - 1
	list := h.by[length]
	last := len(list) - 1
	if h.by[length] = list[:last]; last == 0 {
		h.used[word] &^= 1 << (length % 64)
	}
	h.n--
	return list[last], true
}
