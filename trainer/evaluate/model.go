package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/trainer/harness/data"
	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// Limits on what a candidate may hand in. They are far above what any run of
// our budgets can train and far below what could hurt the evaluator.
const (
	maxFileBytes  = 1 << 30
	maxParameters = 100_000_000
	maxContext    = 16 << 10 // tokens
	maxNodes      = 20_000   // of the graph
	maxRank       = 8        // dimensions of a tensor
	maxElements   = 1 << 28  // of a tensor; so logits bound the batch, too
	maxRunBytes   = 4 << 30  // memory for the intermediate values of one run
	maxRunWork    = 1 << 42  // multiply-adds of one run
	maxSeconds    = 300      // CPU-seconds per core of a pass over one text, and of the proof; seconds on a GPU
	maxMessage    = 1000     // bytes of what we say, which a model's names may be part of
)

// ownBytes is what the evaluator takes for itself: the program, packed
// matrices and what a split keeps in memory.
const ownBytes = 96 << 20

// model is a parsed graph on a device, ready to run.
type model struct {
	graph      *tensor.Graph
	dev        *tensor.Device
	B, T, V    int // the shape it runs at: ids [B, T], logits [B, T, V]
	parameters int
	digest     string
	cores      int
	onGPU      bool
	seconds    time.Duration // spent in forward so far
}

// loadModel reads a model.safetensors file for data of V different tokens. What
// is wrong with the file is the model's fault; that it cannot be read at all is
// ours.
func (o evaluation) loadModel(V int) (*model, error) {
	info, err := os.Stat(o.model)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, faultf(reasonNotExportable, "there is no model at %s; Train must end with run.Export", o.model)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the model: %w", err)
	}
	if info.Size() > maxFileBytes || !info.Mode().IsRegular() {
		return nil, faultf(reasonNotExportable, "the model file has %d bytes; at most %d are allowed, in a regular file", info.Size(), maxFileBytes)
	}
	room, err := o.room(info.Size())
	if err != nil {
		return nil, err
	}
	file, err := os.ReadFile(o.model)
	if err != nil {
		return nil, fmt.Errorf("reading the model: %w", err)
	}
	var graph *tensor.Graph
	err = guarded(func() (err error) { graph, err = parse(file, room); return })
	if err != nil {
		return nil, faultf(reasonNotExportable, "reading %s: %v", filepath.Base(o.model), err)
	}
	m := &model{graph: graph, V: graph.Vocab(), digest: graph.Digest(), cores: o.cores, onGPU: o.onGPU()}
	m.B, m.T = graph.BT()
	for _, w := range graph.Weights() {
		m.parameters += len(w.Data)
	}
	if err := m.checkSize(V); err != nil {
		return nil, err
	}
	m.dev, err = tensor.Open(tensor.Config{Threads: o.cores, Kernels: o.kernels, Device: o.device, Precision: o.precisionOnGPU(), Cache: o.cache})
	if err != nil {
		return nil, fmt.Errorf("opening the device: %w", err)
	}
	return m, nil
}

// room is how many bytes the intermediate values of a run may take, beside a
// file of so many, which is in memory as it is and as weights.
func (o evaluation) room(size int64) (int64, error) {
	if o.memory == 0 {
		return maxRunBytes, nil
	}
	room := o.memory - ownBytes - 2*size
	if room <= 0 {
		return 0, faultf(reasonNotExportable, "the model file has %d MiB, which takes twice as much to read; the evaluation may have %d MiB in all", size>>20, o.memory>>20)
	}
	return min(room, maxRunBytes), nil
}

// parse reads a graph with its weights. It believes nothing of what it reads.
func parse(file []byte, room int64) (*tensor.Graph, error) {
	content, err := tensor.ReadSafetensors(file)
	if err != nil {
		return nil, err
	}
	text, ok := content.Metadata["graph"]
	if !ok {
		return nil, errors.New("the file holds weights but no graph")
	}
	return tensor.Parse([]byte(text), content.Floats, tensor.Limits{Nodes: maxNodes, Rank: maxRank, Elements: maxElements, Bytes: room, Work: maxRunWork})
}

