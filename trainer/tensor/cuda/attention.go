package cuda

import (
	"math"
	"strconv"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// Attention is one use of causal softmax attention: query t of head h sees the
// keys t-Window+1..t of key head h*NKV/NH. Arrays are q, out [B,T,NH,D] and k, v
// [B,T,NKV,D] of Type, lse and delta [B,NH,T] of float32; gradients are like what
// they belong to. NH is a multiple of NKV, D at most MaxHeadDim.
type Attention struct {
	B, T, NH, NKV, D int
	Window           int // 1..T
	Type             gpu.Type
}

// MaxHeadDim bounds Attention.D.
const MaxHeadDim = 256

// attentionMethod is a way to compute attention. What a faster one must keep:
// results are those of a float64 loop within some units of Type's last place
// (sums in float32), the same bits each time, nothing of keys and values that a
// query does not see reaches its row (not even NaN), any T, B and group size, and
// no more memory than the arrays. Methods agree on lse (the binary logarithm of
// the sum of e^(q·k/sqrt(D)) over the keys seen), so forward and backward may be of
// different methods. A method for some GPUs only (wgmma wants sm_90a, the attention
// of cuDNN a library) says so in fits.
type attentionMethod interface {
	fits(k *Kernels, a Attention) bool
	forward(k *Kernels, a Attention, out, lse, q, key, v gpu.Ptr)
	backward(k *Kernels, a Attention, g AttentionGrads, out, dout, lse, delta, q, key, v gpu.Ptr)
}

// attentionMethods lists the methods, the best first; the last fits always.
var attentionMethods = []attentionMethod{tensorCores{}, plainAttention{}}

func (a Attention) method(k *Kernels) attentionMethod {
	for _, m := range attentionMethods {
		if m.fits(k, a) {
			return m
		}
	}
	panic("cuda: no way to compute attention with heads of " + strconv.Itoa(a.D) + " channels")
}

// Forward fills out and, unless it is 0, lse, which Backward wants.
func (a Attention) Forward(k *Kernels, out, lse, q, key, v gpu.Ptr) {
	a.method(k).forward(k, a, out, lse, q, key, v)
}

// AttentionGrads are gradients to fill, or to add to; 0 is one that nobody wants.
type AttentionGrads struct {
	Q, K, V          gpu.Ptr
	AddQ, AddK, AddV bool
}

// Backward fills gradients from dout. delta is memory for [B,NH,T] float32.
func (a Attention) Backward(k *Kernels, g AttentionGrads, out, dout, lse, delta, q, key, v gpu.Ptr) {
	a.method(k).backward(k, a, g, out, dout, lse, delta, q, key, v)
}

// scale is what scores are multiplied with, and the same for powers of two.
func (a Attention) scale() (natural, binary float32) {
	s := 1 / math.Sqrt(float64(a.D))
	return float32(s), float32(s * math.Log2E)
}

// launch starts a function of a module that is compiled for a size of heads.
func (a Attention) launch(k *Kernels, module, function string, grid, block gpu.Dim, shared int, args ...gpu.Arg) {
	key := sizedKernel{function, a.D}
	f := k.sized[key]
	if f == nil {
		f = k.dev.Kernel(module+strconv.Itoa(a.D), attentionSource(module, a.D), function)
		if k.sized == nil {
			k.sized = map[sizedKernel]*gpu.Kernel{}
		}
		k.sized[key] = f
	}
	k.args = append(k.args[:0], args...)
	k.dev.Launch(f, grid, block, shared, k.args...)
}

// sizedKernel is a function compiled for heads of d channels.
type sizedKernel struct {
	function string
	d        int
}

// attentionSource is the text of kernels/<module>.cu for heads of d channels.
func attentionSource(module string, d int) string {
	s := text("common.cuh") + text("portable.cuh") + "#define D " + strconv.Itoa(d) + "\n"
	if module != "attention_plain" {
		s += text("attention_tiles.cuh")
	}
	return s + "#line 1 \"" + module + ".cu\"\n" + text(module+".cu")
}

func ceil(n, by int) int { return (n + by - 1) / by }

// tensorCores are the kernels by mma.sync, of bfloat16, for GPUs from the A100 on.
type tensorCores struct{}

func (tensorCores) fits(k *Kernels, a Attention) bool {
	return a.Type == gpu.BF16 && (a.D == 16 || a.D == 32 || a.D == 64 || a.D == 128) && k.dev.Info().Major >= 8
}

// Tiles: rows of a block, and rows of the tiles it passes over, as the kernels
// define them for a size of heads.
type attentionTiles struct{ rows, tile int }

func (tensorCores) tiles(d int) (forward, q, kv attentionTiles) {
	forward, q, kv = attentionTiles{128, 64}, attentionTiles{128, 64}, attentionTiles{128, 64}
	switch d {
	case 128:
		q.tile, kv.rows = 32, 64
	case 64:
		kv.tile = 32
	}
	return forward, q, kv
}

const attentionThreads = 128

// sharedHeads is about how many bytes of keys and values (or queries and their
// gradients) blocks that run at the same time should share, so that they stay in
// the L2 cache: of 40 MB and more. Tests lower it.
var sharedHeads = 16 << 20

// together is how many heads blocks are taken from at once.
func (a Attention) together(heads int) int {
	return min(max(1, sharedHeads/(4*a.T*a.D)), heads)
}

func (m tensorCores) forward(k *Kernels, a Attention, out, lse, q, key, v gpu.Ptr) {
	t, _, _ := m.tiles(a.D)
	_, scale := a.scale()
	heads := a.B * a.NH
	a.launch(k, "attention_forward", "attention_forward", gpu.Dim{heads * ceil(a.T, t.rows)}, gpu.Dim{attentionThreads},
		2*a.D*(t.rows+4*t.tile),
		gpu.Address(out), gpu.Address(lse), gpu.Address(q), gpu.Address(key), gpu.Address(v),
		gpu.Int(a.B), gpu.Int(a.T), gpu.Int(a.NH), gpu.Int(a.NKV), gpu.Int(a.Window), gpu.Float(scale), gpu.Int(a.together(heads)))
}

func (m tensorCores) backward(k *Kernels, a Attention, g AttentionGrads, out, dout, lse, delta, q, key, v gpu.Ptr) {
	_, t, kv := m.tiles(a.D)
	factor, scale := a.scale()
	heads := a.B * a.NH
	a.launch(k, "attention_backward", "attention_backward_q", gpu.Dim{heads * ceil(a.T, t.rows)}, gpu.Dim{attentionThreads},
		2*a.D*(2*t.rows+4*t.tile)+4*t.rows,
		gpu.Address(g.Q), gpu.Address(delta), gpu.Address(q), gpu.Address(key), gpu.Address(v), gpu.Address(out), gpu.Address(dout), gpu.Address(lse),
		gpu.Int(a.B), gpu.Int(a.T), gpu.Int(a.NH), gpu.Int(a.NKV), gpu.Int(a.Window), gpu.Float(scale), gpu.Float(factor), gpu.Int(a.together(heads)), flag(g.AddQ))
	if g.K == 0 && g.V == 0 {
		return
	}
	heads = a.B * a.NKV
	a.launch(k, "attention_backward", "attention_backward_kv", gpu.Dim{heads * ceil(a.T, kv.rows)}, gpu.Dim{attentionThreads},
		2*a.D*(2*kv.rows+4*kv.tile)+2*8*kv.tile,
		gpu.Address(g.K), gpu.Address(g.V), gpu.Address(q), gpu.Address(key), gpu.Address(v), gpu.Address(dout), gpu.Address(lse), gpu.Address(delta),
		gpu.Int(a.B), gpu.Int(a.T), gpu.Int(a.NH), gpu.Int(a.NKV), gpu.Int(a.Window), gpu.Float(scale), gpu.Float(factor), gpu.Int(a.together(heads)), flag(g.AddK), flag(g.AddV))
}

// plainAttention are the kernels in float32.
type plainAttention struct{}

func (plainAttention) fits(_ *Kernels, a Attention) bool { return a.D <= MaxHeadDim }

// tile is the rows of a tile, and the floats that one takes in shared memory, as
// do weights.
func (plainAttention) tile(d int) (rows, floats, weights int) {
	rows = 64
	if d > 64 {
		rows = 32
	}
	return rows, rows * (ceil(d, 4)*4 + 4), rows * (rows + 4)
}

// grid is one of blocks for parts of heads.
func (plainAttention) grid(parts, heads int) gpu.Dim {
	y := min(heads, 1<<15)
	return gpu.Dim{parts, y, ceil(heads, y)}
}

func (m plainAttention) forward(k *Kernels, a Attention, out, lse, q, key, v gpu.Ptr) {
	rows, tile, weights := m.tile(a.D)
	_, scale := a.scale()
	heads := a.B * a.NH
	a.launch(k, "attention_plain", "attention_plain_forward", m.grid(ceil(a.T, rows), heads), gpu.Dim{256}, 4*(2*tile+weights),
		gpu.Address(out), gpu.Address(lse), gpu.Address(q), gpu.Address(key), gpu.Address(v),
		gpu.Int(int(a.Type)), gpu.Int(heads), gpu.Int(a.T), gpu.Int(a.NH), gpu.Int(a.NKV), gpu.Int(a.Window), gpu.Float(scale))
}

func (m plainAttention) backward(k *Kernels, a Attention, g AttentionGrads, out, dout, lse, delta, q, key, v gpu.Ptr) {
	rows, tile, weights := m.tile(a.D)
	factor, scale := a.scale()
	heads := a.B * a.NH
	a.launch(k, "attention_plain", "attention_plain_backward_q", m.grid(ceil(a.T, rows), heads), gpu.Dim{256}, 4*(4*tile+weights),
		gpu.Address(g.Q), gpu.Address(delta), gpu.Address(q), gpu.Address(key), gpu.Address(v), gpu.Address(out), gpu.Address(dout), gpu.Address(lse),
		gpu.Int(int(a.Type)), gpu.Int(heads), gpu.Int(a.T), gpu.Int(a.NH), gpu.Int(a.NKV), gpu.Int(a.Window), gpu.Float(scale), gpu.Float(factor), flag(g.AddQ))
	if g.K == 0 && g.V == 0 {
		return
	}
	heads = a.B * a.NKV
	a.launch(k, "attention_plain", "attention_plain_backward_kv", m.grid(ceil(a.T, rows), heads), gpu.Dim{256}, 4*(4*tile+2*weights),
		gpu.Address(g.K), gpu.Address(g.V), gpu.Address(q), gpu.Address(key), gpu.Address(v), gpu.Address(dout), gpu.Address(lse), gpu.Address(delta),
		gpu.Int(int(a.Type)), gpu.Int(heads), gpu.Int(a.T), gpu.Int(a.NH), gpu.Int(a.NKV), gpu.Int(a.Window), gpu.Float(scale), gpu.Float(factor), flag(g.AddK), flag(g.AddV))
}
