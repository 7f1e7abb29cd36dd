package cpu

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

func random(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func forEachSet(t *testing.T, f func(t *testing.T, s *Set)) {
	for _, s := range available() {
		t.Run(s.Name, func(t *testing.T) { f(t, s) })
	}
}

// TestGemm compares all sets with a float64 product, at odd shapes, with both
// operands in both orders, adding and overwriting, and checks that nothing is
// written beyond C.
func TestGemm(t *testing.T) {
	forEachSet(t, func(t *testing.T, s *Set) {
		rng := rand.New(rand.NewPCG(1, 2))
		w := &Work{}
		for _, sh := range [][3]int{{1, 1, 1}, {8, 48, 4}, {7, 47, 5}, {9, 49, 33}, {3, 16, 8}, {17, 65, 40}, {6, 80, 7},
			{165, 50, 330}, {64, 32, 64}, {2, 100, 3}, {13, 33, 641}} {
			for mode := range 16 {
				m, n, k := sh[0], sh[1], sh[2]
				a, b := Mat{random(rng, m*k), k, 1}, Mat{random(rng, k*n), n, 1}
				if mode&1 != 0 {
					a.RS, a.CS = 1, m
				}
				if mode&8 != 0 { // no two elements of A are neighbours
					a = Mat{random(rng, 2*m*k), 2 * a.RS, 2 * a.CS}
				}
				if mode&2 != 0 {
					b.RS, b.CS = 1, k
				}
				ldc := n + 3
				c := random(rng, m*ldc)
				want := append([]float32{}, c...)
				for i := range m {
					for j := range n {
						var sum float64
						if mode&4 != 0 {
							sum = float64(c[i*ldc+j])
						}
						for p := range k {
							sum += float64(a.Data[i*a.RS+p*a.CS]) * float64(b.Data[p*b.RS+j*b.CS])
						}
						want[i*ldc+j] = float32(sum)
					}
				}
				s.Gemm(w, m, n, k, a, b, c[:(m-1)*ldc+n], ldc, mode&4 != 0)
				for i, v := range c {
					if math.Abs(float64(v-want[i])) > 1e-5*math.Sqrt(float64(k))*4 {
						t.Fatalf("%v mode %d: element %d,%d is %v, want %v", sh, mode, i/ldc, i%ldc, v, want[i])
					}
				}
			}
		}
	})
}

// TestGram wants the product of a matrix and its transpose, in parts of rows and
// mirrored, to be that of Gemm, bit by bit.
func TestGram(t *testing.T) {
	forEachSet(t, func(t *testing.T, s *Set) {
		rng := rand.New(rand.NewPCG(1, 2))
		w := &Work{}
		for _, sh := range [][2]int{{1, 1}, {7, 3}, {48, 5}, {50, 40}, {128, 330}, {203, 17}} {
			m, k := sh[0], sh[1]
			a, ldc := Mat{random(rng, m*k), k, 1}, m+3
			got, want := random(rng, m*ldc), make([]float32, m*ldc)
			copy(want, got)
			s.Gemm(w, m, m, k, a, a.T(), want, ldc, false)
			for _, cut := range []int{0, m / 3, m / 2 &^ 7} {
				for i := range m {
					clear(got[i*ldc:][:m])
				}
				s.Gram(w, 0, cut, k, a, got, ldc)
				s.Gram(w, cut, m, k, a, got, ldc)
				s.Mirror(m, got, ldc)
				if !slices.Equal(got, want) {
					t.Fatalf("%v cut at %d differs from Gemm", sh, cut)
				}
			}
		}
	})
}

// TestTranspose at odd sizes, within larger matrices.
func TestTranspose(t *testing.T) {
	forEachSet(t, func(t *testing.T, s *Set) {
		rng := rand.New(rand.NewPCG(1, 2))
		for _, sh := range [][2]int{{1, 1}, {8, 8}, {9, 17}, {7, 30}, {16, 5}, {40, 24}} {
			rows, cols := sh[0], sh[1]
			ls, ld := cols+2, rows+1
			src, dst := random(rng, rows*ls), random(rng, cols*ld)
			want := slices.Clone(dst)
			for i := range rows {
				for j := range cols {
					want[j*ld+i] = src[i*ls+j]
				}
			}
			if s.Transpose(rows, cols, dst, ld, src, ls); !slices.Equal(dst, want) {
				t.Fatalf("%v is wrong", sh)
			}
		}
	})
}

// TestGemmNaN wants a NaN in A to take its whole row of C and nothing else,
// wherever it is and however many rows have one; the others keep their bits.
func TestGemmNaN(t *testing.T) {
	forEachSet(t, func(t *testing.T, s *Set) {
		rng := rand.New(rand.NewPCG(1, 2))
		w := &Work{}
		for _, sh := range [][3]int{{1, 1, 1}, {9, 49, 33}, {40, 70, 20}, {165, 50, 330}, {24, 33, 641}} {
			for mode := range 16 {
				m, n, k := sh[0], sh[1], sh[2]
				a, b := Mat{random(rng, m*k), k, 1}, Mat{random(rng, k*n), n, 1}
				if mode&1 != 0 {
					a.RS, a.CS = 1, m
				}
				ldc := n + 3
				c := random(rng, m*ldc)
				want := append([]float32{}, c...)
				s.Gemm(w, m, n, k, a, b, want[:(m-1)*ldc+n], ldc, mode&2 != 0)
				share := 1 + 30*(mode>>3) // of rows with NaN: all from a cut on, or some
				for i := range m {
					if i < m/2 && mode&4 != 0 || rng.IntN(share) > 0 {
						continue
					}
					for j := range n {
						want[i*ldc+j] = nans[0]
					}
					at := 0
					if mode&4 == 0 {
						at = rng.IntN(k) * rng.IntN(2)
					}
					a.Data[i*a.RS+at*a.CS] = nans[0]
				}
				s.Gemm(w, m, n, k, a, b, c[:(m-1)*ldc+n], ldc, mode&2 != 0)
				for i, v := range c {
					if v != want[i] && (v == v || want[i] == want[i]) {
						t.Fatalf("%v mode %d: element %d,%d is %v, want %v", sh, mode, i/ldc, i%ldc, v, want[i])
					}
				}
			}
		}
	})
}

// TestMath compares exp, tanh and sigmoid with math, over all magnitudes.
func TestMath(t *testing.T) {
	inf := float32(math.Inf(1))
	x := []float32{0, inf, -inf, 88.5, 88.8, 89.5, -87.3, -90, -100, -103, -120, 1e30, -1e30, 1e-30, 0.62, 0.63, -0.62, -0.63}
	for e := -20.0; e < 5; e += 0.01 {
		x = append(x, float32(math.Exp(e)), -float32(math.Exp(e)))
	}
	forEachSet(t, func(t *testing.T, s *Set) {
		y := make([]float32, len(x))
		for name, f := range map[string]struct {
			vec   func(dst, x []float32)
			exact func(float64) float64
		}{
			"exp": {s.Exp, math.Exp}, "tanh": {s.Tanh, math.Tanh},
			"sigmoid": {s.Sigmoid, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }},
		} {
			f.vec(y, x)
			for i, v := range y {
				want := float32(f.exact(float64(x[i])))
				if v == want || math.Abs(float64(v-want)) <= 4e-7*math.Abs(float64(want))+1e-44 {
					continue
				}
				if name != "tanh" && want < 1.2e-38 && math.Abs(float64(v-want)) < 1.2e-38 {
					continue // subnormal: may be rounded or flushed
				}
				t.Errorf("%s(%v) = %v, want %v", name, x[i], v, want)
			}
		}
	})
}

