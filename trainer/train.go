// Trainer is the program under research: a small GPT, its optimizers and its
// training loop. This is the one file that experiments edit; everything it
// imports is fixed. It reads from top to bottom:
//
//	constants   what can be tuned, with ranges
//	Train       the loop
//	GPT         the model: stream, attention, MLP
//	Optimizer   Muon for the matrices, AdamW for tables and scalars
//	schedules   learning rates, momentum and decay over the budget
//	check       what the constants must fulfil
//
// Tensor alphabet: B batch, T context, C width, V vocabulary, L layers, NH query
// heads, NKV key and value heads, D width of a head, H width of the MLP.
// Matrices are [out, in] and apply as x @ wᵀ. A gradient is d + name.
//
// Rules that the harness enforces: every Param and State is created before the
// first run.Next, whatever a later step needs lives in them, and Forward uses
// exportable operations only, lets no token see a later one, and no row of the
// batch another.
package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/trainer/harness"
	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// Hyperparameters. The comment behind a value says what it may become. A share
// is one of the budget, from 0 to 1.
const (
	// Size. Depth is the one knob: a deeper model is wider too.
	Depth     = 2   // range 1..12 int; L
	Aspect    = 64  // one of 32, 64, 96, 128; C is Depth * Aspect
	HeadDim   = 32  // one of 16, 32, 64, 128; D, so that NH is C / D
	KVShare   = 1   // one of 1, 2, 4; query heads that share a key and value head, so that NKV is NH / KVShare
	MLPRatio  = 4   // range 1..8 int; H is MLPRatio * C
	Context   = 256 // one of 64, 128, 256, 512; T
	BatchSize = 8   // one of 2, 4, 8, 16, 32; B, windows in a micro-batch

	// Model.
	Window      = "SSSL" // one of L, SL, SSL, SSSL; attention span by layer, repeated: long (all of T) or short
	ShortSpan   = 16     // one of 2, 4, 8, 16, 32; a short span is T / ShortSpan
	RopeBase    = 1e4    // range 100..100000 log; wavelengths of the rotary embedding
	ValueEmbeds = true   // one of false, true; value embeddings in every second layer
	GateDim     = 32     // one of 8, 16, 32; channels that open the gate of a value embedding
	Scalars     = true   // one of false, true; weights of stream and embedding at the start of each layer
	X0Init      = 0.1    // range 0..0.5; weight of the embedding there
	Softcap     = 15.0   // range 5..50 log; logits stay within plus and minus this
	InitScale   = 1.0    // range 0.2..3 log; of the matrices, in units of sqrt(1 / fan-in)

	// Optimization. Learning rates of tables are for C = 128 and fall as 1 / sqrt(C).
	Accumulate     = 1     // range 1..16 int; micro-batches in a step
	MatrixLR       = 0.03  // range 0.002..0.2 log; Muon: size of an update, about the change of an entry in units of 1 / sqrt(C)
	Momentum       = 0.95  // range 0.8..0.99; Muon
	MomentumStart  = 0.85  // range 0.5..0.99; what it rises from
	MomentumWarmup = 0.1   // range 0..0.5; share in which it rises
	Normalize      = true  // one of false, true; NorMuon: even out the rows of an update
	NormalizeBeta  = 0.95  // range 0.5..0.999; memory of that
	EmbedLR        = 0.5   // range 0.005..1 log; AdamW, for the embedding
	ValueLR        = 0.08  // range 0.005..1 log; AdamW, for the value embeddings
	HeadLR         = 0.01  // range 0.0005..0.1 log; AdamW, for the head
	ResidLR        = 0.005 // range 0.0005..0.1 log; AdamW, for the weights of the stream
	X0LR           = 0.05  // range 0.005..1 log; AdamW, for the weights of the embedding in it
	Beta1          = 0.8   // range 0.5..0.95; AdamW
	X0Beta1        = 0.96  // range 0.5..0.99; the same, for the weights of the embedding
	Beta2          = 0.95  // range 0.8..0.999; AdamW
	WeightDecay    = 0.1   // range 0..0.5; of the matrices, relative to their learning rate; falls to 0
	Warmup         = 0.01  // range 0..0.2; share in which the learning rate rises
	Warmdown       = 0.6   // range 0..1; share in which it falls again
	FinalLR        = 0.05  // range 0..0.5; what it falls to, in units of its peak
)

