package target

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// metrics is one line of metrics.jsonl: what the trainer says about a step.
type metrics struct {
	Step            int64   `json:"step"`
	Charged         float64 `json:"charged_seconds"`
	Tokens          int64   `json:"tokens"`
	Loss            float64 `json:"loss"`
	TokensPerSecond float64 `json:"tokens_per_second"`
	Memory          int64   `json:"memory_bytes"`     // the most that was resident so far; 0 if it does not say
	GPUMemory       int64   `json:"gpu_memory_bytes"` // the most of a GPU's that tensors had so far
}

// metricsTail follows a growing metrics.jsonl.
type metricsTail struct {
	path   string
	file   os.FileInfo // the one that was read last: a trainer that starts replaces it
	offset int64
	lines  int
	last   metrics // the newest line so far
	wrong  string  // the first contradiction in it
}

// maxMetricsRead bounds what is read at once, and maxMetricsReads how often
// before we look after other things: a file that grows faster has nothing to
// tell us.
const (
	maxMetricsRead  = 1 << 20
	maxMetricsReads = 16
)

// read returns the newest whole line if there is one with a later step than
// before.
func (t *metricsTail) read() (newest metrics, found bool) {
	f, err := OpenRegular(t.path)
	if err != nil {
		return newest, false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return newest, false
	}
	if t.file != nil && (!os.SameFile(t.file, info) || info.Size() < t.offset) {
		*t = metricsTail{path: t.path}
	}
	t.file = info
	before := t.last.Step
	for range maxMetricsReads {
		text, err := io.ReadAll(io.NewSectionReader(f, t.offset, maxMetricsRead))
		whole := bytes.LastIndexByte(text, '\n') + 1
		if err != nil || whole == 0 {
			break
		}
		t.offset += int64(whole)
		for line := range bytes.Lines(text[:whole]) {
			t.line(line)
		}
	}
	return t.last, t.last.Step > before
}

// line takes in a whole line.
func (t *metricsTail) line(text []byte) {
	t.lines++
	var m metrics
	if err := json.Unmarshal(text, &m); err != nil {
		t.contradict("line %d is none of our harness: %v", t.lines, err)
		return
	}
	switch p := t.last; {
	case m.Step <= p.Step:
		t.contradict("step %d follows step %d", m.Step, p.Step)
		return
	case m.Tokens < p.Tokens:
		t.contradict("%d tokens after step %d, and %d after step %d", p.Tokens, p.Step, m.Tokens, m.Step)
	case m.Charged < p.Charged-claimSlack:
		t.contradict("%g s charged after step %d, and %g s after step %d", p.Charged, p.Step, m.Charged, m.Step)
	}
	t.last = m
}

func (t *metricsTail) contradict(format string, args ...any) {
	if t.wrong == "" {
		t.wrong = fmt.Sprintf(format, args...)
	}
}
