package tensortest

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// mistake is a wrong use of an operation, and what the message must say: the
// operation, what it got, what it wants, and where it can be known, what to
// change.
type mistake struct {
	say string // all of these, separated by |
	do  func()
}

// mistakes makes every mistake of the tables and reads the message.
func (s *suite) mistakes(t *testing.T) {
	d, other := s.open(t), s.open(t)
	tables := map[string]func(d, other *tensor.Device) []mistake{
		"products": productMistakes, "shapes": shapeMistakes, "time": timeMistakes, "ids": idMistakes,
		"scalars": scalarMistakes, "steps": stepMistakes, "leaves": leafMistakes,
	}
	for want, cfg := range map[string]tensor.Config{`no kernels "mmx"`: {Kernels: "mmx"}, "-1 threads": {Threads: -1}} {
		if _, err := tensor.Open(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%+v): got %v, want an error with %q", cfg, err, want)
		}
	}
	for name, table := range tables {
		t.Run(name, func(t *testing.T) {
			d.Reset() // a refused Backward may leave gradients behind
			for _, m := range table(d, other) {
				err := message(m.do)
				if err == nil {
					t.Errorf("nothing was refused, want %q", m.say)
					continue
				}
				t.Log(err)
				for _, part := range append(strings.Split(m.say, "|"), "tensor: ") {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("got  %s\nwant %q", err, part)
					}
				}
			}
		})
	}
}

// message is the *tensor.Error that f panics with, or nil.
func message(f func()) (err *tensor.Error) {
	defer func() {
		if p := recover(); p != nil {
			e, ok := p.(error)
			if !ok || !errors.As(e, &err) {
				panic(p)
			}
		}
	}()
	f()
	return nil
}

// zeros is a shorthand: a tensor of this step.
func zeros(d *tensor.Device) func(shape ...int) *tensor.Tensor {
	return func(shape ...int) *tensor.Tensor { return d.Zeros(shape...) }
}

func productMistakes(d, _ *tensor.Device) []mistake {
	z := zeros(d)
	return []mistake{
		{"matmul: inner dimensions differ: 3 against 4|got [2 3], [4 5]", func() { z(2, 3).MatMul(z(4, 5)) }},
		{"matmul: inner dimensions differ: 3 against 5|use MatMulT", func() { z(2, 3).MatMul(z(5, 3)) }},
		{"matmul_t: inner dimensions differ: 3 against 5|use MatMul for", func() { z(2, 3).MatMulT(z(3, 5)) }},
		{"matmul_t: batch dimensions differ|got [2 4 3], [3 5 3]|[N,K]", func() { z(2, 4, 3).MatMulT(z(3, 5, 3)) }},
		{"matmul: ranks are 1 and 1, want at least 1 and 2|got [3], [3]", func() { z(3).MatMul(z(3)) }},
		{"linear_cross_entropy: want x [...,C] and weights [V,C] of the same C|got [2 3 8], [8 11]", func() {
			z(2, 3, 8).LinearCrossEntropy(z(8, 11), d.Ints(make([]int32, 6), 2, 3), 0)
		}},
		{"causal_matmul: inner dimensions differ: 5 columns of scores against 6 values", func() { z(2, 5, 5).CausalMatMul(z(2, 6, 3), 0) }},
		{"causal_matmul: batch dimensions differ|[...,S,N]", func() { z(2, 5, 5).CausalMatMul(z(5, 3), 0) }},
		{"causal_solve: want square scores [...,T,T]|got [3 5], [3 2]", func() { z(3, 5).CausalSolve(z(3, 2)) }},
		{"causal_solve: want values [...,T,N]|got [2 3 3], [3 2]", func() { z(2, 3, 3).CausalSolve(z(3, 2)) }},
		{"causal_softmax: |S is 3 and T 5: want S at least T", func() { z(2, 5, 3).CausalSoftmax(0) }},
		{"causal_mask: window is -1, want 0", func() { z(5, 5).CausalMask(-1) }},
		{"expert_matmul: inner dimensions differ: 8 against 4|[E,N,K]", func() { z(3, 8).ExpertMatMul(z(2, 8, 4), d.Ints(make([]int32, 3), 3)) }},
		{"expert_matmul: ids have shape [2]|[3]", func() { z(3, 8).ExpertMatMul(z(2, 4, 8), d.Ints(make([]int32, 2), 2)) }},
		{"expert_matmul: id 7 at position 1, want 0..1", func() { z(2, 8).ExpertMatMul(z(2, 4, 8), d.Ints([]int32{0, 7}, 2)) }},
	}
}

