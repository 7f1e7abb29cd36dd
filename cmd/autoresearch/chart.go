package main

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// The chart's colors. Kept and discarded differ in lightness and size too, so
// that it reads in black and white.
var (
	inkColor     = color.RGBA{0x33, 0x33, 0x33, 0xff}
	keptColor    = color.RGBA{0x1a, 0x93, 0x50, 0xff}
	discardColor = color.RGBA{0xb8, 0xb8, 0xb8, 0xff}
	crashColor   = color.RGBA{0xd0, 0x3a, 0x2b, 0xff}
	gridColor    = color.RGBA{0xe2, 0xe2, 0xe2, 0xff}
)

// labelWidth bounds the titles beside kept points.
const labelWidth = 38

// series is a campaign sorted for drawing.
type series struct {
	kept, discarded plotter.XYs
	above           plotter.XYs // discarded, beyond the upper edge
	crashed         plotter.XYs
	rolled          plotter.XYs // kept, and rolled back or void
	fresh           plotter.XYs // checks of keeps
	best            plotter.XYs // the running best
	confirmed       plotter.XYs // what fresh seeds say of the newest confirmed keep
	titles          []string    // of kept
	lo, hi          float64     // the val_bpb that is shown
	last            int         // where the last experiment stands
}

// sortResults splits results, which are in order of their decisions: that is
// the order in which a campaign learns, while numbers tell when experiments
// began.
func sortResults(results []experiment.Result) (series, error) {
	s := series{last: len(results) - 1}
	now := ledger.Standings(results)
	for i, r := range results {
		s.follow(float64(i), r)
		at := plotter.XY{X: float64(i)}
		if r.Verdict != experiment.Keep || r.ValBpb == nil || r.Check != nil {
			continue
		}
		at.Y = *r.ValBpb
		if gone := now[r.Experiment]; gone == ledger.RolledBack || gone == ledger.Void {
			s.rolled = append(s.rolled, at)
			continue
		}
		s.kept = append(s.kept, at)
		s.titles = append(s.titles, label(r))
	}
	if len(s.kept) == 0 {
		return s, failed("run it again when the baseline is measured", "nothing to plot: no experiment has a score that was kept")
	}
	s.best = append(s.best, plotter.XY{X: float64(s.last), Y: s.best[len(s.best)-1].Y})
	if n := len(s.confirmed); n > 0 {
		s.confirmed = append(s.confirmed, plotter.XY{X: float64(s.last), Y: s.confirmed[n-1].Y})
	}
	s.lo, s.hi = shown(append(append(s.kept[:len(s.kept):len(s.kept)], s.rolled...), s.confirmed...))
	for i, r := range results {
		s.place(float64(i), r)
	}
	return s, nil
}

// follow brings the lines up to a decision: the incumbent, which a refuted keep
// takes back, and what is confirmed. Without a policy that confirms the best is
// the lowest score, since a simplification may cost a little.
func (s *series) follow(x float64, r experiment.Result) {
	best := r.Incumbent.ValBpb
	switch n := len(s.best); {
	case r.Incumbent.Commit == "" && r.Incumbent.Experiment == 0 && best == 0:
		return // a baseline that has crashed
	case len(r.Line) == 0 && (r.Verdict != experiment.Keep || r.ValBpb == nil):
		return
	case len(r.Line) == 0 && n > 0:
		best = min(best, s.best[n-1].Y)
	case n > 0 && s.best[n-1].Y == best:
		best = math.NaN()
	}
	if !math.IsNaN(best) {
		s.best = append(s.best, plotter.XY{X: x, Y: best})
	}
	in := ledger.Confirmed(r.Line)
	if in == nil {
		return
	}
	value := in.ValBpb
	if in.Fresh != nil {
		value = in.Fresh.ValBpb
	}
	if n := len(s.confirmed); n == 0 || s.confirmed[n-1].Y != value {
		s.confirmed = append(s.confirmed, plotter.XY{X: x, Y: value})
	}
}

// shown is the range of the axis: what was kept, and some room. Candidates that
// are far worse would press everything of interest into one line; they are
// drawn at the edge.
func shown(kept plotter.XYs) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, p := range kept {
		lo, hi = min(lo, p.Y), max(hi, p.Y)
	}
	room := max(0.35*(hi-lo), 0.01*hi)
	return lo - 0.3*room, hi + room
}

// place sorts one result that was not kept.
func (s *series) place(x float64, r experiment.Result) {
	switch {
	case r.Check != nil:
		if r.ValBpb != nil && *r.ValBpb <= s.hi {
			s.fresh = append(s.fresh, plotter.XY{X: x, Y: *r.ValBpb})
			s.lo = min(s.lo, *r.ValBpb)
		}
	case r.Verdict == experiment.Crash:
		s.crashed = append(s.crashed, plotter.XY{X: x, Y: s.lo})
	case r.Verdict != experiment.Discard || r.ValBpb == nil: // kept, or a duplicate
	case *r.ValBpb > s.hi:
		s.above = append(s.above, plotter.XY{X: x, Y: s.hi})
	default:
		s.discarded = append(s.discarded, plotter.XY{X: x, Y: *r.ValBpb})
		s.lo = min(s.lo, *r.ValBpb)
	}
}

func label(r experiment.Result) string {
	if r.Reason == experiment.Baseline {
		return "baseline"
	}
	s := style{utf8: true}
	return s.clip(s.printable(r.Title), labelWidth)
}

