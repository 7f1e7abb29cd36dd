package tensor_test

import (
	"fmt"
	"math"
)

// The recipes are what researchers put into a model, each a few lines of
// operations as they would stand in train.go. x is [B,T,C] after a norm; what
// a recipe returns is added to the stream. recipes_check_test.go trains each,
// exports it and proves it causal.

type recipe func(m *lab, x, ids T) T

// token-wise recipes solve a task of single tokens, the others one that needs
// the token before.
var tokenRecipes = map[string]recipe{
	"swiglu": func(m *lab, x, _ T) T {
		return x.MatMulT(m.w("gate", 32, m.C)).Silu().Mul(x.MatMulT(m.w("up", 32, m.C))).MatMulT(m.w("down", m.C, 32))
	},
	"layernorm, bias, gelu and dropout": func(m *lab, x, _ T) T {
		h := x.LayerNorm(1e-5).Mul(m.w("scale", m.C).AddScalar(1)).Add(m.w("shift", m.C))
		h = h.MatMulT(m.w("up", 32, m.C)).Add(m.w("bias", 32)).GeluErf()
		return h.Dropout(m.rng, 0.1).MatMulT(m.w("down", m.C, 32))
	},
	"groupnorm and softplus": func(m *lab, x, _ T) T {
		return x.GroupNorm(4, 1e-5).MatMulT(m.w("up", 32, m.C)).Softplus().MatMulT(m.w("down", m.C, 32))
	},
	"snake: x + sin(ax)^2/a": func(m *lab, x, _ T) T {
		h, a := x.MatMulT(m.w("up", 32, m.C)), m.w("a", 32).Exp()
		return h.Add(h.Mul(a).Sin().Square().Div(a)).MatMulT(m.w("down", m.C, 32))
	},
	"mixture of experts": func(m *lab, x, _ T) T {
		const E, K = 4, 2
		gate, experts := x.MatMulT(m.w("router", E, m.C)).Softmax().TopK(K) // [B,T,K]
		gate = gate.Div(gate.Sum(-1))
		up, down := m.w("up", E, 16, m.C), m.w("down", E, m.C, 16)
		y := m.d.Zeros(x.Shape()...)
		for k := range K {
			e := experts.Slice(2, k, k+1).Reshape(m.B, m.T)
			h := x.ExpertMatMul(up, e).ReluSquare().ExpertMatMul(down, e)
			y = y.Add(h.Mul(gate.Slice(2, k, k+1)))
		}
		return y
	},
	"mixture of experts by masks": func(m *lab, x, _ T) T {
		const E = 4
		p := x.MatMulT(m.w("router", E, m.C)).Softmax()                                                // [B,T,E]
		p = p.Mul(p.GreaterEqual(p.Max(-1)))                                                           // the best one only
		h := x.MatMulT(m.w("up", E*16, m.C)).Relu().Reshape(m.B, m.T, E, 16)                           // all experts
		return h.Mul(p.Reshape(m.B, m.T, E, 1)).Reshape(m.B, m.T, E*16).MatMul(m.w("down", E*16, m.C)) // [B,T,C]
	},
	"ternary weights, straight through": func(m *lab, x, _ T) T {
		w := m.w("w", m.C, m.C)
		q := w.Scale(4).Clamp(-1, 1).AddScalar(0.5).Floor().Scale(0.25)
		return x.MatMulT(w.Add(q.Sub(w).Detach()))
	},
}