func shapeMistakes(d, _ *tensor.Device) []mistake {
	z := zeros(d)
	return []mistake{
		{"add: shapes do not broadcast: 4 against 3 in dimension 2|equal or 1|got [2 3 4], [3]", func() { z(2, 3, 4).Add(z(3)) }},
		{"mul: shapes do not broadcast|Reshape", func() { z(2, 3, 4).Mul(z(2, 3)) }},
		{"where: shapes do not broadcast", func() { z(2, 3).Where(z(2, 3), z(4)) }},
		{"scan: decay of shape [2 3 4] cannot broadcast to [2 3]", func() { z(2, 3).Scan(1, z(2, 3, 4)) }},
		{"broadcast_to: |[2 3]|got [2 4]", func() { z(2, 4).BroadcastTo(2, 3) }},
		{"reshape: cannot reshape 8 elements to [2 3 2], which has 12|got [2 4]", func() { z(2, 4).Reshape(2, 3, 2) }},
		{"reshape: cannot reshape 8 elements to [-1 3]|divisible by 3", func() { z(2, 4).Reshape(-1, 3) }},
		{"reshape: |[-1 -1 2]|one dimension may be -1", func() { z(2, 4).Reshape(-1, -1, 2) }},
		{"permute: axes [0 0]|permutation of 2 axes", func() { z(2, 3).Permute(0, 0) }},
		{"transpose: axis 2 is out of range for shape [2 3]", func() { z(2, 3).Transpose(0, 2) }},
		{"slice: range 2:5 of dimension 1, which has 3 elements|got [2 3]", func() { z(2, 3).Slice(1, 2, 5) }},
		{"slice: range 2:2 |lo below hi", func() { z(2, 3).Slice(1, 2, 2) }},
		{"split: 3 parts of dimension 1 of [2 8]: want a divisor of 8", func() { z(2, 8).Split(1, 3) }},
		{"concat: dimension 0 differs: 3 against 2|all but axis 1|got [2 3], [3 3]", func() { z(2, 3).Concat(1, z(3, 3)) }},
		{"concat: ranks differ: 1 against 2", func() { z(2, 3).Concat(1, z(3)) }},
		{"stack: axis 4", func() { z(2, 3).Stack(4, z(2, 3)) }},
		{"sum: axis 5 is out of range|0..1|got [2 3]", func() { z(2, 3).Sum(5) }},
		{"mean: axis -1 is out of range", func() { z(2, 3).Mean(-3) }},
		{"groupnorm: 3 groups|divisor of the last dimension of [2 8]", func() { z(2, 8).GroupNorm(3, 1e-5) }},
		{"roll: axis 2", func() { z(2, 3).Roll(2, 1) }},
		{"repeat: 0 times, want 1 or more", func() { z(2, 3).Repeat(1, 0) }},
		{"topk: k is 5, want 1..3, the size of the last dimension", func() { z(2, 3).TopK(5) }},
		{"dim: dimension 2 of a tensor of shape [2 3]", func() { z(2, 3).Dim(2) }},
	}
}

