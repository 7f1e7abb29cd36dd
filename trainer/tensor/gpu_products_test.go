//go:build cuda

package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// values are n normal numbers that bfloat16 can hold.
func values(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = fromBF16(toBF16(float32(rng.NormFloat64())))
	}
	return x
}

// head is what linear_cross_entropy gives for some inputs: the loss, dx, dw.
func (d *Device) headLoss(t *testing.T, n, ch, v int, softcap, weight float32) (l [3][]float32) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 8))
	name := fmt.Sprint(t.Name(), n, ch, v, softcap, weight, len(d.leaves))
	x, w := d.Param(name+".x", n, ch), d.Param(name+".w", v, ch)
	x.SetHost(values(rng, n*ch))
	w.SetHost(values(rng, v*ch))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = []int32{0, int32(v - 1), int32(rng.IntN(v))}[i%3]
	}
	d.Reset()
	loss := x.Scale(1).LinearCrossEntropy(w, d.Ints(ids, n), softcap)
	loss.Scale(weight).Backward()
	return [3][]float32{loss.Host(), x.Grad().Host(), w.Grad().Host()}
}

// TestGPUHeadInChunks: however many rows of logits are computed at one time, the loss
// and the gradients of x keep their bits, and those of the weights are the CPU's
// within rounding, also where the last chunk is short or a chunk is one row.
func TestGPUHeadInChunks(t *testing.T) {
	defer func(n int) { lossBytes = n }(lossBytes)
	cpu := openTest(t, Config{Threads: 2})
	for precision, tolerance := range map[string]float64{"float32": 1e-5, "bfloat16": 1. / 64} {
		d := openGPU(t, precision)
		for _, c := range []struct {
			n, ch, v int
			softcap  float32
		}{{1, 3, 2, 0}, {7, 5, 17, 15}, {300, 8, 33, 0}, {37, 24, 1003, 15}} {
			want := cpu.headLoss(t, c.n, c.ch, c.v, c.softcap, 0.5)
			lossBytes = 32 << 20
			whole := d.headLoss(t, c.n, c.ch, c.v, c.softcap, 0.5)
			for _, rows := range []int{1, 2, 5, 256} {
				lossBytes = rows * roundUp(c.v, 8) * int(d.acc.typ.Size())
				got := d.headLoss(t, c.n, c.ch, c.v, c.softcap, 0.5)
				for i, what := range []string{"loss", "dx", "dw"} {
					if i < 2 && !slices.Equal(got[i], whole[i]) {
						t.Errorf("%s %+v: %s in chunks of %d rows has other bits than in one", precision, c, what, rows)
					}
					if e := farthest(got[i], want[i]); !(e <= tolerance) {
						t.Errorf("%s %+v: %s in chunks of %d rows is %.2g of its size off", precision, c, what, rows, e)
					}
				}
			}
		}
	}
}

// farthest is the largest difference in units of the largest value.
func farthest(got, want []float32) float64 {
	worst, size := 0.0, 1e-6
	for i, v := range want {
		size = max(size, math.Abs(float64(v)))
		if worst = max(worst, math.Abs(float64(got[i]-v))); got[i] != got[i] {
			return math.Inf(1)
		}
	}
	return worst / size
}

// TestGPUHeadHoldsFewLogits: the logits never exist as a whole.
func TestGPUHeadHoldsFewLogits(t *testing.T) {
	defer func(n int) { lossBytes = n }(lossBytes)
	lossBytes = 32 * 4096 * 2
	d := openGPU(t, "bfloat16")
	const n, ch, v = 1024, 8, 4096
	d.headLoss(t, n, ch, v, 15, 1)
	d.acc.dev.ResetPeak()
	before := d.acc.dev.PeakBytes()
	d.headLoss(t, n, ch, v, 15, 1)
	if used := d.acc.dev.PeakBytes() - before; used > n*v*2/4 {
		t.Errorf("the head took %d bytes; all logits are %d", used, n*v*2)
	}
}

