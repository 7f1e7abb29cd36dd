package tensortest

import (
	"encoding/json"
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// model runs the checks of a whole model.
func (s *suite) model(t *testing.T) {
	t.Run("loss", s.modelLoss)
	t.Run("gradient", s.modelGradient)
	t.Run("graph", s.modelGraph)
	t.Run("training", s.modelTraining)
	t.Run("memory", s.modelMemory)
}

// loss is the model's loss with logits whole or fused with the head.
func (s *suite) loss(d *tensor.Device, p map[string]*tensor.Tensor, seed uint64, fused bool) *tensor.Tensor {
	x, y := batch(seed)
	f := features(p, d.Ints(toInts(x.X), x.Shape...))
	targets := d.Ints(toInts(y.X), y.Shape...)
	if fused {
		return f.LinearCrossEntropy(p["head"], targets, modelCap)
	}
	return f.MatMulT(p["head"]).CrossEntropy(targets, modelCap)
}

func refLoss(p map[string]*Array, seed uint64) float64 {
	x, y := batch(seed)
	return crossEntropy(refLogits(p, x), y, modelCap).X[0]
}

func (s *suite) modelLoss(t *testing.T) {
	d, values := s.open(t), modelValues(1)
	p := deviceModel(d, values)
	for seed := range uint64(3) {
		want := refLoss(values, seed)
		for _, fused := range []bool{false, true} {
			d.Reset()
			if got := float64(s.loss(d, p, seed, fused).Item()); !(math.Abs(got-want) <= 1e-5*s.Tolerance) {
				t.Errorf("batch %d, fused %v: loss %v, want %v", seed, fused, got, want)
			}
		}
	}
}

// modelGradient compares the gradients of every parameter with central
// differences of the float64 model, within 2e-4 of the element and of the
// tensor's mean size.
func (s *suite) modelGradient(t *testing.T) {
	d, values := s.open(t), modelValues(1)
	p := deviceModel(d, values)
	s.loss(d, p, 1, true).Backward()
	for name, a := range values {
		got := fromFloats(p[name].Grad().Host())
		size := math.Sqrt(sum(each(&Array{Shape: a.Shape, X: got}, func(x float64) float64 { return x * x }).X) / float64(len(got)))
		if size == 0 {
			t.Errorf("d%s is zero: the model does not use it", name)
		}
		for i := 0; i < len(a.X); i += 1 + len(a.X)/5 {
			const h = 1e-5
			x := a.X[i]
			a.X[i] = x + h
			up := refLoss(values, 1)
			a.X[i] = x - h
			down := refLoss(values, 1)
			a.X[i] = x
			want := (up - down) / (2 * h)
			if !(math.Abs(got[i]-want) <= 2e-4*s.Tolerance*(math.Abs(want)+size)) {
				t.Errorf("d%s%v is %v, finite differences say %v", name, unravel(i, a.Shape), got[i], want)
			}
		}
	}
}

// modelGraph traces the model, runs the graph as it is and read back, and has
// it keep poison of later tokens from earlier logits.
func (s *suite) modelGraph(t *testing.T) {
	d, values := s.open(t), modelValues(1)
	p := deviceModel(d, values)
	x, _ := batch(1)
	logits := func(ids *tensor.Tensor) *tensor.Tensor { return features(p, ids).MatMulT(p["head"]) }
	traced, err := d.Trace(d.Ints(toInts(x.X), x.Shape...), logits)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(traced)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := tensor.Parse(text, traced.Weights(), tensor.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := refLogits(values, x)
	for cut := range modelT + 1 {
		ids := toInts(x.X)
		for i := range ids {
			if i%modelT >= cut {
				ids[i] = tensor.PoisonID
			}
		}
		for _, g := range []*tensor.Graph{traced, parsed} {
			got, err := g.Run(d, ids)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range got {
				at := i / modelV % modelT
				if near := math.Abs(float64(v)-want.X[i]) <= 2e-5*s.Tolerance*(1+math.Abs(want.X[i])); near != (at < cut) || (v != v) != (at >= cut) {
					t.Fatalf("tokens from %d on poisoned: logit %v is %v, want %v before and NaN from there on", cut, unravel(i, want.Shape), v, want.X[i])
				}
			}
		}
	}
}

// trained is the weights and losses after some steps.
func (s *suite) trained(t *testing.T, steps int) (weights [][]float32, losses []float32) {
	d := s.open(t)
	p := deviceModel(d, modelValues(1))
	step := s.stepper(d, p)
	for range steps {
		losses = append(losses, step())
	}
	for _, x := range d.Params() {
		weights = append(weights, x.Host())
	}
	return weights, losses
}

// stepper makes a function that does one step of training.
func (s *suite) stepper(d *tensor.Device, p map[string]*tensor.Tensor) func() float32 {
	var moments [][2]*tensor.Tensor
	for _, x := range d.Params() {
		moments = append(moments, [2]*tensor.Tensor{d.State(x.Name()+".m", x.Shape()...), d.State(x.Name()+".v", x.Shape()...)})
	}
	n := 0
	return func() float32 {
		n++
		d.Reset()
		d.ZeroGrad()
		loss := s.loss(d, p, uint64(n%4), n%2 == 0)
		loss.Backward()
		for i, x := range d.Params() {
			tensor.AdamW(x, moments[i][0], moments[i][1], tensor.AdamWOptions{LR: 1e-2, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Step: n})
		}
		return loss.Item()
	}
}

// modelTraining learns, and does so to the same bits every time.
func (s *suite) modelTraining(t *testing.T) {
	a, losses := s.trained(t, 40)
	if first, last := losses[0], losses[len(losses)-1]; !(last < first/2) {
		t.Errorf("the loss went from %v to %v, want less than half", first, last)
	}
	b, again := s.trained(t, 40)
	if !slices.Equal(losses, again) {
		t.Error("the same seed gave other losses the second time")
	}
	for i := range a {
		if !slices.Equal(a[i], b[i]) {
			t.Errorf("the same seed gave other weights the second time")
		}
	}
}

// modelMemory: after the first steps memory does not grow, and what steps
// leave to the garbage collector is headers, not data.
func (s *suite) modelMemory(t *testing.T) {
	d := s.open(t)
	step := s.stepper(d, deviceModel(d, modelValues(1)))
	for range 4 {
		step()
	}
	peak := d.PeakBytes()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const steps = 20
	for range steps {
		step()
	}
	runtime.ReadMemStats(&after)
	if d.PeakBytes() != peak {
		t.Errorf("memory grew from %d to %d bytes", peak, d.PeakBytes())
	}
	if got := (after.TotalAlloc - before.TotalAlloc) / steps; got > 200<<10 {
		t.Errorf("a step allocates %d bytes, want headers only", got)
	}
}
