//go:build ignore

package main

import (
	"fmt"
	"strings"
)

// constants by name; exp is Cephes' expf: x = n ln2 + r, a polynomial in r.
var constants = map[string]string{
	"log2e": "0x3fb8aa3b", "ln2hi": "0x3f318000", "ln2lo": "0xb95e8083",
	"e6": f(1.9875691500e-4), "e5": f(1.3981999507e-3), "e4": f(8.3334519073e-3),
	"e3": f(4.1665795894e-2), "e2": f(1.6666665459e-1), "e1": f(5.0000001201e-1),
	"one": f(1), "two": f(2), "half": f(0.5), "expmax": f(89), "expmin": f(-110), "bias": "0x7f",
	"sign": "0x80000000", "small": f(0.625), "nan": "0x7fc00000",
	"t5": f(-5.70498872745e-3), "t4": f(2.06390887954e-2), "t3": f(-5.37397155531e-2),
	"t2": f(1.33314422036e-1), "t1": f(-3.33332819422e-1),
}

// kernel is one vector loop being written. Registers 0..9 are for the body;
// broadcast arguments and, where registers abound, constants come after.
type kernel struct {
	*asm
	isa
	ptr    map[string]string
	scal   map[string]string
	cached map[string]string
}

var pointerRegs = []string{"DI", "SI", "DX", "R8", "R9", "R10"}

// reductions by kernel. Padding must not change the result; -Inf pads expSub
// with zeros.
var reductions = map[string]*reduction{
	"sum":    {"0", "acc + out[0]", "0"},
	"dot":    {"0", "acc + out[0]", "0"},
	"expSub": {"0", "acc + out[0]", "negInf"},
	// The scale is above 0, so that padding gives 0 here too.
	"expScaled": {"0", "acc + out[0]", "negInf"},
	"max":       {"negInf", "max(acc, maxGo(LANES))", "x[n]"},
}

// loop writes a kernel over n floats, n a positive multiple of 16. ptrs are
// walked together, extra pointers are not. body handles one register full.
func (a *asm) loop(i isa, name, doc string, ptrs, extra, floats, consts []string, before, body, after func(k *kernel)) {
	name += i.name
	outs := map[string][]string{"adamw" + i.name: {"p", "m", "v"}, "rotate" + i.name: {"y1", "y2"}}[name]
	if outs == nil && (len(extra) == 0 || len(ptrs) > 1 && ptrs[0] == "dst") {
		outs = ptrs[:1]
	}
	a.wrapper(i, name, ptrs, outs, floats, reductions[strings.TrimSuffix(name, i.name)])
	k := a.begin(i, name, doc, ptrs, extra, floats, consts)
	if before != nil {
		before(k)
	}
	a.p("XORQ AX, AX")
	a.label("loop")
	body(k)
	a.p("ADDQ $%d, AX", 4*i.width)
	a.p("CMPQ AX, CX")
	a.p("JLT loop")
	if after != nil {
		after(k)
	}
	a.ret()
}

// strands is loop for reductions, four registers full at a time as long as
// there are. step adds what is at an offset of the pointers to register r.
func (a *asm) strands(i isa, name, doc string, ptrs []string, before func(k *kernel), step func(k *kernel, r int, at string), after func(k *kernel)) {
	a.wrapper(i, name+i.name, ptrs, nil, nil, reductions[name])
	k := a.begin(i, name+i.name, doc, ptrs, []string{"out"}, nil, nil)
	before(k)
	a.p("XORQ AX, AX")
	a.p("MOVQ CX, BX")
	a.p("SUBQ $%d, BX", 16*i.width)
	a.p("JLT rest")
	a.label("four")
	for u := range 4 {
		step(k, u+1, fmt.Sprint(4*i.width*u))
	}
	a.p("ADDQ $%d, AX", 16*i.width)
	a.p("CMPQ AX, BX")
	a.p("JLE four")
	a.label("rest")
	a.p("CMPQ AX, CX")
	a.p("JGE end")
	a.label("one")
	step(k, 1, "")
	a.p("ADDQ $%d, AX", 4*i.width)
	a.p("CMPQ AX, CX")
	a.p("JLT one")
	a.label("end")
	after(k)
	a.ret()
}

