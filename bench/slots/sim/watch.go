package sim

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// result decodes what an activity returned.
type result = func(any) error

// Report says what the slots did: from the first training after the baseline to
// the end of the last candidate of each slot.
type Report struct {
	Tally experiment.Tally
	Busy  time.Duration
	Idle  time.Duration
	Gaps  []Gap // in order of their ends
	Wall  time.Duration
}

// Share of the time that the slots were busy.
func (r *Report) Share() float64 { return float64(r.Busy) / float64(r.Busy+r.Idle) }

// Quantile of the gaps: 0.5 is the median, 1 the longest.
func (r *Report) Quantile(q float64) time.Duration {
	var all []time.Duration
	for _, g := range r.Gaps {
		all = append(all, g.Idle)
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(q*float64(len(all))))]
}

// Gap is the time in which a slot had nothing to do.
type Gap struct {
	Slot   int
	At     time.Duration // its end, since the first training
	Idle   time.Duration
	Before int // the experiment that had the slot before; 0: none had
	Next   int // the experiment that it waited for
	// What was done meanwhile for the two: the decision about the one, proposing
	// and applying for the other.
	Decide, Propose, Apply time.Duration
}

func (g Gap) String() string {
	ms := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	return fmt.Sprintf("%9v slot %d: idle %v from #%d to #%d: decide %v, propose %v, apply %v",
		g.At.Round(time.Second), g.Slot, ms(g.Idle), g.Before, g.Next, ms(g.Decide), ms(g.Propose), ms(g.Apply))
}

// step is one activity, as it happened.
type step struct {
	name       string
	number     int
	begin, end time.Time
}

// slot of a campaign: what has it, or had it last.
type slot struct {
	number int
	busy   bool
	since  time.Time // in this state; zero: it was never used
}

// watch keeps the time sheets.
type watch struct {
	slots   []slot
	steps   []*step
	began   time.Time // the first training after the baseline
	over    time.Time
	summary Report
}

func newWatch(slots int) *watch { return &watch{slots: make([]slot, slots)} }

// begin notes the start of an activity, and done its end.
func (w *watch) begin(now time.Time, input any) (done func(time.Time, result)) {
	s := &step{begin: now}
	w.steps = append(w.steps, s)
	switch in := input.(type) {
	case activities.ProposeInput:
		s.name, s.number = "Propose", in.Number
	case activities.ApplyInput:
		s.name, s.number = "Apply", in.Number
	case activities.DecideInput:
		s.name, s.number = "Decide", in.Number
	case activities.TrainInput:
		if in.Number > 0 {
			w.take(now, in.Number)
		}
		return func(now time.Time, get result) {
			var out activities.TrainResult
			if get(&out) == nil && out.Measurement.Failure != nil {
				w.leave(now, in.Number)
			}
		}
	case activities.EvaluateInput:
		return func(now time.Time, _ result) { w.leave(now, in.Number) }
	}
	return func(now time.Time, _ result) { s.end = now }
}

// take gives the experiment the slot that has been free for longest.
func (w *watch) take(now time.Time, number int) {
	if w.began.IsZero() {
		w.began = now
		for i := range w.slots {
			w.slots[i].since = now
		}
	}
	i := -1
	for j, s := range w.slots {
		if !s.busy && (i < 0 || s.since.Before(w.slots[i].since)) {
			i = j
		}
	}
	if i < 0 {
		panic(fmt.Sprintf("experiment %d trains, but all %d slots are taken", number, len(w.slots)))
	}
	s := &w.slots[i]
	w.summary.Idle += now.Sub(s.since)
	w.summary.Gaps = append(w.summary.Gaps, Gap{Slot: i, At: now.Sub(w.began), Idle: now.Sub(s.since), Before: s.number, Next: number})
	*s = slot{number: number, busy: true, since: now}
}

// leave ends what has a slot; runs of the baseline have none.
func (w *watch) leave(now time.Time, number int) {
	i := slices.IndexFunc(w.slots, func(s slot) bool { return s.busy && s.number == number })
	if i < 0 {
		return
	}
	s := &w.slots[i]
	w.summary.Busy += now.Sub(s.since)
	s.busy, s.since, w.over = false, now, now
}

// report closes the books. The start of a slot that was free at the beginning of
// the first training is no gap.
func (w *watch) report(tally experiment.Tally) *Report {
	r := w.summary
	r.Tally, r.Wall = tally, w.over.Sub(w.began)
	r.Gaps = slices.DeleteFunc(r.Gaps, func(g Gap) bool { return g.Before == 0 && g.Idle == 0 })
	for i := range r.Gaps {
		w.explain(&r.Gaps[i])
	}
	slices.SortStableFunc(r.Gaps, func(a, b Gap) int { return cmp.Compare(a.At, b.At) })
	return &r
}

// explain finds what was done during a gap.
func (w *watch) explain(g *Gap) {
	to := w.began.Add(g.At)
	from := to.Add(-g.Idle)
	for _, s := range w.steps {
		begin, end := s.begin, s.end
		if begin.Before(from) {
			begin = from
		}
		if end.After(to) {
			end = to
		}
		d := end.Sub(begin)
		switch {
		case d <= 0:
		case s.name == "Decide" && s.number == g.Before:
			g.Decide += d
		case s.name == "Propose" && s.number == g.Next:
			g.Propose += d
		case s.name == "Apply" && s.number == g.Next:
			g.Apply += d
		}
	}
}
