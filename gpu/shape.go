package gpu

import (
	"fmt"
	"math/bits"
)

// productKey is what an algorithm for a product is chosen by: all of a Product
// but its addresses and its factor, in cublasLt's terms. Its matrices are
// column-major, so that a row-major C = A B is its C' = B' A', with the same
// bytes: the operands change places, and so do M and N.
type productKey struct {
	M, N, K                   int // of the column-major product
	LDA, LDB, LDC             int
	StrideA, StrideB, StrideC int64
	Batch                     int
	TransA, TransB            bool
	In, Out                   Type
	Exact, Accumulate         bool
	AlignA, AlignB, AlignC    int // of the addresses, in bytes
}

// keyOf describes a product; the operands are exchanged.
func keyOf(p Product, exact bool) productKey {
	return productKey{
		M: p.N, N: p.M, K: p.K,
		LDA: leading(p.LDB, p.TransB, p.K, p.N), LDB: leading(p.LDA, p.TransA, p.M, p.K), LDC: leading(p.LDC, false, p.M, p.N),
		StrideA: p.StrideB, StrideB: p.StrideA, StrideC: p.StrideC,
		Batch:  max(p.Batch, 1),
		TransA: p.TransB, TransB: p.TransA,
		In: p.In, Out: p.Out,
		Exact: exact && p.In == F32, Accumulate: p.Accumulate,
		AlignA: alignment(p.B), AlignB: alignment(p.A), AlignC: alignment(p.C),
	}
}

// leading is the distance between the rows of a matrix of rows x cols that may be
// stored as its transpose.
func leading(given int, trans bool, rows, cols int) int {
	switch {
	case given != 0:
		return given
	case trans:
		return max(rows, 1)
	}
	return max(cols, 1)
}

// alignment of an address that algorithms tell apart: 256, as the pool gives, or
// 16, what vector loads need, or less.
func alignment(p Ptr) int {
	a := 1 << min(bits.TrailingZeros64(uint64(p)), 8)
	if a > 16 && a < 256 {
		return 16
	}
	return a
}

func (k productKey) String() string {
	op := func(trans bool) string {
		if trans {
			return "T"
		}
		return "N"
	}
	s := fmt.Sprintf("%s%s %dx%dx%d", op(k.TransA), op(k.TransB), k.M, k.N, k.K)
	if k.Batch > 1 {
		s += fmt.Sprintf(" x%d", k.Batch)
	}
	return fmt.Sprintf("%s %s to %s", s, k.In, k.Out)
}

// valid says what is wrong with a product, or "".
func (p Product) valid() string {
	switch types := [2]Type{p.In, p.Out}; types {
	case [2]Type{F32, F32}, [2]Type{BF16, BF16}, [2]Type{BF16, F32}:
	default:
		return fmt.Sprintf("products of %s to %s do not exist", p.In, p.Out)
	}
	if p.M < 0 || p.N < 0 || p.K < 0 || p.Batch < 0 {
		return fmt.Sprintf("negative extents: M=%d N=%d K=%d Batch=%d", p.M, p.N, p.K, p.Batch)
	}
	rows := func(name string, given, dense int) string {
		if given != 0 && given < dense {
			return fmt.Sprintf("LD%s=%d is less than the %d elements of a row", name, given, dense)
		}
		return ""
	}
	if s := rows("A", p.LDA, leading(0, p.TransA, p.M, p.K)); s != "" {
		return s
	}
	if s := rows("B", p.LDB, leading(0, p.TransB, p.K, p.N)); s != "" {
		return s
	}
	if p.Batch > 1 && p.StrideC == 0 {
		return "the products of a batch are all written to one C: StrideC is 0"
	}
	return rows("C", p.LDC, leading(0, false, p.M, p.N))
}
