package tensor

// convert is dst = src, of as many elements, rounded to nearest even where dst
// is bfloat16 and src is not.
func (a *accelerator) convert(dst, src block) {
	if dst.typ == src.typ {
		a.dev.Copy(dst.at, src.at, src.bytes())
		return
	}
	x := make([]float32, src.n)
	a.download(x, src)
	a.upload(dst, x)
}

// accumulate is dst += src, of as many elements: in float32, rounded once.
func (a *accelerator) accumulate(dst, src block) {
	x, y := make([]float32, src.n), make([]float32, src.n)
	a.download(x, src)
	a.download(y, dst)
	for i, v := range x {
		y[i] += v
	}
	a.upload(dst, y)
}
