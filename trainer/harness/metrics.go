package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// A run's metrics have about metricsLines lines, however many steps it takes. A
// long run has more, one at least every metricsEvery charged seconds: the
// worker takes a trainer that is silent for a minute to hang.
const (
	metricsLines = 1000
	metricsEvery = 5.0
)

// Metrics is one line of metrics.jsonl.
type Metrics struct {
	Step            int64   `json:"step"`
	ChargedSeconds  float64 `json:"charged_seconds"`
	Tokens          int64   `json:"tokens"` // trained on so far
	Loss            float64 `json:"loss"`   // of this step's batch, nats per token
	LR              float64 `json:"lr"`
	TokensPerSecond float64 `json:"tokens_per_second"`          // per charged second, since the line before
	MemoryBytes     int64   `json:"memory_bytes"`               // most memory resident so far
	GPUMemoryBytes  int64   `json:"gpu_memory_bytes,omitempty"` // most memory of the GPU that tensors have had at once
}

// metricsLog appends to metrics.jsonl and writes progress lines to the log.
type metricsLog struct {
	file     *os.File
	out      io.Writer
	last     Metrics   // the line before
	lastProg float64   // progress at that line
	lastOut  time.Time // of the last progress line
	shown    Metrics   // what it showed
}

// openMetrics opens the log at path and drops what is later than step: a
// resumed run takes those steps again, and none may appear twice.
func openMetrics(path string, step int64, out io.Writer) (*metricsLog, error) {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l := &metricsLog{out: out}
	var kept []byte
	for line := range bytes.Lines(old) {
		var m Metrics
		if json.Unmarshal(line, &m) != nil || m.Step > step || line[len(line)-1] != '\n' {
			break // later, or cut short by a crash
		}
		kept, l.last = append(kept, line...), m
	}
	err = writeFile(path, func(w io.Writer) error { _, err := w.Write(kept); return err })
	if err != nil {
		return nil, err
	}
	l.file, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o644)
	return l, err
}

// add records a step, unless the line before is too recent. progress is the
// run's, from 0 to 1.
func (l *metricsLog) add(m Metrics, progress float64, last bool) error {
	elapsed := m.ChargedSeconds - l.last.ChargedSeconds
	soon := progress < l.lastProg+1.0/metricsLines && elapsed < metricsEvery
	if l.last.Step > 0 && soon && !last || m.Step == l.last.Step {
		return nil
	}
	if elapsed > 0 {
		m.TokensPerSecond = float64(m.Tokens-l.last.Tokens) / elapsed
	}
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	l.last, l.lastProg = m, progress
	if _, err = system.write(l.file, append(line, '\n')); err != nil {
		return fmt.Errorf("writing %s: %w%s", l.file.Name(), cause(err), advice(err))
	}
	return nil
}

// resume sets where a process starts: speeds are measured from there on.
func (l *metricsLog) resume(tokens int64, charged, progress float64) {
	if l.last.Step > 0 {
		l.lastProg = progress
	}
	l.last.Tokens, l.last.ChargedSeconds = tokens, charged
	l.shown = l.last
}

// report writes a progress line, about one a second, and one for the last step.
// The speed is that since the line before.
func (l *metricsLog) report(m Metrics, progress, smoothLoss float64, last bool) {
	if time.Since(l.lastOut) < time.Second && !last {
		return
	}
	speed := 0.0
	if elapsed := m.ChargedSeconds - l.shown.ChargedSeconds; elapsed > 0 {
		speed = float64(m.Tokens-l.shown.Tokens) / elapsed
	}
	l.lastOut, l.shown = time.Now(), m
	memory := m.MemoryBytes
	if m.GPUMemoryBytes > 0 {
		memory = m.GPUMemoryBytes
	}
	fmt.Fprintf(l.out, "step %6d  %5.1f%%  charged %6.1fs  loss %.4f  lr %-7.2g %6.0f tokens/s  %d MiB\n",
		m.Step, 100*progress, m.ChargedSeconds, smoothLoss, m.LR, speed, memory>>20)
}

func (l *metricsLog) close() error { return l.file.Close() }
