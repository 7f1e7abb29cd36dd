package tensor

// convert is dst = src, of as many elements, rounded to nearest even where dst
// is bfloat16 and src is not.
func (a *accelerator) convert(dst, src block) {
	if dst.typ == src.typ {
		a.dev.Copy(dst.at, src.at, src.bytes())
		return
	}
	a.k.Cast(dst.array(), src.array())
}

// accumulate is dst += src, of as many elements: in float32, rounded once.
func (a *accelerator) accumulate(dst, src block) { a.k.AddScaled(dst.array(), src.array(), 1, 0) }