func timeMistakes(d, _ *tensor.Device) []mistake {
	z := zeros(d)
	return []mistake{
		{"rope: the head size D is 5, want an even number|got [1 2 3 5]", func() { z(1, 2, 3, 5).RoPE(1e4) }},
		{"rope: want [B,T,NH,D]|Reshape|got [2 3 8]", func() { z(2, 3, 8).RoPE(1e4) }},
		{"rope: base is 0, want above 0", func() { z(1, 2, 3, 4).RoPE(0) }},
		{"attention: 6 query heads are not a multiple of 4 key heads|got [1 2 6 8]", func() { z(1, 2, 6, 8).Attention(z(1, 2, 4, 8), z(1, 2, 4, 8), 0) }},
		{"attention: want q [B,T,NH,D], k and v [B,T,NKV,D]|got [2 3 8]", func() { z(2, 3, 8).Attention(z(2, 3, 8), z(2, 3, 8), 0) }},
		{"attention: q and k differ in D: 8 against 4", func() { z(1, 2, 4, 8).Attention(z(1, 2, 4, 4), z(1, 2, 4, 4), 0) }},
		{"attention: k and v differ in NKV: 4 against 2", func() { z(1, 2, 4, 8).Attention(z(1, 2, 4, 8), z(1, 2, 2, 8), 0) }},
		{"attention: window is -3, want 0 (all) or", func() { z(1, 2, 4, 8).Attention(z(1, 2, 4, 8), z(1, 2, 4, 8), -3) }},
		{"causal_conv: want x [B,T,C] and a kernel [K,C]|C is 8 and 4|got [2 3 8], [3 4]", func() { z(2, 3, 8).CausalConv(z(3, 4)) }},
		{"cumsum: axis 3", func() { z(2, 3).CumSum(3) }},
	}
}

func idMistakes(d, _ *tensor.Device) []mistake {
	z := zeros(d)
	ids := func(shape ...int) *tensor.Tensor {
		n := 1
		for _, s := range shape {
			n *= s
		}
		return d.Ints(make([]int32, n), shape...)
	}
	return []mistake{
		{"neg: input 0 holds ids, want floats|got [2]i32", func() { ids(2).Neg() }},
		{"matmul: input 0 holds ids, want floats|Embed", func() { ids(2, 3).MatMul(z(3, 4)) }},
		{"rms_norm: input 0 holds ids", func() { ids(2, 3).RMSNorm(1e-5) }},
		{"embed: input 1 holds floats, want ids", func() { z(5, 4).Embed(z(2)) }},
		{"embed: input 0 holds ids, want a table [V,C]|table.Embed(ids)", func() { ids(2).Embed(z(5, 4)) }},
		{"embed: the table has rank 3, want [V,C]", func() { z(5, 4, 2).Embed(ids(2)) }},
		{"embed: id 9 at position 1, want 0..4", func() { z(5, 4).Embed(d.Ints([]int32{1, 9}, 2)) }},
		{"one_hot: input 0 holds floats, want ids", func() { z(2).OneHot(3) }},
		{"one_hot: id 3 at position 0, want 0..2", func() { d.Ints([]int32{3}, 1).OneHot(3) }},
		{"hash_ids: shapes differ|got [2]i32, [3]i32", func() { ids(2).HashIDs(ids(3), 1, 2) }},
		{"gather: ids of rank 2, want 1 or 3|got [2 3 4], [2 3]i32", func() { z(2, 3, 4).Gather(1, ids(2, 3)) }},
		{"gather: ids differ in dimension 2: 5 against 4", func() { z(2, 3, 4).Gather(1, ids(2, 3, 5)) }},
		{"gather: input 1 holds floats, want ids", func() { z(2, 3).Gather(1, z(2, 3)) }},
		{"gather: id 4 at position 0, want 0..2", func() { z(2, 3).Gather(1, d.Ints([]int32{4}, 1)) }},
		{"scatter_add: the source has shape [2 2], want [2 5]", func() { z(2, 3).ScatterAdd(1, ids(5), z(2, 2)) }},
		{"cross_entropy: logits [6 11] want targets [6]|got [6 11], [2 3]i32", func() { z(6, 11).CrossEntropy(ids(2, 3), 0) }},
		{"cross_entropy: input 1 holds floats, want ids", func() { z(6, 11).CrossEntropy(z(6), 0) }},
		{"cross_entropy: id 11 at position 0, want 0..10", func() { z(1, 11).CrossEntropy(d.Ints([]int32{11}, 1), 0) }},
		{"ints: got 3 values, want 4 for shape [2 2]", func() { d.Ints(make([]int32, 3), 2, 2) }},
		{"host: |holds ids: use HostInts", func() { ids(2).Host() }},
		{"hostints: |holds floats: use Host", func() { z(2).HostInts() }},
	}
}