var mixingRecipes = map[string]recipe{
	"token shift": func(m *lab, x, _ T) T {
		mix := m.w("mix", m.C).Sigmoid()
		return x.Shift(1, 1).Sub(x).Mul(mix).Add(x).MatMulT(m.w("out", m.C, m.C))
	},
	"convolution over channels and time": func(m *lab, x, _ T) T {
		y := x.MatMulT(m.w("tap0", m.C, m.C))
		for k := 1; k < 3; k++ {
			y = y.Add(x.Shift(1, k).MatMulT(m.w(fmt.Sprint("tap", k), m.C, m.C)))
		}
		return y
	},
	"depthwise convolution": func(m *lab, x, _ T) T {
		return x.CausalConv(m.w("taps", 3, m.C)).MatMulT(m.w("out", m.C, m.C))
	},
	"table of token pairs": func(m *lab, x, ids T) T {
		return m.w("pairs", 64, m.C).Embed(ids.Shift(1, 1).HashIDs(ids, 31, 64))
	},
	"running mean": func(m *lab, x, _ T) T {
		count := m.d.Zeros(m.T, 1).AddScalar(1).CumSum(0)
		return x.CumSum(1).Div(count).MatMulT(m.w("out", m.C, m.C)).Add(x.Shift(1, 1).MatMulT(m.w("last", m.C, m.C)))
	},
	"gated recurrence": func(m *lab, x, _ T) T {
		decay := x.MatMulT(m.w("decay", m.C, m.C)).Sigmoid()
		v := x.MatMulT(m.w("v", m.C, m.C))
		h := v.Mul(decay.Neg().AddScalar(1)).Scan(1, decay) // h = decay*h + (1-decay)*v
		return h.MatMulT(m.w("out", m.C, m.C)).Add(x.Shift(1, 1).MatMulT(m.w("last", m.C, m.C)))
	},
	"linear attention with decay": func(m *lab, x, _ T) T {
		q, k, v := m.heads(x, "q").Softplus(), m.heads(x, "k").Softplus(), m.heads(x, "v")
		y := q.MatMulT(k).Mul(m.decays()).CausalMatMul(v, 0)
		return m.join(y.RMSNorm(1e-5)).Add(x.Shift(1, 1).MatMulT(m.w("last", m.C, m.C)))
	},
	"delta rule": func(m *lab, x, _ T) T {
		q, k, v := m.heads(x, "q").L2Norm(1e-6), m.heads(x, "k").L2Norm(1e-6), m.heads(x.Shift(1, 1), "v")
		beta := x.MatMulT(m.w("beta", m.NH, m.C)).Sigmoid().Transpose(1, 2).Reshape(m.B, m.NH, m.T, 1)
		u := k.MatMulT(k).Mul(beta).CausalSolve(v.Mul(beta))
		return m.join(q.MatMulT(k).CausalMatMul(u, 0))
	},
	"attention with softcap, distance bias and sink": func(m *lab, x, _ T) T {
		q, k, v := m.heads(x, "q"), m.heads(x, "k"), m.heads(x, "v")
		scores := q.MatMulT(k).Scale(float32(1 / math.Sqrt(float64(m.D)))).Softcap(8)
		scores = scores.Add(m.w("near", m.NH, 1, 1).Mul(m.distances()))
		sink := m.w("sink", m.NH, 1, 1).BroadcastTo(m.B, m.NH, m.T, 1)
		p := sink.Concat(-1, scores).CausalSoftmax(0) // [B,NH,T,1+T]
		return m.join(p.Slice(-1, 1, 1+m.T).CausalMatMul(v, 0))
	},
	"differential attention": func(m *lab, x, _ T) T {
		d := m.distances().Scale(-1)
		p := func(s string) T {
			return m.heads(x, "q"+s).MatMulT(m.heads(x, "k"+s)).Add(d).CausalSoftmax(0)
		}
		return m.join(p("1").Sub(p("2").Scale(0.5)).CausalMatMul(m.heads(x, "v"), 0))
	},
	"attention to the 3 best of a window": func(m *lab, x, _ T) T {
		scores := m.heads(x, "q").MatMulT(m.heads(x, "k")).Sub(m.distances())
		p := scores.CausalSoftmax(5)
		best, _ := p.TopK(3)
		p = p.Mul(p.GreaterEqual(best.Slice(-1, 2, 3)))
		return m.join(p.CausalMatMul(m.heads(x, "v"), 5))
	},
}

// heads is x @ wᵀ as [B,NH,T,D].
func (m *lab) heads(x T, name string) T {
	return x.MatMulT(m.w(name, m.C, m.C)).Reshape(m.B, m.T, m.NH, m.D).Transpose(1, 2)
}

// join is the reverse, through the output matrix.
func (m *lab) join(x T) T {
	return x.Transpose(1, 2).Reshape(m.B, m.T, m.C).MatMulT(m.w("o", m.C, m.C))
}

// distances is [T,T], i-j.
func (m *lab) distances() T {
	at := m.d.Zeros(m.T, 1).AddScalar(1).CumSum(0)
	return at.Sub(at.Reshape(1, m.T))
}

// decays is [NH,T,T], a rate for each head to the power of the distance. It
// overflows for later tokens, which nothing reads.
func (m *lab) decays() T {
	rate := make([]float32, m.NH)
	for h := range rate {
		rate[h] = float32(math.Log(1 - math.Pow(2, -1-float64(h))))
	}
	return m.d.Floats(rate, m.NH, 1, 1).Mul(m.distances()).Exp()
}
