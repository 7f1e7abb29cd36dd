package gpu

import (
	"strings"
	"testing"
)

func TestKeyOf(t *testing.T) {
	base := Product{M: 3, N: 5, K: 7, A: 0x1000, B: 0x2010, C: 0x3004}
	tests := []struct {
		name string
		p    func(p *Product)
		want func(k *productKey)
	}{
		{"plain", func(p *Product) {}, func(k *productKey) {}},
		{"A transposed", func(p *Product) { p.TransA = true }, func(k *productKey) { k.TransB, k.LDB = true, 3 }},
		{"B transposed", func(p *Product) { p.TransB = true }, func(k *productKey) { k.TransA, k.LDA = true, 7 }},
		{"distances", func(p *Product) { p.LDA, p.LDB, p.LDC = 10, 20, 30 }, func(k *productKey) { k.LDA, k.LDB, k.LDC = 20, 10, 30 }},
		{"batch", func(p *Product) { p.Batch, p.StrideA, p.StrideB, p.StrideC = 4, 21, 35, 15 },
			func(k *productKey) { k.Batch, k.StrideA, k.StrideB, k.StrideC = 4, 35, 21, 15 }},
		{"types", func(p *Product) { p.In, p.Out, p.Accumulate = BF16, F32, true }, func(k *productKey) { k.In, k.Accumulate = BF16, true }},
	}
	for _, test := range tests {
		p := base
		test.p(&p)
		want := productKey{M: 5, N: 3, K: 7, LDA: 5, LDB: 7, LDC: 5, Batch: 1, AlignA: 16, AlignB: 256, AlignC: 4}
		test.want(&want)
		if got := keyOf(p, false); got != want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", test.name, got, want)
		}
	}
	if !keyOf(base, true).Exact || keyOf(Product{In: BF16}, true).Exact {
		t.Error("exact is for float32 alone")
	}
}

func TestProductValid(t *testing.T) {
	tests := []struct {
		p    Product
		want string
	}{
		{Product{M: 2, N: 3, K: 4}, ""},
		{Product{M: 2, N: 3, K: 4, In: BF16, Out: F32}, ""},
		{Product{M: 2, N: 3, K: 4, In: F32, Out: BF16}, "float32 to bfloat16"},
		{Product{M: 2, N: 3, K: 4, In: I32, Out: I32}, "int32"},
		{Product{M: -2, N: 3, K: 4}, "M=-2"},
		{Product{M: 2, N: 3, K: 4, LDA: 3}, "LDA=3"},
		{Product{M: 2, N: 3, K: 4, TransA: true, LDA: 3}, ""},
		{Product{M: 2, N: 3, K: 4, TransB: true, LDB: 3}, "LDB=3"},
		{Product{M: 2, N: 3, K: 4, LDC: 2}, "LDC=2"},
		{Product{M: 2, N: 3, K: 4, Batch: 2}, "StrideC"},
	}
	for _, test := range tests {
		got := test.p.valid()
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%+v: %q, want %q", test.p, got, test.want)
		}
	}
}
