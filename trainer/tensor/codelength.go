package tensor

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// CodeLengths runs the graph on B*T ids and gives the code lengths in nats of
// the targets of the first len(targets) positions, row by row: -log of the
// probability that the softmax of the logits gives. One is NaN if a logit of its
// position is not finite. From the logits on it computes in float64. On a GPU
// the logits stay there.
func (g *Graph) CodeLengths(d *Device, ids, targets []int32) (nats []float64, err error) {
	b, t := g.BT()
	if len(targets) < 1 || len(targets) > b*t {
		return nil, fmt.Errorf("tensor: graph: got %d targets, want 1..%d", len(targets), b*t)
	}
	for i, id := range targets {
		if id < 0 || int(id) >= g.Vocab() {
			return nil, fmt.Errorf("tensor: graph: target %d at position %d, want 0..%d", id, i, g.Vocab()-1)
		}
	}
	if d.acc != nil {
		err = g.guarded(d, ids, nil, func() { nats = g.bindGPU(d).codeLengths(ids, targets) })
		return nats, err
	}
	logits, err := g.Run(d, ids)
	if err != nil {
		return nil, err
	}
	nats = make([]float64, len(targets))
	v := g.Vocab()
	d.pool.run(len(nats), max(1, elemGrain/v/4), func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			nats[i] = codeLength(logits[i*v:(i+1)*v], targets[i])
		}
	})
	return nats, nil
}

// codeLength is -log softmax(x)[target].
func codeLength(x []float32, target int32) float64 {
	top := x[0]
	for _, v := range x {
		top = max(top, v)
	}
	sum := 0.0
	for _, v := range x {
		if v-v != 0 {
			return math.NaN()
		}
		sum += math.Exp(float64(v) - float64(top))
	}
	return math.Log(sum) + (float64(top) - float64(x[target]))
}

func (e *gpuExecutor) codeLengths(ids, targets []int32) []float64 {
	defer e.free()
	e.forward(ids)
	a, logits, n := e.a, e.out.mem, len(targets)
	if logits.typ != gpu.F32 {
		logits = a.temp(e.out.size, gpu.F32)
		a.convert(logits, e.out.mem)
	}
	on, out := a.temp(n, gpu.I32), a.temp(2*n, gpu.F32) // float64, as pairs of words
	a.dev.CopyIn(on.at, unsafe.Pointer(&targets[0]), on.bytes())
	a.k.CodeLength(out.at, logits.at, on.at, n, e.out.Dim(-1))
	nats := make([]float64, n)
	a.dev.CopyOut(unsafe.Pointer(&nats[0]), out.at, out.bytes())
	return nats
}
