package tensor

import (
	"unsafe"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/cuda"
)

// The kernels of the helpers that change tensors in place, each one pass.

func init() {
	f := &inPlaceOnGPU
	f.adamW = func(a *accelerator, p, grad, m, v, half block, s [6]float32) {
		a.k.AdamW(p.at, grad.at, m.at, v.at, half.at, p.n, s)
	}
	f.lerp = func(a *accelerator, t, b block, w float32) { a.k.Lerp(t.array(), b.array(), w) }
	f.cautious = func(a *accelerator, t, step block, lr, decay float32) {
		a.k.CautiousStep(t.array(), step.array(), lr, decay)
	}
	f.addScaled = func(a *accelerator, t, b block, s float32) { a.k.AddScaled(t.array(), b.array(), s, 0) }
	f.scale = func(a *accelerator, t block, s float32) { a.k.Scale(t.array(), s, 0) }
	f.fill = func(a *accelerator, t block, x float32) { a.k.Fill(t.array(), x) }
	f.norm = normOnGPU
}

// normOnGPU is the root of the sum of squares, in float64. It waits.
func normOnGPU(a *accelerator, t block) float32 {
	parts := cuda.TotalParts(t.n)
	room := a.alloc(2*parts+1, gpu.F32) // float64s, then the result
	defer a.free(&room)
	out := room.part(2*parts, 1)
	a.k.Total(out.at, t.array(), room.at, true, true, 1)
	var x float32
	a.dev.CopyOut(unsafe.Pointer(&x), out.at, out.bytes())
	return x
}
