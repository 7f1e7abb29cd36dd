package tensor_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// lab trains and exports one recipe.
type lab struct {
	d                 *tensor.Device
	rng               *rand.Rand
	B, T, C, V, NH, D int
	params            map[string]T
	moments           map[string][2]T
	steps             int
	recipe            recipe
}

func newLab(t *testing.T, r recipe) *lab {
	return &lab{d: open(t, 2), rng: rand.New(rand.NewPCG(1, 2)), B: 2, T: 9, C: 16, V: 7, NH: 2, D: 8,
		params: map[string]T{}, moments: map[string][2]T{}, recipe: r}
}

// w is a parameter, made when it is first asked for.
func (m *lab) w(name string, shape ...int) T {
	if m.params[name] == nil {
		p := m.d.Param(name, shape...)
		p.Normal(m.rng, 0.25)
		m.params[name] = p
		m.moments[name] = [2]T{m.d.State(name+".m", shape...), m.d.State(name+".v", shape...)}
	}
	return m.params[name]
}

func (m *lab) logits(ids T) T {
	x := m.w("embed", m.V, m.C).Embed(ids).RMSNorm(1e-6)
	x = x.Add(m.recipe(m, x, ids))
	return x.RMSNorm(1e-6).MatMulT(m.w("head", m.V, m.C))
}

func (m *lab) ids() []int32 {
	x := make([]int32, m.B*m.T)
	for i := range x {
		x[i] = int32(m.rng.IntN(m.V))
	}
	return x
}

// step trains on the task: the token before, or a function of the token.
func (m *lab) step(before bool) float32 {
	m.steps++
	x := m.ids()
	y := make([]int32, len(x))
	for i, id := range x {
		if y[i] = (3*id + 1) % int32(m.V); before {
			if y[i] = 0; i%m.T > 0 {
				y[i] = x[i-1]
			}
		}
	}
	m.d.Reset()
	m.d.ZeroGrad()
	loss := m.logits(m.d.Ints(x, m.B, m.T)).CrossEntropy(m.d.Ints(y, m.B, m.T), 0)
	loss.Backward()
	for name, p := range m.params {
		s := m.moments[name]
		tensor.AdamW(p, s[0], s[1], tensor.AdamWOptions{LR: 0.01, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Step: m.steps})
	}
	return loss.Item()
}

func TestRecipes(t *testing.T) {
	for name, r := range tokenRecipes {
		t.Run(name, func(t *testing.T) { checkRecipe(t, newLab(t, r), false) })
	}
	for name, r := range mixingRecipes {
		t.Run(name, func(t *testing.T) { checkRecipe(t, newLab(t, r), true) })
	}
}

func checkRecipe(t *testing.T, m *lab, before bool) {
	var first, last float32
	for i := range 150 {
		if last = m.step(before); i == 0 {
			first = last
		}
	}
	if !(last < first/3) {
		t.Errorf("the loss went from %v to %v, want a third of it", first, last)
	}
	ids := m.ids()
	m.d.Reset()
	in := m.d.Ints(ids, m.B, m.T)
	g, err := m.d.Trace(in, m.logits)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	if g, err = tensor.Parse(text, g.Weights(), tensor.Limits{}); err != nil {
		t.Fatal(err)
	}
	var want []float32
	m.d.NoGrad(func() { want = m.logits(in).Host() })
	// The evaluator's proof: poison one row, and all tokens from a cut on.
	for row := range m.B {
		for cut := range m.T + 1 {
			poisoned := append([]int32{}, ids...)
			for i := range poisoned {
				if i/m.T != row || i%m.T >= cut {
					poisoned[i] = tensor.PoisonID
				}
			}
			got, err := g.Run(m.d, poisoned)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range got {
				at, mine := i/m.V%m.T, i/m.V/m.T == row
				switch {
				case mine && at < cut && !(math.Abs(float64(v-want[i])) < 1e-4):
					t.Fatalf("tokens from %d on poisoned: logit at %d is %v, want %v", cut, at, v, want[i])
				case mine && at == cut && v == v:
					t.Fatalf("token %d poisoned: its own logit is %v, want NaN", cut, v)
				}
			}
		}
	}
}

// array is T where that is a number.
type array = T

// TestLinearAttentionForms: the product, the recurrence and the chunks are one
// function, and so are their gradients.
func TestLinearAttentionForms(t *testing.T) {
	const B, T, D, chunk = 2, 12, 3, 4
	outer := func(k, v array) array { // [B,T,D,D]
		return k.Reshape(B, T, D, 1).Mul(v.Reshape(B, T, 1, D))
	}
	read := func(q, s array) array { return q.Reshape(B, T, 1, D).MatMul(s).Reshape(B, T, D) }
	forms := map[string]func(d *tensor.Device, q, k, v array) array{
		"product": func(_ *tensor.Device, q, k, v array) array { return q.MatMulT(k).CausalMatMul(v, 0) },
		"sum":     func(_ *tensor.Device, q, k, v array) array { return read(q, outer(k, v).CumSum(1)) },
		"scan": func(d *tensor.Device, q, k, v array) array {
			return read(q, outer(k, v).Scan(1, d.Zeros(1).AddScalar(1)))
		},
		"chunks": func(_ *tensor.Device, q, k, v array) array {
			cut := func(x array) array { return x.Reshape(B, T/chunk, chunk, D) }
			q, k, v = cut(q), cut(k), cut(v)
			before := k.Transpose(2, 3).MatMul(v).CumSum(1).Shift(1, 1) // state before each chunk
			return q.MatMulT(k).CausalMatMul(v, 0).Add(q.MatMul(before)).Reshape(B, T, D)
		},
	}
	var want [][]float32
	for _, name := range []string{"product", "sum", "scan", "chunks"} {
		d := open(t, 2)
		rng := rand.New(rand.NewPCG(1, 2))
		var in []array
		for _, n := range []string{"q", "k", "v"} {
			p := d.Param(n, B, T, D)
			p.Normal(rng, 1)
			in = append(in, p)
		}
		y := forms[name](d, in[0], in[1], in[2])
		y.Square().Reshape(-1).Sum(0).Backward()
		got := [][]float32{y.Host(), in[0].Grad().Host(), in[1].Grad().Host(), in[2].Grad().Host()}
		if want == nil {
			want = got
		}
		for k := range got {
			for i, v := range got[k] {
				if w := want[k][i]; math.Abs(float64(v-w)) > 1e-4*(1+math.Abs(float64(w))) {
					t.Fatalf("%s: array %d (value, dq, dk, dv) element %d is %v, the product says %v", name, k, i, v, w)
				}
			}
		}
	}
}