// Sizes that follow.
const (
	Dim     = Depth * Aspect  // C
	Heads   = Dim / HeadDim   // NH
	KVHeads = Heads / KVShare // NKV
)

func main() { harness.Main(Train) }

// Train runs the experiment: steps until the budget is spent, then the export.
func Train(run *harness.Run) error {
	if err := check(); err != nil {
		return err
	}
	model := NewGPT(run)
	optimizer := NewOptimizer(run.Device(), model)
	for run.Next() {
		loss := gradients(run, model)
		lr := learningRate(run.Progress())
		optimizer.Step(run.StepsDone()+1, run.Progress())
		run.Step(loss, lr*MatrixLR)
	}
	return run.Export(Context, model.Forward)
}

// gradients fills the gradients of all parameters from Accumulate micro-batches
// and returns the mean loss, [1].
func gradients(run *harness.Run, model *GPT) *tensor.Tensor {
	dev := run.Device()
	var mean float32
	for range Accumulate {
		dev.Reset()                           // the activations of the micro-batch before make room
		x, y := run.Batch(BatchSize, Context) // [B, T] token ids
		loss := model.Loss(x, y)
		loss.Scale(1. / Accumulate).Backward()
		mean += loss.Item() / Accumulate
	}
	return dev.Floats([]float32{mean}, 1)
}

// GPT is a decoder-only transformer (Radford et al. 2019) whose norms have no
// weights and whose head is not tied to the embedding.
type GPT struct {
	Embed  *tensor.Tensor // [V, C]
	Resid  *tensor.Tensor // [L], how much of the stream enters a layer
	X0     *tensor.Tensor // [L], and how much of the embedding
	Blocks []Block        // L
	Head   *tensor.Tensor // [V, C]
}

// Block is one layer: attention, then an MLP, each added to the stream.
type Block struct {
	Q      *tensor.Tensor // [NH*D, C]
	K, V   *tensor.Tensor // [NKV*D, C]
	O      *tensor.Tensor // [C, NH*D]
	Up     *tensor.Tensor // [H, C]
	Down   *tensor.Tensor // [C, H]
	Values *tensor.Tensor // [V, NKV*D] value embedding, nil in every second layer
	Gate   *tensor.Tensor // [NKV, GateDim], nil where Values is
	Span   int            // how many tokens a token sees, itself included; 0 for all before it
}

// NewGPT creates the parameters. The head and the matrices that write to the
// stream start at zero: the untrained model is uniform, and each layer passes
// the stream on.
func NewGPT(run *harness.Run) *GPT {
	dev := run.Device()
	m := &GPT{
		Embed: dev.Param("embed", run.Vocab(), Dim),
		Head:  dev.Param("head", run.Vocab(), Dim),
	}
	m.Embed.Normal(run.Rand(), 1)
	if Scalars {
		m.Resid, m.X0 = dev.Param("resid", Depth), dev.Param("x0", Depth)
		m.Resid.Fill(1)
		m.X0.Fill(X0Init)
	}
	for l := range Depth {
		m.Blocks = append(m.Blocks, newBlock(run, l))
	}
	return m
}

func newBlock(run *harness.Run, layer int) Block {
	param := func(kind string, rows, columns int) *tensor.Tensor {
		return run.Device().Param(fmt.Sprintf("block%d.%s", layer, kind), rows, columns)
	}
	b := Block{
		Q:    param("q", Dim, Dim),
		K:    param("k", KVHeads*HeadDim, Dim),
		V:    param("v", KVHeads*HeadDim, Dim),
		O:    param("o", Dim, Dim),
		Up:   param("up", MLPRatio*Dim, Dim),
		Down: param("down", Dim, MLPRatio*Dim),
		Span: span(layer),
	}
	if hasValues(layer) {
		b.Values = param("values", run.Vocab(), KVHeads*HeadDim)
		b.Gate = param("gate", KVHeads, GateDim) // zero: half open
		b.Values.Normal(run.Rand(), 1/sqrt(Dim))
	}
	for _, w := range []*tensor.Tensor{b.Q, b.K, b.V, b.Up} {
		w.Normal(run.Rand(), InitScale/sqrt(Dim))
	}
	return b
}

