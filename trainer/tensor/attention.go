package tensor

import (
	"fmt"
	"math"

	"github.com/autoresearch-go/autoresearch/trainer/tensor/cpu"
)

// opAttention is causal softmax attention in blocks of query rows over the
// matrix kernels. Only scores of visible keys are ever used: those of masked
// keys are computed with their block and overwritten, and never meet a value.
var opAttention = register(Op{
	Name: "attention", Arity: 3, Ints: []string{"window"},
	Infer: func(a Attrs, in []Spec) (Spec, error) {
		if err := floats(in); err != nil {
			return Spec{}, err
		}
		q, k, v := in[0].Shape, in[1].Shape, in[2].Shape
		if len(q) != 4 || len(k) != 4 || len(v) != 4 {
			return Spec{}, fmt.Errorf("want q [B,T,NH,D], k and v [B,T,NKV,D]")
		}
		for i, name := range []string{"B", "T", "NKV", "D"} {
			if i != 2 && q[i] != k[i] {
				return Spec{}, fmt.Errorf("q and k differ in %s: %d against %d", name, q[i], k[i])
			}
			if k[i] != v[i] {
				return Spec{}, fmt.Errorf("k and v differ in %s: %d against %d", name, k[i], v[i])
			}
		}
		if a.Ints[0] < 0 {
			return Spec{}, fmt.Errorf("window is %d, want 0 (all) or the number of positions to see", a.Ints[0])
		}
		if q[2]%k[2] != 0 {
			return Spec{}, fmt.Errorf("%d query heads are not a multiple of %d key heads", q[2], k[2])
		}
		return in[0], nil
	},
	Forward:  attentionForward,
	Backward: attentionBackward,
})

// attnBlock is the number of query rows handled at once.
const attnBlock = 64

// heads is one call of attention: sizes and strides.
type heads struct {
	b, t, nh, nkv, d int
	window           int
	scale            float32
}

func (c *call) heads() heads {
	s := c.in[0].shape
	h := heads{b: s[0], t: s[1], nh: s[2], nkv: c.in[1].shape[2], d: s[3], window: c.int(0)}
	if h.window <= 0 || h.window > h.t {
		h.window = h.t
	}
	h.scale = float32(1 / math.Sqrt(float64(h.d)))
	return h
}

// q and kv are the [T,D] matrix of one head as a view, from row t on.
func (h *heads) q(v []float32, b, head, t int) cpu.Mat {
	return cpu.Mat{Data: v[((b*h.t+t)*h.nh+head)*h.d:], RS: h.nh * h.d, CS: 1}
}

func (h *heads) kv(v []float32, b, head, t int) cpu.Mat {
	return cpu.Mat{Data: v[((b*h.t+t)*h.nkv+head*h.nkv/h.nh)*h.d:], RS: h.nkv * h.d, CS: 1}
}

// span is the range of keys that query rows lo..hi can see.
func (h *heads) span(lo, hi int) (from, to int) { return max(0, lo-h.window+1), hi }

// visible is the range of keys that query t sees.
func (h *heads) visible(t int) (from, to int) { return max(0, t-h.window+1), t + 1 }

// products fills s [rows, keys] with q·k of query rows lo..hi and every key that
// one of them can see, of which from is the first.
func (h *heads) products(d *Device, w int, c *call, b, head, lo, hi int, s []float32) (from, keys int) {
	from, to := h.span(lo, hi)
	keys = to - from
	q, k := h.q(c.in[0].data, b, head, lo), h.kv(c.in[1].data, b, head, from)
	d.kern.Gemm(d.work[w], hi-lo, keys, h.d, q, k.T(), s, keys, false)
	return from, keys
}

// live clears what query t cannot see of its row of products, and returns the
// rest.
func (h *heads) live(d *Device, row []float32, t, from int) []float32 {
	a, z := h.visible(t)
	a, z = a-from, z-from
	d.kern.Clear(row[:a])
	d.kern.Clear(row[z:])
	return row[a:z]
}

// scores fills s [rows, keys] with the softmax of query rows lo..hi but for
// its denominators, which go to sums. When lse is set, it gets the log of each
// row's whole sum. Masked entries are 0.
func (h *heads) scores(d *Device, w int, c *call, b, head, lo, hi int, s, sums, lse []float32) (from, keys int) {
	from, keys = h.products(d, w, c, b, head, lo, hi, s)
	for t := lo; t < hi; t++ {
		live := h.live(d, s[(t-lo)*keys:(t-lo+1)*keys], t, from)
		m := h.scale * d.kern.Max(live)
		sums[t-lo] = d.kern.ExpScaled(live, live, h.scale, m)
		if lse != nil {
			lse[t] = m + float32(math.Log(float64(sums[t-lo])))
		}
	}
	return from, keys
}

