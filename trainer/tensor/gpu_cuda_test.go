//go:build cuda

package tensor

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/gpu/emulated"
)

// openGPU opens the emulated GPU.
func openGPU(t testing.TB, precision string) *Device {
	t.Helper()
	emulated.Use(t)
	return openTest(t, Config{Threads: 2, Device: "cuda", Precision: precision})
}

// now is how many bytes are allocated.
func (a *accelerator) now() int64 {
	a.dev.ResetPeak()
	return a.dev.PeakBytes()
}

// TestGPUMemoryComesBack: a step leaves nothing allocated but persistent tensors,
// whatever happened in it.
func TestGPUMemoryComesBack(t *testing.T) {
	for _, precision := range []string{"float32", "bfloat16"} {
		d := openGPU(t, precision)
		m := newGPT(d, 1, 32, 2, 16, 4, 11)
		x, y := batch(rand.New(rand.NewPCG(3, 4)), 64, 11)
		m.train(x, y)
		g, err := d.Trace(d.Ints(x, 4, 16), m.logits)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.Run(d, x); err != nil { // its ids stay
			t.Fatal(err)
		}
		d.Reset()
		base := d.acc.now()
		for name, f := range map[string]func(){
			"a step":        func() { m.train(x, y) },
			"no Backward":   func() { m.logits(d.Ints(x, 4, 16)) },
			"two Backwards": func() { l := m.features(d.Ints(x, 4, 16)).Reshape(-1); l.Sum(0).Backward(); l.Max(0).Backward() },
			"a bad target": func() {
				defer func() { recover() }()
				bad := slices.Clone(y)
				bad[5] = 99
				m.train(x, bad)
			},
			"a Backward that fails": func() {
				defer func() { recover() }()
				x := m.emb.Reshape(-1).Sum(0)
				Custom("bad", []*Tensor{x.Scale(2)}, []int{1}, func(out []float32, _ [][]float32) { out[0] = 1 },
					func([]float32, [][]float32, [][]float32) { panic("bad") }).Add(x).Backward()
			},
			"a run":      func() { g.Run(d, x) },
			"a code":     func() { g.CodeLengths(d, x, x) },
			"a bad run":  func() { g.Run(d, slices.Repeat([]int32{50}, 64)) },
			"a Scope":    func() { d.Scope(func() { m.head.Scale(2).MatMulT(m.head) }) },
			"what lives": func() { m.head.Norm(); m.head.Fill(1); m.head.CopyFrom(m.emb) },
		} {
			f()
			if name == "a Scope" || name == "a run" || name == "a code" || name == "a bad run" || name == "what lives" {
				if now := d.acc.now(); now != base {
					t.Errorf("%s: %s leaves %d bytes", precision, name, now-base)
				}
			}
			d.Reset()
			if now := d.acc.now(); now != base {
				t.Errorf("%s: after %s and Reset, %d bytes are left", precision, name, now-base)
				base = now
			}
		}
	}
}

// TestGPUCopiesInHalfAreRenewed: products in mixed precision see what the helpers
// that change a Param in place have made of it.
func TestGPUCopiesInHalfAreRenewed(t *testing.T) {
	d := openGPU(t, "bfloat16")
	p, v, w := d.Param("p", 2, 2), d.State("m", 2, 2), d.State("v", 2, 2)
	b := d.Const("b", []float32{2, 4, 8, 16}, 2, 2)
	rng := rand.New(rand.NewPCG(1, 2))
	for name, f := range map[string]func(){
		"SetHost":      func() { p.SetHost([]float32{1, 2, 3, 4}) },
		"Fill":         func() { p.Fill(3) },
		"CopyFrom":     func() { p.CopyFrom(b) },
		"Lerp":         func() { p.Lerp(b, 0.5) },
		"AddScaled":    func() { p.AddScaled(b, -2) },
		"ScaleInPlace": func() { p.ScaleInPlace(2) },
		"CautiousStep": func() { p.CautiousStep(b, 0.5, 0) },
		"Normal":       func() { p.Normal(rng, 1) },
		"Uniform":      func() { p.Uniform(rng, -1, 1) },
		"AdamW":        func() { AdamW(p, v, w, AdamWOptions{LR: 1, Beta1: 0.9, Beta2: 0.9, Eps: 1e-8, Step: 1}) },
	} {
		d.Reset()
		d.ZeroGrad()
		p.SetHost([]float32{1, 2, 3, 4})
		eye := d.Floats([]float32{1, 0, 0, 1}, 2, 2)
		eye.MatMul(p).Mul(b).Reshape(4).Sum(0).Backward() // uses the copy
		f()
		want := p.Host()
		for i, got := range [][]float32{eye.MatMul(p).Host(), p.Reshape(1, 4).Reshape(2, 2).MatMul(eye).Host()} {
			for j, v := range got {
				if v != fromBF16(toBF16(want[j])) {
					t.Errorf("%s: product %d sees %v, the Param is %v", name, i, got, want)
					break
				}
			}
		}
	}
}

