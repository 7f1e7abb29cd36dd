package tensor

import (
	"fmt"
	"os"
	"strings"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/cuda"
)

// Operations on a GPU. An operation with an entry in onGPU computes there; any
// other runs the plain Go code of its Op on copies of its inputs (gpu_host.go),
// which serves every operation and is slow. The operations of a GPU obey what Op
// says: Forward fills the result, Backward adds to the gradients of the inputs.
// What they work with is in gpu_call.go.
type gpuOp struct {
	// fits says whether the kernels can do this call, forward and backward; nil
	// is always. It sees shapes, attributes and types, and c.grads.
	fits func(c *call) bool
	// result is the type of the output; nil is that of gpu_types.go.
	result  func(c *call) gpu.Type
	forward func(c *call)
	// backward is nil if the operation has no gradient. An entry without one
	// whose Op has a Backward serves calls that need no gradient.
	backward func(c *call)
	// defers says that the result need not be computed before it is read, so that
	// the reader can do both in one pass: see gpu_defer.go. Nil is never.
	defers func(c *call) bool
}

// onGPU has the operations by name; files gpu_*.go fill it in their init.
var onGPU = map[string]gpuOp{}

// accelerator is the GPU of a Device.
type accelerator struct {
	d         *Device
	dev       *gpu.Device
	k         *cuda.Kernels
	typ       gpu.Type // of what products give: F32, or BF16 in mixed precision
	precision string
	temps     []gpu.Ptr // of the call that runs
	late      []*call   // deferred in this step
	// How many more gradients than one have a block: see call.pass.
	shared  map[gpu.Ptr]int
	eager   bool // nothing is deferred
	ropes   map[ropeKey]block
	stage   arena    // copies on the host, of the call that runs
	running bool     // Go code of an operation runs on such copies
	bits    []uint16 // room for a copy in bfloat16
	onHost  map[string]int
	force   map[string]bool // see HostOpsVariable
}

// openAccelerator opens the GPU that cfg names, if it names one.
func openAccelerator(cfg Config) (*accelerator, error) {
	kind, uuid, _ := strings.Cut(cfg.Device, ":")
	if kind == "" || kind == "cpu" {
		if cfg.Precision != "" && cfg.Precision != "float32" {
			return nil, fmt.Errorf("precision %q: a CPU computes in float32 only", cfg.Precision)
		}
		return nil, nil
	}
	if kind != "cuda" {
		return nil, fmt.Errorf("device %q: want cpu, cuda or cuda:UUID", cfg.Device)
	}
	a := &accelerator{precision: cfg.Precision, onHost: map[string]int{}, force: map[string]bool{}, shared: map[gpu.Ptr]int{}}
	for op := range strings.SplitSeq(os.Getenv(HostOpsVariable), ",") {
		a.force[op] = op != ""
	}
	switch cfg.Precision {
	case "":
		a.precision = "float32"
	case "float32", "tfloat32":
	case "bfloat16":
		a.typ = gpu.BF16
	default:
		return nil, fmt.Errorf("precision %q: want float32, tfloat32 or bfloat16", cfg.Precision)
	}
	dev, err := gpu.Open(gpu.Config{UUID: uuid, Cache: cfg.Cache, Exact: a.precision == "float32"})
	if err != nil {
		return nil, fmt.Errorf("device %q: %w", cfg.Device, err)
	}
	a.dev, a.k = dev, cuda.New(dev)
	return a, nil
}

func (a *accelerator) close() { a.dev.Close() }

// HostOpsVariable names operations, separated by commas, that run on the host
// although they have kernels; "*" is all, and the helpers that change tensors in
// place too. So a kernel that is under suspicion can be left out.
const HostOpsVariable = "AUTORESEARCH_HOST_OPS"

// noHost is for tests: operations without a kernel panic.
var noHost bool

// forced says that HostOpsVariable names an operation.
func (a *accelerator) forced(op string) bool { return a.force[op] || a.force["*"] }

// forward computes the result of a call.
func (a *accelerator) forward(c *call) {
	if c.op.View {
		c.out.share(c.in[0])
		return
	}
	g, ok := onGPU[c.op.Name]
	ok = ok && !a.forced(c.op.Name) && (g.fits == nil || g.fits(c)) && (g.backward != nil || !c.grads)
	typ := a.resultType(c, g)
	if ok && g.defers != nil && a.mayDefer(c) && g.defers(c) {
		a.deferCall(c, typ)
		return
	}
	c.out.mem, c.out.owned = a.alloc(c.out.size, typ), true
	switch {
	case ok:
		a.launch(c, g)
	case noHost && c.op != opCustom:
		fail(c.op.Name, "has no kernel for %v", c.shapes())
	default:
		c.onHost = true
		a.onHost[c.op.Name]++
		a.hostForward(c)
	}
}

// launch computes a call. It may happen within another one that reads its
// result.
func (a *accelerator) launch(c *call, g gpuOp) {
	before := len(a.temps)
	g.forward(c)
	a.freeTemps(before)
}

// shapes is for messages.
func (c *call) shapes() (l []string) {
	for _, t := range c.in {
		l = append(l, t.String()+" "+t.mem.typ.String())
	}
	return l
}

var one = []float32{1}

// backward is Backward on a GPU.
func (a *accelerator) backward(loss *Tensor) {
	tape := a.d.tape
	loss.gradMem = a.alloc(1, loss.mem.typ)
	a.upload(loss.gradMem, one)
	last := len(tape) - 1
	for ; last >= 0 && tape[last] != loss.made; last-- {
	}
	for i := last; i >= 0; i-- {
		c := tape[i]
		if c.out.gradMem.none() {
			continue
		}
		switch {
		case c.op.View: // passes the gradient on
			c.op.Backward(c)
		case c.onHost:
			a.hostBackward(c)
		default:
			onGPU[c.op.Name].backward(c)
			a.freeTemps(0)
		}
		a.free(&c.out.gradMem)
	}
}

// retire gives back what the step that ends has taken.
func (a *accelerator) retire(h *headers) {
	a.kill(h, 0)
	for _, m := range h.calls[:h.used] {
		for i := range m.kept {
			a.free(&m.kept[i])
		}
	}
	a.freeTemps(0)
	a.stage.reset()
	clear(a.late)
	a.late, a.running, a.eager = a.late[:0], false, false
}

// kill gives back the memory of the step's tensors from the given one on.
func (a *accelerator) kill(h *headers, from int) {
	for i := from; i < h.tensors; i++ {
		t := &h.slabs[i/slabSize].tensors[i%slabSize]
		if t.owned {
			a.free(&t.mem)
		}
		a.free(&t.gradMem)
		a.free(&t.sorted)
	}
}

// HostOps counts, by name, the operations that ran on the host although the
// tensors live on a GPU, since there is no kernel for them. Each takes copies in
// both directions, so a model with many is slow.
func (d *Device) HostOps() map[string]int {
	if d.acc == nil {
		return nil
	}
	return d.acc.onHost
}
