package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// view is what the live part of the screen shows. [view.lines] turns it into
// text and looks at nothing else.
type view struct {
	tag     string
	status  *experiment.Status // nil until the workflow has answered
	running *running           // nil between experiments
	waiting string             // shown while there is no status
	trouble []string           // what our machinery is waiting for
	now     time.Time
}

// running is the experiment at work.
type running struct {
	number   int
	step     string // propose, apply, train, evaluate, decide
	title    string
	since    time.Time // when the step began
	queued   bool      // no worker has taken it yet
	progress *activities.Progress
}

// lines draws the view, none wider than width columns.
func (v view) lines(width int, s style) []string {
	width = max(width, 10) - 1 // the last column wraps on some terminals
	var out []string
	add := func(color, text string) {
		if text != "" {
			out = append(out, s.paint(color, s.clip(s.printable(text), width)))
		}
	}
	if v.status == nil {
		add(faint, v.tag+"  "+v.waiting)
	} else {
		add(loud, v.headline())
		add(good, v.bestLine())
	}
	if v.running != nil {
		add("", v.running.line(width, s, v.now))
		if v.running.title != "" {
			add(faint, "   "+v.running.title)
		}
	}
	for _, t := range v.trouble {
		for _, line := range wrap(s.printable(t), width, 3) {
			add(mild, line)
		}
	}
	return out
}

// headline says where the campaign stands.
func (v view) headline() string {
	st := v.status
	parts := []string{v.tag, string(st.Phase), progressOf(st.Tally, st.Limits)}
	for _, c := range []struct {
		n    int
		noun string
	}{{st.Kept, "kept"}, {st.Discarded, "discarded"}, {st.Crashed, "crashed"}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.noun))
		}
	}
	if !st.StartedAt.IsZero() {
		parts = append(parts, elapsed(v.now.Sub(st.StartedAt), st.Limits))
	}
	if st.Hints > 0 {
		parts = append(parts, plural(st.Hints, "hint")+" waiting")
	}
	return strings.Join(parts, "  ")
}

// progressOf is "12 of 100 experiments".
func progressOf(t experiment.Tally, l experiment.Limits) string {
	if l.Experiments > 0 {
		return fmt.Sprintf("%d of %s", t.Experiments, plural(l.Experiments, "experiment"))
	}
	return plural(t.Experiments, "experiment")
}

func elapsed(d time.Duration, l experiment.Limits) string {
	d = d.Truncate(time.Second)
	if l.WallTime > 0 {
		return span(d) + " of " + span(l.WallTime.Std())
	}
	return span(d)
}

// bestLine names the incumbent and what the campaign has gained.
func (v view) bestLine() string {
	st := v.status
	if st.ValBpb == nil {
		return "best  not measured yet: the baseline comes first"
	}
	line := fmt.Sprintf("best  %s  #%d %s", bpb(st.ValBpb), st.Experiment, st.Title)
	if b := st.Baseline; b != nil && st.Experiment > 0 {
		line = fmt.Sprintf("best  %s (%+.4f since the baseline)  #%d %s", bpb(st.ValBpb), *st.ValBpb-b.ValBpb, st.Experiment, st.Title)
	}
	return line
}

// line is the running step, with a bar where there is room for one.
func (r running) line(width int, s style, now time.Time) string {
	head := fmt.Sprintf("#%d %s", r.number, r.step)
	if wait := now.Sub(r.since); r.queued && wait > 2*time.Second {
		return head + "  waiting for a free worker, " + span(wait.Truncate(time.Second))
	}
	p := r.progress
	if r.step != "train" || p == nil || p.BudgetSeconds <= 0 {
		if r.since.IsZero() {
			return head
		}
		return head + "  " + span(now.Sub(r.since).Truncate(time.Second))
	}
	done := min(max(p.ChargedSeconds/p.BudgetSeconds, 0), 1)
	tail := figures(*p, done)
	for len(tail) > 2 && columns(head)+2+leastBar+columns(strings.Join(tail, "  ")) > width {
		tail = tail[:len(tail)-1] // what says least
	}
	text := strings.Join(tail, "  ")
	room := min(width-columns(head)-columns(text)-3, 30)
	if room < leastBar {
		return head + "  " + text
	}
	return head + "  " + bar(done, room, s) + " " + text
}

// leastBar is the shortest bar that shows something.
const leastBar = 10

// figures are the numbers beside the bar, the most important first.
func figures(p activities.Progress, done float64) []string {
	out := []string{fmt.Sprintf("%3.0f%%", 100*done), seconds(p.ChargedSeconds) + " of " + seconds(p.BudgetSeconds)}
	if p.Step > 0 {
		out = append(out, fmt.Sprintf("step %d", p.Step), fmt.Sprintf("loss %.4f", p.Loss))
	}
	if p.Resumed > 0 {
		out = append(out, fmt.Sprintf("resumed from step %d", p.Resumed))
	}
	if p.TokensPerSec > 0 {
		out = append(out, count(p.TokensPerSec)+" tokens/s")
	}
	return out
}

// bar is a progress bar of n columns.
func bar(done float64, n int, s style) string {
	full, empty := "#", "."
	if s.utf8 {
		full, empty = "█", "░"
	}
	k := int(done*float64(n) + 0.5)
	return strings.Repeat(full, k) + strings.Repeat(empty, n-k)
}