// chart draws a campaign as in Karpathy's progress plot: all experiments, the
// kept ones named, and the running best as a step line.
func chart(tag string, results []experiment.Result) (*plot.Plot, error) {
	s, err := sortResults(results)
	if err != nil {
		return nil, err
	}
	p := plot.New()
	dress(p)
	p.Title.Text = title(tag, results, s)
	p.X.Label.Text = "experiments in order of decision"
	p.Y.Label.Text = "val_bpb (lower is better)"
	p.X.Min, p.X.Max = -0.02*float64(s.last)-0.3, 1.12*float64(s.last)+1.5 // room for the last labels
	p.Y.Min, p.Y.Max = s.lo, s.hi+0.02*(s.hi-s.lo)
	p.X.Tick.Marker, p.Y.Tick.Marker = roundTicks{whole: true}, roundTicks{}
	for _, add := range []func(*plot.Plot) error{s.addGrid, s.addBest, s.addPoints} {
		if err := add(p); err != nil {
			return nil, fmt.Errorf("draw the chart of %s: %w", tag, err)
		}
	}
	p.Add(angledLabels{at: s.kept, texts: s.titles})
	return p, nil
}

func title(tag string, results []experiment.Result, s series) string {
	var t experiment.Tally
	for _, r := range results {
		if r.Experiment > 0 {
			t.Count(r.Brief())
		}
	}
	first, last := s.best[0].Y, s.best[len(s.best)-1].Y
	return fmt.Sprintf("%s: %s, %d kept, val_bpb %.4f to %.4f (%+.1f %%)",
		tag, plural(t.Experiments, "experiment"), t.Kept, first, last, 100*(last/first-1))
}

// dress sets fonts and colors: sans serif, dark grey, no box.
func dress(p *plot.Plot) {
	sans := func(size vg.Length) font.Font {
		return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
	}
	p.Title.TextStyle.Font, p.Title.Padding = sans(15), vg.Points(10)
	p.Title.TextStyle.Color = inkColor
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font, axis.Tick.Label.Font = sans(12), sans(10)
		axis.Label.TextStyle.Color, axis.Tick.Label.Color = inkColor, inkColor
		axis.LineStyle.Color, axis.Tick.LineStyle.Color = inkColor, inkColor
	}
	p.Legend.TextStyle.Font, p.Legend.TextStyle.Color = sans(10), inkColor
	p.Legend.Top, p.Legend.Padding = true, vg.Points(3)
	p.BackgroundColor = color.White
}

func (s series) addGrid(p *plot.Plot) error {
	g := plotter.NewGrid()
	g.Horizontal.Color, g.Vertical.Width = gridColor, 0
	base, err := plotter.NewLine(plotter.XYs{{X: p.X.Min, Y: s.kept[0].Y}, {X: float64(s.last), Y: s.kept[0].Y}})
	if err != nil {
		return err
	}
	base.LineStyle = draw.LineStyle{Color: discardColor, Width: vg.Points(1), Dashes: []vg.Length{vg.Points(4), vg.Points(4)}}
	p.Add(g, base)
	p.Legend.Add("baseline", base)
	return nil
}

func (s series) addBest(p *plot.Plot) error {
	line, err := plotter.NewLine(s.best)
	if err != nil {
		return err
	}
	line.StepStyle = plotter.PostStep
	line.LineStyle = draw.LineStyle{Color: keptColor, Width: vg.Points(1.8)}
	p.Add(line)
	p.Legend.Add("running best", line)
	if len(s.confirmed) == 0 {
		return nil
	}
	sound, err := plotter.NewLine(s.confirmed)
	if err != nil {
		return err
	}
	sound.StepStyle = plotter.PostStep
	sound.LineStyle = draw.LineStyle{Color: inkColor, Width: vg.Points(1.2), Dashes: []vg.Length{vg.Points(2), vg.Points(2)}}
	p.Add(sound)
	p.Legend.Add("confirmed by fresh seeds", sound)
	return nil
}

// addPoints draws one scatter for each kind that occurs.
func (s series) addPoints(p *plot.Plot) error {
	for _, kind := range []struct {
		name   string
		points plotter.XYs
		glyph  draw.GlyphStyle
	}{
		{"discarded", s.discarded, draw.GlyphStyle{Color: discardColor, Radius: vg.Points(2.5), Shape: draw.CircleGlyph{}}},
		{"discarded, off the scale", s.above, draw.GlyphStyle{Color: discardColor, Radius: vg.Points(3), Shape: draw.TriangleGlyph{}}},
		{"crashed", s.crashed, draw.GlyphStyle{Color: crashColor, Radius: vg.Points(3), Shape: draw.CrossGlyph{}}},
		{"fresh seed of a keep", s.fresh, draw.GlyphStyle{Color: inkColor, Radius: vg.Points(2), Shape: draw.PlusGlyph{}}},
		{"kept, then rolled back", s.rolled, draw.GlyphStyle{Color: keptColor, Radius: vg.Points(3.5), Shape: draw.RingGlyph{}}},
		{"kept", s.kept, draw.GlyphStyle{Color: keptColor, Radius: vg.Points(4), Shape: draw.CircleGlyph{}}},
	} {
		if len(kind.points) == 0 {
			continue
		}
		sc, err := plotter.NewScatter(kind.points)
		if err != nil {
			return err
		}
		sc.GlyphStyle = kind.glyph
		p.Add(sc)
		p.Legend.Add(kind.name, sc)
	}
	return nil
}
