package tensor

import (
	"testing"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// TestResultTypes: what is bfloat16 in mixed precision, and nothing is elsewhere.
func TestResultTypes(t *testing.T) {
	const f, h, i = gpu.F32, gpu.BF16, gpu.I32
	in := func(typ gpu.Type, n int) *Tensor {
		x := &Tensor{size: n, isInt: typ == gpu.I32}
		x.mem.typ = typ
		return x
	}
	for _, c := range []struct {
		op   *Op
		in   []*Tensor
		n    int // elements of the result
		want gpu.Type
	}{
		{opMatMulT, []*Tensor{in(f, 6), in(f, 6)}, 4, h},
		{opMatMul, []*Tensor{in(h, 6), in(f, 6)}, 4, h},
		{opEmbed, []*Tensor{in(f, 6), in(i, 3)}, 9, h},
		{opAttention, []*Tensor{in(f, 6), in(f, 6), in(f, 6)}, 6, h},
		{opSum, []*Tensor{in(h, 6)}, 1, f},
		{opMax, []*Tensor{in(h, 6)}, 6, f},
		{opCrossEntropy, []*Tensor{in(h, 6), in(i, 2)}, 1, f},
		{opRMSNorm, []*Tensor{in(h, 6)}, 6, h},
		{opRMSNorm, []*Tensor{in(f, 6)}, 6, f},
		{opMul, []*Tensor{in(h, 6), in(f, 1)}, 6, h}, // a weight of the stream
		{opMul, []*Tensor{in(h, 1), in(f, 6)}, 6, f},
		{opAdd, []*Tensor{in(h, 6), in(f, 6)}, 6, f},
		{opAdd, []*Tensor{in(h, 6), in(h, 6)}, 6, h},
		{opMul, []*Tensor{in(h, 2), in(f, 3)}, 6, f}, // both repeat
		{opMul, []*Tensor{in(h, 2), in(h, 3)}, 6, h},
		{opSlice, []*Tensor{in(h, 6)}, 2, h},
		{opSlice, []*Tensor{in(f, 6)}, 2, f},
		{opConcat, []*Tensor{in(h, 6), in(f, 6)}, 12, f},
		{opGather, []*Tensor{in(h, 6), in(i, 2)}, 2, h},
		{opTopK, []*Tensor{in(h, 6)}, 2, i},
		{opOneHot, []*Tensor{in(i, 6)}, 12, f},
	} {
		for _, mixed := range []bool{true, false} {
			a, want := &accelerator{}, c.want
			if a.typ = h; !mixed {
				if a.typ = f; want == h {
					want = f
				}
			}
			call := &call{op: c.op, out: in(f, c.n)}
			call.out.isInt = c.want == i
			for _, x := range c.in {
				x := *x
				if !mixed && x.mem.typ == h {
					x.mem.typ = f
				}
				call.in = append(call.in, &x)
			}
			if got := a.resultType(call, gpuOp{}); got != want {
				t.Errorf("%s of %v is %v, want %v", c.op.Name, call.shapes(), got, want)
			}
		}
	}
}

// TestConfigOfGPU: what cannot be opened says what can.
func TestConfigOfGPU(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Device: "rocm"}, `tensor: open: device "rocm": want cpu, cuda or cuda:UUID`},
		{Config{Precision: "bfloat16"}, `tensor: open: precision "bfloat16": a CPU computes in float32 only`},
		{Config{Device: "cuda", Precision: "fp8"}, `tensor: open: precision "fp8": want float32, tfloat32 or bfloat16`},
	} {
		if _, err := Open(c.cfg); err == nil || err.Error() != c.want {
			t.Errorf("%+v: got %v, want %s", c.cfg, err, c.want)
		}
	}
	d := openTest(t, Config{Device: "cpu", Precision: "float32"})
	if d.Name() != "cpu" || d.Precision() != "float32" || d.HostOps() != nil {
		t.Errorf("a CPU is %s in %s", d.Name(), d.Precision())
	}
}