// TestGPUGradientsThatAreZero: ZeroGrad leaves zeros, for readers and for the next
// Backward, and costs nothing where neither looks.
func TestGPUGradientsThatAreZero(t *testing.T) {
	d := openGPU(t, "float32")
	p, q := d.Param("p", 3), d.Param("q", 3)
	p.Fill(1)
	q.Fill(2)
	want := func(what string, x *Tensor, v float32) {
		t.Helper()
		if got := x.Grad().Host(); !slices.Equal(got, []float32{v, v, v}) {
			t.Errorf("%s: got %v, want %v", what, got, v)
		}
	}
	p.Mul(q).Sum(0).Backward()
	want("dp", p, 2)
	g := p.Grad()
	d.ZeroGrad()
	want("dq zeroed", q, 0)
	p.Sum(0).Backward() // overwrites
	want("dp anew", p, 1)
	d.ZeroGrad()
	if got := g.Scale(2).Host(); !slices.Equal(got, []float32{0, 0, 0}) {
		t.Errorf("an operation on a zeroed gradient sees %v", got)
	}
	d.ZeroGrad()
	before := q.Host()
	AdamW(q, d.State("m", 3), d.State("v", 3), AdamWOptions{LR: 1, Beta1: 0.9, Beta2: 0.9, Eps: 1e-8, Step: 1})
	if !slices.Equal(q.Host(), before) {
		t.Errorf("a zeroed gradient moved q to %v", q.Host())
	}
	p.Mul(p).Sum(0).Backward() // one input twice
	want("d(p*p)", p, 2)
}

// TestGPUAgainstCPU trains a small GPT with Muon on both: the curves of the loss
// stay together.
func TestGPUAgainstCPU(t *testing.T) {
	const steps = 8
	curve := func(d *Device) (l []float64) {
		m := newFullGPT(d, 2, 16, 2, 31)
		x, y := batch(rand.New(rand.NewPCG(3, 4)), m.B*m.T, m.V)
		for range steps { // by heart
			l = append(l, float64(m.train(x, y)))
		}
		return l
	}
	want := curve(openTest(t, Config{Threads: 2}))
	if !(want[steps-1] < want[0]-1) {
		t.Fatalf("the loss on the CPU goes from %v to %v", want[0], want[steps-1])
	}
	for precision, tolerance := range map[string]float64{"float32": 1e-3, "bfloat16": 1e-2} {
		d := openGPU(t, precision)
		got := curve(d)
		worst := 0.0
		for i, v := range got {
			if worst = max(worst, math.Abs(v-want[i])); !(math.Abs(v-want[i]) <= tolerance) {
				t.Errorf("%s: the loss of step %d is %v, on the CPU %v", precision, i, v, want[i])
			}
		}
		t.Logf("%s: loss %.4f to %.4f, at most %.1g off; on the host: %v", precision, got[0], got[steps-1], worst, d.HostOps())
		t.Setenv("AUTORESEARCH_EMULATED_ORDER", "reverse")
		if again := curve(openGPU(t, precision)); !slices.Equal(got, again) {
			t.Errorf("%s: other losses with threads in the opposite order: %v, %v", precision, got, again)
		}
		t.Setenv("AUTORESEARCH_EMULATED_ORDER", "")
	}
}