// vectorCalls runs every vector kernel on inputs of length n and returns all
// that they compute.
func vectorCalls(s *Set, n int, edit func(x []float32)) map[string][]float32 {
	in := func(seed uint64) []float32 {
		x := random(rand.New(rand.NewPCG(seed, 9)), n)
		if edit != nil && seed == 1 {
			edit(x)
		}
		return x
	}
	pos := func(seed uint64) []float32 {
		x := in(seed)
		for i := range x {
			x[i] = x[i]*x[i] + 0.1
		}
		return x
	}
	r := map[string][]float32{}
	into := func(name string, f func(dst, x, y []float32)) {
		dst := random(rand.New(rand.NewPCG(7, 7)), n)
		f(dst, in(1), in(2))
		r[name] = dst
	}
	into("add", func(d, x, y []float32) { s.Add(d, x, y) })
	into("mul", func(d, x, y []float32) { s.Mul(d, x, y) })
	into("sub", func(d, x, y []float32) { s.Sub(d, x, y) })
	into("div", func(d, x, _ []float32) { s.Div(d, x, pos(2)) })
	into("mulAdd", func(d, x, y []float32) { s.MulAdd(d, x, y) })
	into("scale", func(d, x, _ []float32) { s.Scale(d, x, 1.7) })
	into("axpy", func(d, x, _ []float32) { s.Axpy(d, -0.7, x) })
	into("exp", func(d, x, _ []float32) { s.Exp(d, x) })
	into("tanh", func(d, x, _ []float32) { s.Tanh(d, x) })
	into("sigmoid", func(d, x, _ []float32) { s.Sigmoid(d, x) })
	into("reluSquare", func(d, x, _ []float32) { s.ReluSquare(d, x) })
	into("reluSquareGrad", func(d, x, y []float32) { s.ReluSquareGrad(d, y, x) })
	into("softmaxGrad", func(d, x, _ []float32) { s.SoftmaxGrad(d, x, 0.3, 1.1) })
	into("softcapGrad", func(d, x, _ []float32) { s.SoftcapGrad(d, x, 0.3, 0.01) })
	into("offset", func(d, x, _ []float32) { s.Offset(d, x, 0.3) })
	into("sigmoidGrad", func(d, x, y []float32) { s.SigmoidGrad(d, y, x) })
	into("tanhGrad", func(d, x, y []float32) { s.TanhGrad(d, y, x) })
	into("expScaled", func(d, x, _ []float32) { r["expScaled.sum"] = []float32{s.ExpScaled(d, x, 0.4, 0.5)} })
	into("rotate", func(d, x, y []float32) {
		r["rotate.2"] = make([]float32, n)
		s.Rotate(d, r["rotate.2"], x, y, in(8), in(9), -1)
	})
	into("lerp", func(d, x, _ []float32) { s.Lerp(d, x, 0.3) })
	into("cautious", func(d, x, _ []float32) { s.Cautious(d, x, 0.3, 0.2) })
	into("expSub", func(d, x, _ []float32) { r["expSub.sum"] = []float32{s.ExpSub(d, x, 0.5)} })
	r["sum"] = []float32{s.Sum(in(1))}
	r["dot"] = []float32{s.Dot(in(1), in(2))}
	r["max"] = []float32{s.Max(in(1))}
	p, m, v := in(3), in(4), pos(5)
	s.AdamW(p, in(1), m, v, 0.9, 0.95, 0.01, 1.2, 1e-8, 0.99)
	r["adamw.p"], r["adamw.m"], r["adamw.v"] = p, m, v
	return r
}

