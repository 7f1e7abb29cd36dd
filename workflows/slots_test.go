package workflows

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/experiment"
)

var slotClock = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

func unwell(queue string, s experiment.SlotState, reason string, minute int) experiment.SlotHealth {
	return experiment.SlotHealth{Queue: queue, State: s, Reason: reason, At: slotClock.Add(time.Duration(minute) * time.Minute)}
}

func TestSlotsThatAreNotWell(t *testing.T) {
	const a, b = "train-cuda@vm/GPU-1", "train-cuda@vm/GPU-2"
	hot := unwell(a, experiment.SlotWaiting, "too hot", 1)
	broken := unwell(a, experiment.SlotQuarantined, "ECC", 2)
	slow := unwell(b, experiment.SlotHealthy, "the self-test is slow", 3)
	type words = []experiment.SlotHealth
	for name, tc := range map[string]struct{ said, want words }{
		"nothing":                      {nil, nil},
		"one":                          {words{hot}, words{hot}},
		"the newest word holds":        {words{hot, broken}, words{broken}},
		"also when it comes first":     {words{broken, hot}, words{broken}},
		"said twice":                   {words{broken, broken}, words{broken}},
		"well again":                   {words{broken, unwell(a, experiment.SlotHealthy, "", 5)}, nil},
		"well before it was not":       {words{broken, unwell(a, experiment.SlotHealthy, "", 1)}, words{broken}},
		"healthy, but":                 {words{hot, slow}, words{hot, slow}},
		"no queue, no state":           {words{unwell("", experiment.SlotWaiting, "x", 1), unwell(a, "tired", "x", 1)}, nil},
		"a slot that was never unwell": {words{unwell(b, experiment.SlotHealthy, "", 1)}, nil},
	} {
		var s State
		for _, h := range tc.said {
			s.slot(h)
		}
		require.ElementsMatch(t, tc.want, s.Unwell, name)
	}
}

// Whatever workers say, the state stays small: it travels through histories.
func TestUnwellSlotsAreBounded(t *testing.T) {
	var s State
	for i := range 10 * maxUnwell {
		s.slot(unwell(fmt.Sprintf("train-cuda@vm/GPU-%d", i), experiment.SlotQuarantined, strings.Repeat("ä", 1000), i))
	}
	require.Len(t, s.Unwell, maxUnwell)
	require.Equal(t, fmt.Sprintf("train-cuda@vm/GPU-%d", 10*maxUnwell-1), s.Unwell[maxUnwell-1].Queue, "the newest are kept")
	text, err := json.Marshal(s.Unwell)
	require.NoError(t, err)
	require.Less(t, len(text), maxUnwell*(maxReason+200))
}

// People who only see Temporal see which slots are not well, and why.
func TestDetailsShowSlots(t *testing.T) {
	r := &research{given: experiment.Settings{Tag: "mar5", Device: experiment.CUDA}}
	require.Contains(t, r.details(slotClock), "| device | cuda: slots serve the task queue train-cuda |")
	require.NotContains(t, r.details(slotClock), "| slot |")
	r.slot(unwell("train-cuda@vm/GPU-1", experiment.SlotQuarantined, "3 errors | of memory", 0))
	require.Contains(t, r.details(slotClock), "| `train-cuda@vm/GPU-1` | quarantined | 3 errors \\| of memory | 2026-03-05 12:00 UTC |")
	require.Equal(t, experiment.CUDA, r.status().Device)
	require.Len(t, r.status().Unwell, 1)
	require.Empty(t, (&research{given: experiment.Settings{Tag: "mar5"}}).status().Device)
}
