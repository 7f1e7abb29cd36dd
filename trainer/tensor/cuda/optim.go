package cuda

import (
	"math"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// Array is an array in GPU memory: N elements of a type. Where it is aligned to 16
// bytes, as all that Alloc returns is, it is read and written in large pieces.
type Array struct {
	At   gpu.Ptr
	Type gpu.Type
	N    int
}

// eighths is the grid for kernels whose threads take eight elements at a time.
func eighths(n int) gpu.Dim { return blocks((n + 7) / 8) }

// AdamW updates p from its gradient and moments, all of n float32. s has beta1,
// beta2, the learning rate over the first moment's correction, 1 over the root of
// the second's, epsilon, and what weight decay leaves of p. half, if not 0, gets
// p in bfloat16.
func (k *Kernels) AdamW(p, grad, m, v, half gpu.Ptr, n int, s [6]float32) {
	k.launch("optim", "adamw", eighths(n), gpu.Dim{threads}, 0,
		gpu.Address(p), gpu.Address(grad), gpu.Address(m), gpu.Address(v), gpu.Address(half), gpu.Int(n),
		gpu.Float(s[0]), gpu.Float(s[1]), gpu.Float(s[2]), gpu.Float(s[3]), gpu.Float(s[4]), gpu.Float(s[5]))
}

// Lerp is t += w * (b - t).
func (k *Kernels) Lerp(t, b Array, w float32) {
	k.launch("optim", "lerp", eighths(t.N), gpu.Dim{threads}, 0,
		gpu.Address(t.At), gpu.Int(int(t.Type)), gpu.Address(b.At), gpu.Int(int(b.Type)), gpu.Int(t.N), gpu.Float(w))
}

// AddScaled is t += s * b, times the float32 at factor, if that is not 0.
func (k *Kernels) AddScaled(t, b Array, s float32, factor gpu.Ptr) {
	k.launch("optim", "add_scaled", eighths(t.N), gpu.Dim{threads}, 0,
		gpu.Address(t.At), gpu.Int(int(t.Type)), gpu.Address(b.At), gpu.Int(int(b.Type)), gpu.Int(t.N), gpu.Float(s), gpu.Address(factor))
}

// Scale is t *= s, times the float32 at factor, if that is not 0. Where that
// makes 1 the array is not read.
func (k *Kernels) Scale(t Array, s float32, factor gpu.Ptr) {
	k.launch("optim", "scale_in_place", eighths(t.N), gpu.Dim{threads}, 0,
		gpu.Address(t.At), gpu.Int(int(t.Type)), gpu.Int(t.N), gpu.Float(s), gpu.Address(factor))
}

// CautiousStep is t -= lr * step, and t -= decay * t where step * t >= 0; t is
// float32.
func (k *Kernels) CautiousStep(t, step Array, lr, decay float32) {
	k.launch("optim", "cautious_step", eighths(t.N), gpu.Dim{threads}, 0,
		gpu.Address(t.At), gpu.Address(step.At), gpu.Int(int(step.Type)), gpu.Int(t.N), gpu.Float(lr), gpu.Float(decay))
}

// Cast is to = from, of as many elements, rounded to nearest even where bits are
// lost.
func (k *Kernels) Cast(to, from Array) {
	k.launch("optim", "cast_array", eighths(to.N), gpu.Dim{threads}, 0,
		gpu.Address(to.At), gpu.Int(int(to.Type)), gpu.Address(from.At), gpu.Int(int(from.Type)), gpu.Int(to.N))
}

// Fill sets every element to x.
func (k *Kernels) Fill(t Array, x float32) {
	k.launch("optim", "fill_array", eighths(t.N), gpu.Dim{threads}, 0,
		gpu.Address(t.At), gpu.Int(int(t.Type)), gpu.Int(t.N), gpu.Float(x))
}

// totalMost is the most parts of a Total.
const totalMost = 512

// TotalParts is how many float64 a Total of n elements needs as scratch.
func TotalParts(n int) int { return min(max(1, (n+8*threads-1)/(8*threads)), totalMost) }

// Total writes factor times the sum of the elements, or of their squares, to out,
// one float32; root takes the root of it. Sums are float64, their order depends
// on N only. parts is scratch memory for TotalParts(N) float64.
func (k *Kernels) Total(out gpu.Ptr, x Array, parts gpu.Ptr, squares, root bool, factor float64) {
	n := TotalParts(x.N)
	k.launch("optim", "total_parts", gpu.Dim{n}, gpu.Dim{threads}, 0,
		gpu.Address(parts), gpu.Address(x.At), gpu.Int(int(x.Type)), gpu.Int(x.N), gpu.Int(truth(squares)))
	k.launch("optim", "total_whole", gpu.Dim{1}, gpu.Dim{threads}, 0,
		gpu.Address(out), gpu.Address(parts), gpu.Int(n), gpu.Arg(math.Float64bits(factor)), gpu.Int(truth(root)))
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}
