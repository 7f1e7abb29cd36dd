package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor/cpu"
)

// What a row does not see leaves no trace in it, not even in rounding or in the
// sign of a zero: a model could make anything of one bit. Later values are
// changed to infinities, NaN and others, and what is before must keep its bits.
func TestMaskedValuesLeaveNoTrace(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, kernels := range cpu.Names() {
		for _, tt := range []int{5, 70, 131} {
			for _, window := range []int{0, 3} {
				d := openTest(t, Config{Threads: 2, Kernels: kernels})
				rng := rand.New(rand.NewPCG(uint64(tt), 3))
				const dim = 6
				random := func(shape ...int) *Tensor {
					x := d.Zeros(shape...)
					x.Normal(rng, 1)
					return x
				}
				q, k, v := random(1, tt, 1, dim), random(1, tt, 1, dim), random(1, tt, 1, dim)
				scores := random(1, tt, tt)
				for i := range v.data { // sums that come out as -0, by underflow
					if i%dim >= 4 {
						v.data[i] = 0
					}
					if i%dim == 4+i/dim%2 {
						v.data[i] = -1e-45
					}
				}
				for i := 0; i < len(scores.data); i += 3 {
					scores.data[i] = 1e-30
				}
				outputs := map[string]func() *Tensor{
					"attention":     func() *Tensor { return q.Attention(k, v, window) },
					"causal_matmul": func() *Tensor { return scores.CausalMatMul(v.Reshape(1, tt, dim), window) },
				}
				for name, f := range outputs {
					base := f().Host()
					for _, at := range []int{1, tt / 2, tt - 1} {
						for _, x := range []float32{inf, -inf, nan32, 1, -1, 0, float32(math.Copysign(0, -1)), 3e38} {
							old := append([]float32{}, v.data...)
							for i := at * dim; i < len(v.data); i++ {
								v.data[i] = x
							}
							got := f().Host()
							copy(v.data, old)
							for i, b := range base[:at*dim] {
								if math.Float32bits(b) != math.Float32bits(got[i]) {
									t.Fatal(fmt.Sprintf("%s, %s, T %d, window %d: values from %d on set to %v change output %d from %v to %v", name, kernels, tt, window, at, x, i, b, got[i]))
								}
							}
						}
					}
				}
			}
		}
	}
}
