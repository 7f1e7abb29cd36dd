//go:build cuda

package cuda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/gpu/emulated"
)

func (a stored) array() Array { return Array{At: a.at, Type: a.typ, N: len(a.v)} }

// rowCases are rows for some lanes, a warp and a block, of vectors and of single
// elements, and longer than what threads keep.
var rowCases = []NormRows{{7, 1}, {40, 3}, {33, 8}, {5, 64}, {9, 100}, {3, 512}, {2, 768}, {3, 1001}, {2, 2048}, {1, 9000}}

// The types of a stream in mixed precision, and of float32; x is the first.
var rowTypes = [][2]gpu.Type{{gpu.F32, gpu.F32}, {gpu.BF16, gpu.BF16}, {gpu.F32, gpu.BF16}, {gpu.BF16, gpu.F32}}

// eps of a type is what a stored result may be off by.
func eps(typ gpu.Type) float64 {
	if typ == gpu.BF16 {
		return 1. / 256
	}
	return 3e-6
}

func TestRows(t *testing.T) {
	emulated.Reversed(t, func(t *testing.T) {
		k := newKernels(t)
		for _, r := range rowCases {
			for _, typ := range rowTypes {
				t.Run(fmt.Sprint(r, typ), func(t *testing.T) {
					checkRMSNorm(t, k, r, typ)
					checkAddRMSNorm(t, k, r, typ)
					checkSoftmax(t, k, r, typ)
				})
			}
		}
	})
}

const normEps = 1e-3 // large, so that leaving it out shows

// rmsNorm64 is y and the reciprocal roots.
func rmsNorm64(x []float64, c int) (y, roots []float64) {
	for i := 0; i < len(x); i += c {
		row := x[i : i+c]
		root := 1 / math.Sqrt(dot64(row, row)/float64(c)+normEps)
		roots = append(roots, root)
		for _, v := range row {
			y = append(y, v*root)
		}
	}
	return y, roots
}

// backward64 is dx = root * (dy - y mean(dy y)).
func backward64(dy, y, roots []float64) (dx []float64) {
	c := len(y) / len(roots)
	for i, root := range roots {
		mean := dot64(dy[i*c:(i+1)*c], y[i*c:]) / float64(c)
		for j := i * c; j < (i+1)*c; j++ {
			dx = append(dx, root*(dy[j]-y[j]*mean))
		}
	}
	return dx
}

func checkRMSNorm(t *testing.T, k *Kernels, r NormRows, typ [2]gpu.Type) {
	rng := rand.New(rand.NewPCG(1, uint64(r.C)))
	x, dy := k.store(typ[0], randoms(rng, r.N*r.C)), k.store(typ[1], randoms(rng, r.N*r.C))
	y, roots, dx := k.empty(typ[1], r.N*r.C), k.empty(gpu.F32, r.N), k.empty(typ[0], r.N*r.C)
	k.RMSNorm(r, y.array(), roots.at, x.array(), normEps)
	want, wantRoots := rmsNorm64(x.v, r.C)
	wantClose(t, "y", y.download(), want, eps(typ[1]))
	wantClose(t, "roots", roots.download(), wantRoots, 3e-6)
	k.RMSNorm(r, y.array(), 0, x.array(), normEps)

	stored := y.download()
	wantDx := backward64(dy.v, stored, roots.download())
	k.RMSNormBackward(r, dx.array(), dy.array(), y.array(), roots.at, false)
	wantClose(t, "dx", dx.download(), wantDx, eps(typ[0]))
	k.RMSNormBackward(r, dx.array(), dy.array(), y.array(), roots.at, true)
	wantClose(t, "dx twice", dx.download(), twice(wantDx), 2*eps(typ[0]))
}

func twice(x []float64) (y []float64) {
	for _, v := range x {
		y = append(y, 2*v)
	}
	return y
}

func checkAddRMSNorm(t *testing.T, k *Kernels, r NormRows, typ [2]gpu.Type) {
	rng := rand.New(rand.NewPCG(2, uint64(r.C)))
	a, b := k.store(typ[0], randoms(rng, r.N*r.C)), k.store(typ[1], randoms(rng, r.N*r.C))
	sum, y, roots := k.empty(typ[0], r.N*r.C), k.empty(typ[1], r.N*r.C), k.empty(gpu.F32, r.N)
	k.AddRMSNorm(r, sum.array(), y.array(), roots.at, Weight{X: a.array()}, Weight{X: b.array()}, normEps)
	want := append([]float64{}, a.v...)
	axpy64(want, 1, b.v)
	wantClose(t, "sum", sum.download(), want, eps(typ[0]))
	wantY, wantRoots := rmsNorm64(sum.download(), r.C) // of the sum as it is stored
	wantClose(t, "y of sum", y.download(), wantY, eps(typ[1]))
	wantClose(t, "roots of sum", roots.download(), wantRoots, 3e-6)
}

