package tensor

// convert is dst = src, of as many elements, rounded to nearest even where dst
// is bfloat16 and src is not.
func (a *accelerator) convert(dst, src block) {
	if dst.typ == src.typ {
		a.dev.Copy(dst.at, src.at, src.bytes())
		return
	}
	mark := a.stage.mark()
	defer a.stage.release(mark)
	x := a.stage.alloc(src.n)
	a.download(x, src)
	a.upload(dst, x)
}

// accumulate is dst += src, of as many elements: in float32, rounded once.
func (a *accelerator) accumulate(dst, src block) {
	mark := a.stage.mark()
	defer a.stage.release(mark)
	x, y := a.stage.alloc(src.n), a.stage.alloc(src.n)
	a.download(x, src)
	a.download(y, dst)
	for i, v := range x {
		y[i] += v
	}
	a.upload(dst, y)
}
