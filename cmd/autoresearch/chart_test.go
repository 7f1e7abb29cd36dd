package main

import (
	"bytes"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot/vg"

	"github.com/autoresearch-go/autoresearch/experiment"
)

func TestResultsAreSortedForTheChart(t *testing.T) {
	s, err := sortResults(made("mar5"))
	require.NoError(t, err)
	require.Equal(t, []string{"baseline", "raise MatrixLR from 0.02 to 0.031", "lower Window from 256 to 128, <b>&\"qu…"}, s.titles)
	require.Len(t, s.kept, 3)
	require.Len(t, s.discarded, 1)
	require.Len(t, s.above, 1, "3.91 is off the scale")
	require.Len(t, s.crashed, 1)
	require.Equal(t, 6, s.last)
	require.InDelta(t, 2.4312, s.best[len(s.best)-1].Y, 1e-9)
}

func TestChartWithoutABaseline(t *testing.T) {
	_, err := chart("mar5", nil)
	require.ErrorContains(t, err, "nothing to plot")
}

// One experiment has no range on either axis.
func TestChartOfTheBaselineAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "one.png")
	require.NoError(t, savePlot("mar5", made("mar5")[:1], file, "png"))
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	_, err = png.Decode(bytes.NewReader(b))
	require.NoError(t, err)
}

func TestChartAsSVG(t *testing.T) {
	file := filepath.Join(t.TempDir(), "chart.svg")
	require.NoError(t, savePlot("mar5", made("mar5"), file, "svg"))
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	text := string(b)
	for _, want := range []string{
		"mar5: 6 experiments, 2 kept, val_bpb 2.5923 to 2.4312 (-6.2 %)", "val_bpb (lower is better)", "running best",
		"raise MatrixLR from 0.02 to 0.031", "&lt;b&gt;&amp;", "discarded, off the scale", "crashed",
	} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, text, "<b>", "titles are data")
}

func TestTicksSayWhereTheyAre(t *testing.T) {
	var labels []string
	for _, tick := range (roundTicks{}).Ticks(2.41, 2.66) {
		labels = append(labels, tick.Label)
	}
	require.Equal(t, "2.45 2.50 2.55 2.60 2.65", strings.Join(labels, " "))
	labels = nil
	for _, tick := range (roundTicks{whole: true}).Ticks(-0.3, 3.2) {
		labels = append(labels, tick.Label)
	}
	require.Equal(t, "0 1 2 3", strings.Join(labels, " "))
}

func TestLabelsThatCover(t *testing.T) {
	at := func(x, y float64) placedLabel {
		return placedLabel{start: vg.Point{X: vg.Length(x), Y: vg.Length(y)}, length: 100}
	}
	placed := []placedLabel{at(0, 0)}
	require.True(t, at(0, 4).covers(placed, 8))
	require.False(t, at(0, 20).covers(placed, 8), "above")
	require.False(t, at(200, 200*math.Tan(labelAngle)).covers(placed, 8), "behind its end")
}

func TestTheScaleIsThatOfKeptExperiments(t *testing.T) {
	results := made("mar5")
	worse := 2.4000 // discarded although it is lower: noise
	results = append(results, experiment.Result{Experiment: 7, Verdict: experiment.Discard, ValBpb: &worse, Incumbent: results[6].Incumbent})
	s, err := sortResults(results)
	require.NoError(t, err)
	require.LessOrEqual(t, s.lo, worse)
	require.Less(t, s.hi, 3.0)
}

// Experiments side by side are drawn in the order of their decisions, so that
// the running best only falls.
func TestChartIsInOrderOfDecision(t *testing.T) {
	results := madeParallel("mar5")
	kept := results[4]
	simpler := 2.5050 // the smaller program is kept although it costs a little
	kept.Experiment, kept.Sequence, kept.ValBpb, kept.Incumbent.ValBpb = 3, 5, &simpler, simpler
	s, err := sortResults(append(results, kept))
	require.NoError(t, err)
	var x, best []float64
	for _, p := range s.kept {
		x = append(x, p.X)
	}
	for _, p := range s.best {
		best = append(best, p.Y)
	}
	require.Equal(t, []float64{0, 1, 4, 5}, x)
	require.Equal(t, []float64{2.5923, 2.5312, 2.5001, 2.5001, 2.5001}, best)
	require.Equal(t, 2.0, s.discarded[0].X, "#1 was decided after #2")
	require.Equal(t, 5, s.last)
}
