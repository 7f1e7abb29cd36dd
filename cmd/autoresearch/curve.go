package main

import (
	"fmt"
	"math"
	"strings"
)

// point is one line of metrics.jsonl, as far as a curve needs it.
type point struct {
	Step    int64   `json:"step"`
	Charged float64 `json:"charged_seconds"`
	Loss    float64 `json:"loss"`
}

// curve draws loss over charged seconds in a grid of w by h characters: dots
// in braille where the locale has them, stars elsewhere.
func curve(points []point, w, h int, s style) []string {
	lo, hi, end := bounds(points)
	if end <= 0 || w < 2 || h < 2 || !(hi >= lo) {
		return nil
	}
	if hi == lo {
		hi = lo + 1e-9
	}
	dx, dy := 1, 1
	if s.utf8 {
		dx, dy = 2, 4 // dots in one braille character
	}
	g := newGrid(w, h, dx, dy)
	for _, mean := range columnMeans(points, end, w*dx) {
		y := (hi - mean.loss) / (hi - lo) * float64(h*dy-1)
		g.set(mean.x, int(math.Round(y)))
	}
	lines := make([]string, 0, h+2)
	for row := range h {
		label := strings.Repeat(" ", 8)
		switch row {
		case 0:
			label = fmt.Sprintf("%8.4f", hi)
		case h - 1:
			label = fmt.Sprintf("%8.4f", lo)
		}
		lines = append(lines, label+" |"+strings.TrimRight(g.row(row, s), " "))
	}
	last := seconds(end)
	lines = append(lines, strings.Repeat(" ", 9)+"+"+strings.Repeat("-", w))
	return append(lines, strings.Repeat(" ", 9)+"0"+strings.Repeat(" ", max(1, w-len(last)))+last+"  loss over charged time")
}

// bounds finds the range of the finite losses and the last charged second.
func bounds(points []point) (lo, hi, end float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, p := range points {
		end = max(end, p.Charged)
		if math.IsNaN(p.Loss) || math.IsInf(p.Loss, 0) {
			continue
		}
		lo, hi = min(lo, p.Loss), max(hi, p.Loss)
	}
	return lo, hi, end
}

type columnMean struct {
	x    int
	loss float64
}

// columnMeans averages the points that fall into one column, since single
// batches jump about more than the curve is tall.
func columnMeans(points []point, end float64, n int) []columnMean {
	sum, k := make([]float64, n), make([]int, n)
	for _, p := range points {
		if math.IsNaN(p.Loss) || math.IsInf(p.Loss, 0) {
			continue
		}
		x := min(int(p.Charged/end*float64(n)), n-1)
		sum[max(x, 0)] += p.Loss
		k[max(x, 0)]++
	}
	var out []columnMean
	for x := range n {
		if k[x] > 0 {
			out = append(out, columnMean{x, sum[x] / float64(k[x])})
		}
	}
	return out
}

// grid is a bitmap of w by h characters of dx by dy dots each.
type grid struct {
	w, dx, dy int
	bits      [][]byte // one byte a character: its dots
}

func newGrid(w, h, dx, dy int) *grid {
	g := &grid{w: w, dx: dx, dy: dy, bits: make([][]byte, h)}
	for i := range g.bits {
		g.bits[i] = make([]byte, w)
	}
	return g
}

// brailleBit is the bit of the dot at column x, row y of a braille character.
var brailleBit = [2][4]byte{{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}}

func (g *grid) set(x, y int) {
	g.bits[y/g.dy][x/g.dx] |= brailleBit[x%g.dx][y%g.dy]
}

func (g *grid) row(i int, s style) string {
	var b strings.Builder
	for _, bits := range g.bits[i] {
		switch {
		case bits == 0:
			b.WriteByte(' ')
		case s.utf8:
			b.WriteRune(0x2800 + rune(bits))
		default:
			b.WriteByte('*')
		}
	}
	return b.String()
}
