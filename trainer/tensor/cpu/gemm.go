package cpu

import "math"

// Mat is a strided matrix: element (i,j) is Data[i*RS+j*CS].
type Mat struct {
	Data   []float32
	RS, CS int
}

// T is the transpose.
func (m Mat) T() Mat { return Mat{m.Data, m.CS, m.RS} }

// From is the part of m from row i and column j on.
func (m Mat) From(i, j int) Mat { return Mat{m.Data[i*m.RS+j*m.CS:], m.RS, m.CS} }

// Work is the packing memory of one thread; the zero value is ready.
type Work struct{ a, b, edge []float32 }

func grown(b *[]float32, n int) []float32 {
	if cap(*b) < n {
		*b = make([]float32, n)
	}
	return (*b)[:n]
}

// Blocks of the product: a block of A (mc x kc) stays in the second cache, a
// panel of B (kc x nr) in the first.
const (
	blockK = 320
	blockM = 160
	blockN = 3072
)

// Gemm is C = A B, or C += A B with acc: A is [m,k], B is [k,n], C is row-major
// with row stride ldc. Each element's sum runs over k in one fixed order.
//
// B is packed into panels. A is read where it is: a copy of it would pay only
// for products much wider than those of small models.
func (s *Set) Gemm(w *Work, m, n, k int, a, b Mat, c []float32, ldc int, acc bool) {
	s.gemm(w, m, n, k, a, b, c, ldc, acc, n)
}

// Gram is C = A Aᵀ for rows lo..hi of A, [m,k], as far as it is below or on the
// diagonal; what is above is undefined. With the rows of all parts done, Mirror
// completes C, whose row stride is ldc.
func (s *Set) Gram(w *Work, lo, hi, k int, a Mat, c []float32, ldc int) {
	s.gemm(w, hi-lo, hi, k, a.From(lo, 0), a.T(), c[lo*ldc:], ldc, false, lo)
}

// Mirror copies what is below the diagonal of C, [m,m], above it.
func (s *Set) Mirror(m int, c []float32, ldc int) {
	if s.idle {
		return
	}
	for i := 0; i < m; i += 8 {
		n := min(8, m-i)
		s.Transpose(n, i, c[i:], ldc, c[i*ldc:], ldc)
		for r := i; r < i+n; r++ {
			for j := r + 1; j < i+n; j++ {
				c[r*ldc+j] = c[j*ldc+r]
			}
		}
	}
}

// Transpose writes src, [rows,cols] with row stride ls, to the columns of dst,
// whose row stride is ld.
func (s *Set) Transpose(rows, cols int, dst []float32, ld int, src []float32, ls int) {
	if s.idle {
		return
	}
	r8, c8 := rows&^7, cols&^7
	for i := 0; i < r8 && c8 > 0; i += 8 {
		s.columns(dst[i:], ld, src[i*ls:], ls, c8/8)
	}
	for i := range rows {
		from := c8
		if i >= r8 {
			from = 0
		}
		for j := from; j < cols; j++ {
			dst[j*ld+i] = src[i*ls+j]
		}
	}
}

// columnsGo writes 8 rows of 8*n8 floats as columns.
func columnsGo(dst []float32, ld int, src []float32, ls, n8 int) {
	for j := range 8 * n8 {
		for i := range 8 {
			dst[j*ld+i] = src[i*ls+j]
		}
	}
}

// gemm is Gemm of the columns that are before the diagonal's end: in row i those
// below i+diag+1, and some more.
func (s *Set) gemm(w *Work, m, n, k int, a, b Mat, c []float32, ldc int, acc bool, diag int) {
	if s.idle {
		return
	}
	for jc := 0; jc < n; jc += blockN {
		nc := min(blockN, n-jc)
		for pc := 0; pc < k; pc += blockK {
			kc := min(blockK, k-pc)
			bp := grown(&w.b, (nc+s.nr)*kc)
			bt := b.From(pc, jc).T()
			for j, wide := 0, 0; j < nc; j += wide {
				wide = s.width(nc - j)
				s.pack(bp[j*kc:(j+wide)*kc], wide, bt.From(j, 0), min(wide, nc-j), kc)
			}
			for ic := 0; ic < m; ic += blockM {
				mc := min(blockM, m-ic)
				s.macro(w, mc, nc, kc, a.From(ic, pc), bp, c[ic*ldc+jc:], ldc, acc || pc > 0, ic+diag-jc)
			}
		}
	}
}

// nans is a row of the widest tile.
var nans = func() (x [64]float32) {
	for i := range x {
		x[i] = float32(math.NaN())
	}
	return x
}()