// begin starts a vector loop's function: pointers, arguments and constants go
// to registers, the number of bytes to CX.
func (a *asm) begin(i isa, name, doc string, ptrs, extra, floats, consts []string) *kernel {
	name += "Asm"
	words := []string{"n"}
	for _, p := range append(append([]string{}, ptrs...), extra...) {
		words = append(words, "*"+p)
	}
	a.fn(name, name+" is "+doc, words, floats)
	k := &kernel{asm: a, isa: i, ptr: map[string]string{}, scal: map[string]string{}, cached: map[string]string{}}
	a.p("MOVQ n+0(FP), CX")
	a.p("SHLQ $2, CX")
	off := 8
	for j, p := range append(append([]string{}, ptrs...), extra...) {
		a.p("MOVQ %s+%d(FP), %s", p, off, pointerRegs[j])
		k.ptr[p] = pointerRegs[j]
		off += 8
	}
	next := 2*i.width - 1
	for _, s := range floats {
		a.p("VBROADCASTSS %s+%d(FP), %s", s, off, i.r(next))
		k.scal[s] = i.r(next)
		off += 4
		next--
	}
	for _, c := range consts {
		a.use(c)
		if i.width == 16 {
			a.p("VMOVUPS %s<>(SB), %s", c, i.r(next))
			k.cached[c] = i.r(next)
			next--
		}
	}
	return k
}

func (a *asm) use(c string) {
	for _, have := range a.consts {
		if have == c {
			return
		}
	}
	a.consts = append(a.consts, c)
}

func (k *kernel) mem(p string) string { return "(" + k.ptr[p] + ")(AX*1)" }
func (k *kernel) load(p string, r int) {
	k.p("VMOVUPS %s, %s", k.mem(p), k.r(r))
}
func (k *kernel) store(r int, p string) { k.p("VMOVUPS %s, %s", k.r(r), k.mem(p)) }

// c is a constant as an operand; reg forces it into a register.
func (k *kernel) c(name string) string {
	if r, ok := k.cached[name]; ok {
		return r
	}
	return name + "<>(SB)"
}

func (k *kernel) reg(name string, tmp int) string {
	if r, ok := k.cached[name]; ok {
		return r
	}
	k.p("VMOVUPS %s<>(SB), %s", name, k.r(tmp))
	return k.r(tmp)
}

// op writes an instruction whose operands are registers (int) or text.
func (k *kernel) op(ins string, operands ...any) {
	s := ""
	for i, o := range operands {
		if i > 0 {
			s += ", "
		}
		if n, ok := o.(int); ok {
			s += k.r(n)
		} else {
			s += fmt.Sprint(o)
		}
	}
	k.p("%s %s", ins, s)
}

var expConsts = []string{"log2e", "ln2hi", "ln2lo", "e6", "e5", "e4", "e3", "e2", "e1", "one", "expmax", "expmin", "bias"}

// exp replaces register x by its exponential, using t, t+1, t+2. Clamping takes
// x as the second source, which is what MINPS returns when one is NaN.
func (k *kernel) exp(x, t int) {
	k.op("VMINPS", x, k.reg("expmax", t), x)
	k.op("VMAXPS", x, k.reg("expmin", t), x)
	k.op("VMULPS", k.c("log2e"), x, t)
	if k.width == 16 {
		k.op("VRNDSCALEPS", "$8", t, t)
	} else {
		k.op("VROUNDPS", "$8", t, t)
	}
	k.op("VFNMADD231PS", k.c("ln2hi"), t, x)
	k.op("VFNMADD231PS", k.c("ln2lo"), t, x)
	k.op("VMOVUPS", k.c("e6"), t+1)
	for _, c := range []string{"e5", "e4", "e3", "e2", "e1"} {
		k.op("VFMADD213PS", k.c(c), x, t+1)
	}
	k.op("VMULPS", x, x, t+2)
	k.op("VFMADD213PS", x, t+2, t+1)
	k.op("VADDPS", k.c("one"), t+1, x)
	if k.width == 16 {
		k.op("VSCALEFPS", t, x, x)
		return
	}
	// 2^n in two halves, so that the ends of the range come out right.
	k.op("VCVTPS2DQ", t, t)
	k.op("VPSRAD", "$1", t, t+1)
	k.op("VPSUBD", t+1, t, t)
	for _, r := range []int{t, t + 1} {
		k.op("VPADDD", k.c("bias"), r, r)
		k.op("VPSLLD", "$23", r, r)
		k.op("VMULPS", r, x, x)
	}
}

