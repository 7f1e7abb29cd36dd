package tensor

import (
	"fmt"
	"sort"

	"github.com/autoresearch-go/autoresearch/trainer/tensor/cpu"
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
	View   bool
	unary  *unaryFns // of elementwise operations
	binary *binaryFns
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
	// begun says that a Backward began here.
	begun bool
	saved []float32
	// only, when set, has the one position per batch entry that is asked for;
	// elsewhere the output may be NaN. See Graph.RunAt.
	only   []int
	custom *customFns

	plan *inferred // what is known of this place in the step
	// What it keeps on a GPU for Backward, see keep, and whether the Forward ran
	// on the host there.
	kept   [4]block
	onHost bool
	fused  *call // the deferred call that this one has computed with its own
	// arg is what a parallel loop needs beyond the above, see call.par.
	arg struct {
		a, b, g []float32
		n       [4]int
		s       [4]float32
		which   int
		flag    bool
		rows    func(c *call, w, row, from, to int)
		line    func(c *call, line, base, stride int)
		block   func(c *call, w int, dst []float32, lo, hi, from, to int)
		fill    func(c *call, dst []float32, in [][]float32)
		grad    func(c *call, g, dy, y []float32, in [][]float32)
	}
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
		c.dev.kern.Clear(t.grad)
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
	if a := c.dev.acc; a != nil && !a.running {
		c.passBlock(i)
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
	if a := t.dev.acc; a != nil { // a copy on the host
		t.grad = a.stage.alloc(t.size)
		return
	}
	if t.kind == kindStep {
		t.grad = t.dev.mem.alloc(t.size)
		return
	}
	t.grad = soiled(make([]float32, t.size))
	t.dev.held += int64(t.size) * 4
}

// accumulate adds src to dst.
func (d *Device) accumulate(dst, src []float32) {
	d.inPlace(func(k *cpu.Set, p *update, lo, hi int) { k.Add(p.t[lo:hi], p.t[lo:hi], p.a[lo:hi]) }, update{t: dst, a: src})
}

// update is a loop over equally long arrays that changes t. Devices have one,
// so that it costs no closure.
type update struct {
	d       *Device
	f       func(k *cpu.Set, p *update, lo, hi int)
	t       []float32
	a, b, c []float32
	s       [8]float32
}

func (u *update) run(_, lo, hi int) { u.f(u.d.kern, u, lo, hi) }

// inPlace runs f over all of p.t on all threads; f captures nothing.
func (d *Device) inPlace(f func(k *cpu.Set, p *update, lo, hi int), p update) {
	p.d, p.f = d, f
	d.update = p
	d.pool.do(len(p.t), d.pool.parts(len(p.t), elemGrain), &d.update)
	d.update = update{}
}

// apply runs an operation eagerly and records it.
func apply(op *Op, a Attrs, in ...*Tensor) *Tensor { return newCall(op, a, in).do() }

// newCall checks the inputs and copies them and the attributes.
func newCall(op *Op, a Attrs, in []*Tensor) *call {
	for i, t := range in {
		if t == nil {
			fail(op.Name, "input %d is nil", i)
		}
		if t.dev != in[0].dev {
			fail(op.Name, "input %d lives on another device", i)
		}
		t.use(op.Name)
	}
	return in[0].dev.heads.call(op, a, in)
}

func (c *call) do() *Tensor {
	op, d := c.op, c.dev
	for _, t := range c.in {
		c.grads = c.grads || t.needGrad
	}
	c.grads = c.grads && !d.quiet && op.Backward != nil
	t, p := d.heads.tensor()
	c.out = t
	out := c.infer(p)
	n, ok := sizeOf(out.Shape)
	if !ok {
		fail(op.Name, "bad shape %v", out.Shape)
	}
	*t = Tensor{dev: d, shape: out.Shape, size: n, isInt: out.Int, gen: d.gen}
	switch {
	case d.acc != nil:
		d.acc.forward(c)
	case op.View:
		t.data = c.in[0].data
	default:
		t.data = d.mem.alloc(n)
		op.Forward(c)
	}
	if c.grads {
		t.needGrad, t.made = true, c
		d.tape = append(d.tape, c)
	}
	if d.rec != nil {
		d.rec.add(c)
	}
	return t
}

// par is pool.run for a body that captures nothing: what it needs is in c, so
// that a step allocates no closures.
func (c *call) par(n, grain int, f func(c *call, w, lo, hi int)) {
	c.dev.body = callBody{c, f}
	c.dev.pool.do(n, c.dev.pool.parts(n, grain), &c.dev.body)
	c.dev.body = callBody{}
}

// each is pool.each for a body that captures nothing.
func (c *call) each(n int, f func(c *call, w, i int)) {
	c.dev.item = callItem{c, f}
	c.dev.pool.eachItem(n, &c.dev.item)
	c.dev.item = callItem{}
}

type callBody struct {
	c *call
	f func(c *call, w, lo, hi int)
}

func (b *callBody) run(w, lo, hi int) { b.f(b.c, w, lo, hi) }

type callItem struct {
	c *call
	f func(c *call, w, i int)
}

func (b *callItem) item(w, i int) { b.f(b.c, w, i) }

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
			return fmt.Errorf("input %d holds ids, want floats: look them up with Embed, or use OneHot or ToFloat", i)
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
