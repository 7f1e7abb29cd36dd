package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// attentionSlow is the oracle: visible keys only, one at a time.
func attentionSlow(q, k, v *Tensor, window int) []float32 {
	nb, nt, nh, dim, nkv := q.Dim(0), q.Dim(1), q.Dim(2), q.Dim(3), k.Dim(2)
	if window == 0 {
		window = nt
	}
	out := make([]float32, q.Size())
	p := make([]float64, nt)
	for i := range nb * nt * nh {
		b, t, h := i/nt/nh, i/nh%nt, i%nh
		row := func(x *Tensor, j int) []float32 { return x.data[((b*nt+j)*nkv+h*nkv/nh)*dim:][:dim] }
		from, sum, top := max(0, t-window+1), 0.0, math.Inf(-1)
		for j := from; j <= t; j++ {
			p[j] = float64(dotSlow(q.data[i*dim:][:dim], row(k, j))) / math.Sqrt(float64(dim))
			top = max(top, p[j])
		}
		for j := from; j <= t; j++ {
			p[j] = math.Exp(p[j] - top)
			sum += p[j]
		}
		for c := range dim {
			var o float64
			for j := from; j <= t; j++ {
				o += p[j] / sum * float64(row(v, j)[c])
			}
			out[i*dim+c] = float32(o)
		}
	}
	return out
}

// TestAttentionPoisoned puts NaN and infinities at every position of q, k and
// v: one element (the first or another), a row, or all rows from there on.
func TestAttentionPoisoned(t *testing.T) {
	const nb, dim = 2, 4
	nan, inf := nan32, float32(math.Inf(1))
	for _, s := range []struct{ t, nh, nkv, window int }{{20, 2, 2, 0}, {70, 4, 2, 0}, {70, 2, 1, 5}, {131, 2, 1, 66}} {
		for _, kernels := range []string{"go", ""} {
			if kernels == "go" && s.t > 20 {
				continue
			}
			d := openTest(t, Config{Threads: 2, Kernels: kernels})
			rng := rand.New(rand.NewPCG(1, 1))
			check := func(what string, change func(in []*Tensor)) {
				t.Helper()
				d.Reset()
				var in []*Tensor
				for _, n := range []int{s.nh, s.nkv, s.nkv} {
					x := make([]float32, nb*s.t*n*dim)
					for i := range x {
						x[i] = float32(rng.NormFloat64())
					}
					in = append(in, d.Floats(x, nb, s.t, n, dim))
				}
				change(in)
				want := attentionSlow(in[0], in[1], in[2], s.window)
				for i, v := range in[0].Attention(in[1], in[2], s.window).data {
					w := want[i]
					if v == w || v != v && w != w || math.Abs(float64(v-w)) < 1e-5*(1+math.Abs(float64(w))) {
						continue
					}
					t.Fatalf("%+v, %s kernels, %s: output %v is %v, want %v", s, d.Kernels(), what, unravel(i, in[0].shape), v, w)
				}
			}
			check("nothing", func([]*Tensor) {})
			for at := 0; at < s.t; at += 1 + s.t/100*4 {
				for _, set := range []int{1, 2, 4, 7} { // of q, k and v
					each := func(f func(x []float32)) func(in []*Tensor) {
						return func(in []*Tensor) {
							for i, x := range in {
								if n := x.Dim(2) * dim; set>>i&1 != 0 {
									f(x.data[at*n : s.t*n]) // of batch entry 0, from there on
								}
							}
						}
					}
					name := fmt.Sprintf(" %d of set %d", at, set)
					check("all from"+name, each(fillNaN))
					if set < 7 {
						check("the first element at"+name, each(func(x []float32) { x[0] = nan }))
						check("the last element at"+name, each(func(x []float32) { x[dim-1] = nan }))
						check("the row at"+name, each(func(x []float32) { fillNaN(x[:dim]) }))
					}
					if set == 4 {
						check("infinity at"+name, each(func(x []float32) { x[1] = inf }))
						check("infinity and NaN at"+name, each(func(x []float32) { x[1], x[2] = inf, nan }))
					}
				}
			}
		}
	}
}

