//go:build cuda

package cuda

import (
	"fmt"
	"testing"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// TestCausalConvKernel sums over more rows than one part has.
func TestCausalConvKernel(t *testing.T) {
	bothOrders(t, func(b *bench) {
		for _, s := range []Conv{{2, 100, 8, 3}, {3, 2, 5, 4}, {1, 65, 1, 1}} {
			n := s.Batch * s.Time * s.C
			x, ax := b.random(gpu.BF16, n)
			dy, ady := b.random(gpu.F32, n)
			old, dw := b.random(gpu.F32, s.Taps*s.C)
			want := make([]float64, len(old))
			for i, v := range old {
				want[i] = float64(v)
			}
			for i, g := range dy {
				for k := range s.Taps {
					if away := s.Taps - 1 - k; i/s.C%s.Time >= away {
						want[k*s.C+i%s.C] += float64(g) * float64(x[i-away*s.C])
					}
				}
			}
			b.CausalConvKernel(dw, ady, ax, s, true)
			b.all(fmt.Sprint(s), b.get(dw), want, gpu.F32, 1e-5)
		}
	})
}
