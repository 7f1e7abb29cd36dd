package tensortest

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// optimizers compares the helpers that change tensors in place with float64.
func (s *suite) optimizers(t *testing.T) {
	d := s.open(t)
	for i, n := range []int{1, 37, 5000} {
		rng := rand.New(rand.NewPCG(3, uint64(n)))
		name := string(rune('a' + i))
		a, b, m, v := d.Param(name+".a", n), d.State(name+".b", n), d.State(name+".m", n), d.State(name+".v", n)
		x, y := floats(n).make(rng).X, floats(n).make(rng).X
		check := func(what string, f func(), want func(x, y float64) float64) {
			a.SetHost(toFloats(x))
			b.SetHost(toFloats(y))
			f()
			for i, got := range a.Host() {
				if w := want(x[i], y[i]); !(math.Abs(float64(got)-w) <= s.tol(&Case{}, w)) {
					t.Fatalf("%s of %d elements: element %d is %v, want %v", what, n, i, got, w)
				}
			}
		}
		check("Lerp", func() { a.Lerp(b, 0.3) }, func(x, y float64) float64 { return x + 0.3*(y-x) })
		check("AddScaled", func() { a.AddScaled(b, -2) }, func(x, y float64) float64 { return x - 2*y })
		check("ScaleInPlace", func() { a.ScaleInPlace(0.7) }, func(x, _ float64) float64 { return 0.7 * x })
		check("CopyFrom", func() { a.CopyFrom(b) }, func(_, y float64) float64 { return y })
		check("Fill", func() { a.Fill(2.5) }, func(_, _ float64) float64 { return 2.5 })
		check("CautiousStep", func() { a.CautiousStep(b, 0.1, 0.5) }, func(x, y float64) float64 {
			if x*y >= 0 {
				return x - 0.1*y - 0.1*0.5*x
			}
			return x - 0.1*y
		})
		d.Reset()
		d.ZeroGrad()
		a.SetHost(toFloats(x))
		a.Mul(b).Sum(0).Backward() // the gradient of a is b
		check("AdamW, two steps", func() {
			for step := 1; step <= 2; step++ {
				tensor.AdamW(a, m, v, tensor.AdamWOptions{LR: 0.1, Beta1: 0.8, Beta2: 0.9, Eps: 1e-6, WeightDecay: 0.2, Step: step})
			}
		}, func(x, g float64) float64 {
			// With one gradient for all steps both corrected moments are exact.
			for range 2 {
				x = x*(1-0.1*0.2) - 0.1*g/(math.Abs(g)+1e-6)
			}
			return x
		})
		a.SetHost(toFloats(x))
		norm := math.Sqrt(sum(each(&Array{Shape: []int{n}, X: x}, func(x float64) float64 { return x * x }).X))
		if got := float64(a.Norm()); math.Abs(got-norm) > 1e-5*norm {
			t.Errorf("Norm of %d elements is %v, want %v", n, got, norm)
		}
	}
}

// smallObjects is how many an operation may leave to the garbage collector in a
// step, forward and backward: a closure here and there, never data.
const smallObjects = 10

// memory: repeating an operation takes no more of it.
func (s *suite) memory(t *testing.T, r *rig) {
	ids := make([][]int32, len(r.arrays))
	for k, a := range r.arrays {
		ids[k] = toInts(a.X)
	}
	in, back := r.inputs(), r.differentiable()
	step := func() {
		r.dev.Reset()
		for k, a := range r.arrays {
			if a.Int {
				in[k] = r.dev.Ints(ids[k], a.Shape...)
			}
		}
		r.step(in)
		if y := r.Build(in).Reshape(-1); back {
			y.Sum(0).Backward()
		}
	}
	step()
	step() // the gradients of leaves are there from its beginning
	peak := r.dev.PeakBytes()
	if n := testing.AllocsPerRun(5, step); n > smallObjects {
		t.Errorf("a step allocates %v times, want at most %d", n, smallObjects)
	}
	if now := r.dev.PeakBytes(); now != peak {
		t.Errorf("memory grew from %d to %d bytes", peak, now)
	}
}

// lifetimes: what dies with Reset and what does not.
func (s *suite) lifetimes(t *testing.T) {
	d, other := s.open(t), s.open(t)
	p, q := d.Param("p", 2), other.Param("p", 2)
	st, c := d.State("s", 2), d.Const("c", []float32{5, 6}, 2)
	p.SetHost([]float32{1, 2})
	q.SetHost([]float32{10, 20})
	st.SetHost([]float32{3, 4})
	want := func(what string, x *tensor.Tensor, v ...float32) {
		t.Helper()
		if x == nil || !slices.Equal(x.Host(), v) {
			t.Errorf("%s is %v, want %v", what, x, v)
		}
	}
	p.Mul(c).Sum(0).Backward()
	q.Sum(0).Backward()
	want("dp", p.Grad(), 5, 6)
	want("dp of the other device", q.Grad(), 1, 1)
	for range 3 { // the memory of a step is used again, that of others is not
		d.Reset()
		want("a new step's value", d.Floats([]float32{7, 8}, 2).Add(p), 8, 10)
		want("zeros", d.Zeros(2), 0, 0)
	}
	want("p", p, 1, 2)
	want("s", st, 3, 4)
	want("c", c, 5, 6)
	want("dp after Reset", p.Grad(), 5, 6)
	p.Scale(2).Sum(0).Backward()
	want("dp of two losses", p.Grad(), 7, 8)
	d.ZeroGrad()
	want("dp after ZeroGrad", p.Grad(), 0, 0)
	if st.Grad() != nil || c.Grad() != nil {
		t.Error("a State or Const has a gradient")
	}
	x := p.Scale(2) // used twice: both contributions arrive
	x.Add(x).Sum(0).Add(x.Square().Sum(0)).Backward()
	want("dp of a shared value", p.Grad(), 4+8, 4+16)
	d.ZeroGrad()
	p.Detach().Mul(p).Sum(0).Backward()
	want("dp past a Detach", p.Grad(), 1, 2)
	var inside *tensor.Tensor
	outside := p.Scale(3)
	d.Scope(func() { inside = p.Scale(4) })
	want("made before a Scope", outside, 3, 6)
	if err := message(func() { inside.Neg() }); err == nil {
		t.Error("a tensor outlives its Scope")
	}
	d.Reset()
	if err := message(func() { outside.Host() }); err == nil {
		t.Error("a tensor outlives Reset")
	}
	names := []string{}
	for _, x := range d.Persistent() {
		names = append(names, x.Name())
	}
	if !slices.Equal(names, []string{"p", "s", "c"}) || len(d.Params()) != 1 {
		t.Errorf("persistent tensors are %v", names)
	}
}
