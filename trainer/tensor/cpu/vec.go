package cpu

import "math"

// vectors are the elementwise kernels of a Set.
type vectors struct {
	Add    func(dst, a, b []float32)                   // dst = a + b
	Sub    func(dst, a, b []float32)                   // dst = a - b
	Mul    func(dst, a, b []float32)                   // dst = a * b
	Div    func(dst, a, b []float32)                   // dst = a / b
	MulAdd func(dst, a, b []float32)                   // dst += a * b
	Scale  func(dst, x []float32, s float32)           // dst = s * x
	Axpy   func(dst []float32, s float32, x []float32) // dst += s * x
	Sum    func(x []float32) float32
	Dot    func(a, b []float32) float32
	Max    func(x []float32) float32 // NaN if any is NaN
	Exp    func(dst, x []float32)
	// ExpSub is dst = exp(x - m); it returns the sum.
	ExpSub  func(dst, x []float32, m float32) float32
	Tanh    func(dst, x []float32)
	Sigmoid func(dst, x []float32)
	// ReluSquare is dst = max(x,0)^2; its gradient adds 2 max(x,0) dy to dx.
	ReluSquare     func(dst, x []float32)
	ReluSquareGrad func(dx, dy, x []float32)
	// SoftmaxGrad is ds = p * (ds - delta) * scale.
	SoftmaxGrad func(ds, p []float32, delta, scale float32)
	// SoftcapGrad is z = e * f * (1 - z*z*r), for capped logits z, their
	// exponentials e and r = 1/cap^2.
	SoftcapGrad func(z, e []float32, f, r float32)
	// ExpScaled is dst = exp(x*s - m), s above 0; it returns the sum.
	ExpScaled func(dst, x []float32, s, m float32) float32
	Offset    func(dst, x []float32, s float32) // dst = x + s
	// SigmoidGrad is dx += dy * y * (1-y), TanhGrad dx += dy * (1 - y*y).
	SigmoidGrad, TanhGrad func(dx, dy, y []float32)
	// Rotate is y1 = x1*c + x2*s*sign, y2 = x2*c - x1*s*sign.
	Rotate func(y1, y2, x1, x2, c, s []float32, sign float32)
	// Lerp is dst += w * (x - dst).
	Lerp func(dst, x []float32, w float32)
	// Cautious is p -= lr*u, and p -= decay*p where u*p >= 0.
	Cautious func(p, u []float32, lr, decay float32)
	// AdamW is one step with decoupled decay: m and v move towards g and g*g,
	// then p = p*keep - lr*m/(sqrt(v)*c + eps).
	AdamW func(p, g, m, v []float32, beta1, beta2, lr, c, eps, keep float32)
}

func plainVectors() vectors {
	return vectors{
		Add: addGo, Sub: subGo, Mul: mulGo, Div: divGo, MulAdd: mulAddGo, Scale: scaleGo, Axpy: axpyGo,
		Sum: sumGo, Dot: dotGo, Max: maxGo, Exp: expGo, ExpSub: expSubGo, Tanh: tanhGo, Sigmoid: sigmoidGo,
		ReluSquare: reluSquareGo, ReluSquareGrad: reluSquareGradGo,
		SoftmaxGrad: softmaxGradGo, SoftcapGrad: softcapGradGo, Lerp: lerpGo,
		ExpScaled: expScaledGo, Offset: offsetGo, SigmoidGrad: sigmoidGradGo, TanhGrad: tanhGradGo, Rotate: rotateGo,
		Cautious: cautiousGo, AdamW: adamwGo,
	}
}

func addGo(dst, a, b []float32) {
	b, dst = b[:len(a)], dst[:len(a)]
	for i, v := range a {
		dst[i] = v + b[i]
	}
}

func mulGo(dst, a, b []float32) {
	b, dst = b[:len(a)], dst[:len(a)]
	for i, v := range a {
		dst[i] = v * b[i]
	}
}

func subGo(dst, a, b []float32) {
	b, dst = b[:len(a)], dst[:len(a)]
	for i, v := range a {
		dst[i] = v - b[i]
	}
}

func divGo(dst, a, b []float32) {
	b, dst = b[:len(a)], dst[:len(a)]
	for i, v := range a {
		dst[i] = v / b[i]
	}
}

func mulAddGo(dst, a, b []float32) {
	b, dst = b[:len(a)], dst[:len(a)]
	for i, v := range a {
		dst[i] += v * b[i]
	}
}

func scaleGo(dst, x []float32, s float32) {
	dst = dst[:len(x)]
	for i, v := range x {
		dst[i] = s * v
	}
}

func axpyGo(dst []float32, s float32, x []float32) {
	dst = dst[:len(x)]
	for i, v := range x {
		dst[i] += s * v
	}
}

// sumGo adds in four strands: faster, and closer to the true sum.
func sumGo(x []float32) float32 {
	var a, b, c, d float32
	for ; len(x) >= 4; x = x[4:] {
		a += x[0]
		b += x[1]
		c += x[2]
		d += x[3]
	}
	for _, v := range x {
		a += v
	}
	return (a + b) + (c + d)
}

func dotGo(x, y []float32) float32 {
	var a, b, c, d float32
	y = y[:len(x)]
	for ; len(x) >= 4; x, y = x[4:], y[4:] {
		a += x[0] * y[0]
		b += x[1] * y[1]
		c += x[2] * y[2]
		d += x[3] * y[3]
	}
	for i, v := range x {
		a += v * y[i]
	}
	return (a + b) + (c + d)
}