// TestGPULossTwice: a loss that gave its gradient away says so.
func TestGPULossTwice(t *testing.T) {
	d := openGPU(t, "bfloat16")
	x, w := d.Param("x", 2, 3), d.Param("w", 5, 3)
	for name, head := range map[string]func(h, ids *Tensor) *Tensor{
		"cross_entropy":        func(h, ids *Tensor) *Tensor { return h.MatMulT(w).CrossEntropy(ids, 0) },
		"linear_cross_entropy": func(h, ids *Tensor) *Tensor { return h.LinearCrossEntropy(w, ids, 0) },
	} {
		d.Reset()
		loss := head(x.Scale(1), d.Ints([]int32{1, 2}, 2))
		a, b := loss.Scale(1), loss.Scale(2)
		a.Backward()
		func() {
			defer func() {
				if e, ok := recover().(*Error); !ok || e.Op != name {
					t.Errorf("%s: a second Backward gave %v", name, e)
				}
			}()
			b.Backward()
		}()
	}
}

// TestGPUManyProducts: a batch that is larger than what the library takes at once.
func TestGPUManyProducts(t *testing.T) {
	defer func(n int) { mostProducts = n }(mostProducts)
	mostProducts = 2
	run := func(d *Device) (l [][]float32) {
		rng := rand.New(rand.NewPCG(1, 2))
		x, w := d.Param("x", 5, 3, 4), d.Param("w", 5, 2, 4)
		x.SetHost(values(rng, x.Size()))
		w.SetHost(values(rng, w.Size()))
		y := x.MatMulT(w)
		y.Mul(y).Reshape(-1).Sum(0).Backward()
		return [][]float32{y.Host(), x.Grad().Host(), w.Grad().Host()}
	}
	got, want := run(openGPU(t, "float32")), run(openTest(t, Config{}))
	for i := range want {
		if e := farthest(got[i], want[i]); !(e <= 1e-6) {
			t.Errorf("array %d is %.2g of its size off", i, e)
		}
	}
}

// TestGPUGradientsOfParamsAreFloat32: many small contributions to the gradient of a
// Param add up in mixed precision, too.
func TestGPUGradientsOfParamsAreFloat32(t *testing.T) {
	d := openGPU(t, "bfloat16")
	x, w := d.Const("x", []float32{1, 1}, 1, 2), d.Param("w", 2, 2)
	for range 600 { // in bfloat16 the sum would stop at 256
		d.Reset()
		x.MatMul(w).Reshape(-1).Sum(0).Backward()
	}
	if got := w.Grad().Host(); !slices.Equal(got, []float32{600, 600, 600, 600}) {
		t.Errorf("got %v, want 600", got)
	}
}

// TestGPUExpertsInChunks: rows in chunks of any size give what the CPU does, with
// experts that nobody asks, and ids that are none.
func TestGPUExpertsInChunks(t *testing.T) {
	defer func(n int) { expertBytes = n }(expertBytes)
	run := func(d *Device) [][]float32 {
		rng := rand.New(rand.NewPCG(1, 2))
		x, w := d.Param(fmt.Sprint("x", len(d.leaves)), 11, 6), d.Param(fmt.Sprint("w", len(d.leaves)), 4, 5, 6)
		x.SetHost(values(rng, x.Size()))
		w.SetHost(values(rng, w.Size()))
		d.Reset()
		ids := []int32{3, 0, 0, 1, 3, 3, 0, 1, 0, 3, PoisonID}
		y := x.ExpertMatMul(w, d.Ints(ids, 11)).Slice(0, 0, 10) // without the row that is NaN
		y.Mul(d.Floats(values(rng, 50), 10, 5)).Reshape(-1).Sum(0).Backward()
		return [][]float32{y.Host(), x.Grad().Host(), w.Grad().Host()}
	}
	want := run(openTest(t, Config{}))
	for precision, tolerance := range map[string]float64{"float32": 1e-6, "bfloat16": 1. / 128} {
		d := openGPU(t, precision)
		for _, rows := range []int{1, 3, 11} {
			expertBytes = rows * 4 * 5 * int(d.acc.typ.Size())
			for i, got := range run(d) {
				if e := farthest(got, want[i]); !(e <= tolerance) {
					t.Errorf("%s, %d rows at a time: array %d is %.2g of its size off", precision, rows, i, e)
				}
			}
		}
	}
}
