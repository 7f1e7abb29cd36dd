package tensor

// The helpers that change tensors in place (optim.go) on a GPU. Those with a
// kernel are in inPlaceOnGPU; the others run their Go code on copies. Blocks may
// be F32 or BF16; what changes is in practice F32, since leaves are.
var inPlaceOnGPU struct {
	// factors are those of AdamWOptions.factors. Where half is not none(), the
	// kernel also writes the new p to it in bfloat16.
	adamW     func(a *accelerator, p, grad, m, v, half block, factors [6]float32)
	lerp      func(a *accelerator, t, b block, w float32)
	cautious  func(a *accelerator, t, step block, lr, lrDecay float32) // t -= lr step, and lrDecay t where they pull the same way
	addScaled func(a *accelerator, t, b block, s float32)
	scale     func(a *accelerator, t block, s float32)
	fill      func(a *accelerator, t block, x float32)
	norm      func(a *accelerator, t block) float32 // waits for the GPU
}

// onCopies runs f, which changes the first n of the tensors.
func (a *accelerator) onCopies(f func(), n int, l ...*Tensor) {
	defer func() {
		for _, t := range l {
			a.giveBack(t)
		}
		a.stage.reset()
		a.running = false
	}()
	a.running = true
	for _, t := range l {
		a.borrow(t)
	}
	f()
	for _, t := range l[:n] {
		t.changes()
		a.upload(t.block(), t.data)
	}
}

func (a *accelerator) adamW(p, m, v *Tensor, s [6]float32) {
	k := inPlaceOnGPU.adamW
	if k == nil || a.forced("*") {
		a.onCopies(func() { adamW(p, m, v, p.Grad().data, s) }, 3, p, m, v, p.Grad())
		return
	}
	p.settle()
	var half block
	if p.half != nil {
		half = p.half.mem
	}
	p.changes()
	m.changes()
	v.changes()
	k(a, p.block(), p.gradMem, m.block(), v.block(), half, s)
	if p.half != nil {
		p.half.fresh = true
	}
	a.freeTemps(0)
}

func (a *accelerator) lerp(t, b *Tensor, w float32) {
	k := inPlaceOnGPU.lerp
	if k == nil || a.forced("*") {
		a.onCopies(func() { t.lerp(b, w) }, 1, t, b)
		return
	}
	t.changes()
	k(a, t.block(), b.block(), w)
	a.freeTemps(0)
}

func (a *accelerator) cautious(t, step *Tensor, lr, decay float32) {
	k := inPlaceOnGPU.cautious
	if k == nil || a.forced("*") {
		a.onCopies(func() { t.cautious(step, lr, decay) }, 1, t, step)
		return
	}
	t.changes()
	k(a, t.block(), step.block(), lr, lr*decay)
	a.freeTemps(0)
}

func (a *accelerator) addScaled(t, b *Tensor, s float32) {
	k := inPlaceOnGPU.addScaled
	if k == nil || a.forced("*") {
		a.onCopies(func() { t.addScaled(b, s) }, 1, t, b)
		return
	}
	t.changes()
	k(a, t.block(), b.block(), s)
	a.freeTemps(0)
}

func (a *accelerator) scale(t *Tensor, s float32) {
	k := inPlaceOnGPU.scale
	if k == nil || a.forced("*") {
		a.onCopies(func() { t.scale(s) }, 1, t)
		return
	}
	t.changes()
	k(a, t.block(), s)
	a.freeTemps(0)
}

func (a *accelerator) fill(t *Tensor, x float32) {
	k := inPlaceOnGPU.fill
	if k == nil || a.forced("*") {
		t.generate(func(l []float32) {
			for i := range l {
				l[i] = x
			}
		})
		return
	}
	t.changes()
	k(a, t.block(), x)
	a.freeTemps(0)
}

func (a *accelerator) norm(t *Tensor) (s float32) {
	k := inPlaceOnGPU.norm
	if k == nil || a.forced("*") {
		a.onCopies(func() { s = t.norm() }, 0, t)
		return s
	}
	s = k(a, t.block())
	a.freeTemps(0)
	return s
}
