package cpu

func cpuid(leaf, sub uint32) (a, b, c, d uint32)

// xgetbv is the low word of XCR0: which registers the system saves.
func xgetbv() uint32

// features says which sets the processor and the operating system support.
func features() (avx2, avx512 bool) {
	const (
		fma, osxsave          = 1 << 12, 1 << 27                // leaf 1, ecx
		bitAVX2               = 1 << 5                          // leaf 7, ebx
		f512                  = 1<<16 | 1<<17 | 1<<30 | 1<<31   // F, DQ, BW, VL
		stateAVX, stateAVX512 = 1<<1 | 1<<2, 1<<1 | 1<<2 | 7<<5 // XCR0
	)
	top, _, _, _ := cpuid(0, 0)
	_, _, c1, _ := cpuid(1, 0)
	if top < 7 || c1&osxsave == 0 || c1&fma == 0 {
		return false, false
	}
	_, b7, _, _ := cpuid(7, 0)
	state := xgetbv()
	avx2 = b7&bitAVX2 != 0 && state&stateAVX == stateAVX
	return avx2, avx2 && b7&f512 == f512 && state&stateAVX512 == stateAVX512
}