// tanh replaces register 0, using 1..6: a polynomial near 0, exp elsewhere.
func (k *kernel) tanh() {
	k.op("VANDNPS", 0, k.reg("sign", 5), 1) // |x|
	k.op("VADDPS", 1, 1, 2)
	k.exp(2, 3)
	k.op("VADDPS", k.c("one"), 2, 2)
	k.op("VDIVPS", 2, k.reg("two", 3), 2)
	k.op("VSUBPS", 2, k.reg("one", 3), 2) // 1 - 2/(e^2|x| + 1)
	k.op("VANDPS", k.c("sign"), 0, 3)
	k.op("VORPS", 3, 2, 2)
	k.op("VMULPS", 0, 0, 4)
	k.op("VMOVUPS", k.c("t5"), 5)
	for _, c := range []string{"t4", "t3", "t2", "t1"} {
		k.op("VFMADD213PS", k.c(c), 4, 5)
	}
	k.op("VMULPS", 4, 5, 5)
	k.op("VFMADD213PS", 0, 0, 5) // x + x z P(z)
	if k.width == 16 {
		k.op("VCMPPS", "$1", k.c("small"), 1, "K1")
		k.op("VMOVUPS", 5, "K1", 2)
		k.op("VMOVUPS", 2, 0)
		return
	}
	k.op("VCMPPS", "$1", k.c("small"), 1, 6)
	k.op("VBLENDVPS", 6, 5, 2, 0)
}

func (k *kernel) zero(r int) {
	if k.width == 16 {
		k.op("VPXORD", r, r, r)
	} else {
		k.op("VXORPS", r, r, r)
	}
}

