package tensor

import (
	"slices"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/cuda"
)

// fewLoops says that kernels have loops enough for the shapes of a call.
func fewLoops(c *call) bool {
	return len(c.out.shape) <= cuda.MaxLoops && len(c.in[0].shape) <= cuda.MaxLoops
}

// Gradients of operations of one input: the kernel's operation on dy and, if it
// needs one, on the input or the output.
var unaryGradients = map[string]struct {
	op   string
	from byte // 'x', 'y', or 0
}{
	"scale": {"scale", 0}, "neg": {"neg", 0},
	"exp": {"mul", 'y'}, "log": {"div", 'x'}, "tanh": {"tanh_grad", 'y'}, "sigmoid": {"sigmoid_grad", 'y'},
	"relu": {"relu_grad", 'x'}, "relu_square": {"relu_square_grad", 'x'}, "silu": {"silu_grad", 'x'}, "gelu": {"gelu_grad", 'x'},
	"sqrt": {"sqrt_grad", 'y'}, "rsqrt": {"rsqrt_grad", 'y'}, "square": {"square_grad", 'x'}, "abs": {"abs_grad", 'x'},
	"softcap": {"softcap_grad", 'y'}, "sin": {"sin_grad", 'x'}, "cos": {"cos_grad", 'x'}, "erf": {"erf_grad", 'x'},
	"softplus": {"softplus_grad", 'x'}, "reciprocal": {"reciprocal_grad", 'y'}, "leaky_relu": {"leaky_relu_grad", 'x'},
	"pow": {"pow_grad", 'x'}, "at_least": {"at_least_grad", 'x'}, "at_most": {"at_most_grad", 'x'},
}

// localGradient is that of an operation of several inputs to one of them, at one
// element of the output: a kernel's operation on dy, the input itself and another.
type localGradient struct {
	op    string
	term  string // the same in a sum over repeated elements
	mine  bool   // it needs the input itself
	other int    // the other input that it needs, or -1
}

var localGradients = map[string]map[int]localGradient{
	"add":          {0: {"copy", "x", false, -1}, 1: {"copy", "x", false, -1}},
	"sub":          {0: {"copy", "x", false, -1}, 1: {"neg", "neg", false, -1}},
	"mul":          {0: {"mul", "product", false, 1}, 1: {"mul", "product", false, 0}},
	"div":          {0: {"div", "quotient", false, 1}, 1: {"div_other_grad", "div_other", true, 0}},
	"maximum":      {0: {"maximum_grad", "maximum", true, 1}, 1: {"maximum_grad", "maximum", true, 0}},
	"minimum":      {0: {"minimum_grad", "minimum", true, 1}, 1: {"minimum_grad", "minimum", true, 0}},
	"where":        {1: {"where_grad", "where", false, 0}, 2: {"where_else_grad", "where_else", false, 0}},
	"broadcast_to": {0: {"copy", "x", false, -1}},
}

func init() {
	for _, op := range Ops() {
		if op.unary != nil {
			g := gpuOp{forward: func(c *call) {
				c.kernels().MapFlat(c.op.Name, c.param(), false, c.result().array(), c.value(0).array())
			}}
			if op.Backward != nil {
				g.backward = (*call).unaryGradient
			}
			onGPU[op.Name] = g
		}
	}
	onGPU["add_scalar"] = gpuOp{forward: onGPU["add_scalar"].forward, backward: func(c *call) { c.pass(0) }}
	for name, l := range localGradients {
		onGPU[name] = gpuOp{fits: fewLoops, forward: (*call).mapped, backward: func(c *call) {
			for i := range c.in {
				if g, ok := l[i]; ok {
					c.localGradient(i, g)
				}
			}
		}}
	}
	for _, name := range []string{"greater", "equal"} {
		onGPU[name] = gpuOp{fits: fewLoops, forward: (*call).mapped}
	}
	for _, name := range []string{"add", "sub"} {
		onGPU[name] = gpuOp{fits: fewLoops, forward: (*call).mapped, backward: (*call).addGradient}
	}
}

func (c *call) unaryGradient() {
	g, fresh := c.gradOf(0)
	if g.none() {
		return
	}
	in := [2]cuda.Array{c.grad().array()}
	n, u := 2, unaryGradients[c.op.Name]
	switch u.from {
	case 'x':
		in[1] = c.value(0).array()
	case 'y':
		in[1] = c.result().array()
	default:
		n = 1
	}
	c.kernels().MapFlat(u.op, c.param(), !fresh, g.array(), in[:n]...)
}

// inOrder is the strides of an array that a nest of loops walks from first to
// last, in room.
func inOrder(room *[cuda.MaxLoops]int, dims []int) []int {
	n := 1
	for i := len(dims) - 1; i >= 0; i-- {
		room[i] = n
		n *= dims[i]
	}
	return room[:len(dims)]
}

