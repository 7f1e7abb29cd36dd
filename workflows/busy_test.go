package workflows_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/bench/slots/sim"
)

// A slot does not wait for an idea: with runs of five minutes and a language
// model that takes one, the slots are busy for 99 % of the time. The clock is
// virtual, so this holds or not on every machine; go run ./bench/slots simulate
// prints the numbers.
func TestSlotsAreBusy(t *testing.T) {
	for _, slots := range []int{1, 8} {
		t.Run(fmt.Sprintf("%d slots", slots), func(t *testing.T) {
			t.Parallel()
			r, err := sim.LLM(slots, 40*slots).Run()
			require.NoError(t, err)
			require.NotZero(t, r.Tally.Kept, "each keep makes what is prepared stale")
			require.NotZero(t, r.Tally.Crashed)
			require.GreaterOrEqual(t, r.Share(), 0.99)
			require.Less(t, r.Quantile(0.5), 200*time.Millisecond, "most find a prepared candidate: nothing but Decide is between")
		})
	}
}

// With one slot either verdict finds a prepared candidate, if no edit is broken
// and no run dies early.
func TestEitherVerdictFindsACandidate(t *testing.T) {
	c := sim.LLM(1, 40)
	c.Repairs, c.Broken, c.Dies = 0, 0, 0
	r, err := c.Run()
	require.NoError(t, err)
	require.NotZero(t, r.Tally.Kept)
	require.NotZero(t, r.Tally.Discarded)
	require.Equal(t, c.Decide, r.Quantile(1))
}

// A proposer that answers at once is never waited for longer than it takes to
// build what it proposes, even when the incumbent moves twice in that time.
func TestSlotsWaitForABuildAtMost(t *testing.T) {
	c := sim.HPO(4, 80)
	r, err := c.Run()
	require.NoError(t, err)
	require.NotZero(t, r.Tally.Kept)
	require.Less(t, r.Quantile(0.95), 6*time.Second+200*time.Millisecond, "a build takes up to 6 s here")
	require.Less(t, r.Quantile(1), 2*(6*time.Second+200*time.Millisecond))
}

// The model of the slots counts what is idle: where nothing is prepared ahead,
// each run waits for its proposal.
func TestSlowProposersLeaveSlotsIdle(t *testing.T) {
	c := sim.LLM(1, 20)
	c.Propose = 20 * time.Minute
	r, err := c.Run()
	require.NoError(t, err)
	require.Less(t, r.Share(), 0.6, "two are prepared at a time, and take four times as long as a run")
}