// maxGo goes in four strands: the builtin keeps NaN, and is slow for it.
func maxGo(x []float32) float32 {
	a := x[0]
	b, c, d := a, a, a
	for ; len(x) >= 4; x = x[4:] {
		a = max(a, x[0])
		b = max(b, x[1])
		c = max(c, x[2])
		d = max(d, x[3])
	}
	for _, v := range x {
		a = max(a, v)
	}
	return max(max(a, b), max(c, d))
}

func expGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = exp32(v)
	}
}

func expSubGo(dst, x []float32, m float32) float32 {
	var s float32
	for i, v := range x {
		e := exp32(v - m)
		dst[i] = e
		s += e
	}
	return s
}

func tanhGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = tanh32(v)
	}
}

func sigmoidGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = 1 / (1 + exp32(-v))
	}
}

func reluSquareGo(dst, x []float32) {
	for i, v := range x {
		v = max(v, 0)
		dst[i] = v * v
	}
}

func reluSquareGradGo(dx, dy, x []float32) {
	dx, dy = dx[:len(x)], dy[:len(x)]
	for i, v := range x {
		dx[i] += 2 * max(v, 0) * dy[i]
	}
}

func softmaxGradGo(ds, p []float32, delta, scale float32) {
	ds = ds[:len(p)]
	for i, v := range p {
		ds[i] = v * (ds[i] - delta) * scale
	}
}

func softcapGradGo(z, e []float32, f, r float32) {
	z = z[:len(e)]
	for i, v := range e {
		z[i] = v * f * (1 - z[i]*z[i]*r)
	}
}

func expScaledGo(dst, x []float32, s, m float32) float32 {
	var sum float32
	for i, v := range x {
		e := exp32(v*s - m)
		dst[i] = e
		sum += e
	}
	return sum
}

func offsetGo(dst, x []float32, s float32) {
	for i, v := range x {
		dst[i] = v + s
	}
}

func sigmoidGradGo(dx, dy, y []float32) {
	dx, dy = dx[:len(y)], dy[:len(y)]
	for i, v := range y {
		dx[i] += dy[i] * v * (1 - v)
	}
}

func tanhGradGo(dx, dy, y []float32) {
	dx, dy = dx[:len(y)], dy[:len(y)]
	for i, v := range y {
		dx[i] += dy[i] * (1 - v*v)
	}
}

func rotateGo(y1, y2, x1, x2, c, s []float32, sign float32) {
	for i, c := range c {
		s, a, b := s[i]*sign, x1[i], x2[i]
		y1[i] = a*c + b*s
		y2[i] = b*c - a*s
	}
}

func lerpGo(dst, x []float32, w float32) {
	dst = dst[:len(x)]
	for i, v := range x {
		dst[i] += w * (v - dst[i])
	}
}

func cautiousGo(p, u []float32, lr, decay float32) {
	p = p[:len(u)]
	for i, v := range u {
		d := lr * v
		if v*p[i] >= 0 {
			d += decay * p[i]
		}
		p[i] -= d
	}
}

func adamwGo(p, g, m, v []float32, beta1, beta2, lr, c, eps, keep float32) {
	g, m, v = g[:len(p)], m[:len(p)], v[:len(p)]
	for i, x := range p {
		d := g[i]
		m[i] = beta1*m[i] + (1-beta1)*d
		v[i] = beta2*v[i] + (1-beta2)*d*d
		p[i] = x*keep - lr*m[i]/(float32(math.Sqrt(float64(v[i])))*c+eps)
	}
}

// exp32 is e^x within about 2 units in the last place, by the polynomial that
// the vector kernels use (Cephes' expf): x = n ln 2 + r, a polynomial in r, and
// n added to the exponent. NaN gives NaN, large x +Inf, small x 0.
func exp32(x float32) float32 {
	switch {
	case x != x:
		return x
	case x > 89:
		return float32(math.Inf(1))
	case x < -104:
		return 0
	}
	n := float32(math.RoundToEven(float64(x * math.Log2E)))
	r := x - n*0.693359375
	r -= n * -2.12194440e-4
	p := float32(1.9875691500e-4)
	p = p*r + 1.3981999507e-3
	p = p*r + 8.3334519073e-3
	p = p*r + 4.1665795894e-2
	p = p*r + 1.6666665459e-1
	p = p*r + 5.0000001201e-1
	p = p*r*r + r + 1
	// 2^n in two halves, so that the ends of the range come out right.
	k := int32(n)
	h := k >> 1
	return p * pow2(h) * pow2(k-h)
}

func pow2(n int32) float32 { return math.Float32frombits(uint32(n+127) << 23) }

// tanh32 is a polynomial near 0 and 1 - 2/(e^2|x| + 1) elsewhere.
func tanh32(x float32) float32 {
	a := float32(math.Abs(float64(x)))
	if a < 0.625 {
		z := x * x
		p := float32(-5.70498872745e-3)
		p = p*z + 2.06390887954e-2
		p = p*z + -5.37397155531e-2
		p = p*z + 1.33314422036e-1
		p = p*z + -3.33332819422e-1
		return x + x*z*p
	}
	return float32(math.Copysign(float64(1-2/(exp32(2*a)+1)), float64(x)))
}

var negInf = float32(math.Inf(-1))
