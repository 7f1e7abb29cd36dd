package tensor

import "slices"

// Backward adds the gradient of the scalar t to every leaf it was computed
// from, and frees the gradients of intermediate values on the way.
func (t *Tensor) Backward() {
	t.use("backward")
	if t.size != 1 || t.isInt {
		fail("backward", "got shape %v, want a scalar loss: Mean or Sum make one", t.shape)
	}
	if t.made == nil {
		fail("backward", "the loss does not depend on any Param: was it computed under NoGrad, past a Detach, or from operations without gradient?")
	}
	if t.made.begun {
		fail("backward", "called twice for one loss, which would count it twice: add the losses and call Backward once")
	}
	t.made.begun = true
	d := t.dev
	if d.acc != nil {
		d.acc.backward(t)
		return
	}
	t.grad = d.mem.alloc(1)
	t.grad[0] = 1
	for i := slices.Index(d.tape, t.made); i >= 0; i-- {
		c := d.tape[i]
		if c.out.grad == nil {
			continue
		}
		c.dout = c.out.grad
		c.op.Backward(c)
		c.dout = nil
		if c.out.grad != nil {
			d.mem.free(c.out.grad)
			c.out.grad = nil
		}
	}
}

// ZeroGrad sets the gradients of all leaves to zero.
func (d *Device) ZeroGrad() {
	for _, t := range d.leaves {
		if t.grad != nil {
			d.kern.Clear(t.grad)
		}
		t.gradStale = t.gradMem.at != 0 // zero, from now on: see call.gradOf
	}
}

type customFns struct {
	name     string
	forward  func(out []float32, in [][]float32)
	backward func(dout []float32, in, din [][]float32)
}

var opCustom = register(Op{
	Name: "custom", Arity: -1, Ints: []string{"shape..."},
	Infer: func(a Attrs, in []Spec) (Spec, error) {
		if err := floats(in); err != nil {
			return Spec{}, err
		}
		return checked(a.Ints)
	},
	Forward: func(c *call) { c.custom.forward(c.out.data, c.slices(false)) },
	Backward: func(c *call) {
		if c.custom.backward != nil {
			c.custom.backward(c.dout, c.slices(false), c.slices(true))
		}
	},
	TrainingOnly: "it runs the candidate's own Go code",
})

func (c *call) slices(grads bool) [][]float32 {
	l := make([][]float32, len(c.in))
	for i, t := range c.in {
		if grads {
			l[i] = c.din(i)
		} else {
			l[i] = t.data
		}
	}
	return l
}

// Custom is an operation in plain Go for training; it cannot be exported.
// forward fills out (undefined contents before) from the inputs' elements;
// backward adds to din from dout, din[i] is nil where no gradient is needed,
// and a nil backward means no gradient. Both see host memory, row-major.
func Custom(name string, inputs []*Tensor, outShape []int,
	forward func(out []float32, in [][]float32),
	backward func(dout []float32, in, din [][]float32)) *Tensor {
	if len(inputs) == 0 || forward == nil {
		fail("custom", "%q needs at least one input and a forward function", name)
	}
	c := newCall(opCustom, Attrs{Ints: outShape}, inputs)
	c.custom = &customFns{name: name, forward: forward, backward: backward}
	return c.do()
}
