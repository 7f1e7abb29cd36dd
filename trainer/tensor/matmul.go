package tensor

import (
	"fmt"
	"math"
	"slices"

	"github.com/autoresearch-go/autoresearch/trainer/tensor/cpu"
)

// inferMatMul serves both orders of the second matrix: [K,N], or [N,K] when
// trans. A second matrix of rank 2 is shared by all rows of the first.
func inferMatMul(trans bool) func(Attrs, []Spec) (Spec, error) {
	return func(_ Attrs, in []Spec) (Spec, error) {
		if err := floats(in); err != nil {
			return Spec{}, err
		}
		x, w := in[0].Shape, in[1].Shape
		if len(x) < 1 || len(w) < 2 {
			return Spec{}, fmt.Errorf("ranks are %d and %d, want at least 1 and 2", len(x), len(w))
		}
		k, n := w[len(w)-2], w[len(w)-1]
		if trans {
			k, n = n, k
		}
		if x[len(x)-1] != k {
			return Spec{}, fmt.Errorf("inner dimensions differ: %d against %d%s", x[len(x)-1], k, otherMatMul(trans, x[len(x)-1], n))
		}
		if len(w) > 2 && (len(x) != len(w) || !slices.Equal(x[:len(x)-2], w[:len(w)-2])) {
			return Spec{}, fmt.Errorf("batch dimensions differ: the second is %s of rank 2, or has all dimensions of the first before these", matrixName(trans))
		}
		out := slices.Clone(x)
		out[len(out)-1] = n
		return checked(out)
	}
}

func matrixName(trans bool) string {
	if trans {
		return "[N,K]"
	}
	return "[K,N]"
}

// otherMatMul is a hint for who took the wrong one of the two products.
func otherMatMul(trans bool, inner, other int) string {
	switch {
	case inner != other:
		return ": the second is " + matrixName(trans)
	case trans:
		return ": use MatMul for a second of [K,N]"
	}
	return ": use MatMulT for a second of [N,K]"
}

// mmDims is a product as batch independent [M,K] x [K,N].
type mmDims struct{ batch, m, n, k int }

func (c *call) mmDims() mmDims {
	x, w, o := c.in[0].shape, c.in[1].shape, c.out.shape
	d := mmDims{batch: 1, n: o[len(o)-1], k: x[len(x)-1]}
	if len(w) > 2 {
		for _, b := range w[:len(w)-2] {
			d.batch *= b
		}
	}
	d.m = c.out.size / d.n / d.batch
	return d
}

// row-major [r,c] and its transpose as strided matrices
func rowMajor(v []float32, c int) cpu.Mat   { return cpu.Mat{Data: v, RS: c, CS: 1} }
func transposed(v []float32, c int) cpu.Mat { return cpu.Mat{Data: v, RS: 1, CS: c} }

// gemm is C[m,n] = (C +) A[m,k] B[k,n] on all threads. The sum over k runs in
// one order whatever the split, so bits do not depend on threads.
func (d *Device) gemm(m, n, k int, a, b cpu.Mat, c []float32, acc bool) {
	t := &d.mm
	*t = gemmTask{d: d, m: m, n: n, k: k, a: operand{m: a}, b: operand{m: b}, c: c, acc: acc}
	parts := min(d.pool.n, 1+m*n*k/gemmGrain)
	size, tile := n, 0
	if t.byRows = m >= n; t.byRows {
		size = m
	}
	if tile, _ = d.kern.Tile(); !t.byRows {
		_, tile = d.kern.Tile()
	}
	if parts <= 1 {
		tile = size
	}
	t.tile = tile
	tiles := (size + tile - 1) / tile
	d.pool.do(tiles, min(parts, tiles), t)
	*t = gemmTask{}
}

// gram is C[m,m] = A Aᵀ of A[m,k]: about half of a product, then its mirror.
func (d *Device) gram(m, k int, a, c []float32) {
	if m < 32 {
		d.gemm(m, m, k, rowMajor(a, k), transposed(a, k), c, false)
		return
	}
	t := &d.mm
	*t = gemmTask{d: d, m: m, k: k, a: operand{m: rowMajor(a, k)}, c: c, half: true}
	mr, _ := d.kern.Tile()
	t.tile = mr
	tiles := (m + mr - 1) / mr
	t.n = min(d.pool.n, 1+m*m*k/2/gemmGrain, tiles)
	d.pool.do(t.n, t.n, t)
	*t = gemmTask{}
	d.kern.Mirror(m, c, m)
}

// share is where part i of n begins for parts of equal area under a diagonal.
func (t *gemmTask) share(i int) int {
	tiles := (t.m + t.tile - 1) / t.tile
	return min(t.m, t.tile*int(math.Round(float64(tiles)*math.Sqrt(float64(i)/float64(t.n)))))
}

