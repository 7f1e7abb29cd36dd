package main

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/autoresearch-go/autoresearch/trainer/harness/data"
)

// evaluation is the command line of check and score.
type evaluation struct {
	model, data string
	audit       string  // directory of the audit split; empty is none
	limit       float64 // CPU-seconds per core, or seconds on a GPU, that one pass over a text may take
	memory      int64   // bytes that this process may hold; 0 bounds nothing
	cores       int
	kernels     string
	proved      string // digest of a graph that need not be proved again
	cuts        int    // how many positions check tries; 0 is all, a proof
	device      string // "cpu", "cuda" or "cuda:" and a UUID
	precision   string // on a GPU
	cache       string // of compiled kernels
}

// gpuPrecision is the precision on a GPU unless one is asked for. A score in it is
// that of a CPU to gpuTolerance; see TestScoreOnGPU.
const gpuPrecision = "tfloat32"

func (o evaluation) onGPU() bool { return strings.HasPrefix(o.device, "cuda") }

// precisionOnGPU is empty on a CPU, which has one only.
func (o evaluation) precisionOnGPU() string {
	if o.onGPU() && o.precision == "" {
		return gpuPrecision
	}
	return o.precision
}

// Check is the result of check.
type Check struct {
	GraphDigest string  `json:"graph_digest"`   // for score --proved
	Parameters  int     `json:"parameters"`     // weights that the graph uses
	Context     int     `json:"context"`        // T, in tokens
	Batch       int     `json:"batch"`          // B of the graph
	Seconds     float64 `json:"seconds"`        // wall time of it all
	Cuts        int     `json:"cuts,omitempty"` // positions that were tried; left out for all of them, a proof
}

// Score is the result of score. Everything is exact but for the float32
// arithmetic of the forward pass.
type Score struct {
	ValBpb         float64 `json:"val_bpb"`             // bits per byte
	AuditBpb       float64 `json:"audit_bpb,omitempty"` // on the audit split; 0 where it was not measured
	Nats           float64 `json:"nats"`                // code length of all tokens together
	Tokens         int     `json:"tokens"`              // predicted: all but the first, which is given
	Bytes          int     `json:"bytes"`               // that the predicted tokens stand for
	GraphDigest    string  `json:"graph_digest"`
	Parameters     int     `json:"parameters"`
	Context        int     `json:"context"`
	Proved         bool    `json:"proved_here"`     // false: --proved was this graph's digest
	Seconds        float64 `json:"seconds"`         // wall time of it all
	CPUSeconds     float64 `json:"cpu_seconds"`     // CPU time of it all
	ForwardSeconds float64 `json:"forward_seconds"` // wall time of the forward pass over the validation text
	// ValSeconds is the CPU time per core (wall time on a GPU) of the pass over the
	// validation text, without start, proof and audit: what --limit bounds, and what
	// a later evaluation's limit can be made from.
	ValSeconds float64 `json:"val_seconds"`
}

// check judges a model without the validation text.
func (o evaluation) check() (Check, error) {
	start := time.Now()
	text, m, err := o.open(data.TrainFile)
	if err != nil {
		return Check{}, err
	}
	defer text.Close()
	defer m.close()
	if err := tryCausal(m, m.sample(text), maxSeconds, o.cuts); err != nil {
		return Check{}, err
	}
	return Check{GraphDigest: m.digest, Parameters: m.parameters, Context: m.T, Batch: m.B, Cuts: o.cuts, Seconds: time.Since(start).Seconds()}, nil
}

// score judges a model and measures its val_bpb, and its audit_bpb if there is
// an audit split.
func (o evaluation) score() (Score, error) {
	start := time.Now()
	text, m, err := o.open(data.ValFile)
	if err != nil {
		return Score{}, err
	}
	defer text.Close()
	defer m.close()
	audit, err := o.openAudit(m)
	if err != nil {
		return Score{}, err
	}
	if audit != nil {
		defer audit.Close()
	}
	prove := m.digest != o.proved // see proveCausal for why that is enough
	if prove {
		if err := proveCausal(m, m.sample(text), maxSeconds); err != nil {
			return Score{}, err
		}
	}
	s := Score{GraphDigest: m.digest, Parameters: m.parameters, Context: m.T, Proved: prove, Tokens: text.Len() - 1, Bytes: text.Bytes(1, text.Len())}
	m.seconds = 0
	spent := m.meter()
	bits, err := m.codeLength(text, o.cores, o.limit)
	if err != nil {
		return Score{}, err
	}
	s.ValBpb, s.Nats = bits/float64(s.Bytes), bits*math.Ln2
	s.ForwardSeconds, s.ValSeconds = m.seconds.Seconds(), spent()
	if audit != nil {
		bits, err := m.codeLength(audit, o.cores, o.limit)
		if err != nil {
			return Score{}, err
		}
		s.AuditBpb = bits / float64(audit.Bytes(1, audit.Len()))
	}
	s.Seconds, s.CPUSeconds = time.Since(start).Seconds(), cpuSeconds()
	return s, nil
}

