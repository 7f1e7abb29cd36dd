package tensor

// Operations without kernels run their Go code on copies on the host: data and
// grad of the tensors involved are set while they run. What the code saves stays
// on the host until the next Reset, as on a CPU.

// borrow gives the tensors copies on the host until giveBack.
func (a *accelerator) borrow(l []*Tensor) {
	for _, t := range l {
		if t.data != nil {
			continue // there twice
		}
		if t.isInt {
			t.data = a.words(t)
			continue
		}
		t.data = a.stage.alloc(t.size)
		a.download(t.data, t.block())
	}
}

func (a *accelerator) giveBack(l ...*Tensor) {
	for _, t := range l {
		t.data, t.grad = nil, nil
	}
}

// begin and end bracket Go code on copies. end is deferred, so that a mistake
// that panics leaves no copies.
func (a *accelerator) begin(c *call) {
	a.running = true
	a.borrow(c.in)
}

func (a *accelerator) end(c *call) {
	a.giveBack(c.in...)
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
	a.borrow([]*Tensor{c.out})
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
