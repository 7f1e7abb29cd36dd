package dataset

import (
	"fmt"
	"strings"
	"time"
)

// Progress is what is being done.
type Progress struct {
	File      string
	Index, Of int // of the files

	Reading bool // the file is read; else it is downloaded

	Done, Total int64         // bytes; Total is 0 where it is not known
	Rate        float64       // bytes a second
	Waiting     time.Duration // until the next attempt
	Why         string        // it waits
}

// String is one line for people. The name stands last: a narrow terminal cuts it.
func (p Progress) String() string {
	place := ""
	if p.Of > 1 {
		place = fmt.Sprintf(" %d of %d", p.Index, p.Of)
	}
	switch {
	case p.Reading:
		return fmt.Sprintf("reading%s (%s)", place, p.File)
	case p.Why != "":
		return fmt.Sprintf("download%s: %s; again in %v (%s)", place, p.Why, p.Waiting.Round(100*time.Millisecond), p.File)
	}
	parts := []string{size(p.Done)}
	if p.Total > 0 {
		parts[0] = fmt.Sprintf("%s of %s, %d%%", size(p.Done), size(p.Total), 100*p.Done/p.Total)
	}
	if p.Rate > 0 {
		parts = append(parts, size(int64(p.Rate))+"/s")
		if p.Total > p.Done {
			left := time.Duration(float64(p.Total-p.Done) / p.Rate * float64(time.Second))
			parts = append(parts, left.Round(time.Second).String()+" left")
		}
	}
	return fmt.Sprintf("download%s: %s (%s)", place, strings.Join(parts, ", "), p.File)
}

// size is a number of bytes in three digits or so.
func size(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.0f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

// meter measures the rate of a download over its last seconds.
type meter struct {
	at   []time.Time
	done []int64
	told time.Time
}

// Intervals of a meter: how often it tells, and over how long it measures.
const (
	tellEvery   = 200 * time.Millisecond
	rateOver    = 5 * time.Second
	meterPoints = int(rateOver / tellEvery)
)

// tick notes how far it is, and says whether to tell.
func (m *meter) tick(now time.Time, done int64) (rate float64, tell bool) {
	if !m.told.IsZero() && now.Sub(m.told) < tellEvery {
		return 0, false
	}
	m.told = now
	m.at, m.done = append(m.at, now), append(m.done, done)
	if len(m.at) > meterPoints {
		m.at, m.done = m.at[1:], m.done[1:]
	}
	if d := now.Sub(m.at[0]); d > 0 {
		rate = float64(done-m.done[0]) / d.Seconds()
	}
	return rate, true
}