// lost says whether each of the first rows of a begins with NaN.
func lost(a Mat, rows int) bool {
	for i := range rows {
		if v := a.Data[i*a.RS]; v == v {
			return false
		}
	}
	return true
}

// width is the tile to use with rest columns to go: the widest, unless a
// narrower one wastes less on the last columns.
func (s *Set) width(rest int) int {
	best := s.widths[0]
	if rest >= 2*best {
		return best
	}
	for _, w := range s.widths[1:] {
		// One or two tiles will finish: take the split with least padding.
		if s.padded(rest, w) < s.padded(rest, best) {
			best = w
		}
	}
	return best
}

// padded is the number of columns computed when the first tile is w wide.
func (s *Set) padded(rest, w int) int {
	n := w
	for rest -= w; rest > 0; {
		last := s.widths[0]
		for _, v := range s.widths {
			if v >= rest {
				last = v
			}
		}
		n += last
		rest -= last
	}
	return n
}

// macro multiplies a block of A with packed B tile by tile.
func (s *Set) macro(w *Work, mc, nc, kc int, a Mat, bp, c []float32, ldc int, acc bool, diag int) {
	edge := grown(&w.edge, s.mr*s.nr)
	last := mc / s.mr * s.mr // the rows from here on do not fill a tile
	strided := a.CS != 1 && a.RS != 1
	if mc > last && !strided {
		s.packTile(w, a.From(last, 0), mc-last, kc)
	}
	for j, wide := 0, 0; j < nc; j += wide {
		wide = s.width(nc - j)
		have := min(wide, nc-j)
		b := bp[j*kc : (j+wide)*kc]
		for i := 0; i < mc; i += s.mr {
			rows := min(s.mr, mc-i)
			if j >= i+rows+diag {
				continue
			}
			at := a.From(i, 0)
			if lost(at, rows) {
				for r := range rows {
					copy(c[(i+r)*ldc+j:][:have], nans[:])
				}
				continue
			}
			if strided {
				s.packTile(w, at, rows, kc)
			}
			if strided || i == last {
				at = Mat{w.a, 1, s.mr}
			}
			if rows == s.mr && have == wide {
				s.tile(wide, kc, at, b, c[i*ldc+j:], ldc, acc)
				continue
			}
			s.tile(wide, kc, at, b, edge, wide, false)
			for r := range rows {
				dst, src := c[(i+r)*ldc+j:][:have], edge[r*wide:][:have]
				if acc {
					addGo(dst, dst, src)
				} else {
					copy(dst, src)
				}
			}
		}
	}
}

// packTile lays rows of a out as one full panel.
func (s *Set) packTile(w *Work, a Mat, rows, kc int) {
	s.pack(grown(&w.a, s.mr*kc), s.mr, a, rows, kc)
}

// packGo lays [have,k] out as one panel of r rows: k, then row; missing rows
// are zero.
func packGo(d []float32, r int, src Mat, have, k int) {
	for p := range k {
		row := d[p*r : (p+1)*r]
		o := p * src.CS
		for i := range have {
			row[i] = src.Data[o+i*src.RS]
		}
		clear(row[have:])
	}
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

const goMR, goNR = 4, 8

// tileGo is the plain tile product: c[4,8] (+)= a[4,k] b[k,8].
func tileGo(_, kc int, a Mat, b, c []float32, ldc int, acc bool) {
	var t [goMR][goNR]float32
	for p := range kc {
		y := (*[goNR]float32)(b[p*goNR:])
		for i := range t {
			x := a.Data[i*a.RS+p*a.CS]
			for j := range t[i] {
				t[i][j] += x * y[j]
			}
		}
	}
	for i := range t {
		row := c[i*ldc:][:goNR]
		for j, v := range t[i] {
			if acc {
				v += row[j]
			}
			row[j] = v
		}
	}
}

// PeakWork is calls of the widest tile within the first cache: what a perfect
// matrix product would take its time for. It returns the number of floating
// point operations, for benchmarks.
func (s *Set) PeakWork(calls int) float64 {
	const kc = 64
	x := make([]float32, kc*s.mr+kc*s.nr+s.mr*s.nr)
	a, b, c := x[:kc*s.mr], x[kc*s.mr:kc*(s.mr+s.nr)], x[kc*(s.mr+s.nr):]
	for range calls {
		s.tile(s.nr, kc, Mat{a, 1, s.mr}, b, c, s.nr, true)
	}
	return 2 * float64(s.mr*s.nr*kc*calls)
}
