package tensor

import (
	"math"
	"testing"
)

// TestBFloat16 rounds to nearest, ties to even, and keeps NaN and infinities.
func TestBFloat16(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, c := range []struct{ x, want float32 }{
		{0, 0}, {1, 1}, {-2.5, -2.5}, {1 + 1.0/256, 1}, {1 + 3.0/256, 1 + 4.0/256}, {1 + 1.01/256, 1 + 2.0/256},
		{3.4e38, inf}, {inf, inf}, {-inf, -inf}, {1e-45, 0},
	} {
		if got := fromBF16(toBF16(c.x)); got != c.want {
			t.Errorf("%v becomes %v, want %v", c.x, got, c.want)
		}
	}
	for _, bits := range []uint32{0x7fc00000, 0x7f800001, 0xffffffff} {
		if got := fromBF16(toBF16(math.Float32frombits(bits))); got == got {
			t.Errorf("the NaN %#x becomes %v", bits, got)
		}
	}
}