// recompute fills s with the probabilities from the saved log sums.
func (h *heads) recompute(d *Device, w int, c *call, b, head, lo, hi int, s, lse []float32) (from, keys int) {
	from, keys = h.products(d, w, c, b, head, lo, hi, s)
	for t := lo; t < hi; t++ {
		live := h.live(d, s[(t-lo)*keys:(t-lo+1)*keys], t, from)
		d.kern.ExpScaled(live, live, h.scale, lse[t])
	}
	return from, keys
}

// maxKeys bounds the keys of one block.
func (h *heads) maxKeys() int { return min(h.t, h.window+attnBlock) }

func attentionForward(c *call) {
	h, d := c.heads(), c.dev
	if c.grads {
		c.save(h.b * h.nh * h.t)
	}
	c.arg.flag = d.allFinite(c.in[2].data)
	c.each(h.b*h.nh, func(c *call, w, i int) {
		h := c.heads()
		b, head := i/h.nh, i%h.nh
		first, end := 0, h.t
		if c.only != nil {
			first, end = c.only[b], c.only[b]+1
			h.fillLost(c, b, head, 0, first)
			h.fillLost(c, b, head, end, h.t)
		}
		for lo := first; lo < end; lo += attnBlock {
			h.mixBlock(c, w, b, head, lo, min(lo+attnBlock, end))
		}
	})
}

// mixBlock fills the results of query rows lo..hi.
//
// What a row does not see must leave no trace in its bits. A product with masked
// zeros keeps a sum as it is, but for two things: 0*Inf and 0*NaN are NaN, and
// the sign of a sum of zeros is that of the last. So the product sees zeros for
// values that are not finite, rows that see such values are done again one by
// one, and in the end -0 becomes +0.
func (h *heads) mixBlock(c *call, w, b, head, lo, hi int) {
	d := c.dev
	size := attnBlock * (h.maxKeys() + 1)
	s := d.tmp(w, size+h.maxKeys()*h.d)
	s, sums, room := s[attnBlock:size], s[:attnBlock], s[size:]
	var lse []float32
	if c.saved != nil {
		lse = c.saved[(b*h.nh+head)*h.t:][:h.t]
	} else if hi = h.skipLost(c, b, head, lo, hi); lo == hi {
		return
	}
	from, keys := h.scores(d, w, c, b, head, lo, hi, s, sums, lse)
	v, out := h.kv(c.in[2].data, b, head, from), h.q(c.out.data, b, head, lo)
	tame := v
	if !c.arg.flag {
		tame = tamed(v, keys, h.d, room)
	}
	d.kern.Gemm(d.work[w], hi-lo, h.d, keys, rowMajor(s, keys), tame, out.Data, out.RS, false)
	wild := -1 // the last value seen that is not finite
	for t := lo; t < hi; t++ {
		row := out.Data[(t-lo)*out.RS:][:h.d]
		if a, z := h.visible(t); !c.arg.flag {
			if wild = d.lastWild(v, h.d, wild, a-from, z-from, t == lo); wild >= a-from {
				h.mixRow(d, row, s[(t-lo)*keys:][:keys], v, a-from, z-from)
			}
		}
		d.kern.Scale(row, row, 1/sums[t-lo])
		d.kern.Offset(row, row, 0)
	}
}

// skipLost fills the results of the last query rows that have a NaN, which
// they are lost to, and returns where these rows begin. So a run on tokens that
// are poisoned from some position on costs what is before that position: no
// block reaches values after it.
func (h *heads) skipLost(c *call, b, head, lo, hi int) int {
	q, end := h.q(c.in[0].data, b, head, lo), hi
	for ; hi > lo; hi-- {
		// The first element is enough to look at: poison fills whole rows.
		if v := q.Data[(hi-1-lo)*q.RS]; v == v {
			break
		}
	}
	h.fillLost(c, b, head, hi, end)
	return hi
}

// fillLost makes the results of rows lo..hi NaN.
func (h *heads) fillLost(c *call, b, head, lo, hi int) {
	for t := lo; t < hi; t++ {
		fillNaN(h.q(c.out.data, b, head, t).Data[:h.d])
	}
}

// mixRow is out = p @ v over the keys a..z only.
func (h *heads) mixRow(d *Device, out, p []float32, v cpu.Mat, a, z int) {
	clear(out)
	for j := a; j < z; j++ {
		d.kern.Axpy(out, p[j], v.Data[j*v.RS:][:len(out)])
	}
}

// allFinite is false when any element is NaN or infinite (or, harmlessly, when
// the sum overflows).
func (d *Device) allFinite(x []float32) bool {
	s := d.kern.Sum(x)
	return s-s == 0
}

