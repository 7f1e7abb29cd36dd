package target

import (
	"bytes"
	"encoding/json"
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
}

// metricsTail follows a growing metrics.jsonl.
type metricsTail struct {
	path   string
	offset int64
	step   int64 // of the newest line so far
}

// maxMetricsRead bounds what is read at once: a file that grows faster has
// nothing to tell us.
const maxMetricsRead = 1 << 20

// read returns the newest whole line if there is one with a later step than
// before. A trainer that starts replaces the file, so it is opened each time.
func (t *metricsTail) read() (newest metrics, found bool) {
	f, err := os.Open(t.path)
	if err != nil {
		return newest, false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return newest, false
	}
	if info.Size() < t.offset {
		t.offset = 0
	}
	text, err := io.ReadAll(io.NewSectionReader(f, t.offset, maxMetricsRead))
	whole := bytes.LastIndexByte(text, '\n') + 1
	if err != nil || whole == 0 {
		return newest, false
	}
	t.offset += int64(whole)
	for line := range bytes.Lines(text[:whole]) {
		var m metrics
		if json.Unmarshal(line, &m) == nil && m.Step > t.step {
			newest, found, t.step = m, true, m.Step
		}
	}
	return newest, found
}
