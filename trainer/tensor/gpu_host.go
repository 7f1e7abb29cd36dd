package tensor

// Operations without kernels run their Go code on copies on the host: data and
// grad of the tensors involved are set while they run. What the code saves stays
// on the host until the next Reset, as on a CPU.

// borrow gives a tensor a copy on the host until giveBack, unless it has one.
func (a *accelerator) borrow(t *Tensor) {
	switch {
	case t.data != nil:
	case t.isInt && t.ids != nil:
		t.data = asFloats(t.ids.words)
	default:
		t.data = a.stage.alloc(t.size)
		a.download(t.data, t.block())
	}
}

func (a *accelerator) giveBack(t *Tensor) { t.data, t.grad = nil, nil }

// begin and end bracket Go code on copies. end is deferred, so that a mistake
// that panics leaves no copies.
func (a *accelerator) begin(c *call) {
	a.running = true
	for _, t := range c.in {
		a.borrow(t)
	}
}

func (a *accelerator) end(c *call) {
	for _, t := range c.in {
		a.giveBack(t)
	}
	a.giveBack(c.out)
	a.stage.reset()
	a.running, c.dout = false, nil
}

func (a *accelerator) hostForward(c *call) {
	defer a.end(c)
	a.begin(c)
	c.out.data = a.stage.alloc(c.out.size)
	c.op.Forward(c)
	a.upload(c.out.mem, c.out.data)
}

func (a *accelerator) hostBackward(c *call) {
	defer a.end(c)
	a.begin(c)
	a.borrow(c.out)
	c.out.grad = a.stage.alloc(c.out.size)
	a.download(c.out.grad, c.out.gradMem)
	for _, t := range c.in {
		if t.needGrad && !t.gradMem.none() && !t.gradStale && t.grad == nil {
			t.grad = a.stage.alloc(t.size)
			a.download(t.grad, t.gradMem)
		}
	}
	c.dout = c.out.grad
	c.op.Backward(c)
	for i, t := range c.in {
		if t.grad != nil {
			g, _ := c.gradOf(i)
			a.upload(g, t.grad)
			t.grad = nil
		}
	}
}