// openAudit opens the audit split, or returns nil if it is not asked for.
func (o evaluation) openAudit(m *model) (*data.Split, error) {
	if o.audit == "" {
		return nil, nil
	}
	audit, err := openText(o.audit, data.AuditFile, "--audit")
	if err == nil && audit.Vocab().Size() != m.V {
		audit.Close()
		err = fmt.Errorf("reading the text: the audit split has %d different tokens, the validation split %d; do they belong to the same corpus?", audit.Vocab().Size(), m.V)
	}
	return audit, err
}

// openText opens a split, named as it is below a corpus, in the directory dir
// that a flag has named.
func openText(dir, split, flag string) (*data.Split, error) {
	name := filepath.Base(split)
	text, err := data.OpenSplit(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("reading the text: %w; %s must name the directory of the split, with %s", err, flag, name)
	}
	if text.Len() < 2 {
		text.Close()
		return nil, fmt.Errorf("reading the text: %s has a single token; one is given and the rest is predicted", name)
	}
	return text, nil
}

// open opens a split, named as it is below a corpus, and the model.
func (o evaluation) open(split string) (*data.Split, *model, error) {
	if o.model == "" || o.data == "" || o.cores < 1 {
		return nil, nil, errors.New("--model and --data are both needed, and --cores must be at least 1")
	}
	text, err := openText(o.data, split, "--data")
	if err != nil {
		return nil, nil, err
	}
	m, err := o.loadModel(text.Vocab().Size())
	if err != nil {
		text.Close()
	}
	return text, m, err
}

// sample returns ids [B, T] from all over the text.
func (m *model) sample(text *data.Split) []int32 {
	ids := make([]int32, m.B*m.T)
	for row := range m.B {
		m.window(ids, row, text, text.Len()*row/m.B, text.Len())
	}
	return ids
}

// codeLength returns the bits that it takes to encode all tokens but the first.
// The text is cut into windows of T tokens that do not overlap, so every token
// after the first is the target of exactly one position. The last window is
// padded, which changes nothing before the padding: the model is causal, and
// its rows are independent.
//
// It may take limit seconds by the model's meter.
func (m *model) codeLength(text *data.Split, cores int, limit float64) (float64, error) {
	spent := m.meter()
	ids, targets := make([]int32, m.B*m.T), make([]int32, m.B*m.T)
	inputs := text.Len() - 1
	total := 0.0
	for at := 0; at < inputs; at += len(ids) {
		n := min(len(ids), inputs-at)
		for row := range m.B {
			m.window(ids, row, text, at+row*m.T, inputs)
		}
		text.Read(targets[:n], at+1)
		bits, err := m.bits(ids, targets[:n], cores)
		if err != nil {
			return 0, err
		}
		if math.IsNaN(bits) || math.IsInf(bits, 0) {
			return 0, faultf(reasonNaN, "the logits for the %d tokens from %d on are not finite", n, at+1)
		}
		total += bits
		if spent := spent(); spent > limit {
			return 0, faultf(reasonTimeout, "the model is too slow: %d of %d tokens took %.2f %s, and %.2f s are allowed for all; make it smaller", at+n, inputs, spent, m.unit(), limit)
		}
	}
	return total, nil
}

// bits adds up the code lengths of targets, the first positions of ids [B, T]: on
// a CPU by code that is ours alone, on a GPU by the kernel that does the same.
func (m *model) bits(ids, targets []int32, cores int) (sum float64, err error) {
	if !m.onGPU {
		logits, err := m.forward(ids)
		if err != nil {
			return 0, err
		}
		return codeLength(logits, targets, m.V, cores), nil
	}
	nats, err := m.codes(ids, targets)
	for _, n := range nats {
		sum += n
	}
	return sum / math.Ln2, err
}

// cpuSeconds returns the CPU time of this process.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
