//go:build ignore

package main

import "fmt"

// gemmKernels writes the tile products c[mr,nr] (+)= a[mr,kc] b[kc,nr]. The
// panel of b is packed, [kc,nr]; a is read where it is, in two layouts: "Cols",
// where the rows of a are neighbours (a transposed matrix, or a packed panel),
// and "Rows", where the k of one row are. AVX-512: 8 rows by 3, 2 or 1
// registers; the broadcast is an instruction of its own, since embedded
// broadcasts halve the throughput.
func (a *asm) gemmKernels(i isa) {
	mr, widths := 8, []int{3, 2, 1}
	if i.width == 8 {
		mr, widths = 6, []int{2}
	}
	for _, nv := range widths {
		a.tile(i, mr, nv, "Cols")
		a.tile(i, mr, nv, "Rows")
	}
}

const unroll = 4

// element is the operand of a at row r and step u of the unrolled loop. SI is
// where the loop stands, R10 the stride of a, R11 three strides, R12 and R13
// where rows 4 to 7 begin or step 0 of "Cols" stands.
func element(layout string, r, u int) string {
	if layout == "Cols" {
		return fmt.Sprintf("%d(SI)%s", 4*r, []string{"", "(R10*1)", "(R10*2)", "(R11*1)"}[u])
	}
	base := []string{"SI", "R12"}[r/4]
	return fmt.Sprintf("%d(%s)%s", 4*u, base, []string{"", "(R10*1)", "(R10*2)", "(R11*1)"}[r%4])
}

func (a *asm) tile(i isa, mr, nv int, layout string) {
	nr := nv * i.width
	name := fmt.Sprintf("tile%dx%d%s%s", mr, nr, layout, i.name)
	a.fn(name, fmt.Sprintf("%s is c[%d,%d] (+)= a b, b a packed panel; lda is the stride of a in floats.", name, mr, nr),
		[]string{"kc", "*a", "lda", "*b", "*c", "ldc", "acc"}, nil)
	a.p("MOVQ kc+0(FP), CX")
	a.p("MOVQ a+8(FP), SI")
	a.p("MOVQ lda+16(FP), R10")
	a.p("MOVQ b+24(FP), DI")
	a.p("MOVQ c+32(FP), DX")
	a.p("MOVQ ldc+40(FP), BX")
	a.p("MOVQ acc+48(FP), AX")
	a.p("SHLQ $2, BX")
	a.p("SHLQ $2, R10")
	a.p("LEAQ (R10)(R10*2), R11")
	if layout == "Rows" {
		a.p("LEAQ (SI)(R10*4), R12")
	}
	for r := range mr * nv {
		if i.width == 16 {
			a.p("VPXORD %s, %s, %s", i.r(r), i.r(r), i.r(r))
		} else {
			a.p("VXORPS %s, %s, %s", i.r(r), i.r(r), i.r(r))
		}
	}
	a.rowsOfC(mr, func(int) { // C is needed at the end: fetch it meanwhile
		for j := 0; j < 4*nr; j += 64 {
			a.p("PREFETCHT0 %d(R8)", j)
		}
	})
	step := func(n int) {
		a.p("ADDQ $%d, DI", n*4*nr)
		switch {
		case layout == "Rows":
			a.p("ADDQ $%d, SI", 4*n)
			a.p("ADDQ $%d, R12", 4*n)
		case n == 1:
			a.p("ADDQ R10, SI")
		default:
			a.p("LEAQ (SI)(R10*4), SI")
		}
	}
	a.p("MOVQ CX, R9")
	a.p("SHRQ $2, R9")
	a.p("JZ tail")
	a.label("loop4")
	for u := range unroll {
		a.rank1(i, mr, nv, u, layout)
	}
	step(unroll)
	a.p("DECQ R9")
	a.p("JNZ loop4")
	a.label("tail")
	a.p("ANDQ $%d, CX", unroll-1)
	a.p("JZ done")
	a.label("loop1")
	a.rank1(i, mr, nv, 0, layout)
	step(1)
	a.p("DECQ CX")
	a.p("JNZ loop1")
	a.label("done")
	a.p("TESTQ AX, AX")
	a.p("JZ store")
	a.rowsOfC(mr, func(r int) {
		for j := range nv {
			a.p("VADDPS %d(R8), %s, %s", 4*i.width*j, i.r(nv*r+j), i.r(nv*r+j))
		}
	})
	a.label("store")
	a.rowsOfC(mr, func(r int) {
		for j := range nv {
			a.p("VMOVUPS %s, %d(R8)", i.r(nv*r+j), 4*i.width*j)
		}
	})
	a.ret()
}