// span reads a layer's attention span off the Window pattern. The last layer
// always sees everything.
func span(layer int) int {
	if Window[layer%len(Window)] == 'S' && layer < Depth-1 {
		return Context / ShortSpan
	}
	return 0
}

// hasValues says which layers have value embeddings: every second, so that the
// last one has.
func hasValues(layer int) bool { return ValueEmbeds && layer%2 == (Depth-1)%2 }

// Forward takes token ids [B, T] to logits [B, T, V], which stay within
// Softcap (Gemma Team 2024, "Gemma 2"). It is what is exported.
func (m *GPT) Forward(ids *tensor.Tensor) *tensor.Tensor {
	return m.stream(ids).MatMulT(m.Head).Softcap(Softcap)
}

// Loss is the mean code length of the targets y [B, T] after x [B, T] in nats.
// It fuses the head with the softcap and never holds all logits.
func (m *GPT) Loss(x, y *tensor.Tensor) *tensor.Tensor {
	return m.stream(x).LinearCrossEntropy(m.Head, y, Softcap)
}

// stream takes token ids [B, T] through all layers, to [B, T, C].
func (m *GPT) stream(ids *tensor.Tensor) *tensor.Tensor {
	x0 := norm(m.Embed.Embed(ids))
	x := x0
	for l, b := range m.Blocks {
		x = m.enter(l, x, x0)
		x = x.Add(b.attention(norm(x), ids))
		x = x.Add(b.mlp(norm(x)))
	}
	return norm(x)
}

// enter weighs what a layer gets of the stream x and of the embedding x0, both
// [B, T, C] (Jordan et al. 2024, "modded-nanogpt").
func (m *GPT) enter(layer int, x, x0 *tensor.Tensor) *tensor.Tensor {
	if !Scalars {
		return x
	}
	own, first := m.Resid.Slice(0, layer, layer+1), m.X0.Slice(0, layer, layer+1) // [1]
	return x.Mul(own).Add(x0.Mul(first))
}

// attention lets every token gather from those before it; x is [B, T, C]. It has
// rotary positions (Su et al. 2021, "RoFormer"), queries and keys of length
// sqrt(D) (Henry et al. 2020, "Query-Key Normalization"), and groups of
// query heads that share a key head (Ainslie et al. 2023, "GQA").
func (b Block) attention(x, ids *tensor.Tensor) *tensor.Tensor {
	q := norm(heads(x, b.Q).RoPE(RopeBase)) // [B, T, NH, D]
	k := norm(heads(x, b.K).RoPE(RopeBase)) // [B, T, NKV, D]
	v := heads(x, b.V)                      // [B, T, NKV, D]
	if b.Values != nil {
		v = v.Add(b.values(x, ids))
	}
	mixed := q.Attention(k, v, b.Span) // [B, T, NH, D]
	return mixed.Reshape(x.Dim(0), x.Dim(1), Dim).MatMulT(b.O)
}

// heads applies w [n*D, C] to x [B, T, C] and splits the result: [B, T, n, D].
func heads(x, w *tensor.Tensor) *tensor.Tensor {
	return x.MatMulT(w).Reshape(x.Dim(0), x.Dim(1), w.Dim(0)/HeadDim, HeadDim)
}

// values looks up what each token brings to be gathered as it is (Zhou et al.
// 2024, "Value Residual Learning"; here embeddings of its own), and lets the
// token's state x [B, T, C] turn it down to nothing or up to double, head by head.
func (b Block) values(x, ids *tensor.Tensor) *tensor.Tensor {
	shape := []int{x.Dim(0), x.Dim(1), KVHeads, 1}
	gate := x.Slice(-1, 0, GateDim).MatMulT(b.Gate).Sigmoid().Scale(2) // [B, T, NKV]
	values := b.Values.Embed(ids)                                      // [B, T, NKV*D]
	return values.Reshape(shape[0], shape[1], KVHeads, HeadDim).Mul(gate.Reshape(shape...))
}