func (a *asm) vectorKernels(i isa) {
	none := []string(nil)
	a.loop(i, "add", "dst = a + b.", []string{"dst", "a", "b"}, none, none, none, nil, func(k *kernel) {
		k.load("a", 0)
		k.op("VADDPS", k.mem("b"), 0, 0)
		k.store(0, "dst")
	}, nil)
	a.loop(i, "mul", "dst = a * b.", []string{"dst", "a", "b"}, none, none, none, nil, func(k *kernel) {
		k.load("a", 0)
		k.op("VMULPS", k.mem("b"), 0, 0)
		k.store(0, "dst")
	}, nil)
	a.loop(i, "mulAdd", "dst += a * b.", []string{"dst", "a", "b"}, none, none, none, nil, func(k *kernel) {
		k.load("a", 0)
		k.load("dst", 1)
		k.op("VFMADD231PS", k.mem("b"), 0, 1)
		k.store(1, "dst")
	}, nil)
	a.loop(i, "scale", "dst = s * x.", []string{"dst", "x"}, none, []string{"s"}, none, nil, func(k *kernel) {
		k.op("VMULPS", k.mem("x"), k.scal["s"], 0)
		k.store(0, "dst")
	}, nil)
	a.loop(i, "axpy", "dst += s * x.", []string{"dst", "x"}, none, []string{"s"}, none, nil, func(k *kernel) {
		k.load("dst", 0)
		k.op("VFMADD231PS", k.mem("x"), k.scal["s"], 0)
		k.store(0, "dst")
	}, nil)
	a.reductions(i)
	a.loop(i, "exp", "dst = e^x.", []string{"dst", "x"}, none, none, expConsts, nil, func(k *kernel) {
		k.load("x", 0)
		k.exp(0, 1)
		k.store(0, "dst")
	}, nil)
	a.loop(i, "expSub", "dst = e^(x-m); the sum goes to out.", []string{"dst", "x"}, []string{"out"}, []string{"m"}, expConsts,
		func(k *kernel) { k.zero(5) }, func(k *kernel) {
			k.load("x", 0)
			k.op("VSUBPS", k.scal["m"], 0, 0)
			k.exp(0, 1)
			k.store(0, "dst")
			k.op("VADDPS", 0, 5, 5)
		}, func(k *kernel) { k.total(5, 6) })
	a.loop(i, "expScaled", "dst = e^(x*s - m); the sum goes to out.", []string{"dst", "x"}, []string{"out"}, []string{"s", "m"}, expConsts,
		func(k *kernel) { k.zero(5) }, func(k *kernel) {
			k.load("x", 0)
			k.op("VFMSUB213PS", k.scal["m"], k.scal["s"], 0)
			k.exp(0, 1)
			k.store(0, "dst")
			k.op("VADDPS", 0, 5, 5)
		}, func(k *kernel) { k.total(5, 6) })
	a.loop(i, "tanh", "dst = tanh(x).", []string{"dst", "x"}, none, none,
		append([]string{"two", "sign", "small", "t5", "t4", "t3", "t2", "t1"}, expConsts...)[:21], nil, func(k *kernel) {
			k.load("x", 0)
			k.tanh()
			k.store(0, "dst")
		}, nil)
	a.loop(i, "sigmoid", "dst = 1/(1 + e^-x).", []string{"dst", "x"}, none, none, append([]string{"sign"}, expConsts...), nil, func(k *kernel) {
		k.load("x", 0)
		k.op("VXORPS", k.c("sign"), 0, 0)
		k.exp(0, 1)
		k.op("VADDPS", k.c("one"), 0, 0)
		k.op("VDIVPS", 0, k.reg("one", 1), 0)
		k.store(0, "dst")
	}, nil)
	a.fused(i)
}

// lanes stores one register per lane to out.
func (k *kernel) lanes(r int) { k.op("VMOVUPS", r, "("+k.ptr["out"]+")") }

// total adds the lanes up, halves first, and stores the sum to out.
func (k *kernel) total(r, t int) {
	if k.width == 16 {
		k.p("VEXTRACTF64X4 $1, Z%d, Y%d", r, t)
		k.p("VADDPS Y%d, Y%d, Y%d", t, r, r)
	}
	k.p("VEXTRACTF128 $1, Y%d, X%d", r, t)
	k.p("VADDPS X%d, X%d, X%d", t, r, r)
	k.p("VPSHUFD $0xee, X%d, X%d", r, t)
	k.p("VADDPS X%d, X%d, X%d", t, r, r)
	k.p("VPSHUFD $0x55, X%d, X%d", r, t)
	k.p("VADDSS X%d, X%d, X%d", t, r, r)
	k.p("VMOVSS X%d, (%s)", r, k.ptr["out"])
}

func (a *asm) reductions(i isa) {
	none := []string(nil)
	// Four sums side by side: one alone would wait for itself.
	zero := func(k *kernel) {
		for r := 1; r <= 4; r++ {
			k.zero(r)
		}
	}
	out := func(k *kernel) {
		k.op("VADDPS", 2, 1, 1)
		k.op("VADDPS", 4, 3, 3)
		k.op("VADDPS", 3, 1, 1)
		k.total(1, 2)
	}
	a.strands(i, "sum", "the sum of x.", []string{"x"}, zero, func(k *kernel, r int, at string) {
		k.op("VADDPS", at+k.mem("x"), r, r)
	}, out)
	a.strands(i, "dot", "the sum of a * b.", []string{"a", "b"}, zero, func(k *kernel, r int, at string) {
		k.op("VMOVUPS", at+k.mem("a"), 0)
		k.op("VFMADD231PS", at+k.mem("b"), 0, r)
	}, out)
	// max notes NaN aside, since MAXPS drops it.
	a.loop(i, "max", "the maxima of the lanes of x, NaN where a lane has one.", []string{"x"}, []string{"out"}, none, []string{"nan"},
		func(k *kernel) {
			k.op("VMOVUPS", "("+k.ptr["x"]+")", 1)
			k.zero(2)
		}, func(k *kernel) {
			k.load("x", 0)
			k.op("VMAXPS", 0, 1, 1)
			if k.width == 16 {
				k.op("VCMPPS", "$3", 0, 0, "K1")
				k.op("VMOVUPS", k.c("nan"), "K1", 2)
			} else {
				k.op("VCMPPS", "$3", 0, 0, 3)
				k.op("VORPS", 3, 2, 2)
			}
		}, func(k *kernel) {
			k.op("VORPS", 2, 1, 1) // a lane of all ones in the exponent stays NaN
			k.lanes(1)
		})
}

