package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// confirmedStatus is the status of a campaign that confirms, after n decisions.
func confirmedStatus(n int) experiment.Status {
	c := experiment.Campaign{StartedAt: madeAt, Settings: experiment.Settings{Tag: "mar5"}.WithDefaults()}
	st := statusOf(c, madeConfirmed("mar5")[:n])
	st.Campaign, st.Phase = "mar5", experiment.Running
	return st
}

func TestViewOfWhatIsConfirmed(t *testing.T) {
	st := confirmedStatus(8)
	v := view{tag: "mar5", status: &st, now: madeAt.Add(time.Hour)}
	require.Equal(t, strings.TrimPrefix(`
mar5  running  4 experiments  3 kept  1 discarded  1 confirmed  1 rolled back  1h00m
best  2.5011 (-0.0912 since the baseline)  #7 lower Window from 256 to 128  (provisional)
confirmed  2.5345 +/- 0.0041, 4 fresh seeds, confirmed  #1 raise MatrixLR from 0.02 to 0.031`, "\n"),
		drawn(v, 120, style{}))
	st = confirmedStatus(2)
	require.Contains(t, drawn(v, 120, style{}), "\nconfirmed  2.5923, 1 seed  #0 baseline", "until then the baseline is all that is sure")
	st = confirmedStatus(1)
	require.NotContains(t, drawn(v, 120, style{}), "\nconfirmed", "the baseline alone says it once")
	st.Confirmed.Audit, st.Experiment = &experiment.Audit{Overfit: true}, 1
	require.Contains(t, drawn(v, 120, style{}), "(overfit to the validation split)")
}

func TestChecksInOneLine(t *testing.T) {
	all := madeConfirmed("mar5")
	require.Equal(t, "#3 confirm #1: confirmed 2.5345 (+0.0243)", eventLine(all[3], style{}))
	all[4].Title = "confirm #2: \x1b[31mred"
	require.Equal(t, "#4 confirm #2: refuted 2.5402 (+0.0300) [31mred", eventLine(all[4], style{}))
	all[4].ValBpb, all[4].Verdict, all[4].Reason = nil, experiment.Crash, experiment.NaN
	require.Equal(t, "#4 confirm #2: nan [31mred", eventLine(all[4], style{}))
}

// A chart says what has become of a keep, and does not take a check for one.
func TestChartOfWhatIsConfirmed(t *testing.T) {
	s, err := sortResults(madeConfirmed("mar5"))
	require.NoError(t, err)
	require.Len(t, s.kept, 3)
	require.Len(t, s.rolled, 1)
	require.Equal(t, 2.0, s.rolled[0].X)
	require.Len(t, s.fresh, 3)
	require.Len(t, s.confirmed, 3, "the baseline, #1, and the end")
	require.InDelta(t, 2.5345, s.confirmed[2].Y, 1e-9)
	var best []float64
	for _, p := range s.best {
		best = append(best, p.Y)
	}
	require.Equal(t, []float64{2.5923, 2.5312, 2.5102, 2.5312, 2.5011, 2.5011}, best, "a refuted keep takes the best back")
}
