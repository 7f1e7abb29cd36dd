package main

import (
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// labelAngle is that of the titles in the chart.
const labelAngle = math.Pi / 6

// angledLabels writes a text beside each point, angled, and moves it up, with a
// thin line to its point, where it would cover another.
type angledLabels struct {
	at    plotter.XYs
	texts []string
}

// placedLabel is the start of a label, and its length.
type placedLabel struct {
	start  vg.Point
	length vg.Length
}

// Plot implements plot.Plotter. The last label is placed first: a running best
// falls, so there is room above the earlier ones.
func (l angledLabels) Plot(c draw.Canvas, p *plot.Plot) {
	ink := color.RGBA{0x14, 0x6b, 0x3a, 0xff}
	style := text.Style{
		Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: 8}, Color: ink,
		Rotation: labelAngle, XAlign: text.XLeft, YAlign: text.YBottom, Handler: plot.DefaultTextHandler,
	}
	leader := draw.LineStyle{Color: discardColor, Width: vg.Points(0.5)}
	trX, trY := p.Transforms(&c)
	height := style.Height("Ag")
	var placed []placedLabel
	for i := len(l.at) - 1; i >= 0; i-- {
		point := vg.Point{X: trX(l.at[i].X), Y: trY(l.at[i].Y)}
		label := placedLabel{start: point.Add(vg.Point{X: 3, Y: 5}), length: style.Width(l.texts[i])}
		first := label.start
		for label.covers(placed, height) {
			label.start.Y++
		}
		if label.start.Y > first.Y+2 {
			c.StrokeLine2(leader, point.X, point.Y, label.start.X, label.start.Y)
		}
		c.FillText(style, label.start, l.texts[i])
		placed = append(placed, label)
	}
}

// covers tells whether l lies over one of the others. Labels have one angle, so
// they are compared along it and across it.
func (l placedLabel) covers(others []placedLabel, height vg.Length) bool {
	along, across := l.turned()
	for _, o := range others {
		oAlong, oAcross := o.turned()
		if math.Abs(float64(across-oAcross)) < float64(height) && along < oAlong+o.length && oAlong < along+l.length {
			return true
		}
	}
	return false
}

func (l placedLabel) turned() (along, across vg.Length) {
	sin, cos := math.Sincos(labelAngle)
	s, c := vg.Length(sin), vg.Length(cos)
	return l.start.X*c + l.start.Y*s, l.start.Y*c - l.start.X*s
}

// roundTicks puts labelled ticks at round values. (gonum's own rounds the label
// of 2.65 to 2.6.)
type roundTicks struct {
	whole bool // only whole numbers from 0
}

// Ticks aims at about seven.
func (t roundTicks) Ticks(lo, hi float64) []plot.Tick {
	step := roundStep((hi - lo) / 7)
	if t.whole {
		step, lo = max(step, 1), max(lo, 0)
	}
	digits := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	var out []plot.Tick
	for k := math.Ceil(lo/step - 1e-9); k*step <= hi*(1+1e-12); k++ {
		v := k*step + 0 // no "-0"
		out = append(out, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'f', digits, 64)})
	}
	return out
}

// roundStep is 1, 2 or 5 times a power of ten, at least about x.
func roundStep(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{1, 2, 5} {
		if x <= m*power*1.0000001 {
			return m * power
		}
	}
	return 10 * power
}
