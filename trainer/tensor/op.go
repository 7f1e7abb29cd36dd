package tensor

import (
	"fmt"
	"slices"
	"sort"
)

// Spec is what shape inference knows of a tensor.
type Spec struct {
	Shape []int
	Int   bool // ids instead of floats
}

// Attrs are the attributes of one operation, in the order in which its Op
// names them.
type Attrs struct {
	Ints   []int
	Floats []float32
}

// Op is one registered operation. Eager calls, the traced graph and its
// executor all go through it, so adding an operation is: register it here
// once, add a method that calls apply, add its cases to the tests.
type Op struct {
	Name string
	// Arity is the number of inputs; -1 means one or more.
	Arity int
	// Ints names the integer attributes; a last name that ends in "..."
	// takes any number. Floats names the float attributes.
	Ints   []string
	Floats []string
	// Infer computes the output's shape or says what is wrong. It is the only
	// judge of inputs and attributes and must accept anything: graphs from
	// outside come through it.
	Infer func(a Attrs, in []Spec) (Spec, error)
	// Forward fills c.out. It obeys the NaN rule of the package comment if the
	// operation is exportable.
	Forward func(c *call)
	// Backward adds to the gradients of the inputs (c.din) from c.dout. Nil
	// means the output has no gradient.
	Backward func(c *call)
	// View says that the output shares the memory of input 0.
	View bool
	// TrainingOnly operations cannot be part of an exported graph; the text
	// says why.
	TrainingOnly string
}

var registry = map[string]*Op{}

// register adds an operation; it is called from variable declarations.
func register(op Op) *Op {
	if registry[op.Name] != nil {
		panic("tensor: operation registered twice: " + op.Name)
	}
	registry[op.Name] = &op
	return &op
}

// Ops lists the registered operations by name.
func Ops() []*Op {
	l := make([]*Op, 0, len(registry))
	for _, op := range registry {
		l = append(l, op)
	}
	sort.Slice(l, func(i, j int) bool { return l[i].Name < l[j].Name })
	return l
}

// call is one use of an operation; on the tape it is what Backward needs.
type call struct {
	op    *Op
	dev   *Device
	attrs Attrs
	in    []*Tensor
	out   *Tensor
	dout  []float32
	// grads says that Backward will follow, so Forward should save.
	grads bool
	saved []float32
	// only, when set, has the one position per batch entry that is asked for;
	// elsewhere the output may be NaN. See Graph.RunAt.
	only   []int
	custom *customFns
}

func (c *call) int(i int) int       { return c.attrs.Ints[i] }
func (c *call) float(i int) float32 { return c.attrs.Floats[i] }

// save allocates n floats that Backward finds in c.saved.
func (c *call) save(n int) []float32 {
	c.saved = c.dev.mem.alloc(n)
	return c.saved
}

// din is the gradient of input i to add to, or nil when it needs none.
func (c *call) din(i int) []float32 {
	t := c.in[i]
	if !t.needGrad {
		return nil
	}
	if t.grad == nil {
		t.allocGrad()
		clear(t.grad)
	}
	return t.grad
}

// dinFresh is din without the cost of zeroing: when fresh is true the buffer
// has undefined contents and must be overwritten instead of added to.
func (c *call) dinFresh(i int) (g []float32, fresh bool) {
	t := c.in[i]
	if !t.needGrad {
		return nil, false
	}
	if t.grad == nil {
		t.allocGrad()
		return t.grad, true
	}
	return t.grad, false
}

// pass gives dout on to input i unchanged: by handing over the buffer when it
// is the first contribution and nobody else needs it, else by adding.
func (c *call) pass(i int) {
	t := c.in[i]
	if !t.needGrad {
		return
	}
	if t.grad == nil && t.kind == kindStep && c.dout != nil {
		t.grad = c.out.grad
		c.out.grad = nil // moved: Backward must not free it
		return
	}
	c.dev.accumulate(c.din(i), c.dout)
}

func (t *Tensor) allocGrad() {
	if t.kind == kindStep {
		t.grad = t.dev.mem.alloc(len(t.data))
		return
	}
	t.grad = make([]float32, len(t.data))
	t.dev.held += int64(len(t.data)) * 4
}

// accumulate adds src to dst.
func (d *Device) accumulate(dst, src []float32) {
	d.pool.run(len(dst), elemGrain, func(_, lo, hi int) {
		d.kern.Add(dst[lo:hi], dst[lo:hi], src[lo:hi])
	})
}

// apply runs an operation eagerly and records it.
func apply(op *Op, a Attrs, in ...*Tensor) *Tensor {
	return (&call{op: op, attrs: a, in: in}).do()
}

func (c *call) do() *Tensor {
	op := c.op
	d := c.in[0].dev
	c.dev = d
	specs := make([]Spec, len(c.in))
	for i, t := range c.in {
		if t == nil {
			fail(op.Name, "input %d is nil", i)
		}
		if t.dev != d {
			fail(op.Name, "input %d lives on another device", i)
		}
		t.use(op.Name)
		specs[i] = t.spec()
		c.grads = c.grads || t.needGrad
	}
	out, err := op.Infer(c.attrs, specs)
	if err != nil {
		e := &Error{Op: op.Name, Msg: err.Error()}
		for _, s := range specs {
			e.Shapes = append(e.Shapes, s.String())
		}
		panic(e)
	}
	c.grads = c.grads && !d.quiet && op.Backward != nil
	if op.View {
		c.out = &Tensor{dev: d, shape: slices.Clone(out.Shape), data: c.in[0].data, isInt: out.Int, gen: d.gen}
	} else {
		c.out = d.step(op.Name, out.Shape, out.Int)
		op.Forward(c)
	}
	if c.grads {
		c.out.needGrad, c.out.made = true, c
		d.tape = append(d.tape, c)
	}
	if d.rec != nil {
		d.rec.add(c)
	}
	return c.out
}

// String prints the shape, marking ids.
func (s Spec) String() string {
	if s.Int {
		return fmt.Sprint(s.Shape) + "i32"
	}
	return fmt.Sprint(s.Shape)
}

// floats refuses id tensors.
func floats(in []Spec) error {
	for i, s := range in {
		if s.Int {
			return fmt.Errorf("input %d holds ids, want floats", i)
		}
	}
	return nil
}

// Least amounts of work worth a thread. Tests lower them to send small tensors
// through the parallel paths.
var (
	elemGrain = 16384   // elements
	colGrain  = 16      // columns, where threads own column ranges
	gemmGrain = 1 << 20 // multiply-adds of a matrix product: some 10 us
)