// gemmBatch runs one product per batch entry, entries spread over threads.
func (d *Device) gemmBatch(batch, m, n, k int, a, b operand, c []float32, acc bool) {
	if batch == 1 {
		d.gemm(m, n, k, a.m, b.m, c, acc)
		return
	}
	d.mm = gemmTask{d: d, m: m, n: n, k: k, a: a, b: b, c: c, acc: acc}
	d.pool.eachItem(batch, &d.mm)
	d.mm = gemmTask{}
}

// gemmTask is one product split by rows or columns of tiles, or a batch of
// products.
type gemmTask struct {
	d       *Device
	m, n, k int
	a, b    operand
	c       []float32
	acc     bool
	byRows  bool
	half    bool // below the diagonal only
	tile    int
}

func (t *gemmTask) run(w, lo, hi int) {
	kern, work := t.d.kern, t.d.work[w]
	if t.half {
		for i := lo; i < hi; i++ {
			kern.Gram(work, t.share(i), t.share(i+1), t.k, t.a.m, t.c, t.m)
		}
		return
	}
	lo *= t.tile
	if t.byRows {
		hi = min(hi*t.tile, t.m)
		kern.Gemm(work, hi-lo, t.n, t.k, t.a.m.From(lo, 0), t.b.m, t.c[lo*t.n:], t.n, t.acc)
		return
	}
	hi = min(hi*t.tile, t.n)
	kern.Gemm(work, t.m, hi-lo, t.k, t.a.m, t.b.m.From(0, lo), t.c[lo:], t.n, t.acc)
}

func (t *gemmTask) item(w, i int) {
	t.d.kern.Gemm(t.d.work[w], t.m, t.n, t.k, t.a.at(i), t.b.at(i), t.c[i*t.m*t.n:(i+1)*t.m*t.n], t.n, t.acc)
}

// operand is a matrix for each batch entry, step floats after the one before.
type operand struct {
	m    cpu.Mat
	step int
}

func (o operand) at(i int) cpu.Mat { return cpu.Mat{Data: o.m.Data[i*o.step:], RS: o.m.RS, CS: o.m.CS} }

// mats are matrices of size floats and so many columns, or their transposes.
func mats(v []float32, size, cols int, trans bool) operand {
	if trans {
		return operand{transposed(v, cols), size}
	}
	return operand{rowMajor(v, cols), size}
}

func matmulForward(trans bool) func(c *call) {
	return func(c *call) {
		d := c.mmDims()
		wc := d.n
		if trans {
			wc = d.k
		}
		if trans && c.in[0] == c.in[1] && d.batch == 1 {
			c.dev.gram(d.m, d.k, c.in[0].data, c.out.data)
			return
		}
		c.dev.gemmBatch(d.batch, d.m, d.n, d.k, mats(c.in[0].data, d.m*d.k, d.k, false),
			mats(c.in[1].data, d.k*d.n, wc, trans), c.out.data, false)
	}
}

func matmulBackward(trans bool) func(c *call) {
	return func(c *call) {
		d := c.mmDims()
		x, w := c.in[0].data, c.in[1].data
		wc := d.n
		if trans {
			wc = d.k
		}
		if dx, fresh := c.dinFresh(0); dx != nil { // dx = dy wᵀ
			c.dev.gemmBatch(d.batch, d.m, d.k, d.n, mats(c.dout, d.m*d.n, d.n, false), mats(w, d.k*d.n, wc, !trans), dx, !fresh)
		}
		dw, fresh := c.dinFresh(1)
		switch {
		case dw == nil:
		case trans: // dw[N,K] = dyᵀ x
			c.dev.gemmBatch(d.batch, d.n, d.k, d.m, mats(c.dout, d.m*d.n, d.n, true), mats(x, d.m*d.k, d.k, false), dw, !fresh)
		default: // dw[K,N] = xᵀ dy
			c.dev.gemmBatch(d.batch, d.k, d.n, d.m, mats(x, d.m*d.k, d.k, true), mats(c.dout, d.m*d.n, d.n, false), dw, !fresh)
		}
	}
}

var (
	opMatMul = register(Op{Name: "matmul", Arity: 2, Infer: inferMatMul(false),
		Forward: matmulForward(false), Backward: matmulBackward(false)})
	opMatMulT = register(Op{Name: "matmul_t", Arity: 2, Infer: inferMatMul(true),
		Forward: matmulForward(true), Backward: matmulBackward(true)})
)

// MatMul is x [...,M,K] @ w: w is [K,N], shared by all rows, or [...,K,N] with
// the batch dimensions of x. The result is [...,M,N].
func (t *Tensor) MatMul(w *Tensor) *Tensor { return apply(opMatMul, Attrs{}, t, w) }

// MatMulT is x [...,M,K] @ wᵀ: w is [N,K], as linear layers store it, or
// [...,N,K] with the batch dimensions of x. The result is [...,M,N]. A matrix
// times its own transpose, x.MatMulT(x), costs little more than half of that.
func (t *Tensor) MatMulT(w *Tensor) *Tensor { return apply(opMatMulT, Attrs{}, t, w) }