// mlp works on each token by itself; x is [B, T, C]. Its activation is ReLU²
// (So et al. 2021, "Primer").
func (b Block) mlp(x *tensor.Tensor) *tensor.Tensor {
	return x.MatMulT(b.Up).ReluSquare().MatMulT(b.Down)
}

// norm scales the last dimension to a root mean square of 1 (Zhang and Sennrich
// 2019, "Root Mean Square Layer Normalization"), without weights.
func norm(x *tensor.Tensor) *tensor.Tensor { return x.RMSNorm(1e-6) }

// Optimizer updates the matrices of the blocks with Muon, and all else with
// AdamW: tables, whose rows belong to single tokens, and scalars.
type Optimizer struct {
	dev      *tensor.Device
	matrices []*muon // groups of one shape
	others   []*adam
}

// NewOptimizer creates the optimizer's state.
func NewOptimizer(dev *tensor.Device, m *GPT) *Optimizer {
	o := &Optimizer{dev: dev}
	width := math.Sqrt(128. / Dim)
	o.adam(m.Embed, EmbedLR*width, Beta1)
	o.adam(m.Head, HeadLR*width, Beta1)
	o.adam(m.Resid, ResidLR, Beta1)
	o.adam(m.X0, X0LR, X0Beta1)
	var matrices []*tensor.Tensor
	for _, b := range m.Blocks {
		o.adam(b.Values, ValueLR*width, Beta1)
		matrices = append(matrices, b.Q, b.K, b.V, b.O, b.Up, b.Down, b.Gate)
	}
	for _, group := range together(dev, matrices) {
		o.muon(group)
	}
	return o
}

// adam puts a tensor under AdamW; nil stands for a part that is switched off.
func (o *Optimizer) adam(w *tensor.Tensor, lr, beta1 float64) {
	if w == nil {
		return
	}
	o.others = append(o.others, &adam{
		W: w, LR: lr, Beta1: beta1,
		M: o.dev.State(w.Name()+".m", w.Shape()...),
		V: o.dev.State(w.Name()+".v", w.Shape()...),
	})
}

// together groups matrices by shape: a GPU takes about as long for many as for
// one. A CPU does not, and needs least memory when each is a group of its own.
// Nil stands for a part that is switched off.
func together(dev *tensor.Device, matrices []*tensor.Tensor) (groups [][]*tensor.Tensor) {
	for _, w := range matrices {
		if w == nil {
			continue
		}
		i := slices.IndexFunc(groups, func(g []*tensor.Tensor) bool { return slices.Equal(g[0].Shape(), w.Shape()) })
		if i < 0 || dev.Name() == "cpu" {
			i, groups = len(groups), append(groups, nil)
		}
		groups[i] = append(groups[i], w)
	}
	return groups
}

// muon puts matrices of one shape under Muon.
func (o *Optimizer) muon(group []*tensor.Tensor) {
	n, out, in, name := len(group), group[0].Dim(0), group[0].Dim(1), group[0].Name()
	p := &muon{W: group, Velocity: o.dev.State(name+".velocity", n, out, in), Rows: out, Axis: 2}
	if out < in {
		p.Rows, p.Axis = in, 1
	}
	if Normalize {
		p.Second = o.dev.State(name+".second", n, p.Rows)
	}
	o.matrices = append(o.matrices, p)
}

// Step updates all parameters from their gradients. It is the step-th step,
// counted from 1, at a progress from 0 to 1.
func (o *Optimizer) Step(step int64, progress float64) {
	lr := learningRate(progress)
	for _, p := range o.matrices {
		o.dev.Scope(func() { // frees what one group needs for the next
			p.update(lr*MatrixLR, momentum(progress), weightDecay(progress))
		})
	}
	for _, p := range o.others {
		p.update(step, lr*p.LR)
	}
}