// fused are the loops of one operation each.
func (a *asm) fused(i isa) {
	none := []string(nil)
	// max(x,0) with x as the second source keeps NaN.
	a.loop(i, "reluSquare", "dst = max(x,0)^2.", []string{"dst", "x"}, none, none, none, func(k *kernel) { k.zero(2) }, func(k *kernel) {
		k.op("VMAXPS", k.mem("x"), 2, 0)
		k.op("VMULPS", 0, 0, 0)
		k.store(0, "dst")
	}, nil)
	a.loop(i, "reluSquareGrad", "dx += 2 max(x,0) dy.", []string{"dx", "dy", "x"}, none, none, none, func(k *kernel) { k.zero(2) }, func(k *kernel) {
		k.op("VMAXPS", k.mem("x"), 2, 0)
		k.op("VADDPS", 0, 0, 0)
		k.load("dx", 1)
		k.op("VFMADD231PS", k.mem("dy"), 0, 1)
		k.store(1, "dx")
	}, nil)
	a.loop(i, "softmaxGrad", "ds = p * (ds - delta) * scale.", []string{"ds", "p"}, none, []string{"delta", "scale"}, none, nil, func(k *kernel) {
		k.load("ds", 0)
		k.op("VSUBPS", k.scal["delta"], 0, 0)
		k.op("VMULPS", k.mem("p"), 0, 0)
		k.op("VMULPS", k.scal["scale"], 0, 0)
		k.store(0, "ds")
	}, nil)
	a.loop(i, "softcapGrad", "z = e * f * (1 - z*z*r).", []string{"z", "e"}, none, []string{"f", "r"}, []string{"one"}, nil, func(k *kernel) {
		k.load("z", 0)
		k.op("VMULPS", 0, 0, 0)
		k.op("VMOVUPS", k.c("one"), 1)
		k.op("VFNMADD231PS", k.scal["r"], 0, 1)
		k.op("VMULPS", k.mem("e"), 1, 1)
		k.op("VMULPS", k.scal["f"], 1, 1)
		k.store(1, "z")
	}, nil)
	a.loop(i, "sub", "dst = a - b.", []string{"dst", "a", "b"}, none, none, none, nil, func(k *kernel) {
		k.load("a", 0)
		k.op("VSUBPS", k.mem("b"), 0, 0)
		k.store(0, "dst")
	}, nil)
	a.loop(i, "div", "dst = a / b.", []string{"dst", "a", "b"}, none, none, none, nil, func(k *kernel) {
		k.load("a", 0)
		k.op("VDIVPS", k.mem("b"), 0, 0)
		k.store(0, "dst")
	}, nil)
	a.loop(i, "offset", "dst = x + s.", []string{"dst", "x"}, none, []string{"s"}, none, nil, func(k *kernel) {
		k.op("VADDPS", k.mem("x"), k.scal["s"], 0)
		k.store(0, "dst")
	}, nil)
	a.loop(i, "sigmoidGrad", "dx += dy * y * (1-y).", []string{"dx", "dy", "y"}, none, none, []string{"one"}, nil, func(k *kernel) {
		k.load("y", 0)
		k.op("VSUBPS", 0, k.reg("one", 1), 1)
		k.op("VMULPS", 0, 1, 1)
		k.load("dx", 2)
		k.op("VFMADD231PS", k.mem("dy"), 1, 2)
		k.store(2, "dx")
	}, nil)
	a.loop(i, "tanhGrad", "dx += dy * (1 - y*y).", []string{"dx", "dy", "y"}, none, none, []string{"one"}, nil, func(k *kernel) {
		k.load("y", 0)
		k.op("VMOVUPS", k.c("one"), 1)
		k.op("VFNMADD231PS", 0, 0, 1)
		k.load("dx", 2)
		k.op("VFMADD231PS", k.mem("dy"), 1, 2)
		k.store(2, "dx")
	}, nil)
	a.loop(i, "rotate", "y1 = x1*c + x2*s*sign, y2 = x2*c - x1*s*sign.", []string{"y1", "y2", "x1", "x2", "c", "s"}, none, []string{"sign"}, none, nil,
		func(k *kernel) {
			k.load("x1", 0)
			k.load("x2", 1)
			k.load("c", 2)
			k.op("VMULPS", k.mem("s"), k.scal["sign"], 3)
			k.op("VMULPS", 1, 3, 4)
			k.op("VFMADD231PS", 0, 2, 4)
			k.op("VMULPS", 1, 2, 5)
			k.op("VFNMADD231PS", 0, 3, 5)
			k.store(4, "y1")
			k.store(5, "y2")
		}, nil)
	a.loop(i, "lerp", "dst += w * (x - dst).", []string{"dst", "x"}, none, []string{"w"}, none, nil, func(k *kernel) {
		k.load("dst", 0)
		k.load("x", 1)
		k.op("VSUBPS", 0, 1, 1)
		k.op("VFMADD231PS", k.scal["w"], 1, 0)
		k.store(0, "dst")
	}, nil)
	a.loop(i, "cautious", "p -= lr*u, and p -= decay*p where u*p >= 0.", []string{"p", "u"}, none, []string{"lr", "decay"}, none,
		func(k *kernel) { k.zero(4) }, func(k *kernel) {
			k.load("p", 0)
			k.load("u", 1)
			k.op("VMULPS", 0, 1, 2)
			if k.width == 16 {
				k.op("VCMPPS", "$13", 4, 2, "K1")
				k.op("VMULPS.Z", k.scal["decay"], 0, "K1", 3)
			} else {
				k.op("VCMPPS", "$13", 4, 2, 2)
				k.op("VMULPS", k.scal["decay"], 0, 3)
				k.op("VANDPS", 2, 3, 3)
			}
			k.op("VFMADD231PS", k.scal["lr"], 1, 3)
			k.op("VSUBPS", 3, 0, 0)
			k.store(0, "p")
		}, nil)
	a.loop(i, "adamw", "one AdamW step, see vectors.", []string{"p", "dp", "m", "v"}, none,
		[]string{"beta1", "rest1", "beta2", "rest2", "lr", "c", "eps", "keep"}, none, nil, func(k *kernel) {
			k.load("dp", 0)
			k.op("VMULPS", k.mem("m"), k.scal["beta1"], 1)
			k.op("VFMADD231PS", k.scal["rest1"], 0, 1)
			k.store(1, "m")
			k.op("VMULPS", 0, 0, 0)
			k.op("VMULPS", k.mem("v"), k.scal["beta2"], 2)
			k.op("VFMADD231PS", k.scal["rest2"], 0, 2)
			k.store(2, "v")
			k.op("VSQRTPS", 2, 2)
			k.op("VFMADD213PS", k.scal["eps"], k.scal["c"], 2)
			k.op("VMULPS", k.scal["lr"], 1, 1)
			k.op("VDIVPS", 2, 1, 1)
			k.op("VMULPS", k.mem("p"), k.scal["keep"], 0)
			k.op("VSUBPS", 1, 0, 0)
			k.store(0, "p")
		}, nil)
}

func f(x float64) string { return fmt.Sprintf("0x%08x", bits(float32(x))) }