// TestAttentionOnly wants the positions asked for as they are without asking,
// bit by bit, and NaN in all others, whatever the memory held.
func TestAttentionOnly(t *testing.T) {
	const B, T, D = 2, 70, 4
	for _, window := range []int{0, 5} {
		d := openTest(t, Config{Threads: 2})
		q, kv := d.Param("q", B, T, 4, D), d.Param("kv", B, T, 2, D)
		q.Normal(rand.New(rand.NewPCG(1, 1)), 1)
		kv.Normal(rand.New(rand.NewPCG(2, 1)), 1)
		want, out := q.Attention(kv, kv, window).data, d.Const("out", make([]float32, B*T*4*D), B, T, 4, D)
		for at := range T {
			c := &call{op: opAttention, dev: d, attrs: Attrs{Ints: []int{window}}, in: []*Tensor{q, kv, kv}, out: out, only: []int{at, T - 1 - at}}
			clear(out.data)
			attentionForward(c)
			for i, v := range out.data {
				if u := unravel(i, out.shape); u[1] == c.only[u[0]] && v != want[i] || u[1] != c.only[u[0]] && v == v {
					t.Fatalf("window %d, asked for %v: output %v is %v; without asking %v", window, c.only, u, v, want[i])
				}
			}
		}
	}
}

// TestRunAt wants the logits asked for to be those of Run, bit by bit, and all
// others to be these or NaN, for a model that mixes positions by attention
// only; another model may lose logits to NaN but gets none that Run lacks.
func TestRunAt(t *testing.T) {
	const B, T, V = 3, 70, 11
	shifted := func(m *gpt, ids *Tensor) *Tensor { return m.features(ids).Shift(1, 1).MatMulT(m.head) }
	flat := func(m *gpt, ids *Tensor) *Tensor {
		h := m.emb.Embed(ids).Reshape(1, B*T, 2, m.C/2)
		return h.Attention(h, h, 0).Reshape(B, T, m.C).MatMulT(m.head)
	}
	for name, c := range map[string]struct {
		f     func(m *gpt, ids *Tensor) *Tensor
		plain bool
	}{"gpt": {(*gpt).logits, true}, "shifted": {shifted, false}, "flat": {flat, true}} {
		d := openTest(t, Config{Threads: 2})
		m := newGPT(d, 2, 16, 2, T, B, V)
		rng := rand.New(rand.NewPCG(3, 4))
		ids, _ := batch(rng, B*T, V)
		g, err := d.Trace(d.Ints(ids, B, T), func(ids *Tensor) *Tensor { return c.f(m, ids) })
		if err != nil {
			t.Fatal(err)
		}
		run := func(at []int) []float32 {
			logits, err := g.RunAt(d, ids, at)
			if err != nil {
				t.Fatal(err)
			}
			return append([]float32{}, logits...)
		}
		for first := 0; first < T; first += B {
			at, poisoned := make([]int, B), append([]int32{}, ids...)
			for b := range at {
				at[b] = min(first+b, T-1)
				for p := at[b] + 1; p < T; p++ {
					poisoned[b*T+p] = PoisonID
				}
			}
			clean := ids
			ids = poisoned
			want, got := run(nil), run(at)
			ids = clean
			for i, v := range got {
				asked := i/V%T == at[i/V/T]
				if v != want[i] && v == v || asked && c.plain && v != want[i] && want[i] == want[i] {
					t.Fatalf("%s at %v: logit %v is %v, Run says %v", name, at, unravel(i, []int{B, T, V}), v, want[i])
				}
			}
		}
		for _, bad := range [][]int{{0}, {0, 0, T}, {0, -1, 0}} {
			if _, err := g.RunAt(d, ids, bad); err == nil {
				t.Errorf("positions %v pass", bad)
			}
		}
		for i, v := range run(nil) {
			if v != v {
				t.Fatalf("%s: Run after RunAt: logit %d is NaN", name, i)
			}
		}
	}
}
