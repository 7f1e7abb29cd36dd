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
	run      int    // of the baseline's runs, from 0
	title    string
	since    time.Time // when the step began
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
		add(mild, t)
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
	if r.number == 0 && r.run > 0 {
		head += fmt.Sprintf(" run %d", r.run+1)
	}
	p := r.progress
	if p == nil || p.BudgetSeconds <= 0 {
		if r.since.IsZero() {
			return head
		}
		return head + "  " + span(now.Sub(r.since).Truncate(time.Second))
	}
	done := min(max(p.ChargedSeconds/p.BudgetSeconds, 0), 1)
	tail := fmt.Sprintf(" %3.0f%%  %s of %s", 100*done, seconds(p.ChargedSeconds), seconds(p.BudgetSeconds))
	if p.Step > 0 {
		tail += fmt.Sprintf("  step %d  loss %.4f", p.Step, p.Loss)
	}
	if p.TokensPerSec > 0 {
		tail += "  " + count(p.TokensPerSec) + " tokens/s"
	}
	if p.Resumed > 0 {
		tail += fmt.Sprintf("  resumed from step %d", p.Resumed)
	}
	room := min(width-columns(head)-columns(tail)-2, 30)
	if room < 5 {
		return head + tail
	}
	return head + "  " + bar(done, room, s) + tail
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
