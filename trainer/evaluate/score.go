package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// evaluation is the command line of check and score.
type evaluation struct {
	model, data string
	cores       int
	kernels     string
	proved      string // digest of a graph that need not be proved again
}

// Check is the result of check.
type Check struct {
	GraphDigest string  `json:"graph_digest"` // for score --proved
	Parameters  int     `json:"parameters"`   // weights that the graph uses
	Context     int     `json:"context"`      // T, in tokens
	Batch       int     `json:"batch"`        // B of the graph
	Seconds     float64 `json:"seconds"`      // wall time of it all
}

// Score is the result of score. Everything is exact but for the float32
// arithmetic of the forward pass.
type Score struct {
	ValBpb         float64 `json:"val_bpb"` // bits per byte
	Nats           float64 `json:"nats"`    // code length of all tokens together
	Tokens         int     `json:"tokens"`  // predicted; bytes, as tokens are bytes
	Bytes          int     `json:"bytes"`   // that the predicted tokens stand for
	GraphDigest    string  `json:"graph_digest"`
	Parameters     int     `json:"parameters"`
	Context        int     `json:"context"`
	Proved         bool    `json:"proved_here"`     // false: --proved was this graph's digest
	Seconds        float64 `json:"seconds"`         // wall time of it all
	CPUSeconds     float64 `json:"cpu_seconds"`     // CPU time of it all
	ForwardSeconds float64 `json:"forward_seconds"` // wall time of the forward pass over the text
}

// check judges a model without the validation text.
func (o evaluation) check() (Check, error) {
	start := time.Now()
	text, m, err := o.open("train.bin", checkBytes)
	if err != nil {
		return Check{}, err
	}
	defer m.close()
	if err := proveCausal(m, m.sample(text)); err != nil {
		return Check{}, err
	}
	return Check{GraphDigest: m.digest, Parameters: m.parameters, Context: m.T, Batch: m.B, Seconds: time.Since(start).Seconds()}, nil
}

// score judges a model and measures its val_bpb.
func (o evaluation) score() (Score, error) {
	start := time.Now()
	text, m, err := o.open("val.bin", math.MaxInt64)
	if err != nil {
		return Score{}, err
	}
	defer m.close()
	prove := m.digest != o.proved // see proveCausal for why that is enough
	if prove {
		if err := proveCausal(m, m.sample(text)); err != nil {
			return Score{}, err
		}
	}
	m.seconds = 0
	bits, err := m.codeLength(text, o.cores)
	if err != nil {
		return Score{}, err
	}
	n := len(text) - 1
	return Score{
		ValBpb: bits / float64(n), Nats: bits * math.Ln2, Tokens: n, Bytes: n,
		GraphDigest: m.digest, Parameters: m.parameters, Context: m.T, Proved: prove,
		Seconds: time.Since(start).Seconds(), CPUSeconds: cpuSeconds(), ForwardSeconds: m.seconds.Seconds(),
	}, nil
}

// checkBytes is how much training text check reads: room for any batch.
const checkBytes = 1 << 24

// open reads the text of the split and the model.
func (o evaluation) open(name string, limit int64) ([]byte, *model, error) {
	if o.model == "" || o.data == "" || o.cores < 1 {
		return nil, nil, errors.New("--model and --data are both needed, and --cores must be at least 1")
	}
	text, err := readText(filepath.Join(o.data, name), limit)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the text: %w; --data must name the directory of the split, with %s", err, name)
	}
	m, err := loadModel(o.model, o.kernels, o.cores)
	return text, m, err
}

// readText reads up to limit bytes of a file, all of it without a limit.
func readText(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit))
	if err == nil && len(text) < 2 {
		err = fmt.Errorf("%s is empty", path)
	}
	return text, err
}

// sample returns ids [B, T] from all over the text.
func (m *model) sample(text []byte) []int32 {
	ids := make([]int32, m.B*m.T)
	for row := range m.B {
		m.window(ids, row, text[len(text)*row/m.B:])
	}
	return ids
}

// codeLength returns the bits that it takes to encode text[1:]. The text is
// cut into windows of T tokens that do not overlap, so every byte after the
// first is the target of exactly one position. The last window is padded,
// which changes nothing before the padding: the model is causal, and its rows
// are independent.
func (m *model) codeLength(text []byte, cores int) (float64, error) {
	ids := make([]int32, m.B*m.T)
	inputs, targets := text[:len(text)-1], text[1:]
	total := 0.0
	for at := 0; at < len(inputs); at += len(ids) {
		n := min(len(ids), len(inputs)-at)
		for row := range m.B {
			m.window(ids, row, inputs[min(at+row*m.T, len(inputs)):])
		}
		logits, err := m.forward(ids)
		if err != nil {
			return 0, err
		}
		bits := codeLength(logits, targets[at:at+n], m.V, cores)
		if math.IsNaN(bits) || math.IsInf(bits, 0) {
			return 0, faultf(reasonNaN, "the logits for the %d bytes from %d on are not finite", n, at+1)
		}
		total += bits
	}
	return total, nil
}

// cpuSeconds returns the CPU time of this process.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