// muon is n matrices of one shape with the running means of their gradients
// (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural
// networks"). Each is updated as if it were alone.
type muon struct {
	W          []*tensor.Tensor // [out, in] each
	Velocity   *tensor.Tensor   // [n, out, in]
	Second     *tensor.Tensor   // [n, Rows], the running mean square of the updates' rows, see normalize
	Rows, Axis int              // the longer side, and the axis of the other
}

// update moves the matrices by lr along their orthogonalized velocities: every
// direction that the gradients agree on gets a step of the same size. Tall
// matrices take larger steps, so that the change of an output has the same size
// whatever the shape. Weights decay only where the step shrinks them anyway
// (Chen et al. 2025, "Cautious Weight Decay").
func (p *muon) update(lr, momentum, decay float64) {
	g := p.gradients()
	p.Velocity.Lerp(g, float32(1-momentum))
	ahead := g.Scale(float32(1 - momentum)).Add(p.Velocity.Scale(float32(momentum))) // Nesterov
	step := orthogonalize(ahead)
	if Normalize {
		step = p.normalize(step)
	}
	lr *= math.Sqrt(max(1, float64(p.W[0].Dim(0))/float64(p.W[0].Dim(1))))
	for i, w := range p.W {
		if w.Grad() != nil {
			w.CautiousStep(step.Slice(0, i, i+1), float32(lr), float32(decay))
		}
	}
}

// gradients are those of all matrices, [n, out, in]; zero where the loss does not
// depend on one.
func (p *muon) gradients() *tensor.Tensor {
	var l []*tensor.Tensor
	for _, w := range p.W {
		g := w.Grad()
		if g == nil {
			g = w.Scale(0)
		}
		l = append(l, g)
	}
	return l[0].Stack(0, l[1:]...)
}

// normalize divides each row of an update (each column, of a wide matrix) by its
// root mean square over the last steps, and gives the whole the Frobenius norm
// back that it had (Li et al. 2025, "NorMuon"). step is [n, out, in].
func (p *muon) normalize(step *tensor.Tensor) *tensor.Tensor {
	square := step.Square().Mean(p.Axis) // [n, out, 1] or [n, 1, in]
	p.Second.Lerp(square, 1-NormalizeBeta)
	scale := p.Second.AddScalar(1e-10).Rsqrt().Reshape(square.Shape()...)
	even := step.Mul(scale)
	return even.Mul(frobenius(step).Div(frobenius(even).AddScalar(1e-10)))
}

// frobenius is the root of the sum of squares of each matrix of x [n, out, in]:
// [n, 1, 1].
func frobenius(x *tensor.Tensor) *tensor.Tensor {
	return x.Square().Reshape(x.Dim(0), 1, -1).Sum(2).Sqrt()
}

// polarExpress are the coefficients of five iterations that take the singular
// values of a matrix towards 1, each iteration the best polynomial for the
// range that the one before leaves (Amsel, Persson, Musco and Gower 2025,
// "The Polar Express: Optimal Matrix Sign Methods and Their Application to the
// Muon Algorithm", with its safety factor of 1.02).
var polarExpress = [5][3]float32{
	{8.15655452, -22.4832929, 15.8787699},
	{4.04292994, -2.80891747, 0.500017845},
	{3.89166780, -2.77248415, 0.506064818},
	{3.28575366, -2.36812949, 0.464490242},
	{2.34654133, -1.70978284, 0.423235512},
}

// orthogonalize returns about the nearest matrices to those of g [n, out, in]
// whose rows (or columns, whichever are fewer) are orthonormal.
func orthogonalize(g *tensor.Tensor) *tensor.Tensor {
	tall := g.Dim(1) > g.Dim(2)
	x := g
	if tall { // work on the smaller square
		x = x.Permute(0, 2, 1)
	}
	x = x.Div(frobenius(x).Scale(1.02).AddScalar(1e-6)) // [n, s, l], s <= l
	for _, c := range polarExpress {
		a := x.MatMulT(x)                                // [n, s, s]
		b := a.Scale(c[1]).Add(a.MatMulT(a).Scale(c[2])) // [n, s, s]; a is its own transpose
		x = x.Scale(c[0]).Add(b.MatMul(x))               // [n, s, l]
	}
	if tall {
		x = x.Permute(0, 2, 1)
	}
	return x
}

