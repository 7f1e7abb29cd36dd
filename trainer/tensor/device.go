package tensor

import (
	"fmt"
	"runtime"
	"slices"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/cpu"
)

// Config chooses how a Device computes. The zero value is the best that the
// processor offers on all cores.
type Config struct {
	Threads int    // number of threads; 0 = GOMAXPROCS
	Kernels string // "" = best available, or "go", "avx2", "avx512"
	// Device is where tensors live: "" or "cpu"; "cuda", the first GPU that the
	// process sees; or "cuda:" and a GPU's UUID. On a GPU, Threads and Kernels
	// are for what still runs on the host.
	Device string
	// Precision is of a GPU's products: "" or "float32", exact; "tfloat32",
	// rounded to 10 bits on the way into them; "bfloat16", mixed precision, see
	// the package comment. A CPU has float32 only.
	Precision string
	// Cache is a directory for compiled kernels of a GPU; empty keeps none.
	Cache string
}

// Device owns memory, threads and kernels. It is used by one goroutine at a
// time; several devices may be open at once.
type Device struct {
	kern  *cpu.Set
	work  []*cpu.Work // packing buffers, one per worker
	pool  *pool
	mem   arena
	gen   uint64
	tape  []*call
	heads headers
	// Bodies of parallel loops, one at a time.
	body   callBody
	item   callItem
	update update
	mm     gemmTask
	quiet  bool // inside NoGrad
	rec    *recorder
	acc    *accelerator // nil on a CPU

	leaves   []*Tensor // in order of creation
	byName   map[string]*Tensor
	held     int64 // bytes of persistent tensors and their gradients
	ropes    map[ropeKey][]float32
	ropeSize int         // floats in ropes
	scratch  [][]float32 // per worker, see tmp
	inputs   [][][]float32
}

// Open makes a Device. It fails when the machine lacks the kernels asked for.
func Open(cfg Config) (*Device, error) {
	if cfg.Threads < 0 {
		return nil, fmt.Errorf("tensor: open: %d threads", cfg.Threads)
	}
	if cfg.Threads == 0 {
		cfg.Threads = runtime.GOMAXPROCS(0)
	}
	set, err := cpu.Get(cfg.Kernels)
	if err != nil {
		return nil, fmt.Errorf("tensor: open: %w", err)
	}
	d := &Device{
		kern: set, pool: newPool(cfg.Threads), byName: map[string]*Tensor{},
		work: make([]*cpu.Work, cfg.Threads), scratch: make([][]float32, cfg.Threads), inputs: make([][][]float32, cfg.Threads),
		ropes: map[ropeKey][]float32{}, gen: 1,
	}
	for i := range d.work {
		d.work[i] = &cpu.Work{}
	}
	if d.acc, err = openAccelerator(cfg); err != nil {
		d.pool.close()
		return nil, fmt.Errorf("tensor: open: %w", err)
	}
	if d.acc != nil {
		d.acc.d = d
	}
	return d, nil
}

// Close ends the worker goroutines and gives a GPU back. Tensors must not be
// used afterwards.
func (d *Device) Close() {
	d.pool.close()
	if d.acc != nil {
		d.acc.close()
	}
}

// Name is what computes: "cpu", or the name of the GPU.
func (d *Device) Name() string {
	if d.acc != nil {
		return d.acc.dev.Info().Name
	}
	return "cpu"
}

// Precision is that of Config, "float32" on a CPU.
func (d *Device) Precision() string {
	if d.acc != nil {
		return d.acc.precision
	}
	return "float32"
}

// Threads is the number of threads the device computes with.
func (d *Device) Threads() int { return d.pool.n }

// Kernels names the kernel set in use: "go", "avx2" or "avx512".
func (d *Device) Kernels() string { return d.kern.Name }

// Reset starts a step: the tape is forgotten and all step tensors die, their
// memory is used again. Persistent leaves and their gradients stay.
func (d *Device) Reset() {
	d.gen++
	if d.acc != nil {
		d.acc.retire(&d.heads)
	}
	clear(d.tape)
	d.tape = d.tape[:0]
	d.mem.reset()
	d.heads.retire()
}

// NoGrad runs f without recording for Backward: evaluation and optimizers.
func (d *Device) NoGrad(f func()) {
	old := d.quiet
	d.quiet = true
	defer func() { d.quiet = old }()
	f()
}

// Scope runs f without recording for Backward, as NoGrad does, and makes the
// tensors that f made die when it returns: their memory is used again. So an
// optimizer that works on one matrix at a time needs room for one only.
func (d *Device) Scope(f func()) {
	m, first := d.mem.mark(), d.heads.tensors
	spare := d.mem.spare
	d.mem.spare = nil // what is taken from there would be lost until Reset
	defer func() {
		d.mem.release(m)
		d.mem.spare = spare
		if d.acc != nil {
			d.acc.kill(&d.heads, first)
		}
		d.heads.kill(first)
	}()
	d.NoGrad(f)
}