func checkSoftmax(t *testing.T, k *Kernels, r NormRows, typ [2]gpu.Type) {
	rng := rand.New(rand.NewPCG(3, uint64(r.C)))
	x, dy := k.store(typ[0], randoms(rng, r.N*r.C)), k.store(typ[1], randoms(rng, r.N*r.C))
	y, dx := k.empty(typ[1], r.N*r.C), k.empty(typ[0], r.N*r.C)
	k.Softmax(r, y.array(), x.array())
	var want, wantDx []float64
	for i := 0; i < len(x.v); i += r.C {
		sum := 0.
		for _, v := range x.v[i : i+r.C] {
			sum += math.Exp(v)
		}
		for _, v := range x.v[i : i+r.C] {
			want = append(want, math.Exp(v)/sum)
		}
	}
	wantClose(t, "softmax", y.download(), want, eps(typ[1]))
	stored := y.download()
	for i, p := range stored {
		row := i / r.C * r.C
		wantDx = append(wantDx, p*(dy.v[i]-dot64(stored[row:row+r.C], dy.v[row:])))
	}
	k.SoftmaxBackward(r, dx.array(), dy.array(), y.array(), false)
	wantClose(t, "softmax dx", dx.download(), wantDx, eps(typ[0]))
	k.SoftmaxBackward(r, dx.array(), dy.array(), y.array(), true)
	wantClose(t, "softmax dx twice", dx.download(), twice(wantDx), 2*eps(typ[0]))
}

// headCases are heads for one lane, for several, and of halves that are no vectors.
var headCases = []Heads{
	{B: 2, T: 5, NH: 3, D: 2}, {B: 1, T: 7, NH: 2, D: 6}, {B: 2, T: 9, NH: 2, D: 16}, {B: 1, T: 33, NH: 5, D: 32},
	{B: 2, T: 3, NH: 1, D: 96}, {B: 2, T: 40, NH: 4, D: 128}, {B: 1, T: 3, NH: 2, D: 500}, {B: 1, T: 2, NH: 1, D: 512},
}

func TestHeads(t *testing.T) {
	emulated.Reversed(t, func(t *testing.T) {
		k := newKernels(t)
		for _, h := range headCases {
			for _, typ := range rowTypes {
				t.Run(fmt.Sprint(h, typ), func(t *testing.T) { checkHeads(t, k, h, typ) })
			}
		}
	})
}

// turn64 is RoPE with the table's angles times sign.
func turn64(h Heads, x, table []float64, sign float64) []float64 {
	y := make([]float64, len(x))
	for i := range x {
		at, d := i/h.D/h.NH%h.T*h.D, i%h.D
		half := h.D / 2
		if d < half {
			y[i] = x[i]*table[at+d] + sign*x[i+half]*table[at+half+d]
		} else {
			y[i] = x[i]*table[at+d-half] - sign*x[i-half]*table[at+d]
		}
	}
	return y
}

func checkHeads(t *testing.T, k *Kernels, h Heads, typ [2]gpu.Type) {
	rng := rand.New(rand.NewPCG(4, uint64(h.D)))
	n := h.B * h.T * h.NH * h.D
	table := k.store(gpu.F32, randoms(rng, h.T*h.D)) // not of a rotation, which shows more
	h.Table = table.at
	x, dy := k.store(typ[0], randoms(rng, n)), k.store(typ[1], randoms(rng, n))
	y, roots, dx := k.empty(typ[1], n), k.empty(gpu.F32, h.rows()), k.empty(typ[0], n)

	k.RoPE(h, y.array(), x.array(), 1, false)
	want := turn64(h, x.v, table.v, 1)
	wantClose(t, "rope", y.download(), want, eps(typ[1]))
	k.RoPE(h, dx.array(), dy.array(), -1, false)
	wantClose(t, "rope backward", dx.download(), turn64(h, dy.v, table.v, -1), eps(typ[0]))
	k.RoPE(h, dx.array(), dy.array(), -1, true)
	wantClose(t, "rope backward twice", dx.download(), twice(turn64(h, dy.v, table.v, -1)), 2*eps(typ[0]))

	k.RoPENorm(h, y.array(), roots.at, x.array(), normEps)
	wantY, wantRoots := rmsNorm64(want, h.D)
	wantClose(t, "rope and norm", y.download(), wantY, eps(typ[1]))
	wantClose(t, "roots", roots.download(), wantRoots, 3e-6)
	wantDx := turn64(h, backward64(dy.v, y.download(), roots.download()), table.v, -1)
	k.RoPENormBackward(h, dx.array(), dy.array(), y.array(), roots.at, false)
	wantClose(t, "rope and norm backward", dx.download(), wantDx, eps(typ[0]))
	k.RoPENormBackward(h, dx.array(), dy.array(), y.array(), roots.at, true)
	wantClose(t, "rope and norm backward twice", dx.download(), twice(wantDx), 2*eps(typ[0]))
}
