package tensortest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// The model of the whole-model checks has what the trainer's has: value
// embeddings with gates on every second layer, residual scalars, grouped key
// heads, rotary positions, QK-norm, windows, squared ReLU, an untied head and
// capped logits. It is written twice, over tensors and over arrays.
//
// B, T, C, V, NH, NKV and D as in package tensor; gateDim is how many channels
// a gate looks at.
const (
	modelL, modelB, modelT, modelV = 3, 2, 7, 11
	modelNH, modelNKV, modelD      = 4, 2, 4
	modelC                         = modelNH * modelD
	gateDim                        = 8
	modelCap                       = 3
	modelEps                       = 1e-5
	ropeBase                       = 50
)

// modelWindow is how far layer l sees; the last sees everything.
func modelWindow(l int) int {
	if l < modelL-1 {
		return 3
	}
	return 0
}

func hasValueEmbedding(l int) bool { return l%2 == (modelL-1)%2 }

// modelShapes lists the parameters in order.
func modelShapes() (names []string, shapes [][]int) {
	add := func(name string, shape ...int) {
		names, shapes = append(names, name), append(shapes, shape)
	}
	add("embed", modelV, modelC)
	add("head", modelV, modelC)
	add("resid", modelL)
	add("x0", modelL)
	for l := range modelL {
		at := func(s string) string { return fmt.Sprint(s, l) }
		add(at("q"), modelNH*modelD, modelC)
		add(at("k"), modelNKV*modelD, modelC)
		add(at("v"), modelNKV*modelD, modelC)
		add(at("o"), modelC, modelNH*modelD)
		add(at("up"), 4*modelC, modelC)
		add(at("down"), modelC, 4*modelC)
		if hasValueEmbedding(l) {
			add(at("ve"), modelV, modelNKV*modelD)
			add(at("gate"), modelNKV, gateDim)
		}
	}
	return names, shapes
}

// modelValues draws parameters, the same for the same seed.
func modelValues(seed uint64) map[string]*Array {
	rng := rand.New(rand.NewPCG(seed, 1))
	m := map[string]*Array{}
	names, shapes := modelShapes()
	for i, name := range names {
		a := floats(shapes[i]...).make(rng)
		scale := 0.25
		if name == "embed" || len(shapes[i]) == 1 {
			scale = 1
		}
		for j := range a.X {
			a.X[j] = float64(float32(scale * a.X[j]))
		}
		m[name] = a
	}
	return m
}

// batch is ids [B,T] and the targets after them.
func batch(seed uint64) (x, y *Array) {
	rng := rand.New(rand.NewPCG(seed, 2))
	x, y = newArray(modelB, modelT), newArray(modelB, modelT)
	for i := range x.X {
		x.X[i] = float64(rng.IntN(modelV))
		y.X[i] = math.Mod(3*x.X[i]+1, modelV)
	}
	return x, y
}

// deviceModel makes the parameters on a device.
func deviceModel(d *tensor.Device, values map[string]*Array) map[string]*tensor.Tensor {
	m := map[string]*tensor.Tensor{}
	names, shapes := modelShapes()
	for i, name := range names {
		m[name] = d.Param(name, shapes[i]...)
		m[name].SetHost(toFloats(values[name].X))
	}
	return m
}

// features is the model before its head, [B,T,C].
func features(p map[string]*tensor.Tensor, ids *tensor.Tensor) *tensor.Tensor {
	norm := func(x *tensor.Tensor) *tensor.Tensor { return x.RMSNorm(modelEps) }
	b, t := ids.Dim(0), ids.Dim(1)
	x := norm(p["embed"].Embed(ids))
	x0 := x
	for l := range modelL {
		w := func(s string) *tensor.Tensor { return p[fmt.Sprint(s, l)] }
		x = x.Mul(p["resid"].Slice(0, l, l+1)).Add(x0.Mul(p["x0"].Slice(0, l, l+1)))
		h := norm(x)
		q := h.MatMulT(w("q")).Reshape(b, t, modelNH, modelD)
		k := h.MatMulT(w("k")).Reshape(b, t, modelNKV, modelD)
		v := h.MatMulT(w("v")).Reshape(b, t, modelNKV, modelD)
		if hasValueEmbedding(l) {
			ve := w("ve").Embed(ids).Reshape(b, t, modelNKV, modelD)
			gate := h.Slice(-1, 0, gateDim).MatMulT(w("gate")).Sigmoid().Scale(2)
			v = v.Add(ve.Mul(gate.Reshape(b, t, modelNKV, 1)))
		}
		mixed := norm(q.RoPE(ropeBase)).Attention(norm(k.RoPE(ropeBase)), v, modelWindow(l))
		x = x.Add(mixed.Reshape(b, t, modelC).MatMulT(w("o")))
		x = x.Add(norm(x).MatMulT(w("up")).ReluSquare().MatMulT(w("down")))
	}
	return norm(x)
}

// refLogits is features and head, before the cap, over arrays.
func refLogits(p map[string]*Array, ids *Array) *Array {
	norm := func(x *Array) *Array { return rmsNorm(x, modelEps) }
	add := func(a, b float64) float64 { return a + b }
	mul := func(a, b float64) float64 { return a * b }
	as := func(a *Array, shape ...int) *Array { return &Array{Shape: shape, X: a.X} }
	scalar := func(a *Array, i int) *Array { return &Array{Shape: []int{1}, X: a.X[i : i+1]} }
	b, t := ids.Shape[0], ids.Shape[1]
	x := norm(embed(p["embed"], ids))
	x0 := x
	for l := range modelL {
		w := func(s string) *Array { return p[fmt.Sprint(s, l)] }
		x = zip(zip(x, scalar(p["resid"], l), mul), zip(x0, scalar(p["x0"], l), mul), add)
		h := norm(x)
		q := as(matmul(h, w("q"), true), b, t, modelNH, modelD)
		k := as(matmul(h, w("k"), true), b, t, modelNKV, modelD)
		v := as(matmul(h, w("v"), true), b, t, modelNKV, modelD)
		if hasValueEmbedding(l) {
			ve := as(embed(w("ve"), ids), b, t, modelNKV, modelD)
			seen := fill([]int{b, t, gateDim}, func(o []int) float64 { return h.at(o...) })
			gate := each(matmul(seen, w("gate"), true), func(x float64) float64 { return 2 * sigmoid(x) })
			v = zip(v, zip(ve, as(gate, b, t, modelNKV, 1), mul), add)
		}
		mixed := attention(norm(rope(q, ropeBase)), norm(rope(k, ropeBase)), v, modelWindow(l))
		x = zip(x, matmul(as(mixed, b, t, modelC), w("o"), true), add)
		up := each(matmul(norm(x), w("up"), true), func(x float64) float64 { return relu(x) * relu(x) })
		x = zip(x, matmul(up, w("down"), true), add)
	}
	return matmul(norm(x), p["head"], true)
}
