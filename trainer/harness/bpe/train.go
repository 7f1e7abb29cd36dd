package bpe

import (
	"bytes"
	"container/heap"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// leastCount is how often a pair must occur to become a token: one that occurs
// once is a quotation, not a pattern.
const leastCount = 2

// maxText is about how much text Train counts; of a longer one it takes parts
// from all over, which give the same frequent words.
const maxText = 256 << 20

// Train learns a vocabulary of the given size from text, counting on so many
// goroutines. The result is a function of text and size alone.
func Train(text []byte, size, cores int) (*Vocabulary, error) {
	if err := CheckSize(size); err != nil {
		return nil, err
	}
	t := newTraining(countPieces(text, cores))
	for len(t.tokens) < size {
		if !t.merge() {
			return nil, fmt.Errorf("%w: it gives %d tokens, not %d; ask for a smaller vocabulary", ErrTooSmallText, len(t.tokens), size)
		}
	}
	return newVocabulary(t.tokens)
}

// Blocks cuts text after zero bytes into parts of about size bytes. They can be
// encoded, and their pieces counted, by themselves.
func Blocks(text []byte, size int) (blocks [][]byte) {
	for len(text) > 0 {
		n := min(size, len(text))
		if end := bytes.IndexByte(text[n-1:], 0); end >= 0 {
			n += end
		} else {
			n = len(text)
		}
		blocks, text = append(blocks, text[:n]), text[n:]
	}
	return blocks
}

// countPieces counts the pieces of two bytes or more, all others cannot merge.
func countPieces(text []byte, cores int) map[string]int64 {
	cores = max(1, cores)
	counts := make([]map[string]*int64, cores)
	blocks := make(chan []byte)
	var wait sync.WaitGroup
	for core := range cores {
		wait.Go(func() {
			seen := map[string]*int64{}
			for block := range blocks {
				count(seen, block)
			}
			counts[core] = seen
		})
	}
	for i, b := range Blocks(text, 1<<20) {
		if i%(1+len(text)/maxText) == 0 {
			blocks <- b
		}
	}
	close(blocks)
	wait.Wait()
	total := make(map[string]int64, len(counts[0]))
	for _, seen := range counts {
		for piece, n := range seen {
			total[piece] += *n
		}
	}
	return total
}

func count(seen map[string]*int64, text []byte) {
	for len(text) > 0 {
		n := next(text)
		if piece := text[:n]; n > 1 {
			if c := seen[string(piece)]; c != nil {
				*c++
			} else {
				one := int64(1)
				seen[string(piece)] = &one
			}
		}
		text = text[n:]
	}
}

// training is the state of Train between two merges: every different piece as
// the tokens it has so far, and how often each pair of neighbours occurs.
type training struct {
	tokens []string
	ids    map[string]uint16
	words  []word
	pairs  map[uint32]*pairCount
	queue  queue
}

// word is a piece of the text.
type word struct {
	symbols []uint16
	count   int64 // in the text
}

// pairCount is what is known of a pair.
type pairCount struct {
	count int64
	words []int32 // where it occurs, and perhaps no longer does
}

func newTraining(counts map[string]int64) *training {
	t := &training{tokens: ByteVocabulary().tokens, ids: map[string]uint16{}, pairs: map[uint32]*pairCount{}}
	for id, token := range t.tokens {
		t.ids[token] = uint16(id)
	}
	changed := map[uint32]bool{}
	for _, piece := range slices.Sorted(maps.Keys(counts)) {
		symbols := make([]uint16, len(piece))
		for i := range symbols {
			symbols[i] = uint16(piece[i])
		}
		t.words = append(t.words, word{symbols, counts[piece]})
		t.add(int32(len(t.words)-1), all, changed)
	}
	for p := range changed {
		t.queue = append(t.queue, candidate{t.pairs[p].count, p})
	}
	heap.Init(&t.queue)
	return t
}

// all stands for every token in add.
const all = -1

// add adds the pairs of a word to their counts. Those with token id, or all of
// them, it also notes as occurring there and as changed; of the others this is
// known.
func (t *training) add(index int32, id int, changed map[uint32]bool) {
	w := t.words[index]
	for i := range len(w.symbols) - 1 {
		left, right := w.symbols[i], w.symbols[i+1]
		p := pair(left, right)
		c := t.pairs[p]
		if c == nil {
			c = &pairCount{}
			t.pairs[p] = c
		}
		c.count += w.count
		if id != all && int(left) != id && int(right) != id {
			continue
		}
		changed[p] = true
		if n := len(c.words); n == 0 || c.words[n-1] != index {
			c.words = append(c.words, index)
		}
	}
}

// subtract takes the pairs of a word off their counts.
func (t *training) subtract(index int32) {
	w := t.words[index]
	for i := range len(w.symbols) - 1 {
		t.pairs[pair(w.symbols[i], w.symbols[i+1])].count -= w.count
	}
}

// merge makes the most frequent pair one token, of equals the lowest. It
// reports whether there was one left.
func (t *training) merge() bool {
	for len(t.queue) > 0 {
		top := t.queue[0]
		c := t.pairs[top.pair]
		switch {
		case c == nil || c.count < leastCount:
			heap.Pop(&t.queue)
			continue
		case c.count != top.count: // it has become rarer since
			t.queue[0].count = c.count
			heap.Fix(&t.queue, 0)
			continue
		}
		heap.Pop(&t.queue)
		token := t.tokens[top.pair>>16] + t.tokens[top.pair&0xffff]
		id, known := t.ids[token]
		if !known {
			id = uint16(len(t.tokens))
			t.tokens, t.ids[token] = append(t.tokens, token), id
		}
		// The encoder unites any two neighbours that make up the token.
		eachSplit(token, t.ids, func(left, right uint16) { t.unite(left, right, id) })
		return true
	}
	return false
}

// unite replaces a pair by a token in every word.
func (t *training) unite(left, right, id uint16) {
	p := pair(left, right)
	c := t.pairs[p]
	if c == nil {
		return
	}
	changed := map[uint32]bool{}
	for _, index := range c.words {
		w := &t.words[index]
		if !w.has(left, right) {
			continue
		}
		t.subtract(index)
		w.replace(left, right, id)
		t.add(index, int(id), changed) // no other pair can have become more frequent
	}
	delete(t.pairs, p)
	for p := range changed {
		heap.Push(&t.queue, candidate{t.pairs[p].count, p})
	}
}

func (w *word) has(left, right uint16) bool {
	for i := range len(w.symbols) - 1 {
		if w.symbols[i] == left && w.symbols[i+1] == right {
			return true
		}
	}
	return false
}

func (w *word) replace(left, right, id uint16) {
	kept := w.symbols[:0]
	for i := 0; i < len(w.symbols); i++ {
		s := w.symbols[i]
		if s == left && i+1 < len(w.symbols) && w.symbols[i+1] == right {
			s = id
			i++
		}
		kept = append(kept, s)
	}
	w.symbols = kept
}

// candidate is a pair with the count it had when it was queued.
type candidate struct {
	count int64
	pair  uint32
}

// queue is a heap of candidates, the most frequent first, of equals the lowest.
type queue []candidate

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if q[i].count != q[j].count {
		return q[i].count > q[j].count
	}
	return q[i].pair < q[j].pair
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(candidate)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}