// rowsOfC walks R8 over the rows of C.
func (a *asm) rowsOfC(mr int, f func(row int)) {
	a.p("MOVQ DX, R8")
	for r := range mr {
		f(r)
		if r < mr-1 {
			a.p("ADDQ BX, R8")
		}
	}
}

// rank1 adds one column of a times one row of b, at step u of the unrolled loop.
func (a *asm) rank1(i isa, mr, nv, u int, layout string) {
	nr, acc := nv*i.width, mr*nv
	for j := range nv {
		a.p("VMOVUPS %d(DI), %s", 4*(u*nr+i.width*j), i.r(acc+j))
	}
	spare := 2 * i.width // registers: 32 or 16
	free := min(4, spare-acc-nv)
	for r := range mr {
		t := i.r(acc + nv + r%free)
		a.p("VBROADCASTSS %s, %s", element(layout, r, u), t)
		for j := range nv {
			a.p("VFMADD231PS %s, %s, %s", t, i.r(acc+j), i.r(nv*r+j))
		}
	}
}

// packKernels move matrices into panels; AVX is enough for both sets.
func (a *asm) packKernels() {
	a.fn("packRowsAVX", "packRowsAVX copies k rows of w floats, w a multiple of 8; strides are in bytes.",
		[]string{"*dst", "dstStride", "*src", "srcStride", "k", "w"}, nil)
	a.p("MOVQ dst+0(FP), DI")
	a.p("MOVQ dstStride+8(FP), BX")
	a.p("MOVQ src+16(FP), SI")
	a.p("MOVQ srcStride+24(FP), DX")
	a.p("MOVQ k+32(FP), CX")
	a.p("MOVQ w+40(FP), R8")
	a.p("SHLQ $2, R8")
	a.label("row")
	a.p("XORQ AX, AX")
	a.label("col")
	a.p("VMOVUPS (SI)(AX*1), Y0")
	a.p("VMOVUPS Y0, (DI)(AX*1)")
	a.p("ADDQ $32, AX")
	a.p("CMPQ AX, R8")
	a.p("JLT col")
	a.p("PREFETCHT0 (SI)(DX*8)")
	a.p("ADDQ DX, SI")
	a.p("ADDQ BX, DI")
	a.p("DECQ CX")
	a.p("JNZ row")
	a.ret()
	a.transpose4()
	a.transpose8()
}

// transpose4 turns 4 rows into columns, 8 elements at a time.
func (a *asm) transpose4() {
	a.fn("packT4AVX", "packT4AVX writes 4 rows of 8*n8 floats as columns: dst[p*stride+i]; strides are in bytes.",
		[]string{"*dst", "dstStride", "*src", "srcStride", "n8"}, nil)
	a.p("MOVQ dst+0(FP), DI")
	a.p("MOVQ dstStride+8(FP), BX")
	a.p("MOVQ src+16(FP), SI")
	a.p("MOVQ srcStride+24(FP), DX")
	a.p("MOVQ n8+32(FP), CX")
	a.p("LEAQ (SI)(DX*1), R8")
	a.p("LEAQ (SI)(DX*2), R9")
	a.p("LEAQ (R8)(DX*2), R10")
	a.p("LEAQ (BX)(BX*2), R11")
	a.p("TESTQ CX, CX")
	a.p("JZ end")
	a.label("loop")
	for r, s := range []string{"SI", "R8", "R9", "R10"} {
		a.p("VMOVUPS (%s), Y%d", s, r)
	}
	a.p("VUNPCKLPS Y1, Y0, Y4")
	a.p("VUNPCKHPS Y1, Y0, Y5")
	a.p("VUNPCKLPS Y3, Y2, Y6")
	a.p("VUNPCKHPS Y3, Y2, Y7")
	a.p("VUNPCKLPD Y6, Y4, Y8")
	a.p("VUNPCKHPD Y6, Y4, Y9")
	a.p("VUNPCKLPD Y7, Y5, Y10")
	a.p("VUNPCKHPD Y7, Y5, Y11")
	a.p("LEAQ (DI)(BX*4), R12")
	at := func(base string, i int) string {
		return base + []string{"", "(BX*1)", "(BX*2)", "(R11*1)"}[i]
	}
	for i := range 4 {
		a.p("VMOVUPS X%d, %s", 8+i, at("(DI)", i))
	}
	for i := range 4 {
		a.p("VEXTRACTF128 $1, Y%d, %s", 8+i, at("(R12)", i))
	}
	a.p("LEAQ (R12)(BX*4), DI")
	for _, s := range []string{"SI", "R8", "R9", "R10"} {
		a.p("ADDQ $32, %s", s)
	}
	a.p("DECQ CX")
	a.p("JNZ loop")
	a.label("end")
	a.ret()
}

