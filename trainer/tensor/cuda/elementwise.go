package cuda

import (
	"strings"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// names numbers the values of the enum in a kernel file that begin with prefix.
func names(module, prefix string) map[string]int {
	_, list, _ := strings.Cut(text(module+".cu"), "enum {")
	list, _, _ = strings.Cut(list, "}")
	m := map[string]int{}
	for _, s := range strings.Split(list, ",") {
		if s = strings.TrimPrefix(strings.TrimSpace(s), prefix); s != "" {
			m[s] = len(m)
		}
	}
	return m
}

var (
	ops      = names("elementwise", "op_")
	terms    = names("reduce", "term_")
	firstBig = ops["heavy"]
)

// number is that of an operation; a wrong name is a mistake of this program.
func number(m map[string]int, name string) int {
	i, ok := m[name]
	if !ok {
		panic("cuda: no operation " + name)
	}
	return i
}

// View is an array and how far it moves, in elements, when each of several loops
// takes a step; 0 repeats elements. The loops are those of a Map.
type View struct {
	Array
	Strides []int
}

// MaxLoops is the most loops of a Map.
const MaxLoops = 8

// nest is the loops of a Map as kernels want them: innermost first, those merged
// that can be walked as one, without those of one step.
type nest struct {
	rank, count int
	dims        [MaxLoops]int
	strides     [4][MaxLoops]int // of y and the inputs
}

func newNest(dims []int, views *[4]View) (n nest) {
	n.count = 1
	for i := len(dims) - 1; i >= 0; i-- {
		if dims[i] == 1 {
			continue
		}
		n.count *= dims[i]
		if n.rank > 0 && n.merge(i, dims, views) {
			continue
		}
		if n.rank == MaxLoops {
			panic("cuda: more loops than kernels have")
		}
		n.dims[n.rank] = dims[i]
		for k, v := range views {
			if v.At != 0 {
				n.strides[k][n.rank] = v.Strides[i]
			}
		}
		n.rank++
	}
	if n.rank == 0 {
		n.rank, n.dims[0] = 1, 1
	}
	return n
}

// merge makes loop i part of the last one, if a step of it is that loop's whole
// length for all.
func (n *nest) merge(i int, dims []int, views *[4]View) bool {
	last := n.rank - 1
	for k, v := range views {
		if v.At != 0 && v.Strides[i] != n.strides[k][last]*n.dims[last] {
			return false
		}
	}
	n.dims[last] *= dims[i]
	return true
}

// eights says whether the nest can be walked in steps of eight neighbors: as far
// as there are whole ones if it is one loop.
func (n *nest) eights(views *[4]View) bool {
	if n.rank > 1 && n.dims[0]%8 != 0 || n.count < 8 {
		return false
	}
	for k, v := range views {
		switch s := n.strides[k]; {
		case v.At == 0 || k > 0 && s[0] == 0:
		case s[0] != 1 || v.At%16 != 0:
			return false
		default:
			for _, x := range s[1:n.rank] {
				if x%8 != 0 {
					return false
				}
			}
		}
	}
	return true
}

// Map computes y = op(in[0], in[1], in[2]) at every step of the loops, outermost
// first, or adds that to y. op is one of those in kernels/elementwise.cu, p its
// parameter. y visits each of its elements once.
func (k *Kernels) Map(op string, p float32, add bool, dims []int, y View, in ...View) {
	views := [4]View{y}
	for i, v := range in { // copy would have callers' strides on the heap
		views[i+1] = v
	}
	n := newNest(dims, &views)
	code, done := number(ops, op), 0
	if code < firstBig && n.eights(&views) {
		done = n.count / 8 * 8
		k.mapped("map8", code, p, add, &n, &views, done, 0)
	}
	if done < n.count {
		k.mapped("map1", code, p, add, &n, &views, n.count, done)
	}
}

func (k *Kernels) mapped(function string, code int, p float32, add bool, n *nest, views *[4]View, count, from int) {
	kinds, each := 0, 8
	for i, v := range views {
		if kinds |= int(v.Type) << (4 * i); i > 0 && n.strides[i][0] == 0 {
			kinds |= 8 << (4 * i)
		}
	}
	if function == "map1" {
		each = 1
	}
	a := [31]gpu.Arg{gpu.Int(code), gpu.Float(p), gpu.Int(count), flag(add), gpu.Int(kinds), gpu.Int(n.rank),
		gpu.Address(views[0].At), gpu.Address(views[1].At), gpu.Address(views[2].At), gpu.Address(views[3].At)}
	putLoops(a[10:], &n.dims)
	for i := range n.strides {
		putLoops(a[14+4*i:], &n.strides[i])
	}
	l := 30
	if each == 1 {
		a[l] = gpu.Int(from)
		l++
	}
	k.launch("elementwise", function, blocks((count-from)/each), gpu.Dim{threads}, 0, a[:l]...)
}

// putLoops packs two numbers into an argument.
func putLoops(to []gpu.Arg, x *[MaxLoops]int) {
	for i := 0; i < MaxLoops; i += 2 {
		to[i/2] = gpu.Long(int64(x[i+1])<<32 | int64(uint32(x[i])))
	}
}

func flag(b bool) gpu.Arg {
	if b {
		return gpu.Int(1)
	}
	return gpu.Int(0)
}

// Flat is a view of the whole array for one loop.
func Flat(a Array) View { return View{a, once} }

// Repeated is a view of its first element for one loop.
func Repeated(a Array) View { return View{a, never} }

var once, never = []int{1}, []int{0}

// MapFlat is Map over arrays of one size, or of one element, which repeats.
func (k *Kernels) MapFlat(op string, p float32, add bool, y Array, in ...Array) {
	var views [3]View
	for i, a := range in {
		if views[i] = Flat(a); a.N == 1 {
			views[i] = Repeated(a)
		}
	}
	dims := [1]int{y.N}
	k.Map(op, p, add, dims[:], Flat(y), views[:len(in)]...)
}

// maxGrid bounds a grid in y and z.
const maxGrid = 65535

// Transpose turns x [batch, rows, columns] into y [batch, columns, rows], or adds.
func (k *Kernels) Transpose(y, x Array, batch, rows, columns int, add bool) {
	grid := gpu.Dim{(columns + 31) / 32, (rows + 31) / 32, batch}
	if grid[1] > maxGrid || grid[2] > maxGrid {
		k.Map("copy", 0, add, []int{batch, columns, rows}, View{y, []int{rows * columns, rows, 1}}, View{x, []int{rows * columns, 1, columns}})
		return
	}
	k.launch("elementwise", "transpose", grid, gpu.Dim{32, 8}, 0, gpu.Address(y.At), gpu.Address(x.At),
		typed(y), typed(x), gpu.Int(rows), gpu.Int(columns), flag(add))
}

func typed(a Array) gpu.Arg { return gpu.Int(int(a.Type)) }
