package tensor

// arena hands out float32 buffers that all die together. A fresh zeroed
// 4 MB tensor costs up to milliseconds in page faults, so the memory of one
// step is kept and handed out again after reset; contents are undefined.
//
// Buffers that are known to be dead earlier (gradients of intermediate
// values) may be given back with free and are reused by size.
type arena struct {
	chunks [][]float32
	chunk  int // chunk being filled
	off    int // first free float in it
	spare  map[int][][]float32
	before int // floats in the chunks before it
	peak   int // most floats in use so far, gaps at chunk ends included
}

const (
	arenaAlign    = 16      // floats: one cache line, one AVX-512 register
	arenaMinChunk = 1 << 18 // floats: 1 MiB
	arenaMaxChunk = 1 << 22 // floats: 16 MiB
)

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// alloc returns n floats with undefined contents.
func (a *arena) alloc(n int) []float32 {
	size := roundUp(n, arenaAlign)
	if l := a.spare[size]; len(l) > 0 {
		b := l[len(l)-1]
		a.spare[size] = l[:len(l)-1]
		return soiled(b[:n])
	}
	for a.chunk < len(a.chunks) && a.off+size > len(a.chunks[a.chunk]) {
		a.before += len(a.chunks[a.chunk])
		a.chunk++
		a.off = 0
	}
	if a.chunk == len(a.chunks) {
		a.grow(size)
	}
	b := a.chunks[a.chunk][a.off : a.off+n : a.off+size]
	a.off += size
	a.peak = max(a.peak, a.before+a.off)
	return soiled(b)
}

// dirtyMemory makes all memory that is handed out NaN, so that tests see when
// something is read that nobody wrote.
var dirtyMemory bool

func soiled(b []float32) []float32 {
	if dirtyMemory {
		fillNaN(b)
	}
	return b
}

func (a *arena) grow(size int) {
	c := arenaMinChunk << min(len(a.chunks), 4)
	c = max(min(c, arenaMaxChunk), size)
	a.chunks = append(a.chunks, make([]float32, c))
	a.off = 0
}

// free gives a buffer back before reset; the caller holds no other use of it.
func (a *arena) free(b []float32) {
	if a.spare == nil {
		a.spare = map[int][][]float32{}
	}
	a.spare[cap(b)] = append(a.spare[cap(b)], b[:cap(b)])
}

// reset makes all memory free again and keeps it.
func (a *arena) reset() {
	a.chunk, a.off, a.before = 0, 0, 0
	for k, l := range a.spare {
		a.spare[k] = l[:0]
	}
}

// mark and release bracket scratch memory: everything allocated in between is
// free again afterwards. Buffers given to free in between must not outlive it,
// so scratch users do not call free.
func (a *arena) mark() (m arenaMark) { return arenaMark{a.chunk, a.off, a.before} }
func (a *arena) release(m arenaMark) { a.chunk, a.off, a.before = m.chunk, m.off, m.before }

type arenaMark struct{ chunk, off, before int }
