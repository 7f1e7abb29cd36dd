package cpu

// Idle is the name of a set that computes nothing: a step with it costs what a
// step does beside its arithmetic. It is for benchmarks, so Names leaves it out.
const Idle = "idle"

func idle() *Set {
	return &Set{Name: Idle, mr: 8, nr: 48, widths: []int{48, 32, 16}, idle: true,
		tile:    func(int, int, Mat, []float32, []float32, int, bool) {},
		pack:    func([]float32, int, Mat, int, int) {},
		columns: func([]float32, int, []float32, int, int) {},
		vectors: vectors{
			Add: idle3, Sub: idle3, Mul: idle3, Div: idle3, MulAdd: idle3, Scale: idle2s, Offset: idle2s, Lerp: idle2s,
			Axpy: func([]float32, float32, []float32) {},
			Sum:  func([]float32) float32 { return 1 }, Max: func([]float32) float32 { return 1 },
			Dot:    func(_, _ []float32) float32 { return 1 },
			Exp:    func(_, _ []float32) {},
			ExpSub: func(_, _ []float32, _ float32) float32 { return 1 }, ExpScaled: func(_, _ []float32, _, _ float32) float32 { return 1 },
			Tanh: func(_, _ []float32) {}, Sigmoid: func(_, _ []float32) {}, ReluSquare: func(_, _ []float32) {},
			ReluSquareGrad: idle3, SigmoidGrad: idle3, TanhGrad: idle3,
			SoftmaxGrad: func(_, _ []float32, _, _ float32) {}, SoftcapGrad: func(_, _ []float32, _, _ float32) {},
			Rotate:   func(_, _, _, _, _, _ []float32, _ float32) {},
			Cautious: func(_, _ []float32, _, _ float32) {},
			AdamW:    func(_, _, _, _ []float32, _, _, _, _, _, _ float32) {},
		},
	}
}

// Clear makes x zero.
func (s *Set) Clear(x []float32) {
	if !s.idle {
		clear(x)
	}
}

// Copy copies src to dst, as many elements as both have.
func (s *Set) Copy(dst, src []float32) {
	if !s.idle {
		copy(dst, src)
	}
}

func idle3(_, _, _ []float32)          {}
func idle2s(_, _ []float32, _ float32) {}
