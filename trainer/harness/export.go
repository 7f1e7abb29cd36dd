package harness

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// Export ends a run: it traces forward, which takes token ids [B, T] to logits
// [B, T, V], and writes it as a graph together with the Params it uses.
// T is the context at which the model will be evaluated. B is up to the
// evaluator, so rows of a batch must not depend on each other, nor a logit on
// tokens that come after it; the evaluator proves both.
func (r *Run) Export(T int, forward func(ids *tensor.Tensor) *tensor.Tensor) error {
	if T < 1 {
		return failuref(ReasonError, "Export(%d, ...): the context must be at least 1", T)
	}
	if err := r.finite(); err != nil {
		return err
	}
	if T < 1 {
		return failuref(ReasonNotExportable, "Export(%d): the context must be at least 1", T)
	}
	r.dev.Reset()
	B := exportBatch(r.opts.evalBatch, T, r.Vocab())
	ids := r.dev.Ints(make([]int32, B*T), B, T)
	graph, err := r.dev.Trace(ids, forward)
	if err != nil {
		return fmt.Errorf("exporting the model: %w", err)
	}
	text, err := graph.MarshalJSON()
	if err != nil {
		return fmt.Errorf("exporting the model: %w", err)
	}
	content := tensor.SafeTensors{Floats: graph.Weights(), Metadata: map[string]string{"graph": string(text)}}
	err = writeFile(filepath.Join(r.opts.run, "model.safetensors"), func(w io.Writer) error {
		return tensor.WriteSafetensors(w, content)
	})
	if err != nil {
		return fmt.Errorf("exporting the model: %w", err)
	}
	r.exported = true
	r.sample = r.write(T, forward)
	return nil
}

// maxLogits bounds B*T*V of an exported graph, since the evaluator holds all
// logits of a batch, in 64 MiB then.
const maxLogits = 1 << 24

// exportBatch returns B of an exported graph: most, or fewer rows if these have
// too many logits.
func exportBatch(most, T, V int) int { return max(1, min(most, maxLogits/T/V)) }

// Done is what done.json holds.
type Done struct {
	Steps           int64   `json:"steps"`
	Tokens          int64   `json:"tokens"`
	ChargedSeconds  float64 `json:"charged_seconds"` // up to and with the export
	PeakMemoryBytes int64   `json:"peak_memory_bytes"`
	PeakGPUBytes    int64   `json:"peak_gpu_bytes,omitempty"` // of tensors, exactly
	Parameters      int     `json:"parameters"`
	FinalLoss       float64 `json:"final_loss"` // training loss, averaged over about the last 20 steps
	Sample          string  `json:"sample"`     // text that the model wrote
}

// finish records a run that went well.
func (r *Run) finish() error {
	if !r.exported {
		return failuref(ReasonNotExportable, "the program ended without a model; end Train with: return run.Export(T, model.Forward)")
	}
	r.settle()
	d := Done{
		Steps: r.step, Tokens: r.tokens, ChargedSeconds: round(r.clock.charged()),
		PeakMemoryBytes: peakMemory(), PeakGPUBytes: r.gpuMemory(), Parameters: r.parameters(), FinalLoss: r.smoothLoss, Sample: r.sample,
	}
	fmt.Fprintf(r.out, "done: %d steps, %d tokens, %.1f s charged (%.1f%% for checkpoints) in %.1f s, %.0f tokens/s, loss %.4f\nsample: %q\n",
		d.Steps, d.Tokens, d.ChargedSeconds, 100*r.checkpointShare(), time.Since(r.started).Seconds(), float64(d.Tokens)/d.ChargedSeconds, d.FinalLoss, d.Sample)
	if n, spent := r.dev.Tuned(); n > 0 {
		fmt.Fprintf(r.out, "products: the fastest algorithms for %d shapes were found in %.1f s\n", n, spent.Seconds())
	}
	return writeJSON(filepath.Join(r.opts.run, "done.json"), d)
}

// parameters counts the trained weights.
func (r *Run) parameters() (n int) {
	for _, p := range r.dev.Params() {
		n += p.Size()
	}
	return n
}

func round(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

// How long the prompt is at least, in bytes, how much the model adds to it, in
// tokens, and how much charged time that may take at most: enough for a look,
// too little to matter.
const (
	promptLength = 12
	sampleLength = 160
	sampleTime   = 250 * time.Millisecond
)

// write lets the model continue the prompt. A program whose forward works at
// its training shape alone gives no sample, which is no failure.
func (r *Run) write(T int, forward func(ids *tensor.Tensor) *tensor.Tensor) (text string) {
	defer func() { _ = recover() }()
	rng := rand.New(rand.NewPCG(r.opts.seed, 1)) // its own, to leave the run's alone
	limit := r.clock.charged() + min(sampleTime, max(r.opts.budget/50, sampleTime/5))
	prompt := r.data.prompt(promptLength)
	ids := make([]int32, min(T, len(prompt)+sampleLength))
	n := copy(ids, prompt)
	V := r.Vocab()
	text = string(r.data.Vocab().Decode(ids[:n]))
	for ; n < len(ids) && r.clock.charged() < limit; n++ {
		r.dev.Reset()
		var logits []float32
		r.dev.NoGrad(func() {
			logits = forward(r.dev.Ints(ids, 1, len(ids))).Host()
		})
		ids[n] = int32(draw(logits[(n-1)*V:n*V], rng))
		text += r.data.Vocab().Token(int(ids[n]))
	}
	return text
}

// draw picks an id with a probability that follows the logits, sharpened a
// little (temperature 0.8) for a text that reads better.
func draw(logits []float32, rng *rand.Rand) int {
	top := logits[0]
	for _, v := range logits {
		top = max(top, v)
	}
	var sum float64
	cumulative := make([]float64, len(logits))
	for i, v := range logits {
		sum += math.Exp(float64(v-top) / 0.8)
		cumulative[i] = sum
	}
	u := rng.Float64() * sum
	for i, c := range cumulative {
		if u < c {
			return i
		}
	}
	return len(logits) - 1
}
