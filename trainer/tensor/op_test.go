package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// inputs makes a case's inputs: params for floats, so that they have gradients.
func (oc opCase) inputs(d *Device, rng *rand.Rand) []*Tensor {
	l := make([]*Tensor, len(oc.in))
	for k, s := range oc.in {
		if s[0] == 0 {
			n, _ := sizeOf(s[1:])
			ids := make([]int32, n)
			for i := range ids {
				ids[i] = int32(rng.IntN(oc.ids))
			}
			l[k] = d.Ints(ids, s[1:]...)
			continue
		}
		p := d.Param(fmt.Sprint("in", k), s...)
		if oc.pos {
			p.Uniform(rng, 0.5, 2)
		} else {
			p.Normal(rng, 1)
		}
		l[k] = p
	}
	return l
}

// each runs one subtest per case and fails for operations without one.
func eachOpCase(t *testing.T, skip func(op *Op) bool, f func(t *testing.T, oc opCase)) {
	covered := map[string]bool{}
	for i, oc := range opCases() {
		if registry[oc.op] == nil {
			t.Fatalf("case for %q, which is not registered", oc.op)
		}
		covered[oc.op] = true
		if !skip(registry[oc.op]) {
			t.Run(fmt.Sprintf("%s/%d", oc.op, i), func(t *testing.T) { f(t, oc) })
		}
	}
	for _, op := range Ops() {
		if !covered[op.Name] {
			t.Errorf("operation %q has no case in opCases", op.Name)
		}
	}
}

// TestGradients compares Backward with central differences of a random
// projection of the output.
func TestGradients(t *testing.T) {
	eachOpCase(t, func(op *Op) bool { return op.Backward == nil }, func(t *testing.T, oc opCase) {
		d := openTest(t, Config{Threads: 2})
		rng := rand.New(rand.NewPCG(1, 2))
		in := oc.inputs(d, rng)
		out := oc.f(in)
		w := make([]float32, out.Size())
		for i := range w {
			w[i] = float32(rng.NormFloat64())
		}
		value := func() (s float64) {
			d.NoGrad(func() {
				for i, v := range oc.f(in).Host() {
					s += float64(v) * float64(w[i])
				}
			})
			return s
		}
		// Twice, so that accumulating into an existing gradient is checked too.
		for range 2 {
			oc.f(in).Mul(d.Floats(w, out.Shape()...)).Reshape(-1).Sum(0).Backward()
		}
		for k, p := range in {
			if p.IsInt() {
				continue
			}
			if p.Grad() == nil {
				if oc.op == "where" && k == 0 {
					continue // the condition has no gradient
				}
				t.Fatalf("input %d has no gradient", k)
			}
			g := p.Grad().Host()
			step := 1 + p.Size()/60
			for i := 0; i < p.Size(); i += step {
				const h = 4e-3
				x := p.data[i]
				p.data[i] = x + h
				up := value()
				p.data[i] = x - h
				down := value()
				p.data[i] = x
				want := (up - down) / (2 * h)
				if got := float64(g[i]) / 2; math.Abs(got-want) > 2e-2*(0.2+math.Abs(want)) {
					t.Fatalf("d in[%d][%d] = %v, finite differences say %v", k, i, got, want)
				}
			}
		}
	})
}

// TestThreadsAgree sends every operation through its parallel paths, forward
// and backward, and wants the bits of one thread.
func TestThreadsAgree(t *testing.T) {
	defer func(e, c, g int) { elemGrain, colGrain, gemmGrain = e, c, g }(elemGrain, colGrain, gemmGrain)
	elemGrain, colGrain, gemmGrain = 1, 1, 1
	eachOpCase(t, func(*Op) bool { return false }, func(t *testing.T, oc opCase) {
		var want [][]float32
		for _, threads := range []int{1, 2, 3, 5} {
			d := openTest(t, Config{Threads: threads})
			in := oc.inputs(d, rand.New(rand.NewPCG(1, 1)))
			out := oc.f(in)
			got := [][]float32{out.data}
			if out.made != nil {
				out.Mul(out).Reshape(-1).Sum(0).Backward()
				for _, p := range in {
					got = append(got, p.grad)
				}
			}
			if want == nil {
				want = got
			}
			for k := range got {
				for i, v := range got[k] {
					if math.Float32bits(v) != math.Float32bits(want[k][i]) {
						t.Fatalf("%d threads: array %d element %d is %v, one thread says %v", threads, k, i, v, want[k][i])
					}
				}
			}
		}
	})
}

// unravel turns a flat position into indices.
func unravel(i int, shape []int) []int {
	l := make([]int, len(shape))
	for k := len(shape) - 1; k >= 0; k-- {
		l[k] = i % shape[k]
		i /= shape[k]
	}
	return l
}

func isPoison(t *Tensor, i int) bool {
	if t.IsInt() {
		return t.ints()[i] == PoisonID
	}
	return t.data[i] != t.data[i]
}

// TestNaNRule poisons single input elements. Outputs that may depend on them
// must be NaN whatever the other values are (also zeros and infinities), and
// others must stay as they were.
func TestNaNRule(t *testing.T) {
	inf := float32(math.Inf(1))
	fills := map[string]func(x float32) float32{
		"normal": func(x float32) float32 { return x },
		"zero":   func(x float32) float32 { return 0 },
		"huge":   func(x float32) float32 { return x * 1e30 },
		"-inf":   func(x float32) float32 { return -inf },
		"inf":    func(x float32) float32 { return inf },
	}
	for _, kernels := range []string{"go", ""} {
		eachOpCase(t, func(op *Op) bool { return op.TrainingOnly != "" }, func(t *testing.T, oc opCase) {
			for name, fill := range fills {
				d := openTest(t, Config{Threads: 1, Kernels: kernels})
				in := oc.inputs(d, rand.New(rand.NewPCG(1, 1)))
				for _, p := range in {
					for i := range p.data {
						if !p.IsInt() {
							p.data[i] = fill(p.data[i])
						}
					}
				}
				d.NoGrad(func() { checkNaNRule(t, oc, name, in) })
			}
		})
	}
}

func checkNaNRule(t *testing.T, oc opCase, fill string, in []*Tensor) {
	base := oc.f(in)
	for k, p := range in {
		step := 1 + p.Size()/40
		for i := 0; i < p.Size(); i += step {
			old := p.data[i]
			if p.IsInt() {
				p.ints()[i] = PoisonID
			} else {
				p.data[i] = nan32
			}
			out := oc.f(in)
			for o := range out.data {
				dep := oc.dep(k, unravel(i, p.shape), unravel(o, out.shape))
				got := isPoison(out, o)
				if got != dep && !(got && isPoison(base, o)) {
					t.Fatalf("fill %s, NaN in input %d at %v: output %v is NaN: %v, want %v",
						fill, k, unravel(i, p.shape), unravel(o, out.shape), got, dep)
				}
			}
			p.data[i] = old // only now: the output may be a view
		}
	}
}