// TestGPUModelNeedsNoHost: everything that train.go's model, its optimizers and its
// evaluation do has a kernel.
func TestGPUModelNeedsNoHost(t *testing.T) {
	defer func() { noHost = false }()
	noHost = true
	for _, precision := range []string{"float32", "bfloat16"} {
		d := openGPU(t, precision)
		m := newFullGPT(d, 2, 16, 2, 31)
		x, y := batch(rand.New(rand.NewPCG(3, 4)), m.B*m.T, m.V)
		m.train(x, y)
		d.Reset()
		g, err := d.Trace(d.Ints(x, m.B, m.T), func(ids *Tensor) *Tensor { return m.logits(ids).Softcap(15) })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.CodeLengths(d, x, y); err != nil {
			t.Fatal(err)
		}
		m.emb.Normal(rand.New(rand.NewPCG(1, 2)), 1)
		if m.emb.Norm() == 0 || len(d.HostOps()) > 0 {
			t.Errorf("on the host: %v", d.HostOps())
		}
	}
}

// TestGPUHostOps: what has no kernel is named, and so is what should not use it.
func TestGPUHostOps(t *testing.T) {
	t.Setenv(HostOpsVariable, "exp,neg")
	d := openGPU(t, "float32")
	x := d.Floats([]float32{1, 2}, 2)
	if got := x.Exp().Log().Neg().Neg().Host(); math.Abs(float64(got[1])-2) > 1e-6 {
		t.Errorf("got %v", got)
	}
	if got := d.HostOps(); len(got) != 2 || got["exp"] != 1 || got["neg"] != 2 {
		t.Errorf("on the host: %v", got)
	}
}

// TestGPUChangesComeAfterReaders: what waits for its reader has the values that were
// there when it was called.
func TestGPUChangesComeAfterReaders(t *testing.T) {
	defer DeferAll()()
	d := openGPU(t, "float32")
	b := d.Const("b", []float32{10, 20}, 2)
	for name, f := range map[string]func(x *Tensor){
		"Fill":         func(x *Tensor) { x.Fill(3) },
		"CopyFrom":     func(x *Tensor) { x.CopyFrom(b) },
		"Lerp":         func(x *Tensor) { x.Lerp(b, 0.5) },
		"ScaleInPlace": func(x *Tensor) { x.ScaleInPlace(2) },
		"AddScaled":    func(x *Tensor) { x.Reshape(1, 2).AddScaled(b, 2) },
		"Uniform":      func(x *Tensor) { x.Uniform(rand.New(rand.NewPCG(1, 2)), 5, 6) },
	} {
		d.Reset()
		x := d.Floats([]float32{1, 2}, 2)
		y := x.Scale(2).AddScalar(1)
		if y.deferred == nil {
			t.Fatal("nothing is deferred")
		}
		if f(x); !slices.Equal(y.Host(), []float32{3, 5}) {
			t.Errorf("%s: what was called before is %v", name, y.Host())
		}
	}
}

// TestGPUCodeLengths are those of the logits.
func TestGPUCodeLengths(t *testing.T) {
	for _, precision := range []string{"float32", "bfloat16"} {
		codeLengths(t, openGPU(t, precision), 1e-9)
	}
}

// TestGPUDevice: what it says about itself, and what it refuses.
func TestGPUDevice(t *testing.T) {
	d := openGPU(t, "tfloat32")
	if d.Precision() != "tfloat32" || !strings.Contains(d.Name(), "H200") {
		t.Errorf("it is %s in %s", d.Name(), d.Precision())
	}
	if _, err := Open(Config{Device: "cuda:GPU-none"}); err == nil || !strings.Contains(err.Error(), "GPU-none") {
		t.Errorf("got %v", err)
	}
	d.Param("p", 3).Sum(0).Backward()
}