// transpose8 turns 8 rows into columns, 8 elements at a time.
func (a *asm) transpose8() {
	a.fn("packT8AVX", "packT8AVX writes 8 rows of 8*n8 floats as columns: dst[p*stride+i]; strides are in bytes.",
		[]string{"*dst", "dstStride", "*src", "srcStride", "n8"}, nil)
	a.p("MOVQ dst+0(FP), DI")
	a.p("MOVQ dstStride+8(FP), BX")
	a.p("MOVQ src+16(FP), SI")
	a.p("MOVQ srcStride+24(FP), DX")
	a.p("MOVQ n8+32(FP), CX")
	a.p("LEAQ (DX)(DX*2), R8")  // 3 source rows
	a.p("LEAQ (BX)(BX*2), R11") // 3 columns
	a.p("TESTQ CX, CX")
	a.p("JZ end")
	a.label("loop")
	a.p("LEAQ (SI)(DX*4), R9")
	src := []string{"(SI)", "(SI)(DX*1)", "(SI)(DX*2)", "(SI)(R8*1)", "(R9)", "(R9)(DX*1)", "(R9)(DX*2)", "(R9)(R8*1)"}
	for r, s := range src {
		a.p("VMOVUPS %s, Y%d", s, r)
	}
	for r := 0; r < 8; r += 2 { // pairs of rows interleaved: Y8..Y15
		a.p("VUNPCKLPS Y%d, Y%d, Y%d", r+1, r, 8+r)
		a.p("VUNPCKHPS Y%d, Y%d, Y%d", r+1, r, 9+r)
	}
	for h := 0; h < 8; h += 4 { // quads: Y0..Y7, low and high halves hold two columns
		a.p("VUNPCKLPD Y%d, Y%d, Y%d", 10+h, 8+h, h)
		a.p("VUNPCKHPD Y%d, Y%d, Y%d", 10+h, 8+h, h+1)
		a.p("VUNPCKLPD Y%d, Y%d, Y%d", 11+h, 9+h, h+2)
		a.p("VUNPCKHPD Y%d, Y%d, Y%d", 11+h, 9+h, h+3)
	}
	a.p("LEAQ (DI)(BX*4), R12")
	at := []string{"", "(BX*1)", "(BX*2)", "(R11*1)"}
	for c := range 4 {
		a.p("VPERM2F128 $0x20, Y%d, Y%d, Y%d", c+4, c, 8+c)
		a.p("VPERM2F128 $0x31, Y%d, Y%d, Y%d", c+4, c, 12+c)
		a.p("VMOVUPS Y%d, (DI)%s", 8+c, at[c])
		a.p("VMOVUPS Y%d, (R12)%s", 12+c, at[c])
	}
	a.p("LEAQ (R12)(BX*4), DI")
	a.p("ADDQ $32, SI")
	a.p("DECQ CX")
	a.p("JNZ loop")
	a.label("end")
	a.ret()
}