// mapped computes an elementwise operation of several inputs that broadcast.
func (c *call) mapped() {
	var room [cuda.MaxLoops]int
	var in [3]cuda.View
	l := c.loop()
	for i := range c.in {
		in[i] = cuda.View{Array: c.value(i).array(), Strides: l.str[i]}
	}
	name := c.op.Name
	if name == "broadcast_to" {
		name = "copy"
	}
	c.kernels().Map(name, 0, false, l.dims, cuda.View{Array: c.result().array(), Strides: inOrder(&room, l.dims)}, in[:len(c.in)]...)
}

// localGradient adds to the gradient of input i what the operation gives, summed
// over the dimensions in which the input repeats.
func (c *call) localGradient(i int, local localGradient) {
	g, fresh := c.gradOf(i)
	if g.none() {
		return
	}
	l := c.loop()
	if g.n == c.out.size {
		c.mapGradient(i, local, g, !fresh)
		return
	}
	var other, mine cuda.Array
	if local.mine {
		mine = c.value(i).array()
	}
	if local.other >= 0 {
		other = c.value(local.other).array()
	}
	if lanes, runs := repeats(l.dims, l.str[i]); runs == 1 && (local.other < 0 || other.N == c.out.size) {
		c.kernels().Reduce(local.term, 1, !fresh, g.array(), c.grad().array(), other, mine, lanes)
		return
	}
	// Unusual ways to broadcast: all of them first, then one sum after another.
	all := c.temp(c.out.size, gpu.F32)
	c.mapGradient(i, local, all, false)
	var dims, strides [cuda.MaxLoops]int
	n := copy(dims[:], l.dims)
	copy(strides[:], l.str[i])
	c.sumRepeats(g, !fresh, all, dims[:n], strides[:n])
}

// mapGradient writes the gradient before any sum to g, or adds it.
func (c *call) mapGradient(i int, local localGradient, g block, add bool) {
	var room [cuda.MaxLoops]int
	l := c.loop()
	whole := inOrder(&room, l.dims)
	in := [3]cuda.View{{Array: c.grad().array(), Strides: whole}}
	n := 1
	if local.mine {
		in[n] = cuda.View{Array: c.value(i).array(), Strides: l.str[i]}
		n++
	}
	if local.other >= 0 {
		in[n] = cuda.View{Array: c.value(local.other).array(), Strides: l.str[local.other]}
		n++
	}
	c.kernels().Map(local.op, 0, add, l.dims, cuda.View{Array: g.array(), Strides: whole}, in[:n]...)
}

// repeats finds the loops in which an input repeats. It gives the last run of
// such neighbors as the dimension to be summed, and how many runs there are.
func repeats(dims, strides []int) (l cuda.Lanes, runs int) {
	l = cuda.Lanes{Outer: 1, N: 1, Inner: 1}
	for k := len(dims) - 1; k >= 0; k-- {
		first := k == len(dims)-1 || strides[k+1] != 0
		if strides[k] == 0 && first {
			runs++
		}
		switch {
		case runs == 0:
			l.Inner *= dims[k]
		case runs == 1 && strides[k] == 0:
			l.N *= dims[k]
		default:
			l.Outer *= dims[k]
		}
	}
	return l, runs
}

// sumRepeats sums all, an array over the loops, to g or adds it there. It changes
// dims and strides.
func (c *call) sumRepeats(g block, add bool, all block, dims, strides []int) {
	for {
		l, runs := repeats(dims, strides)
		if runs <= 1 {
			c.kernels().Reduce("x", 1, add, g.array(), all.array(), cuda.Array{}, cuda.Array{}, l)
			return
		}
		to := c.temp(l.Outer*l.Inner, gpu.F32)
		c.kernels().Reduce("x", 1, false, to.array(), all.array(), cuda.Array{}, cuda.Array{}, l)
		for k := len(dims) - 1; ; k-- { // the run that is done
			if strides[k] == 0 {
				dims, strides = slices.Delete(dims, k, k+1), slices.Delete(strides, k, k+1)
				if k == 0 || strides[k-1] != 0 {
					break
				}
			}
		}
		all = to
	}
}

// addGradient is the gradient of add and sub, which hand theirs on, without a copy,
// to inputs that do not repeat and are not negated.
func (c *call) addGradient() {
	l := localGradients[c.op.Name]
	passes := func(i int) bool { return c.in[i].size == c.out.size && l[i].op == "copy" }
	for i := range c.in {
		if !passes(i) {
			c.localGradient(i, l[i])
		}
	}
	for i := range c.in {
		if passes(i) {
			c.pass(i)
		}
	}
}
