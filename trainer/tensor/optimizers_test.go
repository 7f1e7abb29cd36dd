package tensor_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

type T = *tensor.Tensor

// optimizer is one update of a matrix p [M,N] from its gradient, written as a
// program would write it in train.go: plain operations without gradients, state
// in States. state makes one, named after the parameter.
type optimizer func(p T, state func(name string, shape ...int) T) (step func())

func sgdMomentum(p T, state func(string, ...int) T) func() {
	const lr, mu = 0.05, 0.9
	m := state("m", p.Shape()...)
	return func() {
		m.ScaleInPlace(mu)
		m.AddScaled(p.Grad(), 1)
		p.AddScaled(m, -lr)
	}
}

// lion is Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms".
func lion(p T, state func(string, ...int) T) func() {
	const lr, b1, b2, decay = 0.02, 0.9, 0.99, 0.1
	m := state("m", p.Shape()...)
	return func() {
		update := m.Scale(b1).Add(p.Grad().Scale(1 - b1)).Sign()
		p.ScaleInPlace(1 - lr*decay)
		p.AddScaled(update, -lr)
		m.Lerp(p.Grad(), 1-b2)
	}
}

// adafactor keeps second moments of rows and columns only (Shazeer and Stern
// 2018), and clips the size of an update.
func adafactor(p T, state func(string, ...int) T) func() {
	const lr, b2, eps = 0.05, 0.9, 1e-12
	rows, cols := state("rows", p.Dim(0), 1), state("cols", 1, p.Dim(1))
	return func() {
		g2 := p.Grad().Square().AddScalar(eps)
		rows.Lerp(g2.Mean(1), 1-b2)
		cols.Lerp(g2.Mean(0), 1-b2)
		v := rows.Div(rows.Mean(0)).Mul(cols) // [M,N], of rank one
		update := p.Grad().Mul(v.Rsqrt())
		size := update.Square().Mean(0).Mean(1).Sqrt() // [1,1]
		p.AddScaled(update.Div(size.AtLeast(1)), -lr)
	}
}

// shampoo preconditions both sides (Gupta, Koren and Singer 2018).
func shampoo(p T, state func(string, ...int) T) func() {
	const lr, eps = 0.3, 1e-6
	m, n := p.Dim(0), p.Dim(1)
	l, r := state("l", m, m), state("r", n, n)
	l.CopyFrom(identity(l).Scale(eps))
	r.CopyFrom(identity(r).Scale(eps))
	return func() {
		g := p.Grad()
		l.AddScaled(g.MatMulT(g), 1)
		r.AddScaled(g.Transpose(0, 1).MatMul(g), 1)
		p.AddScaled(inverseRoot4(l).MatMul(g).MatMul(inverseRoot4(r)), -lr)
	}
}

// inverseRoot4 is a^(-1/4) by the coupled Newton iteration: x goes there while
// m goes to the identity.
func inverseRoot4(a T) T {
	z := a.Square().Reshape(-1).Sum(0).Rsqrt().Scale(2.5) // (1+4)/2 over the norm
	id := identity(a)
	x, m := id.Mul(z.Pow(0.25)), a.Mul(z)
	for range 40 {
		t := id.Scale(5.0 / 4).Sub(m.Scale(1.0 / 4))
		t2 := t.MatMul(t)
		x, m = x.MatMul(t), t2.MatMul(t2).MatMul(m)
	}
	return x
}

// identity has the shape of the square matrix a: a comparison of positions.
func identity(a T) T {
	at := a.Sum(1).Scale(0).AddScalar(1).CumSum(0) // 1, 2, ... [N,1]
	return at.Equal(at.Transpose(0, 1))
}

