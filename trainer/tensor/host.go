package tensor

// HostTo copies the elements to dst, which has Size elements. It is Host
// without the allocation.
func (t *Tensor) HostTo(dst []float32) {
	t.use("hostto")
	if t.isInt {
		fail("hostto", "tensor of shape %v holds ids, want floats", t.shape)
	}
	if len(dst) != t.size {
		fail("hostto", "got room for %d values, want %d for shape %v", len(dst), t.size, t.shape)
	}
	t.readFloats(dst)
}

// readFloats copies the elements of a tensor of floats to dst, as many.
func (t *Tensor) readFloats(dst []float32) {
	if a := t.dev.acc; a != nil {
		a.download(dst, t.block())
		return
	}
	copy(dst, t.data)
}

// writeFloats overwrites the elements with src, as many.
func (t *Tensor) writeFloats(src []float32) {
	if a := t.dev.acc; a != nil {
		t.changes()
		a.upload(t.block(), src)
		return
	}
	copy(t.data, src)
}

// generate lets f overwrite the elements on the host.
func (t *Tensor) generate(f func(x []float32)) {
	if a := t.dev.acc; a != nil {
		mark := a.stage.mark()
		defer a.stage.release(mark)
		x := a.stage.alloc(t.size)
		f(x)
		t.writeFloats(x)
		return
	}
	f(t.data)
}
