package activities

import (
	"testing"
)

// BenchmarkNoopRun is what our machinery adds to a training run: slot, build,
// attempt directory, artifacts, score.
func BenchmarkNoopRun(b *testing.B) {
	s := noopSlot(b)
	for b.Loop() {
		s.in.Number++
		r, err := s.Train.Train(b.Context(), s.in)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Evaluate(b.Context(), s.evaluation(r)); err != nil {
			b.Fatal(err)
		}
	}
}
