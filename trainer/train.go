// Trainer is the program under research: a small GPT on bytes, its optimizer and
// its training loop. This is the one file that experiments edit; everything
// it imports is fixed. It reads from top to bottom:
//
//	constants   what can be tuned, with ranges
//	Train       the loop
//	GPT         the model
//	Optimizer   Muon for the matrices, AdamW for the tables
//	schedules   learning rate over the course of the budget
//
// Tensor alphabet: B batch, T context, C width, V vocabulary, L layers,
// NH heads, D width of a head. A gradient is d + name.
//
// Rules that the harness enforces: every Param and State is created before the
// first run.Next, and Forward uses exportable operations only, lets no token
// see a later one, and no row of the batch another.
package main

import (
	"fmt"
	"math"

	"github.com/autoresearch-go/autoresearch/trainer/harness"
	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// Hyperparameters. The comment behind a value says what it may become.
const (
	// Model.
	Dim       = 128  // one of 64, 96, 128, 160, 192, 256; C, the width of the residual stream
	Depth     = 2    // range 1..6 int; L, the number of layers
	HeadDim   = 32   // one of 16, 32; D, so that there are Dim / HeadDim heads
	MLPRatio  = 4    // range 1..8 int; hidden width of the MLP, in units of Dim
	Context   = 256  // one of 64, 128, 256, 512; T
	Window    = "L"  // one of L, SL, SSSL; attention span by layer, repeated: long (all of T) or short (T / 4)
	RopeBase  = 1e4  // range 100..100000 log; wavelengths of the rotary embedding
	Softcap   = 15.0 // range 5..50 log; logits stay within plus and minus this
	InitScale = 1.0  // range 0.2..3 log; of the matrices, in units of sqrt(1 / fan-in)

	// Optimization.
	BatchSize   = 8    // one of 2, 4, 8, 16, 32; B, windows in a step
	MatrixLR    = 0.02 // range 0.002..0.2 log; Muon: size of an update, about the change of an entry in units of 1 / sqrt(C)
	Momentum    = 0.95 // range 0.8..0.99; Muon
	EmbedLR     = 0.08 // range 0.005..1 log; AdamW, for the embedding
	HeadLR      = 0.01 // range 0.0005..0.1 log; AdamW, for the head
	Beta1       = 0.8  // range 0.5..0.95; AdamW
	Beta2       = 0.95 // range 0.8..0.999; AdamW
	WeightDecay = 0.0  // range 0..0.3; for the matrices, relative to their learning rate
	Warmup      = 0.01 // range 0..0.2; share of the budget in which the learning rate rises
	Warmdown    = 0.6  // range 0..1; share of the budget in which it falls again
	FinalLR     = 0.05 // range 0..0.5; what it falls to, in units of its peak
)

func main() { harness.Main(Train) }

// Train runs the experiment: steps until the budget is spent, then the export.
func Train(run *harness.Run) error {
	model := NewGPT(run)
	optimizer := NewOptimizer(run.Device(), model)
	for run.Next() {
		x, y := run.Batch(BatchSize, Context)            // [B, T] token ids
		loss := model.Logits(x).CrossEntropy(y, Softcap) // mean nats per token
		loss.Backward()
		lr := learningRate(run.Progress())
		optimizer.Step(run.StepsDone()+1, lr)
		run.Step(loss, lr*MatrixLR)
	}
	return run.Export(Context, model.Forward)
}

// GPT is a decoder-only transformer with rotary positions, QK-norm, ReLU²
// MLPs and norms that have no weights.
type GPT struct {
	Embed  *tensor.Tensor // [V, C]
	Blocks []Block        // L
	Head   *tensor.Tensor // [V, C]
}

// Block is one layer: attention, then an MLP, each added to the stream.
type Block struct {
	Q, K, V, O *tensor.Tensor // [C, C]
	Up         *tensor.Tensor // [H, C] with H = MLPRatio * C
	Down       *tensor.Tensor // [C, H]
	Span       int            // how far a token sees back, 0 for all the way
}

// NewGPT creates the parameters. Matrices that write to the residual stream,
// and the head, start at zero: the untrained model is uniform.
func NewGPT(run *harness.Run) *GPT {
	dev, rng := run.Device(), run.Rand()
	matrix := func(layer int, name string, out, in int, scale float64) *tensor.Tensor {
		w := dev.Param(fmt.Sprintf("block%d.%s", layer, name), out, in)
		w.Normal(rng, float32(InitScale*scale/math.Sqrt(float64(in))))
		return w
	}
	m := &GPT{
		Embed: dev.Param("embed", run.Vocab(), Dim),
		Head:  dev.Param("head", run.Vocab(), Dim),
	}
	m.Embed.Normal(rng, 1)
	for l := range Depth {
		m.Blocks = append(m.Blocks, Block{
			Q:    matrix(l, "q", Dim, Dim, 1),
			K:    matrix(l, "k", Dim, Dim, 1),
			V:    matrix(l, "v", Dim, Dim, 1),
			O:    matrix(l, "o", Dim, Dim, 0),
			Up:   matrix(l, "up", MLPRatio*Dim, Dim, 1),
			Down: matrix(l, "down", Dim, MLPRatio*Dim, 0),
			Span: span(l),
		})
	}
	return m
}

// span reads a layer's attention span off the Window pattern. The last layer
// always sees everything.
func span(layer int) int {
	if Window[layer%len(Window)] == 'S' && layer < Depth-1 {
		return Context / 4
	}
	return 0
}

// Forward takes token ids [B, T] to logits [B, T, V]. It is what is exported.
func (m *GPT) Forward(ids *tensor.Tensor) *tensor.Tensor {
	return m.Logits(ids).Softcap(Softcap)
}

// Logits is Forward before the softcap, which the loss applies by itself.
func (m *GPT) Logits(ids *tensor.Tensor) *tensor.Tensor {
	x := norm(m.Embed.Embed(ids)) // [B, T, C]
	for _, b := range m.Blocks {
		x = x.Add(b.Attention(norm(x)))
		x = x.Add(b.MLP(norm(x)))
	}
	return norm(x).MatMulT(m.Head) // [B, T, V]
}

// Attention lets every token gather from those before it; x is [B, T, C].
func (b Block) Attention(x *tensor.Tensor) *tensor.Tensor {
	B, T := x.Dim(0), x.Dim(1)
	heads := func(w *tensor.Tensor) *tensor.Tensor { // [B, T, NH, D]
		return x.MatMulT(w).Reshape(B, T, Dim/HeadDim, HeadDim)
	}
	q := norm(heads(b.Q).RoPE(RopeBase))
	k := norm(heads(b.K).RoPE(RopeBase))
	mixed := q.Attention(k, heads(b.V), b.Span) // [B, T, NH, D]
	return mixed.Reshape(B, T, Dim).MatMulT(b.O)
}

// MLP works on each token by itself; x is [B, T, C].
func (b Block) MLP(x *tensor.Tensor) *tensor.Tensor {
	return x.MatMulT(b.Up).ReluSquare().MatMulT(b.Down)
}

// norm scales the last dimension to a root mean square of 1.
func norm(x *tensor.Tensor) *tensor.Tensor { return x.RMSNorm(1e-6) }

// Optimizer updates the matrices of the blocks with Muon, and the embedding and
// the head, whose rows belong to single tokens, with AdamW.
type Optimizer struct {
	dev      *tensor.Device
	matrices []muon
	tables   []adam
}

// NewOptimizer creates the optimizer's state.
func NewOptimizer(dev *tensor.Device, m *GPT) *Optimizer {
	o := &Optimizer{dev: dev}
	state := func(p *tensor.Tensor, name string) *tensor.Tensor {
		return dev.State(p.Name()+"."+name, p.Shape()...)
	}
	for _, b := range m.Blocks {
		for _, w := range []*tensor.Tensor{b.Q, b.K, b.V, b.O, b.Up, b.Down} {
			o.matrices = append(o.matrices, muon{w, state(w, "velocity")})
		}
	}
	o.tables = []adam{
		{m.Embed, state(m.Embed, "m"), state(m.Embed, "v"), EmbedLR},
		{m.Head, state(m.Head, "m"), state(m.Head, "v"), HeadLR},
	}
	return o
}

// Step updates all parameters from their gradients. It is the step-th step,
// counted from 1; lr scales all learning rates.
func (o *Optimizer) Step(step int64, lr float64) {
	o.dev.NoGrad(func() {
		for _, p := range o.matrices {
			p.update(lr * MatrixLR)
		}
		for _, p := range o.tables {
			p.update(step, lr*p.LR)
		}
	})
}

// muon is a matrix with the running mean of its gradients (Jordan et al. 2024,
// "Muon: An optimizer for hidden layers in neural networks").
type muon struct {
	W, Velocity *tensor.Tensor // [out, in]
}

// update moves the matrix by lr along the orthogonalized velocity: every
// direction that the gradients agree on gets a step of the same size.
func (p muon) update(lr float64) {
	g := p.W.Grad()
	p.Velocity.ScaleInPlace(Momentum)
	p.Velocity.AddScaled(g, 1)
	direction := orthogonalize(g.Add(p.Velocity.Scale(Momentum))) // Nesterov's look ahead
	// Tall matrices take larger steps, so that the change of an output has the
	// same size whatever the shape.
	lr *= math.Sqrt(max(1, float64(p.W.Dim(0))/float64(p.W.Dim(1))))
	p.W.ScaleInPlace(float32(1 - lr*WeightDecay))
	p.W.AddScaled(direction, float32(-lr))
}

// adam is a table with the running moments of its gradients.
type adam struct {
	W, M, V *tensor.Tensor // [V, C]
	LR      float64
}

func (p adam) update(step int64, lr float64) {
	tensor.AdamW(p.W, p.M, p.V, tensor.AdamWOptions{
		LR: float32(lr), Beta1: Beta1, Beta2: Beta2, Eps: 1e-10, Step: int(step),
	})
}

// polarExpress are the coefficients of five iterations that take the singular
// values of a matrix towards 1, each iteration the best polynomial for the
// range that the one before leaves (Amsel, Persson, Musco and Gower 2025,
// "The Polar Express: Optimal Matrix Sign Methods and Their Application to the
// Muon Algorithm", with its safety factor of 1.02).
var polarExpress = [5][3]float32{
	{8.156554524902461, -22.48329292557795, 15.878769915207462},
	{4.042929935166739, -2.808917465908714, 0.5000178451051316},
	{3.8916678022926607, -2.772484153217685, 0.5060648178503393},
	{3.285753657755655, -2.3681294933425376, 0.46449024233003106},
	{2.3465413258596377, -1.7097828382687081, 0.42323551169305323},
}

// orthogonalize returns about the nearest matrix to g, [m, n], whose rows (or
// columns, whichever are fewer) are orthonormal.
func orthogonalize(g *tensor.Tensor) *tensor.Tensor {
	tall := g.Dim(0) > g.Dim(1)
	x := g
	if tall { // work on the smaller square
		x = x.Permute(1, 0)
	}
	size := x.Square().Reshape(x.Size()).Sum(0).Sqrt() // Frobenius norm
	x = x.Div(size.Scale(1.02).AddScalar(1e-6))
	for _, c := range polarExpress {
		a := x.MatMulT(x)                               // [m, m]
		b := a.Scale(c[1]).Add(a.MatMul(a).Scale(c[2])) // [m, m]
		x = x.Scale(c[0]).Add(b.MatMul(x))              // [m, n]
	}
	if tall {
		x = x.Permute(1, 0)
	}
	return x
}

// learningRate is the schedule, in units of the peak, over progress 0 to 1: up
// in Warmup, level, and down to FinalLR in Warmdown.
func learningRate(progress float64) float64 {
	switch {
	case progress < Warmup:
		return progress / Warmup
	case progress > 1-Warmdown:
		down := (1 - progress) / Warmdown
		return FinalLR + (1-FinalLR)*down
	}
	return 1
}
