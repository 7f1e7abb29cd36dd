package tensor

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor/cpu"
)

// weightsAfter trains a little and returns all weights.
func weightsAfter(t *testing.T, cfg Config, steps int) []float32 {
	d := openTest(t, cfg)
	m := newGPT(d, 1, 48, 3, 40, 3, 17)
	rng := rand.New(rand.NewPCG(3, 4))
	for range steps {
		x, y := batch(rng, m.B*m.T, m.V)
		m.train(x, y)
	}
	var w []float32
	for _, p := range d.Params() {
		w = append(w, p.Host()...)
	}
	return w
}

// TestDeterminism: the same bits from run to run and for any thread count.
func TestDeterminism(t *testing.T) {
	for _, kernels := range cpu.Names() {
		want := weightsAfter(t, Config{Threads: 2, Kernels: kernels}, 3)
		for _, threads := range []int{2, 1, 3} {
			if got := weightsAfter(t, Config{Threads: threads, Kernels: kernels}, 3); !slices.Equal(got, want) {
				t.Errorf("%s: %d threads gave other bits", kernels, threads)
			}
		}
	}
}

// TestKernelsAgree: one step with each set stays close to the plain one.
func TestKernelsAgree(t *testing.T) {
	want := weightsAfter(t, Config{Threads: 1, Kernels: "go"}, 1)
	for _, kernels := range cpu.Names() {
		bad := 0
		for i, v := range weightsAfter(t, Config{Threads: 2, Kernels: kernels}, 1) {
			// The first AdamW step has size lr whatever the gradient, so a
			// few gradients near zero may go the other way.
			if math.Abs(float64(v-want[i])) > 1e-3 {
				bad++
			}
		}
		if bad > len(want)/500 {
			t.Errorf("%s: %d of %d weights differ from plain Go", kernels, bad, len(want))
		}
	}
}

// TestSteadyState: after the first steps, steps allocate nothing.
func TestSteadyState(t *testing.T) {
	defer func(n int) { outstanding = n }(outstanding)
	outstanding = 16
	for _, threads := range []int{1, 2} {
		d := openTest(t, Config{Threads: threads})
		m := newGPT(d, 2, 64, 2, 64, 4, 65)
		x, y := batch(rand.New(rand.NewPCG(3, 4)), m.B*m.T, m.V)
		for range 20 { // until Tensors come back
			m.train(x, y)
		}
		peak := d.PeakBytes()
		if n := testing.AllocsPerRun(20, func() { m.train(x, y) }); n > 0 {
			t.Errorf("%d threads: a step allocates %v times", threads, n)
		}
		if d.PeakBytes() != peak {
			t.Errorf("memory grew from %d to %d bytes", peak, d.PeakBytes())
		}
	}
}

// TestScope: what is made in a Scope dies with it, its memory serves the next.
func TestScope(t *testing.T) {
	d := openTest(t, Config{Threads: 2})
	p := d.Param("p", 1000)
	p.Fill(1)
	x := p.Scale(3)
	d.mem.free(d.mem.alloc(1000)) // as Backward does
	var leak *Tensor
	var peak int64
	for i := range 10 {
		d.Scope(func() {
			if leak = p.Scale(5); leak.needGrad {
				t.Error("a Scope records")
			}
		})
		if i == 0 {
			peak = d.PeakBytes()
		}
	}
	if d.PeakBytes() != peak {
		t.Errorf("ten scopes take %d bytes, one %d", d.PeakBytes(), peak)
	}
	if y := p.Scale(7); x.Host()[999] != 3 || y.Host()[999] != 7 {
		t.Error("a tensor from before a Scope changed")
	}
	x.Reshape(1, 1000).Sum(1).Reshape(1).Backward()
	if g := p.Grad().Host()[0]; g != 3 {
		t.Errorf("the gradient is %v, want 3", g)
	}
	defer func() {
		if err, ok := recover().(*Error); !ok || !strings.Contains(err.Error(), "Scope that has ended") {
			t.Errorf("got %v", err)
		}
	}()
	leak.Neg()
}

