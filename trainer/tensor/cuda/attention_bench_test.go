//go:build cuda

package cuda

import (
	"fmt"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// realGPU opens the machine's GPU; the emulation says nothing about speed.
func realGPU(b *testing.B) *Kernels {
	d, err := gpu.Open(gpu.Config{})
	if err != nil {
		b.Skip(err)
	}
	b.Cleanup(d.Close)
	if strings.Contains(d.Info().Name, "Emulated") {
		b.Skip("an emulated GPU")
	}
	return New(d)
}

// noise is n elements of bfloat16, normally distributed: zeros cost less power and
// would run faster.
func (k *Kernels) noise(n int) gpu.Ptr {
	const period = 1 << 16
	at := k.dev.Alloc(2 * int64(n+period))
	one := k.store(gpu.BF16, randoms(newRand(7), period))
	for i := 0; i < n; i += period {
		k.dev.Copy(at.At(2*int64(i)), one.at, 2*period)
	}
	return at
}

// BenchmarkAttention is a layer of train.py's model, 16 of its 128 sequences, with a
// short window and a long one, and the same with heads of 64. It counts the two
// products of forward and the five that backward has to make, of the pairs that see
// each other.
func BenchmarkAttention(b *testing.B) {
	k := realGPU(b)
	for _, a := range []Attention{
		{B: 16, T: 2048, NH: 4, NKV: 4, D: 128, Window: 2048},
		{B: 16, T: 2048, NH: 4, NKV: 4, D: 128, Window: 1024},
		{B: 16, T: 2048, NH: 8, NKV: 8, D: 64, Window: 2048},
	} {
		a.Type = gpu.BF16
		n, rows := a.B*a.T*a.NH*a.D, int64(4*a.B*a.NH*a.T)
		q, key, v, dout, out := k.noise(n), k.noise(n), k.noise(n), k.noise(n), k.noise(n)
		dq, dk, dv := k.noise(n), k.noise(n), k.noise(n)
		lse, delta := k.dev.Alloc(rows), k.dev.Alloc(rows)
		pairs := a.Window*a.T - a.Window*(a.Window-1)/2
		flops := 2 * float64(a.B*a.NH*a.D) * float64(pairs)
		run := func(name string, products float64, f func()) {
			b.Run(fmt.Sprintf("%s/%v", name, a), func(b *testing.B) {
				f()
				k.dev.Sync()
				b.ResetTimer()
				for range b.N {
					f()
				}
				k.dev.Sync()
				b.ReportMetric(products*flops*float64(b.N)/b.Elapsed().Seconds()/1e12, "TFLOP/s")
			})
		}
		run("forward", 2, func() { a.Forward(k, out, lse, q, key, v) })
		run("backward", 5, func() {
			a.Backward(k, AttentionGrads{Q: dq, K: dk, V: dv}, out, dout, lse, delta, q, key, v)
		})
		for _, p := range []gpu.Ptr{q, key, v, dout, out, dq, dk, dv, lse, delta} {
			k.dev.Free(p)
		}
	}
}

// BenchmarkRows are the passes over memory of a layer, in bfloat16: how close to the
// memory's speed they come.
func BenchmarkRows(b *testing.B) {
	k := realGPU(b)
	const n, c = 1 << 17, 512
	var x [4]Array
	for i := range x {
		x[i] = Array{At: k.noise(n * c), Type: gpu.BF16, N: n * c}
	}
	roots := k.dev.Alloc(4 * n * 4)
	h := Heads{B: 64, T: 2048, NH: 4, D: 128, Table: k.store(gpu.F32, randoms(newRand(8), 2048*128)).at}
	r := NormRows{N: n, C: c}
	for _, t := range []struct {
		name   string
		passes int
		f      func()
	}{
		{"rms_norm", 2, func() { k.RMSNorm(r, x[0], roots, x[1], 1e-6) }},
		{"rms_norm_backward", 3, func() { k.RMSNormBackward(r, x[0], x[1], x[2], roots, false) }},
		{"add_rms_norm", 4, func() { k.AddRMSNorm(r, x[0], x[1], roots, Weight{X: x[2]}, Weight{X: x[3]}, 1e-6) }},
		{"rope_norm", 2, func() { k.RoPENorm(h, x[0], roots, x[1], 1e-6) }},
		{"rope_norm_backward", 3, func() { k.RoPENormBackward(h, x[0], x[1], x[2], roots, false) }},
	} {
		b.Run(t.name, func(b *testing.B) {
			t.f()
			k.dev.Sync()
			b.SetBytes(int64(t.passes) * 2 * n * c)
			b.ResetTimer()
			for range b.N {
				t.f()
			}
			k.dev.Sync()
		})
	}
}
