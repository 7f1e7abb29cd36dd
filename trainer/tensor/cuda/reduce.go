package cuda

import (
	"math/bits"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// Lanes sees arrays as [Outer, N, Inner] around the dimension that is reduced.
type Lanes struct{ Outer, N, Inner int }

// How a long dimension is cut: into no more parts than make enough work for a
// large GPU, none of them shorter than is worth a thread or warp.
const (
	rowParts, leastRow       = 1 << 14, 2048 // parts of all rows, elements of a part
	columnParts, leastColumn = 1 << 18, 32   // threads in all, rows of a part
)

// Reduce computes y = scale * the sum over N of a term, or adds that to y, which is
// [Outer, Inner]. The term is one of those in kernels/reduce.cu ("max" makes it the
// largest): of x and z, [Outer, N, Inner], and of w, [Outer, Inner]; arrays that it
// does not need may be Array{}.
func (k *Kernels) Reduce(term string, scale float32, add bool, y, x, z, w Array, l Lanes) {
	if l.Inner == 1 {
		k.reduceRows(term, scale, add, y, x, z, w, l)
		return
	}
	k.reduceColumns(term, scale, add, y, x, z, w, l)
}

func (k *Kernels) reduceRows(term string, scale float32, add bool, y, x, z, w Array, l Lanes) {
	parts := min(max(1, rowParts/l.Outer), (l.N+leastRow-1)/leastRow)
	length := roundUp((l.N+parts-1)/parts, 8)
	parts = (l.N + length - 1) / length
	vec, lanes := l.N%8 == 0 && whole(x) && whole(z), length
	if vec {
		lanes /= 8
	}
	lanes = min(32, 1<<bits.Len(uint(lanes-1)))
	to := y
	if parts > 1 {
		to = k.scratch(l.Outer * parts)
		defer k.dev.Free(to.At)
		defer k.again(term, scale, add, y, to, Lanes{l.Outer, parts, 1})
		scale, add = 1, false
	}
	items := l.Outer * parts
	k.launch("reduce", "reduce_rows", blocks(items*lanes), gpu.Dim{threads}, 0, gpu.Int(number(terms, term)),
		gpu.Address(to.At), typed(to), gpu.Address(x.At), typed(x), gpu.Address(z.At), typed(z), gpu.Address(w.At), typed(w),
		gpu.Int(items), gpu.Int(l.N), gpu.Int(parts), gpu.Int(length), gpu.Int(lanes), flag(vec), gpu.Float(scale), flag(add))
}

func (k *Kernels) reduceColumns(term string, scale float32, add bool, y, x, z, w Array, l Lanes) {
	function, columns := "reduce_columns1", l.Inner
	if l.Inner%8 == 0 && whole(x) && whole(z) && whole(w) && whole(y) {
		function, columns = "reduce_columns8", l.Inner/8
	}
	parts := min(max(1, columnParts/(l.Outer*columns)), (l.N+leastColumn-1)/leastColumn)
	length := (l.N + parts - 1) / parts
	parts = (l.N + length - 1) / length
	to := y
	if parts > 1 {
		to = k.scratch(l.Outer * parts * l.Inner)
		defer k.dev.Free(to.At)
		defer k.again(term, scale, add, y, to, Lanes{l.Outer, parts, l.Inner})
		scale, add = 1, false
	}
	k.launch("reduce", function, blocks(l.Outer*parts*columns), gpu.Dim{threads}, 0, gpu.Int(number(terms, term)),
		gpu.Address(to.At), typed(to), gpu.Address(x.At), typed(x), gpu.Address(z.At), typed(z), gpu.Address(w.At), typed(w),
		gpu.Int(l.Outer), gpu.Int(l.N), gpu.Int(l.Inner), gpu.Int(parts), gpu.Int(length), gpu.Float(scale), flag(add))
}

// again reduces what parts have left.
func (k *Kernels) again(term string, scale float32, add bool, y, parts Array, l Lanes) {
	if term != "max" {
		term = "x"
	}
	k.Reduce(term, scale, add, y, parts, Array{}, Array{}, l)
}

// scratch is memory for n floats until it is freed, which may be as soon as the
// last kernel that uses it has been launched.
func (k *Kernels) scratch(n int) Array {
	return Array{k.dev.Alloc(int64(n) * 4), gpu.F32, n}
}

// whole says that an array can be accessed by 16 bytes.
func whole(a Array) bool { return a.At%16 == 0 }

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// MaxGrad adds dy [Outer, Inner] to dx [Outer, N, Inner] where x has the first of
// its largest along N, which are top [Outer, Inner].
func (k *Kernels) MaxGrad(dx, dy, x, top Array, l Lanes) {
	lanes := 1
	if l.Inner == 1 {
		lanes = 32
	}
	k.launch("reduce", "max_grad", blocks(l.Outer*l.Inner*lanes), gpu.Dim{threads}, 0,
		gpu.Address(dx.At), typed(dx), gpu.Address(dy.At), typed(dy), gpu.Address(x.At), typed(x), gpu.Address(top.At), typed(top),
		gpu.Int(l.Outer), gpu.Int(l.N), gpu.Int(l.Inner), gpu.Int(lanes))
}

// CumSum writes the running sums of x along N to y, or adds them; back begins at
// the end.
func (k *Kernels) CumSum(y, x Array, l Lanes, back, add bool) {
	lanes := 1
	if l.Inner == 1 && l.N > 16 {
		lanes = 32
	}
	k.launch("reduce", "cumsum", blocks(l.Outer*l.Inner*lanes), gpu.Dim{threads}, 0, gpu.Address(y.At), typed(y), gpu.Address(x.At), typed(x),
		gpu.Int(l.Outer), gpu.Int(l.N), gpu.Int(l.Inner), gpu.Int(lanes), flag(back), flag(add))
}
