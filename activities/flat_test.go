package activities

import (
	"fmt"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// BenchmarkExperiment shows what Propose, Apply and Decide cost, early and
// late in a campaign: go test -bench Experiment -benchtime 500x.
func BenchmarkExperiment(b *testing.B) {
	n := 0
	r := newResearch(b, newCheckout(b), answers(func(q proposer.Request) (proposer.Answer, error) {
		return lrAnswer(q, fmt.Sprintf("0.0%06d1", n)), nil
	}))
	c := prepared(b, r)
	baseline(b, r, c)
	for b.Loop() {
		n++
		applied := proposed(b, r, c, n, 0)
		in := keepInput(c, applied.Commit, 2.6)
		in.Number = n
		must(b, r, r.Decide, in)
	}
	if s, err := r.Ledger.State(b.Context(), "mar5"); err != nil || s.Tally != (experiment.Tally{Experiments: n, Discarded: n, SinceKeep: n}) {
		b.Errorf("State = %+v, %v", s, err)
	}
}