// TestGram: a matrix times its own transpose has the bits of any other product,
// whatever the threads, and the same gradient.
func TestGram(t *testing.T) {
	defer func(g int) { gemmGrain = g }(gemmGrain)
	gemmGrain = 1
	for _, m := range []int{5, 40, 131} {
		for threads := 1; threads <= 3; threads++ {
			d := openTest(t, Config{Threads: threads})
			x, y := d.Param("x", m, 19), d.Param("y", m, 19)
			x.Normal(rand.New(rand.NewPCG(1, 2)), 1)
			y.CopyFrom(x)
			w := d.Const("w", x.Host()[:m], 1, m)
			same, other := x.MatMulT(x), x.MatMulT(y)
			if !slices.Equal(same.Host(), other.Host()) {
				t.Fatalf("%d rows, %d threads: x.MatMulT(x) differs", m, threads)
			}
			same.Mul(w).Reshape(m * m).Sum(0).Backward()
			got := x.Grad().Host()
			d.ZeroGrad()
			other.Mul(w).Reshape(m * m).Sum(0).Backward()
			for i, v := range got {
				if want := x.grad[i] + y.grad[i]; math.Abs(float64(v-want)) > 1e-4 {
					t.Fatalf("%d rows, %d threads: gradient %d is %v, want %v", m, threads, i, v, want)
				}
			}
		}
	}
}

// TestDeadForEver: a tensor of an earlier step is refused however many steps
// later, though Tensors that nobody holds are used again.
func TestDeadForEver(t *testing.T) {
	defer func(n int) { outstanding = n }(outstanding)
	outstanding = 16
	d := openTest(t, Config{Threads: 1})
	held := d.Floats([]float32{1}, 1)
	for range 20 * outstanding {
		d.Reset()
		for range slabSize {
			if x := d.Floats([]float32{1}, 1); x == held {
				t.Fatal("a tensor that is still held was used again")
			}
		}
		runtime.Gosched() // for the finalizers
	}
	d.heads.mu.Lock()
	made := d.heads.made
	d.heads.mu.Unlock()
	if made > 10*outstanding {
		t.Errorf("%d slabs made in %d steps of one: they do not come back", made, 20*outstanding)
	}
	defer func() {
		if err, ok := recover().(*Error); !ok || !strings.Contains(err.Error(), "before the last Reset") {
			t.Errorf("a dead tensor was used: %v", err)
		}
	}()
	held.Neg()
}

func TestAdamW(t *testing.T) {
	d := openTest(t, Config{Threads: 2})
	p, m, v := d.Param("p", 3), d.State("m", 3), d.State("v", 3)
	p.SetHost([]float32{1, -1, 2})
	p.Mul(d.Floats([]float32{0.5, 2, 0}, 3)).Sum(0).Backward()
	AdamW(p, m, v, AdamWOptions{LR: 0.1, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.1, Step: 1})
	// The first step moves by lr against the sign of the gradient.
	for i, want := range []float32{1*0.99 - 0.1, -1*0.99 - 0.1, 2 * 0.99} {
		if got := p.Host()[i]; math.Abs(float64(got-want)) > 1e-5 {
			t.Errorf("p[%d] = %v, want %v", i, got, want)
		}
	}
}

func TestInPlaceHelpers(t *testing.T) {
	d := openTest(t, Config{Threads: 2})
	a, b := d.State("a", 3), d.State("b", 3)
	b.SetHost([]float32{1, 2, 3})
	a.Fill(1)
	a.Lerp(b, 0.5)       // 1 1.5 2
	a.AddScaled(b, 2)    // 3 5.5 8
	a.ScaleInPlace(-0.5) // -1.5 -2.75 -4
	if got := a.Host(); !slices.Equal(got, []float32{-1.5, -2.75, -4}) {
		t.Errorf("got %v", got)
	}
	if b.CopyFrom(a); !slices.Equal(a.Host(), b.Host()) {
		t.Errorf("CopyFrom gave %v", b.Host())
	}
	c := d.State("c", 10000)
	c.Normal(rand.New(rand.NewPCG(1, 1)), 2)
	if n := c.Norm(); n < 195 || n > 205 {
		t.Errorf("norm of 10000 normals of deviation 2 is %v, want about 200", n)
	}
	c.Uniform(rand.New(rand.NewPCG(1, 1)), 3, 4)
	if lo, hi := slices.Min(c.Host()), slices.Max(c.Host()); lo < 3 || hi > 4 || hi-lo < 0.9 {
		t.Errorf("uniform in 3..4 gave %v..%v", lo, hi)
	}
}

