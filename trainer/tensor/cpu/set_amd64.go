package cpu

//go:generate go run gen/main.go gen/gemm.go gen/vec.go gen/bits.go

// accelerated lists the assembly sets that this machine can run, best first.
func accelerated() []*Set {
	avx2, avx512 := features()
	var l []*Set
	if avx512 {
		l = append(l, &Set{Name: "avx512", mr: 8, nr: 48, widths: []int{48, 32, 16}, tile: tileAVX512, pack: packAVX, columns: columnsAVX, vectors: vectorsAVX512()})
	}
	if avx2 {
		l = append(l, &Set{Name: "avx2", mr: 6, nr: 16, widths: []int{16}, tile: tileAVX2, pack: packAVX, columns: columnsAVX, vectors: vectorsAVX2()})
	}
	return l
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

func tileAVX512(width, kc int, a Mat, b, c []float32, ldc int, acc bool) {
	rows, x, y, z := a.CS == 1, &a.Data[0], &b[0], &c[0]
	switch {
	case width == 48 && rows:
		tile8x48RowsAVX512(kc, x, a.RS, y, z, ldc, flag(acc))
	case width == 48:
		tile8x48ColsAVX512(kc, x, a.CS, y, z, ldc, flag(acc))
	case width == 32 && rows:
		tile8x32RowsAVX512(kc, x, a.RS, y, z, ldc, flag(acc))
	case width == 32:
		tile8x32ColsAVX512(kc, x, a.CS, y, z, ldc, flag(acc))
	case rows:
		tile8x16RowsAVX512(kc, x, a.RS, y, z, ldc, flag(acc))
	default:
		tile8x16ColsAVX512(kc, x, a.CS, y, z, ldc, flag(acc))
	}
}

func tileAVX2(_, kc int, a Mat, b, c []float32, ldc int, acc bool) {
	if a.CS == 1 {
		tile6x16RowsAVX2(kc, &a.Data[0], a.RS, &b[0], &c[0], ldc, flag(acc))
		return
	}
	tile6x16ColsAVX2(kc, &a.Data[0], a.CS, &b[0], &c[0], ldc, flag(acc))
}

// packAVX packs one panel of r rows, of which have are there.
func packAVX(d []float32, r int, src Mat, have, k int) {
	switch {
	case src.RS == 1 && have == r && r%8 == 0:
		packRowsAVX(&d[0], 4*r, &src.Data[0], 4*src.CS, k, r)
	case src.RS == 1 && have == r && r == 6 && k > 1:
		// Eight floats at a time: the two too many are overwritten by the next
		// row, and the last row goes alone.
		packRowsAVX(&d[0], 4*r, &src.Data[0], 4*src.CS, k-1, 8)
		copy(d[(k-1)*r:k*r], src.Data[(k-1)*src.CS:])
	case src.CS == 1 && have >= 4:
		packColumns(d, r, src, have, k)
	default:
		packGo(d, r, src, have, k)
	}
}

func columnsAVX(dst []float32, ld int, src []float32, ls, n8 int) {
	_, _ = dst[(8*n8-1)*ld+7], src[7*ls+8*n8-1]
	packT8AVX(&dst[0], 4*ld, &src[0], 4*ls, n8)
}

// packColumns transposes groups of 8 and 4 rows; the last group may overlap
// the one before it, and writes the same values again.
func packColumns(d []float32, r int, src Mat, have, k int) {
	k8 := k &^ 7
	i := 0
	if k8 > 0 {
		for ; i+8 <= have; i += 8 {
			packT8AVX(&d[i], 4*r, &src.Data[i*src.RS], 4*src.RS, k8/8)
		}
		for i < have {
			at := min(i, have-4)
			packT4AVX(&d[at], 4*r, &src.Data[at*src.RS], 4*src.RS, k8/8)
			i = at + 4
		}
	}
	if k8 < k {
		packGo(d[k8*r:], r, src.From(0, k8), have, k-k8)
	}
	if have < r {
		for p := range k8 {
			clear(d[p*r+have : (p+1)*r])
		}
	}
}

func vectorsAVX512() vectors {
	return vectors{
		Add: addAVX512, Sub: subAVX512, Mul: mulAVX512, Div: divAVX512, MulAdd: mulAddAVX512, Scale: scaleAVX512,
		Axpy: func(dst []float32, s float32, x []float32) { axpyAVX512(dst, x, s) },
		Sum:  sumAVX512, Dot: dotAVX512, Max: maxAVX512, Exp: expAVX512, ExpSub: expSubAVX512,
		Tanh: tanhAVX512, Sigmoid: sigmoidAVX512, ReluSquare: reluSquareAVX512, ReluSquareGrad: reluSquareGradAVX512,
		SoftmaxGrad: softmaxGradAVX512, SoftcapGrad: softcapGradAVX512, Lerp: lerpAVX512, ExpScaled: expScaledAVX512,
		Offset: offsetAVX512, SigmoidGrad: sigmoidGradAVX512, TanhGrad: tanhGradAVX512, Rotate: rotateAVX512, Cautious: cautiousAVX512,
		AdamW: func(p, g, m, v []float32, b1, b2, lr, c, eps, keep float32) {
			adamwAVX512(p, g, m, v, b1, 1-b1, b2, 1-b2, lr, c, eps, keep)
		},
	}
}

func vectorsAVX2() vectors {
	return vectors{
		Add: addAVX2, Sub: subAVX2, Mul: mulAVX2, Div: divAVX2, MulAdd: mulAddAVX2, Scale: scaleAVX2,
		Axpy: func(dst []float32, s float32, x []float32) { axpyAVX2(dst, x, s) },
		Sum:  sumAVX2, Dot: dotAVX2, Max: maxAVX2, Exp: expAVX2, ExpSub: expSubAVX2,
		Tanh: tanhAVX2, Sigmoid: sigmoidAVX2, ReluSquare: reluSquareAVX2, ReluSquareGrad: reluSquareGradAVX2,
		SoftmaxGrad: softmaxGradAVX2, SoftcapGrad: softcapGradAVX2, Lerp: lerpAVX2, ExpScaled: expScaledAVX2,
		Offset: offsetAVX2, SigmoidGrad: sigmoidGradAVX2, TanhGrad: tanhGradAVX2, Rotate: rotateAVX2, Cautious: cautiousAVX2,
		AdamW: func(p, g, m, v []float32, b1, b2, lr, c, eps, keep float32) {
			adamwAVX2(p, g, m, v, b1, 1-b1, b2, 1-b2, lr, c, eps, keep)
		},
	}
}
