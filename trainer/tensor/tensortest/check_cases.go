package tensortest

import (
	"math"
	"slices"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// tol is the error allowed of a value of this size.
func (s *suite) tol(c *Case, want float64) float64 {
	tol := c.Tol
	if tol == 0 {
		tol = defaultTol
	}
	if f := s.Factors[c.Op]; f != 0 {
		tol *= f
	}
	return tol * s.Tolerance * (1 + math.Abs(want))
}

// values compares a case with its reference.
func (s *suite) values(t *testing.T, r *rig) {
	want := r.Ref(r.arrays)
	got, shape := r.run()
	if !slices.Equal(shape, want.Shape) {
		t.Fatalf("shape %v, want %v", shape, want.Shape)
	}
	worst := 0.0
	for i, v := range got {
		w := want.X[i]
		if want.Int && v != w || !(math.Abs(v-w) <= s.tol(&r.Case, w)) {
			t.Fatalf("output %v is %v, want %v", unravel(i, shape), v, w)
		}
		worst = max(worst, math.Abs(v-w)/s.tol(&r.Case, w))
	}
	t.Logf("worst error: %.2f of what is allowed", worst)
}

// gradients compares Backward with central differences of the reference, of a
// random projection of the output. The output is used three times: once from
// leaves and twice from one intermediate value, so that gradients start from
// nothing, add up, and arrive at both kinds of tensor.
func (s *suite) gradients(t *testing.T, r *rig) {
	if !r.differentiable() {
		t.Skip("no gradient")
	}
	ref := r.Ref(r.arrays)
	w := make([]float64, len(ref.X))
	for i := range w {
		w[i] = float64(float32(r.rng.NormFloat64()))
	}
	r.backward(w)
	value := func() (v float64) {
		for i, y := range r.Ref(r.arrays).X {
			v += y * w[i]
		}
		return v
	}
	for k, a := range r.arrays {
		if a.Int {
			continue
		}
		got := make([]float32, len(a.X)) // what has no gradient has that of zero
		if g := r.leaves[k].Grad(); g != nil {
			got = g.Host()
		}
		for i := 0; i < len(a.X); i += 1 + len(a.X)/r.samples(len(ref.X)) {
			const h = 1e-5
			x := a.X[i]
			a.X[i] = x + h
			up := value()
			a.X[i] = x - h
			down := value()
			a.X[i] = x
			want := (up - down) / (2 * h)
			if g := float64(got[i]) / 3; !(math.Abs(g-want) <= gradFactor*s.tol(&r.Case, want)) {
				t.Fatalf("gradient of input %d at %v is %v, finite differences say %v", k, unravel(i, a.Shape), g, want)
			}
		}
	}
}

// samples is how many gradients of an input are looked at: all of small ones.
func (r *rig) samples(outputs int) int { return max(12, min(60, 20000/outputs)) }

// differentiable: there is a gradient, and something to have it.
func (r *rig) differentiable() bool {
	ops := tensor.Ops()
	i := slices.IndexFunc(ops, func(op *tensor.Op) bool { return op.Name == r.Op })
	return ops[i].Backward != nil && slices.ContainsFunc(r.arrays, func(a *Array) bool { return !a.Int })
}

// backward runs the projection of three uses of the case backward.
func (r *rig) backward(w []float64) {
	r.dev.Reset()
	r.dev.ZeroGrad()
	in := r.inputs()
	later := slices.Clone(in)
	for k, x := range in {
		if !x.IsInt() {
			later[k] = x.Scale(1)
		}
	}
	project := func(in []*tensor.Tensor) *tensor.Tensor {
		out := r.Build(in)
		return out.Mul(r.dev.Floats(toFloats(w), out.Shape()...)).Reshape(-1).Sum(0)
	}
	project(in).Add(project(later)).Add(project(later)).Backward()
}

// repeatable wants the same bits from the same inputs, forward and backward.
func (s *suite) repeatable(t *testing.T, r *rig) {
	a, b := r.bits(), r.bits()
	for k := range a {
		if !equalBits(a[k], b[k]) {
			t.Errorf("the same inputs gave other bits the second time in array %d (0 is the value, then gradients)", k)
		}
	}
}

// bits are the value of a case and the gradients of its inputs.
func (r *rig) bits() [][]float32 {
	out, _ := r.run()
	l := [][]float32{toFloats(out)}
	if r.differentiable() {
		r.backward(out)
		for _, p := range r.leaves {
			if p != nil && p.Grad() != nil {
				l = append(l, p.Grad().Host())
			}
		}
	}
	return l
}

func equalBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// fills are the values among which the NaN rule must hold.
var fills = map[string]func(x float64) float64{
	"normal": func(x float64) float64 { return x },
	"zero":   func(float64) float64 { return 0 },
	"huge":   func(x float64) float64 { return x * 1e30 },
	"-inf":   func(float64) float64 { return math.Inf(-1) },
	"inf":    func(float64) float64 { return math.Inf(1) },
}

// nanRule poisons single input elements. Outputs that may depend on them must
// be NaN whatever the other values are, and others must stay as they were.
func (s *suite) nanRule(t *testing.T, r *rig) {
	if r.TrainingOnly {
		t.Skip("training only")
	}
	normal := make([]*Array, len(r.arrays))
	for k, a := range r.arrays {
		normal[k] = &Array{Shape: a.Shape, X: slices.Clone(a.X), Int: a.Int}
	}
	for name, f := range fills {
		for k, a := range r.arrays {
			for i, x := range normal[k].X {
				if !a.Int {
					a.X[i] = f(x)
				}
			}
		}
		base, shape := r.run()
		for k, a := range r.arrays {
			for i := 0; i < len(a.X); i += 1 + len(a.X)/s.poisons(len(base)) {
				old := a.X[i]
				a.X[i] = math.NaN()
				out, _ := r.run()
				a.X[i] = old
				e := unravel(i, a.Shape)
				for j, v := range out {
					want := r.Reads(k, e, unravel(j, shape))
					if got := v != v; got != want && !(got && base[j] != base[j]) {
						t.Fatalf("others %s, NaN in input %d at %v: output %v is %v, must be NaN: %v", name, k, e, unravel(j, shape), v, want)
					}
				}
			}
		}
	}
}

func (s *suite) poisons(outputs int) int {
	if s.Brief {
		return 4
	}
	return max(5, min(40, 40000/outputs))
}