// tamed copies the first rows of v, n long, to room, zero for what is not
// finite.
func tamed(v cpu.Mat, rows, n int, room []float32) cpu.Mat {
	for i := range rows {
		row := room[i*n:][:n]
		for j, x := range v.Data[i*v.RS:][:n] {
			if row[j] = x; x-x != 0 {
				row[j] = 0
			}
		}
	}
	return rowMajor(room, n)
}

// lastWild is the last row of v, n long, among those that a row sees, a..z, that
// is not finite; or what it was for the row before, which saw all but the last
// of them, unless this is the first.
func (d *Device) lastWild(v cpu.Mat, n, last, a, z int, first bool) int {
	if !first {
		a = z - 1
	}
	for j := z - 1; j >= a; j-- {
		if !d.allFinite(v.Data[j*v.RS:][:n]) {
			return j
		}
	}
	return last
}

// attentionBackward recomputes the probabilities block by block. A task is one
// key head of one batch entry, so that dk and dv have one writer.
func attentionBackward(c *call) {
	h := c.heads()
	for i := range c.in { // arg.n says which gradients have undefined contents
		if g, fresh := c.dinFresh(i); g != nil && fresh {
			c.arg.n[i] = 1
		}
	}
	c.each(h.b*h.nkv, func(c *call, w, i int) {
		h := c.heads()
		b, kv, group := i/h.nkv, i%h.nkv, h.nh/h.nkv
		size := attnBlock * h.maxKeys()
		buf := c.dev.tmp(w, 2*size)
		for k := 1; k < 3; k++ {
			if c.arg.n[k] == 1 {
				h.clearRows(c.dev.kern, c.in[k].grad, b, kv)
			}
		}
		for head := kv * group; head < (kv+1)*group; head++ {
			lse := c.saved[(b*h.nh+head)*h.t:][:h.t]
			for lo := 0; lo < h.t; lo += attnBlock {
				h.backBlock(c, w, b, head, lo, min(lo+attnBlock, h.t), buf[:size], buf[size:], lse)
			}
		}
	})
}

// clearRows makes the rows of one key head zero.
func (h *heads) clearRows(k *cpu.Set, x []float32, b, kv int) {
	for t := range h.t {
		k.Clear(x[((b*h.t+t)*h.nkv+kv)*h.d:][:h.d])
	}
}

// backBlock adds the gradients of one block of query rows.
func (h *heads) backBlock(c *call, w, b, head, lo, hi int, p, ds, lse []float32) {
	d, dq, dk, dv := c.dev, c.in[0].grad, c.in[1].grad, c.in[2].grad
	k, wk, rows := d.kern, d.work[w], hi-lo
	from, keys := h.recompute(d, w, c, b, head, lo, hi, p, lse)
	dout := h.q(c.dout, b, head, lo)
	if dv != nil { // dv += pᵀ dout
		g := h.kv(dv, b, head, from)
		k.Gemm(wk, keys, h.d, rows, transposed(p, keys), dout, g.Data, g.RS, true)
	}
	if dq == nil && dk == nil {
		return
	}
	// ds = p (dout vᵀ - sum(dout out)) scale
	k.Gemm(wk, rows, keys, h.d, dout, h.kv(c.in[2].data, b, head, from).T(), ds, keys, false)
	out := h.q(c.out.data, b, head, lo)
	for r := range rows {
		a, z := h.visible(lo + r)
		a, z = a-from+r*keys, z-from+r*keys
		delta := k.Dot(dout.Data[r*dout.RS:][:h.d], out.Data[r*out.RS:][:h.d])
		k.Clear(ds[r*keys : a])
		k.Clear(ds[z : (r+1)*keys])
		k.SoftmaxGrad(ds[a:z], p[a:z], delta, h.scale)
	}
	if dq != nil { // dq += ds k
		g := h.q(dq, b, head, lo)
		k.Gemm(wk, rows, h.d, keys, rowMajor(ds, keys), h.kv(c.in[1].data, b, head, from), g.Data, g.RS, c.arg.n[0] == 0)
	}
	if dk != nil { // dk += dsᵀ q
		g := h.kv(dk, b, head, from)
		k.Gemm(wk, keys, h.d, rows, transposed(ds, keys), h.q(c.in[0].data, b, head, lo), g.Data, g.RS, true)
	}
}

// Attention is causal softmax attention with scale 1/sqrt(D): t is q
// [B,T,NH,D]; k and v are [B,T,NKV,D], NH a multiple of NKV, query head h
// reads key head h*NKV/NH. A query sees itself and the window-1 positions
// before it; window 0 means all before it. The result is [B,T,NH,D].
func (t *Tensor) Attention(k, v *Tensor, window int) *Tensor {
	return apply(opAttention, Attrs{Ints: []int{window}}, t, k, v)
}