// PeakBytes is the most memory that tensors have occupied so far: of the GPU,
// exactly and with what operations need on the way, if they live there.
func (d *Device) PeakBytes() int64 {
	if d.acc != nil {
		return d.acc.dev.PeakBytes()
	}
	return 4*int64(d.mem.peak) + d.held
}

// Param makes a persistent leaf that is trained, checkpointed and exported;
// all zeros. Names are unique on a device.
func (d *Device) Param(name string, shape ...int) *Tensor {
	t := d.leaf("param", kindParam, name, shape)
	t.needGrad = true
	return t
}

// State makes a persistent tensor without gradient that is checkpointed but
// never exported: optimizer moments. All zeros.
func (d *Device) State(name string, shape ...int) *Tensor {
	return d.leaf("state", kindState, name, shape)
}

// Const makes a persistent tensor without gradient, exported when a traced
// graph uses it. v is copied.
func (d *Device) Const(name string, v []float32, shape ...int) *Tensor {
	t := d.leaf("const", kindConst, name, shape)
	if len(v) != t.size {
		fail("const", "%q: got %d values, want %d for shape %v", name, len(v), t.size, shape)
	}
	t.writeFloats(v)
	return t
}

func (d *Device) leaf(op string, k kind, name string, shape []int) *Tensor {
	n, ok := sizeOf(shape)
	if !ok {
		fail(op, "%q: bad shape %v: dimensions must be above 0, at most %d elements in all", name, shape, maxElements)
	}
	if name == "" {
		fail(op, "a persistent tensor needs a name")
	}
	if d.byName[name] != nil {
		fail(op, "name %q is taken by a tensor of shape %v", name, d.byName[name].shape)
	}
	t := &Tensor{dev: d, name: name, shape: slices.Clone(shape), size: n, kind: k}
	if d.acc != nil {
		t.mem = d.acc.zeros(n)
	} else {
		t.data = make([]float32, n)
		d.held += int64(n) * 4
	}
	d.leaves = append(d.leaves, t)
	d.byName[name] = t
	return t
}

// Params lists the trained tensors in order of creation.
func (d *Device) Params() []*Tensor {
	var l []*Tensor
	for _, t := range d.leaves {
		if t.kind == kindParam {
			l = append(l, t)
		}
	}
	return l
}

// Persistent lists all persistent tensors (Param, State, Const) in order of
// creation: what a checkpoint holds.
func (d *Device) Persistent() []*Tensor { return slices.Clone(d.leaves) }

// Ints makes an id tensor for this step from a copy of v. Ids are tokens,
// targets or positions; [PoisonID] stands for "unknown" and becomes NaN.
func (d *Device) Ints(v []int32, shape ...int) *Tensor {
	t := d.step("ints", shape, true)
	t.given = true
	if len(v) != t.size {
		fail("ints", "got %d values, want %d for shape %v", len(v), t.size, t.shape)
	}
	if d.acc != nil {
		d.acc.given(t, v)
		return t
	}
	copy(t.ints(), v)
	return t
}

// Floats makes a tensor for this step from a copy of v; it has no gradient.
func (d *Device) Floats(v []float32, shape ...int) *Tensor {
	t := d.step("floats", shape, false)
	t.given = true
	if len(v) != t.size {
		fail("floats", "got %d values, want %d for shape %v", len(v), t.size, t.shape)
	}
	t.writeFloats(v)
	return t
}

// step allocates a step tensor with undefined contents.
func (d *Device) step(op string, shape []int, isInt bool) *Tensor {
	n, ok := sizeOf(shape)
	if !ok {
		fail(op, "bad shape %v", slices.Clone(shape)) // a copy, so that callers' shapes need no heap
	}
	t, p := d.heads.tensor()
	if (*p).op != nil || !slices.Equal((*p).out.Shape, shape) {
		*p = &inferred{out: Spec{Shape: slices.Clone(shape)}}
	}
	*t = Tensor{dev: d, shape: (*p).out.Shape, size: n, isInt: isInt, gen: d.gen}
	if d.acc == nil {
		t.data = d.mem.alloc(n)
		return t
	}
	typ := gpu.F32
	if isInt {
		typ = gpu.I32
	}
	t.mem, t.owned = d.acc.alloc(n, typ), true
	return t
}

// tmp is a buffer of n floats for worker w, valid until its next tmp.
func (d *Device) tmp(w, n int) []float32 {
	if cap(d.scratch[w]) < n {
		d.scratch[w] = make([]float32, roundUp(n, 1024))
	}
	return d.scratch[w][:n]
}

// args is room for n slices for worker w, valid until its next args.
func (d *Device) args(w, n int) [][]float32 {
	if cap(d.inputs[w]) < n {
		d.inputs[w] = make([][]float32, max(n, 8))
	}
	return d.inputs[w][:n]
}
