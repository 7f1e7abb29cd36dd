package cpu

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

// Blocks of the product: a packed block of A (mc x kc) stays in the second
// cache, a panel of B (kc x nr) in the first.
const (
	blockK = 320
	blockM = 160
	blockN = 3072
)

// Gemm is C = A B, or C += A B with acc: A is [m,k], B is [k,n], C is row-major
// with row stride ldc. Each element's sum runs over k in one fixed order.
func (s *Set) Gemm(w *Work, m, n, k int, a, b Mat, c []float32, ldc int, acc bool) {
	for jc := 0; jc < n; jc += blockN {
		nc := min(blockN, n-jc)
		for pc := 0; pc < k; pc += blockK {
			kc := min(blockK, k-pc)
			bp := grown(&w.b, roundUp(nc, s.nr)*kc)
			pack(bp, s.nr, b.From(pc, jc).T(), nc, kc)
			for ic := 0; ic < m; ic += blockM {
				mc := min(blockM, m-ic)
				ap := grown(&w.a, roundUp(mc, s.mr)*kc)
				pack(ap, s.mr, a.From(ic, pc), mc, kc)
				s.macro(w, mc, nc, kc, ap, bp, c[ic*ldc+jc:], ldc, acc || pc > 0)
			}
		}
	}
}

// macro multiplies packed blocks tile by tile.
func (s *Set) macro(w *Work, mc, nc, kc int, ap, bp, c []float32, ldc int, acc bool) {
	edge := grown(&w.edge, s.mr*s.nr)
	for j := 0; j < nc; j += s.nr {
		for i := 0; i < mc; i += s.mr {
			a, b := ap[i*kc:(i+s.mr)*kc], bp[j*kc:(j+s.nr)*kc]
			if i+s.mr <= mc && j+s.nr <= nc {
				s.micro(kc, a, b, c[i*ldc+j:], ldc, acc)
				continue
			}
			s.micro(kc, a, b, edge, s.nr, false)
			wide := min(s.nr, nc-j)
			for r := range min(s.mr, mc-i) {
				dst := c[(i+r)*ldc+j:][:wide]
				for x, v := range edge[r*s.nr:][:wide] {
					if acc {
						dst[x] += v
					} else {
						dst[x] = v
					}
				}
			}
		}
	}
}

// pack lays [rows,k] out in panels of r rows: panel, then k, then row; missing
// rows are zero.
func pack(dst []float32, r int, src Mat, rows, k int) {
	for i0 := 0; i0 < rows; i0 += r {
		d := dst[i0*k : (i0+r)*k]
		have := min(r, rows-i0)
		for p := range k {
			row := d[p*r : (p+1)*r]
			o := i0*src.RS + p*src.CS
			for i := range have {
				row[i] = src.Data[o+i*src.RS]
			}
			clear(row[have:])
		}
	}
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

const goMR, goNR = 4, 8

// microGo is the plain tile product: c[4,8] (+)= a[k,4]ᵀ b[k,8].
func microGo(kc int, a, b, c []float32, ldc int, acc bool) {
	var t [goMR][goNR]float32
	for p := range kc {
		x := (*[goMR]float32)(a[p*goMR:])
		y := (*[goNR]float32)(b[p*goNR:])
		for i := range t {
			for j := range t[i] {
				t[i][j] += x[i] * y[j]
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
