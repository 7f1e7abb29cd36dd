package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// People who only see Temporal see what is confirmed beside what is not, and
// what is measured again.
func TestDetailsShowChecks(t *testing.T) {
	fresh := experiment.Estimate{ValBpb: 3.1, Runs: 4, Low: 3.05, High: 3.15}
	check := experiment.Check{Of: 2, Commit: "fedcba9876", Purpose: experiment.Confirm, Runs: 3}
	score := 3.02
	r := &research{State: State{
		Incumbent:     &experiment.Incumbent{Experiment: 2, Commit: "fedcba9876", ValBpb: 3, Title: "deep"},
		Confirmed:     &experiment.Incumbent{Experiment: 1, Commit: "abcdef1234", Title: "a | wide", Fresh: &fresh, Confirmed: true},
		FalseKeepRate: 0.05,
		Checks:        []experiment.Check{check},
		Tally:         experiment.Tally{Experiments: 2, Kept: 2, Checks: 5, Confirmed: 1},
		Recent:        []experiment.Brief{{Experiment: 3, Verdict: experiment.Keep, Reason: experiment.Confirmed, ValBpb: &score, Title: "confirm #1: a wide", Check: &check}},
	}}
	r.running = []*running{{Entry: checkEntry(check, 4)}}
	text := r.details(time.Time{})
	require.Contains(t, text, "| best | **3.0000** val_bpb, experiment 2, `fedcba9`: deep |")
	require.Contains(t, text, "| confirmed best | 3.1000 val_bpb (95 %: 3.0500 to 3.1500, 4 fresh seeds), experiment 1, `abcdef1`: a \\| wide |")
	require.Contains(t, text, "| checks | 5 made, 3 wanted: 1 keep confirmed, 0 rolled back |")
	require.Contains(t, text, "| false keeps | at most 5 % of the confirmed ones, by the policy's own account |")
	require.Contains(t, text, "| 4 | training |  | confirm #2 |")
	require.Contains(t, text, "| 3 | keep, confirmed | 3.0200 | confirm #1: a wide |")
	require.True(t, r.best().Provisional)
}

// Checks have a place in the order of decisions, but neither make a plateau nor
// end one, also when a decision becomes known late.
func TestChecksDoNotCountForThePlateau(t *testing.T) {
	check := &experiment.Check{Of: 1, Purpose: experiment.Confirm}
	result := func(n, sequence int, v experiment.Verdict, c *experiment.Check) (r ExperimentResult) {
		r.Sequence = sequence
		r.Brief = experiment.Brief{Experiment: n, Sequence: sequence, Verdict: v, Check: c}
		return r
	}
	var s State
	for _, r := range []ExperimentResult{
		result(0, 0, experiment.Keep, nil), result(1, 1, experiment.Keep, nil), result(2, 2, experiment.Keep, check),
		result(3, 3, experiment.Discard, nil), result(4, 4, experiment.Discard, check),
	} {
		s.settle(r)
	}
	require.Equal(t, 1, s.Tally.SinceKeep)
	s.settle(result(6, 6, experiment.Keep, check))
	s.settle(result(5, 5, experiment.Keep, nil)) // known after the check that came later
	require.Equal(t, 0, s.Tally.SinceKeep)
	require.Equal(t, 2, s.Tally.Kept)
	require.Equal(t, 3, s.Tally.Checks)
	s.settle(result(7, 7, experiment.Discard, nil))
	require.Equal(t, 1, s.Tally.SinceKeep)
	require.Equal(t, 5, s.LastKeep)
}

// A check trains what was refuted meanwhile, perhaps: it may not become the
// incumbent, so nothing is prepared on it, and it takes up no limit.
func TestACheckIsNoCandidate(t *testing.T) {
	check := experiment.Check{Of: 2, Commit: "b", Purpose: experiment.Confirm}
	r := &research{State: State{Incumbent: &experiment.Incumbent{Commit: "a"}, Limits: experiment.Limits{Experiments: 1}}}
	r.running = []*running{{Entry: checkEntry(check, 4)}}
	require.False(t, r.hasPoint("b"))
	require.Nil(t, r.decidedNext())
	require.True(t, r.mayBegin())
	require.Equal(t, 1, r.taken())
}

// While a search that has ended finishes the checks of its keeps, it looks after
// no slot any more.
func TestEndBeginsNoDriftCheck(t *testing.T) {
	drift := experiment.Check{Of: 1, Purpose: experiment.Drift, Slot: "train-cpu@vm"}
	r := &research{State: State{Checks: []experiment.Check{drift, {Of: 2, Purpose: experiment.Retest}}}}
	e, ok := r.nextCheck(true)
	require.True(t, ok)
	require.Equal(t, drift, *e.Check)
	r.Closing = "plateau"
	e, ok = r.nextCheck(true)
	require.True(t, ok)
	require.Equal(t, experiment.Retest, e.Check.Purpose)
}