// guarded makes a panic of f an error. No model should cause one; if one does,
// it is the model that goes, not the campaign. What panics is on standard error.
// A GPU's failure is an error of its own, which says whose it is.
func guarded(f func() error) (err error) {
	defer func() {
		p := recover()
		if _, ofGPU := gpu.FaultOf(p); ofGPU {
			err = p.(error)
		} else if p != nil {
			fmt.Fprintf(os.Stderr, "evaluate: panic: %v\n%s", p, debug.Stack())
			err = fmt.Errorf("it made the evaluator panic: %v", p)
		}
	}()
	return f()
}

func (m *model) close() { m.dev.Close() }

// checkSize holds the model to the limits and to the vocabulary V of the data.
func (m *model) checkSize(V int) error {
	switch {
	case m.V != V:
		return faultf(reasonNotExportable, "the logits have %d entries; they must have %d, one for each token of the data's vocabulary, which is run.Vocab()", m.V, V)
	case m.T > maxContext:
		return faultf(reasonNotExportable, "the context is %d tokens; at most %d are allowed", m.T, maxContext)
	case m.parameters > maxParameters:
		return faultf(reasonNotExportable, "the model has %d weights; at most %d are allowed", m.parameters, maxParameters)
	}
	return nil
}

// forward computes logits [B, T, V] of ids [B, T]; they are valid until the
// next call. An input that the graph cannot take is the model's fault.
func (m *model) forward(ids []int32) ([]float32, error) { return m.forwardAt(ids, nil) }

// forwardAt is forward for the logits at position at[b] of each row b only.
func (m *model) forwardAt(ids []int32, at []int) ([]float32, error) {
	var logits []float32
	err := m.timed(func() (err error) { logits, err = m.graph.RunAt(m.dev, ids, at); return })
	return logits, err
}

// codes computes the code lengths, in nats, of the targets of the first positions
// of ids [B, T]. One is NaN if its logits are not finite. On a GPU that is what
// leaves it, instead of logits.
func (m *model) codes(ids, targets []int32) ([]float64, error) {
	var nats []float64
	err := m.timed(func() (err error) { nats, err = m.graph.CodeLengths(m.dev, ids, targets); return })
	return nats, err
}

// timed runs the graph, and says whose fault it is when that fails.
func (m *model) timed(f func() error) error {
	start := time.Now()
	err := guarded(f)
	m.seconds += time.Since(start)
	if err == nil {
		return nil
	}
	switch fault, ofGPU := gpu.FaultOf(err); {
	case ofGPU && fault == gpu.ByMemory:
		return faultf(reasonOOM, "running the model: %v; make it smaller", err)
	case ofGPU && fault != gpu.ByProgram:
		return fmt.Errorf("running the model: %w", err)
	}
	return faultf(reasonNotExportable, "running the model: %v", err)
}

// meter is what limits of time are counted by: CPU time per core, which says what
// a model costs whatever else the machine does; on a GPU, which nobody shares and
// where the processor only waits, wall time.
func (m *model) meter() (spent func() float64) {
	if m.onGPU {
		start := time.Now()
		return func() float64 { return time.Since(start).Seconds() }
	}
	start := cpuSeconds()
	return func() float64 { return (cpuSeconds() - start) / float64(m.cores) }
}

// unit says in messages what a meter counts.
func (m *model) unit() string {
	if m.onGPU {
		return "s on the GPU"
	}
	return fmt.Sprintf("s of CPU time on each of %d cores", m.cores)
}

// window fills row of ids [B, T] with the tokens from at to end-1, T of them at
// most, padded with zeros.
func (m *model) window(ids []int32, row int, text *data.Split, at, end int) {
	into := ids[row*m.T : (row+1)*m.T]
	n := max(0, min(end-at, m.T))
	clear(into[n:])
	if n > 0 {
		text.Read(into[:n], at)
	}
}