// adam is a tensor with the running moments of its gradients (Loshchilov and
// Hutter 2019, "Decoupled Weight Decay Regularization"; here without decay).
type adam struct {
	W, M, V   *tensor.Tensor
	LR, Beta1 float64
}

func (p *adam) update(step int64, lr float64) {
	tensor.AdamW(p.W, p.M, p.V, tensor.AdamWOptions{
		LR: float32(lr), Beta1: float32(p.Beta1), Beta2: Beta2, Eps: 1e-10, Step: int(step),
	})
}

// learningRate is what multiplies all learning rates: up to 1 in Warmup, level,
// and down to FinalLR in Warmdown.
func learningRate(progress float64) float64 {
	switch {
	case progress < Warmup:
		return progress / Warmup
	case progress > 1-Warmdown:
		return FinalLR + (1-FinalLR)*(1-progress)/Warmdown
	}
	return 1
}

// momentum is Muon's: from MomentumStart up to Momentum in MomentumWarmup.
func momentum(progress float64) float64 {
	if progress < MomentumWarmup {
		return MomentumStart + (Momentum-MomentumStart)*progress/MomentumWarmup
	}
	return Momentum
}

// weightDecay falls to zero with the budget.
func weightDecay(progress float64) float64 { return WeightDecay * (1 - progress) }

func sqrt(x float64) float32 { return float32(math.Sqrt(x)) }

// check names the constants that cannot be what they are.
func check() error {
	var wrong []error
	must := func(ok bool, name string, value any, rule string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Errorf("%s = %v, must be "+rule, append([]any{name, value}, args...)...))
		}
	}
	between := func(name string, value, lo, hi float64) {
		must(lo <= value && value <= hi, name, value, "%v to %v", lo, hi)
	}
	count := func(name string, value int) { between(name, float64(value), 1, 1<<16) }
	count("Depth", Depth)
	count("Aspect", Aspect)
	count("KVShare", KVShare)
	count("MLPRatio", MLPRatio)
	count("Context", Context)
	count("BatchSize", BatchSize)
	count("Accumulate", Accumulate)
	must(HeadDim > 0 && HeadDim%2 == 0, "HeadDim", HeadDim, "even, for RoPE")
	must(Dim%HeadDim == 0, "HeadDim", HeadDim, "a divisor of Depth * Aspect = %d", Dim)
	must(Heads%KVShare == 0, "KVShare", KVShare, "a divisor of the %d heads", Heads)
	must(ShortSpan > 0 && Context%ShortSpan == 0, "ShortSpan", ShortSpan, "a divisor of Context = %d", Context)
	must(strings.Trim(Window, "SL") == "" && Window != "", "Window", Window, "of letters S and L")
	between("GateDim", GateDim, 1, Dim)
	between("RopeBase", RopeBase, 1, 1e9)
	between("Softcap", Softcap, 0.1, 1e4)
	between("InitScale", InitScale, 0, 100)
	between("WeightDecay", WeightDecay, 0, 10)
	between("MatrixLR", MatrixLR, 0, 10)
	between("EmbedLR", EmbedLR, 0, 10)
	between("ValueLR", ValueLR, 0, 10)
	between("HeadLR", HeadLR, 0, 10)
	between("ResidLR", ResidLR, 0, 10)
	between("X0LR", X0LR, 0, 10)
	const below1 = 0.99999 // what keeps a running mean moving
	between("Momentum", Momentum, 0, below1)
	between("MomentumStart", MomentumStart, 0, below1)
	between("NormalizeBeta", NormalizeBeta, 0, below1)
	between("Beta1", Beta1, 0, below1)
	between("X0Beta1", X0Beta1, 0, below1)
	between("Beta2", Beta2, 0, below1)
	between("MomentumWarmup", MomentumWarmup, 0, 1)
	between("Warmup", Warmup, 0, 1)
	between("Warmdown", Warmdown, 0, 1)
	between("FinalLR", FinalLR, 0, 1)
	return errors.Join(wrong...)
}