// TestVectors compares every vector kernel of every set with plain Go at
// lengths around the block size, and that NaN comes through each of them.
func TestVectors(t *testing.T) {
	nan := float32(math.NaN())
	forEachSet(t, func(t *testing.T, s *Set) {
		for _, n := range []int{1, 2, 7, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100} {
			want := vectorCalls(plain(), n, nil)
			for name, got := range vectorCalls(s, n, nil) {
				for i, v := range got {
					if w := want[name][i]; math.Abs(float64(v-w)) > 2e-6*(1+math.Abs(float64(w)))*math.Sqrt(float64(n)) {
						t.Fatalf("%s of %d: element %d is %v, want %v", name, n, i, v, w)
					}
				}
			}
			for at := range n {
				for name, got := range vectorCalls(s, n, func(x []float32) { x[at] = nan }) {
					for i, v := range got {
						if want := len(got) == 1 || i == at; (v != v) != want {
							t.Fatalf("%s of %d with NaN at %d: element %d is %v", name, n, at, i, v)
						}
					}
				}
			}
		}
	})
}

// TestIdle: a kernel that is missing from the idle set would crash benchmarks.
func TestIdle(t *testing.T) {
	s, err := Get(Idle)
	if err != nil {
		t.Fatal(err)
	}
	v := reflect.ValueOf(s.vectors)
	for i := range v.NumField() {
		if v.Field(i).IsNil() {
			t.Errorf("the idle set lacks %s", v.Type().Field(i).Name)
		}
	}
}

func TestGetUnknown(t *testing.T) {
	if _, err := Get("mmx"); err == nil {
		t.Error("Get accepted an unknown set")
	}
}

// TestGenerated fails when the assembly is not what the generator writes.
func TestGenerated(t *testing.T) {
	dir := t.TempDir()
	args := []string{"run", "gen/main.go", "gen/gemm.go", "gen/vec.go", "gen/bits.go", dir}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, out)
	}
	for _, name := range []string{"kernels_amd64.s", "kernels_amd64.go"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is stale (%v): run go generate ./trainer/tensor/cpu", name, err)
		}
	}
}
