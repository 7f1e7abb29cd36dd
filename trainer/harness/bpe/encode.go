package bpe

// maxCached bounds the pieces an Encoder remembers; beyond that it forgets all
// and begins again.
const maxCached = 1 << 20

// Encoder turns text into tokens of a vocabulary. It remembers the pieces it
// has seen and is for one goroutine.
type Encoder struct {
	unions map[uint32]uint16 // of two neighbours, by pair
	cache  map[string][]uint16
	store  []uint16 // what the cache's values are cut from
}

// pair is two neighbouring tokens as one number; pairs sort as their tokens do.
func pair(left, right uint16) uint32 { return uint32(left)<<16 | uint32(right) }

// NewEncoder returns an encoder for v.
func NewEncoder(v *Vocabulary) *Encoder {
	ids := make(map[string]uint16, v.Size())
	for id, token := range v.tokens {
		ids[token] = uint16(id)
	}
	e := &Encoder{unions: make(map[uint32]uint16, 2*v.Size()), cache: map[string][]uint16{}}
	for id := Bytes; id < v.Size(); id++ {
		eachSplit(v.tokens[id], ids, func(left, right uint16) {
			e.unions[pair(left, right)] = uint16(id)
		})
	}
	return e
}

// eachSplit visits the pairs of tokens that token can be put together from.
func eachSplit(token string, ids map[string]uint16, visit func(left, right uint16)) {
	for i := 1; i < len(token); i++ {
		left, ok := ids[token[:i]]
		if right, also := ids[token[i:]]; ok && also {
			visit(left, right)
		}
	}
}

// Append appends the tokens of text to ids.
func (e *Encoder) Append(ids []uint16, text []byte) []uint16 {
	for len(text) > 0 {
		n := next(text)
		ids = e.piece(ids, text[:n])
		text = text[n:]
	}
	return ids
}

// piece appends the tokens of one piece.
func (e *Encoder) piece(ids []uint16, piece []byte) []uint16 {
	if len(piece) == 1 {
		return append(ids, uint16(piece[0]))
	}
	if known, ok := e.cache[string(piece)]; ok {
		return append(ids, known...)
	}
	if len(e.cache) >= maxCached {
		clear(e.cache)
	}
	start := len(ids)
	ids = e.merge(ids, piece)
	tokens := len(ids) - start
	if len(e.store)+tokens > cap(e.store) {
		e.store = make([]uint16, 0, 1<<16)
	}
	from := len(e.store)
	e.store = append(e.store, ids[start:]...)
	e.cache[string(piece)] = e.store[from:len(e.store):len(e.store)]
	return ids
}

// none is above every id that a union can have, since the first 256 have none.
const none = 1 << 16

// merge appends the tokens of a piece that is not known yet.
func (e *Encoder) merge(ids []uint16, piece []byte) []uint16 {
	var symbols [maxPiece + 8]uint16
	var union [maxPiece + 8]uint32 // of a symbol and the one after it
	n := len(piece)
	join := func(i int) {
		union[i] = none
		if i+1 < n {
			if id, ok := e.unions[pair(symbols[i], symbols[i+1])]; ok {
				union[i] = uint32(id)
			}
		}
	}
	for i, c := range piece {
		symbols[i] = uint16(c)
	}
	for i := range n {
		join(i)
	}
	for {
		best := 0
		for i := 1; i < n; i++ {
			if union[i] < union[best] {
				best = i
			}
		}
		if union[best] == none {
			return append(ids, symbols[:n]...)
		}
		symbols[best] = uint16(union[best])
		copy(symbols[best+1:n-1], symbols[best+2:n])
		copy(union[best+1:n-1], union[best+2:n])
		n--
		join(best)
		if best > 0 {
			join(best - 1)
		}
	}
}