// TestOptimizersInPlainOps: each solves least squares, with its state in
// checkpoints and nothing but operations.
func TestOptimizersInPlainOps(t *testing.T) {
	const m, n, rows = 4, 6, 32
	for name, c := range map[string]struct {
		make  optimizer
		steps int
		loss  float32 // to be reached
	}{
		"sgd with momentum": {sgdMomentum, 150, 1e-3},
		"lion":              {lion, 300, 2e-2},
		"adafactor":         {adafactor, 300, 1e-2},
		"shampoo":           {shampoo, 150, 1e-2},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, 2)
			rng := rand.New(rand.NewPCG(1, 2))
			p, truth, x := d.Param("p", m, n), d.State("truth", m, n), d.State("x", rows, n)
			truth.Normal(rng, 0.3)
			x.Normal(rng, 1)
			step := c.make(p, func(name string, shape ...int) T { return d.State("p."+name, shape...) })
			var first, last float32
			for i := range c.steps {
				d.Reset()
				d.ZeroGrad()
				loss := x.MatMulT(p).Sub(x.MatMulT(truth)).Square().Reshape(-1).Mean(0)
				loss.Backward()
				d.NoGrad(step)
				if last = loss.Item(); i == 0 {
					first = last
				}
			}
			if !(last <= c.loss) {
				t.Errorf("the loss went from %v to %v, want %v", first, last, c.loss)
			}
			t.Logf("loss %v to %v", first, last)
		})
	}
}

// TestOptimizerArithmetic compares three steps with loops in float64.
func TestOptimizerArithmetic(t *testing.T) {
	const m, n = 2, 3
	rng := rand.New(rand.NewPCG(3, 4))
	sign := func(x float64) float64 { return math.Copysign(1, x) }
	for name, c := range map[string]struct {
		make optimizer
		ref  func(p, g, s []float64)
	}{
		"sgd": {sgdMomentum, func(p, g, s []float64) {
			for i := range p {
				s[i] = 0.9*s[i] + g[i]
				p[i] -= 0.05 * s[i]
			}
		}},
		"lion": {lion, func(p, g, s []float64) {
			for i := range p {
				p[i] = p[i]*(1-0.02*0.1) - 0.02*sign(0.9*s[i]+0.1*g[i])
				s[i] = 0.99*s[i] + 0.01*g[i]
			}
		}},
		"adafactor": {adafactor, func(p, g, s []float64) {
			row, col := s[:m], s[m:m+n]
			for k := range row {
				row[k] *= 0.9
			}
			for k := range col {
				col[k] *= 0.9
			}
			for i, x := range g {
				row[i/n] += 0.1 * x * x / n
				col[i%n] += 0.1 * x * x / m
			}
			var size float64
			u := make([]float64, m*n)
			for i, x := range g {
				u[i] = x / math.Sqrt(row[i/n]/((row[0]+row[1])/m)*col[i%n])
				size += u[i] * u[i] / (m * n)
			}
			for i := range p {
				p[i] -= 0.05 * u[i] / max(1, math.Sqrt(size))
			}
		}},
	} {
		d := open(t, 1)
		p := d.Param("p", m, n)
		p.Normal(rng, 1)
		want, s := make([]float64, m*n), make([]float64, m*n)
		for i, v := range p.Host() {
			want[i] = float64(v)
		}
		step := c.make(p, func(name string, shape ...int) T { return d.State(name, shape...) })
		for range 3 {
			g := make([]float32, m*n)
			g64 := make([]float64, m*n)
			for i := range g {
				g[i] = float32(rng.NormFloat64())
				g64[i] = float64(g[i])
			}
			d.Reset()
			d.ZeroGrad()
			p.Mul(d.Floats(g, m, n)).Reshape(-1).Sum(0).Backward() // the gradient is g
			d.NoGrad(step)
			c.ref(want, g64, s)
		}
		for i, v := range p.Host() {
			if math.Abs(float64(v)-want[i]) > 1e-5 {
				t.Errorf("%s: p[%d] is %v, want %v", name, i, v, want[i])
			}
		}
	}
}

// TestShampooWhitens: after the first gradient alone both sides together make
// an orthogonal update.
func TestShampooWhitens(t *testing.T) {
	d := open(t, 1)
	p := d.Param("p", 3, 3)
	before := p.Host()
	step := shampoo(p, func(name string, shape ...int) T { return d.State(name, shape...) })
	p.Mul(d.Floats([]float32{1, 2, 0, -1, 1, 3, 0.5, 0, 1}, 3, 3)).Reshape(-1).Sum(0).Backward()
	d.NoGrad(step)
	u := d.Floats(before, 3, 3).Sub(p).Scale(1 / 0.3)
	got := u.MatMulT(u).Host()
	for i, v := range got {
		want := 0.0
		if i%4 == 0 {
			want = 1
		}
		if math.Abs(float64(v)-want) > 2e-3 {
			t.Fatalf("update times its transpose is %v, want the identity", got)
		}
	}
}