func scalarMistakes(d, _ *tensor.Device) []mistake {
	z := zeros(d)
	return []mistake{
		{"softcap: cap is 0, want above 0", func() { z(2).Softcap(0) }},
		{"cross_entropy: softcap is -1, want 0 (none) or above", func() { z(1, 2).CrossEntropy(d.Ints([]int32{0}, 1), -1) }},
		{"clamp: lo is 2 and hi 1", func() { z(2).Clamp(2, 1) }},
		{"dropout: p is 1", func() { z(2).Dropout(rand.New(rand.NewPCG(1, 1)), 1) }},
		{"hash_ids: mul 1 and mod 0", func() { d.Ints([]int32{0}, 1).HashIDs(d.Ints([]int32{0}, 1), 1, 0) }},
	}
}

func stepMistakes(d, other *tensor.Device) []mistake {
	p := d.Param("mistakes.p", 2, 3)
	stale := p.Scale(2)
	d.Reset()
	y := d.Ints([]int32{0, 1}, 2)
	var scoped *tensor.Tensor
	d.Scope(func() { scoped = p.Scale(2) })
	return []mistake{
		{"neg: |shape [2 3]|made before the last Reset|State", func() { stale.Neg() }},
		{"neg: |shape [2 3]|made in a Scope that has ended|State", func() { scoped.Neg() }},
		{"mul: input 1 is nil", func() { p.Mul(nil) }},
		{"add: input 1 lives on another device", func() { p.Add(other.Zeros(2, 3)) }},
		{"backward: got shape [2 3], want a scalar loss|Mean", func() { p.Scale(1).Backward() }},
		{"backward: the loss does not depend on any Param|NoGrad|Detach", func() { d.Zeros(1).Backward() }},
		{"backward: the loss does not depend on any Param", func() { p.Detach().Reshape(-1).Sum(0).Backward() }},
		{"backward: |twice|add the losses", func() {
			loss := p.Square().Reshape(-1).Sum(0)
			loss.Backward()
			loss.Backward()
		}},
		{"cross_entropy: |twice|add the losses", func() {
			loss := p.Scale(1).CrossEntropy(y, 0)
			loss.Backward()
			loss.Scale(2).Backward()
		}},
		{"item: got shape [2 3], want one float", func() { p.Item() }},
		{"custom: \"f\" needs at least one input", func() { tensor.Custom("f", nil, []int{1}, func([]float32, [][]float32) {}, nil) }},
		{"custom: |shape [0]", func() { tensor.Custom("f", []*tensor.Tensor{p}, []int{0}, func([]float32, [][]float32) {}, nil) }},
		{"trace: got |want ids of shape [B,T]", func() { d.Trace(p, func(x *tensor.Tensor) *tensor.Tensor { return x }) }},
	}
}

func leafMistakes(d, _ *tensor.Device) []mistake {
	a, b := d.Param("mistakes.a", 2, 3), d.State("mistakes.b", 4, 5)
	return []mistake{
		{`param: name "mistakes.a" is taken by a tensor of shape [2 3]`, func() { d.Param("mistakes.a", 1) }},
		{`param: "mistakes.c": bad shape [0]|above 0`, func() { d.Param("mistakes.c", 0) }},
		{"state: a persistent tensor needs a name", func() { d.State("", 1) }},
		{`const: "mistakes.d": got 1 values, want 2 for shape [2]`, func() { d.Const("mistakes.d", []float32{1}, 2) }},
		{"sethost: got 2 values, want 6 for shape [2 3]", func() { a.SetHost([]float32{1, 2}) }},
		{"sethost: only Param, State and Const can be set", func() { d.Zeros(1).SetHost([]float32{1}) }},
		{"lerp: sizes differ|got mistakes.a[2 3], mistakes.b[4 5]", func() { a.Lerp(b, 0.5) }},
		{"adamw: sizes differ", func() { tensor.AdamW(a, b, b, tensor.AdamWOptions{Step: 1}) }},
		{"adamw: step is 0, want 1 or more", func() {
			a.Reshape(-1).Sum(0).Backward()
			tensor.AdamW(a, a, a, tensor.AdamWOptions{})
		}},
	}
}
