package activities

import (
	"fmt"
	"testing"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// stored is an open experiment as its artifacts tell of it: rounds of proposals
// on a parent, and other files.
type stored struct {
	n      int
	parent string // commit
	of     int    // experiment
	rounds [][2]int
	more   []string
}

func (s stored) put(t *testing.T, r *Research) {
	t.Helper()
	for _, at := range s.rounds {
		p := storedProposal{Proposal: experiment.Proposal{Title: fmt.Sprintf("idea %d", s.n), Parent: s.parent}, Of: s.of}
		if at != s.rounds[len(s.rounds)-1] {
			p.Parent, p.Of = "earlier", 99
		}
		if err := putOnceJSON(t.Context(), r.Store, proposalKey("mar5", s.n, at[0], at[1]), &p); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range s.more {
		if err := putText(t.Context(), r.Store, experiment.Key("mar5", s.n, name), []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
}

// The campaign that all cases share: 1 was kept, then 3 discarded, then 6 crashed.
func TestOpenExperiments(t *testing.T) {
	dir := newCheckout(t)
	r := newResearch(t, dir, nil)
	inputs := sideBySide(t, r, 2.2, 2.2, 2.3, 2.2, 2.2, 0)
	for _, i := range []int{0, 2, 5} {
		must(t, r, r.Decide, inputs[i])
	}
	base, kept, lost := inputs[0].Campaign.Base, inputs[0].Commit, inputs[2].Commit
	for _, s := range []stored{
		{n: 2, parent: base, rounds: [][2]int{{0, 0}, {0, 1}}, more: []string{"run-0.json", "train.log"}},
		{n: 4, parent: kept, of: 1, rounds: [][2]int{{0, 0}, {2, 0}, {10, 0}, {10, 1}}, more: []string{"run-0.json", "run-0-rev-2.json"}},
		{n: 5, parent: kept, of: 1, rounds: [][2]int{{1, 0}}, more: []string{"run-0-rev-1-again-1.json"}},
		{n: 7, parent: lost, of: 3, rounds: [][2]int{{0, 0}}, more: []string{"apply-0-0.json", "failure-0-0.json", "proposal.md"}},
		{n: 8, parent: "c4", of: 4, rounds: [][2]int{{0, 0}}},
		{n: 9, parent: "c77", of: 77, rounds: [][2]int{{0, 0}}},
		{n: 10, more: []string{"note-0-0-answer.json"}},
		{n: 11, more: []string{"proposal-0.json", "apply-0.json"}}, // of an older version
		{n: 12, more: []string{"run-0.json"}},
		{n: 10012, parent: base, rounds: [][2]int{{0, 0}}},
	} {
		s.put(t, r)
	}
	// Files of the campaign are none of an experiment.
	for _, name := range []string{"programs/0099.json", "syntax/12345.json", "ideas/99.json", "99999"} {
		if err := putText(t.Context(), r.Store, experiment.CampaignKey("mar5", name), []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	results, err := r.Ledger.Results(t.Context(), "mar5")
	if err != nil {
		t.Fatal(err)
	}
	baseline, best := results[0].Incumbent, results[1].Incumbent
	third := experiment.Incumbent{Experiment: 3, Commit: lost, ValBpb: 2.3, Runs: 1, SyntaxTokens: 20, Title: "idea 3"}
	for who, r := range map[string]*Research{"writer": r, "fresh": newResearch(t, dir, nil)} {
		got := must(t, r, r.Prepare, PrepareInput{testSettings()}).Ledger
		want := []OpenExperiment{
			{Number: 2, Parent: baseline, Trained: true},
			{Number: 4, Revision: 10, Parent: best},
			{Number: 5, Revision: 1, Parent: best, Trained: true},
			{Number: 7, Parent: third},
			{Number: 8, Parent: experiment.Incumbent{Experiment: 4, Commit: "c4", Title: "idea 4"}},
			{Number: 9, Parent: experiment.Incumbent{Experiment: 77, Commit: "c77"}},
			{Number: 10, Parent: best},
			{Number: 10012, Parent: baseline},
		}
		if len(got.Open) != len(want) {
			t.Fatalf("%s: open are %s", who, asJSON(t, got.Open))
		}
		for i := range want {
			if got.Open[i] != want[i] {
				t.Errorf("%s: open is\n%s, want\n%s", who, asJSON(t, got.Open[i]), asJSON(t, want[i]))
			}
		}
		if got.Next != 10013 || got.Decided != 4 || got.Incumbent.Experiment != 1 || got.Tally.Experiments != 3 || got.Recent[3].Experiment != 6 {
			t.Errorf("%s: ledger is %s", who, asJSON(t, got))
		}
	}
}

// What was prepared while the baseline trained is open; the baseline is not,
// and is run again.
func TestOpenDuringTheBaseline(t *testing.T) {
	r := newResearch(t, newCheckout(t), setLR("0.02"))
	c := prepared(t, r)
	must(t, r, r.Apply, ApplyInput{Campaign: c, Parent: c.Base, Baseline: true})
	state := func() LedgerState { return must(t, r, r.Prepare, PrepareInput{testSettings()}).Ledger }
	if got := state(); got.Next != 0 || got.Decided != 0 || got.Open != nil || got.Baseline != nil {
		t.Errorf("with the baseline alone the ledger is %s", asJSON(t, got))
	}
	proposed(t, r, c, 1, 0)
	stored{n: 2, more: []string{"note-0-0-answer.json"}}.put(t, r)
	parent := experiment.Incumbent{Commit: c.Base, Title: "baseline"}
	got := state()
	if want := []OpenExperiment{{Number: 1, Parent: parent}, {Number: 2, Parent: parent}}; got.Next != 3 || got.Decided != 0 || got.Baseline != nil || asJSON(t, got.Open) != asJSON(t, want) {
		t.Errorf("ledger is %s", asJSON(t, got))
	}
	baseline(t, r, c)
	if got := state(); got.Next != 3 || got.Decided != 1 || len(got.Open) != 2 || got.Open[0].Parent.Runs != 2 {
		t.Errorf("after the baseline the ledger is %s", asJSON(t, got))
	}
}