// TestCautiousStep: decay only where the step goes towards zero.
func TestCautiousStep(t *testing.T) {
	d := openTest(t, Config{Threads: 2})
	p, u := d.State("p", 4), d.State("u", 4)
	p.SetHost([]float32{4, -4, 4, 4})
	u.SetHost([]float32{2, 2, 0, -2})
	p.CautiousStep(u, 0.5, 0.25)
	if got, want := p.Host(), []float32{2.5, -5, 3.5, 5}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestSharedSubgraph: gradients of several losses over one tape add up, and a
// tensor used twice gets both contributions.
func TestSharedSubgraph(t *testing.T) {
	d := openTest(t, Config{Threads: 2})
	p := d.Param("p", 2)
	p.SetHost([]float32{3, -1})
	x := p.Scale(2)             // 2p
	y := x.Add(x).Reshape(1, 2) // 4p
	y.Reshape(2).Sum(0).Backward()
	y.Square().Sum(1).Reshape(1).Backward()
	// 4 + d(16 p^2) = 4 + 32 p
	if got := p.Grad().Host(); !slices.Equal(got, []float32{100, -28}) {
		t.Errorf("got %v, want [100 -28]", got)
	}
	d.ZeroGrad()
	if got := p.Grad().Host(); !slices.Equal(got, []float32{0, 0}) {
		t.Errorf("after ZeroGrad: %v", got)
	}
}

// TestRoPEIsRelative: scores of rotated queries and keys depend on distance.
func TestRoPEIsRelative(t *testing.T) {
	d := openTest(t, Config{Threads: 1})
	q := d.Floats(slices.Repeat([]float32{1, 2, 3, 4}, 6), 1, 6, 1, 4).RoPE(100).Host()
	k := d.Floats(slices.Repeat([]float32{-1, 1, 0.5, 2}, 6), 1, 6, 1, 4).RoPE(100).Host()
	if a, b := dotSlow(q[0:4], k[8:12]), dotSlow(q[12:16], k[20:24]); math.Abs(float64(a-b)) > 1e-4 {
		t.Errorf("distance 2 scores %v at 0 and %v at 3", a, b)
	}
	for base := range 9 { // more than the cache holds
		d.rope(float32(base+1), 1<<15, 64)
	}
	if d.ropeSize > ropeCache || len(d.ropes) > 8 {
		t.Errorf("%d tables with %d floats are kept", len(d.ropes), d.ropeSize)
	}
}

// TestLinearCrossEntropy: the fused head is the two operations, also in its
// gradients and for several chunks.
func TestLinearCrossEntropy(t *testing.T) {
	run := func(fused bool) (float32, []float32, []float32) {
		d := openTest(t, Config{Threads: 2})
		x, w := d.Param("x", 2, 300, 20), d.Param("w", 33, 20)
		x.Normal(rand.New(rand.NewPCG(1, 2)), 1)
		w.Normal(rand.New(rand.NewPCG(3, 4)), 1)
		ids, _ := batch(rand.New(rand.NewPCG(5, 6)), 600, 33)
		y := d.Ints(ids, 2, 300)
		var loss *Tensor
		if fused {
			loss = x.LinearCrossEntropy(w, y, 3)
		} else {
			loss = x.MatMulT(w).CrossEntropy(y, 3)
		}
		loss.Scale(2).Backward()
		return loss.Item(), x.Grad().Host(), w.Grad().Host()
	}
	l1, dx1, dw1 := run(true)
	l2, dx2, dw2 := run(false)
	if math.Abs(float64(l1-l2)) > 1e-5 {
		t.Errorf("loss %v, want %v", l1, l2)
	}
	for i, v := range append(dx1, dw1...) {
		if want := append(dx2, dw2...)[i]; math.Abs(float64(v-want)) > 1e-5 {
			t.Fatalf("gradient %d is %v, want %v", i, v, want)
		}
	}
}
