// Package tensortest is the conformance suite of package tensor: what every
// backend (a set of kernels, a GPU) must do, checked through the public
// interface only. The test of a new backend is
//
//	func TestConformance(t *testing.T) {
//		cfg := tensor.Config{Threads: 2, Kernels: "mine"}
//		if d, err := tensor.Open(cfg); err != nil {
//			t.Skip(err)
//		} else {
//			d.Close()
//		}
//		tensortest.Run(t, tensortest.Options{Config: cfg})
//	}
//
// The oracle is a second implementation of every operation, in float64 and
// plain loops, that shares nothing with the first: values are compared with it
// at a tolerance stated with each [Case], gradients with its finite
// differences. NaN patterns are compared with what each case says it reads.
//
// A backend that fails gets an ordinary failing subtest that names operation,
// shapes, element, got and want. An operation that is registered and has no
// case fails too.
package tensortest

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// Options say what to test.
type Options struct {
	// Config opens the device; every part of the suite opens its own.
	Config tensor.Config
	// Tolerance multiplies all tolerances; 0 means 1. A backend that rounds
	// products to fewer bits states here by how much it is worse.
	Tolerance float64
	// Factors multiply the tolerances of single operations further.
	Factors map[string]float64
	// Round is what the backend makes of inputs before it computes with them,
	// so that the oracle computes with the same; nil changes nothing.
	Round func(x float64) float64
	// Brief looks at fewer elements for the NaN rule: for a backend that is tested
	// in several ways.
	Brief bool
	// Stream has inputs come out of a product, as in the middle of a model: in
	// mixed precision they are of the type of its stream then, else they are
	// Params.
	Stream bool
}

// Run checks everything that a backend promises.
func Run(t *testing.T, o Options) {
	if o.Tolerance == 0 {
		o.Tolerance = 1
	}
	s := &suite{o}
	t.Run("registry", everyOpHasACase)
	t.Run("values", func(t *testing.T) { s.eachCase(t, s.values) })
	t.Run("gradients", func(t *testing.T) { s.eachCase(t, s.gradients) })
	t.Run("nan", func(t *testing.T) { s.eachCase(t, s.nanRule) })
	t.Run("repeatable", func(t *testing.T) { s.eachCase(t, s.repeatable) })
	t.Run("memory", func(t *testing.T) { s.eachCase(t, s.memory) })
	t.Run("optimizers", s.optimizers)
	t.Run("lifetimes", s.lifetimes)
	t.Run("mistakes", s.mistakes)
	t.Run("model", s.model)
}

// SameBits wants every case to give the same bits on all configurations:
// thread counts of one backend, say.
func SameBits(t *testing.T, configs ...tensor.Config) {
	for i, c := range Cases() {
		t.Run(fmt.Sprintf("%s/%d", c.Op, i), func(t *testing.T) {
			var first [][]float32
			for k, cfg := range configs {
				s := &suite{Options{Config: cfg}}
				got := s.newRig(s.open(t), c, "case").bits()
				if k == 0 {
					first = got
				}
				for j := range got {
					if !equalBits(got[j], first[j]) {
						t.Errorf("%+v gives other bits than %+v in array %d (0 is the value, then gradients)", cfg, configs[0], j)
					}
				}
			}
		})
	}
}

type suite struct{ Options }

func (s *suite) open(t testing.TB) *tensor.Device {
	t.Helper()
	d, err := tensor.Open(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func everyOpHasACase(t *testing.T) {
	covered := map[string]bool{}
	for _, c := range Cases() {
		covered[c.Op] = true
	}
	for _, op := range tensor.Ops() {
		if !covered[op.Name] {
			t.Errorf("operation %q has no case: add one to Cases", op.Name)
		}
		delete(covered, op.Name)
	}
	for name := range covered {
		t.Errorf("there are cases for %q, which is not registered", name)
	}
}

// rig is a case on a device.
type rig struct {
	Case
	dev    *tensor.Device
	rng    *rand.Rand
	arrays []*Array         // the inputs' values
	leaves []*tensor.Tensor // Params for floats, nil for ids
	one    *tensor.Tensor   // [1,1], nil if inputs are the leaves
}

// eachCase runs f on every case as a subtest, all on one device.
func (s *suite) eachCase(t *testing.T, f func(t *testing.T, r *rig)) {
	d := s.open(t)
	for i, c := range Cases() {
		name := fmt.Sprintf("%s/%d", c.Op, i)
		if c.Name != "" {
			name = fmt.Sprintf("%s/%s", c.Op, c.Name)
		}
		t.Run(name, func(t *testing.T) {
			defer func() { // one broken operation should not hide the others
				if p := recover(); p != nil {
					t.Errorf("panic: %v\n%s", p, debug.Stack())
				}
			}()
			d.Reset()
			d.ZeroGrad()
			f(t, s.newRig(d, c, fmt.Sprint("case", i)))
		})
	}
}

func (s *suite) newRig(d *tensor.Device, c Case, name string) *rig {
	r := &rig{Case: c, dev: d, rng: rand.New(rand.NewPCG(1, 2))}
	if s.Stream {
		r.one = d.Const(name+".one", []float32{1}, 1, 1)
	}
	for k, in := range c.In {
		a := in.make(r.rng)
		for i, x := range a.X {
			if s.Round != nil && !a.Int {
				a.X[i] = s.Round(x)
			}
		}
		r.arrays = append(r.arrays, a)
		if a.Int {
			r.leaves = append(r.leaves, nil)
		} else {
			r.leaves = append(r.leaves, d.Param(fmt.Sprint(name, ".in", k), in.Shape...))
		}
	}
	return r
}

// inputs puts the current values of the arrays on the device.
func (r *rig) inputs() []*tensor.Tensor {
	l := make([]*tensor.Tensor, len(r.arrays))
	for k, a := range r.arrays {
		if a.Int {
			l[k] = r.dev.Ints(toInts(a.X), a.Shape...)
			continue
		}
		r.leaves[k].SetHost(toFloats(a.X))
	}
	r.step(l)
	return l
}

// step puts the floats among the inputs of a new step in their places.
func (r *rig) step(in []*tensor.Tensor) {
	for k, x := range r.leaves {
		if x == nil {
			continue
		}
		if in[k] = x; r.one != nil {
			in[k] = x.Reshape(-1, 1).MatMul(r.one).Reshape(x.Shape()...)
		}
	}
}

// run builds the case in a new step and returns what it gives, ids as numbers
// and poison as NaN.
func (r *rig) run() (out []float64, shape []int) {
	r.dev.Reset()
	y := r.Build(r.inputs())
	if y.IsInt() {
		return fromInts(y.HostInts()), y.Shape()
	}
	return fromFloats(y.Host()), y.Shape()
}
