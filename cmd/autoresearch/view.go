package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// view is what the live part of the screen shows. [view.lines] turns it into
// text and looks at nothing else.
type view struct {
	tag     string
	status  *experiment.Status // nil until the workflow has answered
	ongoing []ongoing          // what is not decided, by number
	waiting string             // shown while there is no status
	trouble []string           // what our machinery is waiting for
	now     time.Time
}

// lines draws the view, none wider than width columns, and so many that they
// fit into a terminal of height lines; 0 is any.
func (v view) lines(width, height int, s style) []string {
	width = max(width, 10) - 1 // the last column wraps on some terminals
	p := page{width: width, s: s}
	if v.status == nil {
		p.add(faint, v.tag+"  "+v.waiting)
	} else {
		p.add(loud, v.headline())
		p.add(good, v.bestLine())
		p.add(good, v.confirmedLine(s))
	}
	below := v.below(width, s)
	if height <= 0 {
		height = 1 << 20
	}
	below = below[:min(len(below), max(1, (height-1-len(p.lines))/2))]
	work := v.work(width, s)
	if room := max(1, height-1-len(p.lines)-len(below)); len(work) > room {
		hidden := len(work) - (room - 1)
		work = append(work[:room-1:room-1], s.clip(fmt.Sprintf("and %d more at work", hidden), width))
	}
	all := append(append(p.lines, work...), below...)
	return all[:min(len(all), max(1, height-1))]
}

// page collects lines that are safe for a terminal and not too wide.
type page struct {
	width int
	s     style
	lines []string
}

func (p *page) add(color, text string) {
	if text != "" {
		p.lines = append(p.lines, p.s.paint(color, p.s.clip(p.s.printable(text), p.width)))
	}
}

// work is what has a slot, and the steps of what is prepared when nothing has:
// one line each, or two for one alone.
func (v view) work(width int, s style) []string {
	p := page{width: width, s: s}
	shown := v.of(experiment.Training)
	if len(shown) == 0 {
		shown = v.of(experiment.Proposing)
	}
	if len(shown) == 1 {
		p.add("", shown[0].line(width, s, v.now))
		if title := shown[0].Title; title != "" {
			p.add(faint, "   "+title)
		}
		return p.lines
	}
	heads := 0
	for _, o := range shown {
		heads = max(heads, columns(o.head()))
	}
	for _, o := range shown {
		p.add("", o.row(width, heads, s, v.now))
	}
	return p.lines
}

// below is what waits: prepared candidates, people, our machinery.
func (v view) below(width int, s style) []string {
	p := page{width: width, s: s}
	p.add(faint, v.prepared())
	for _, o := range v.of(experiment.Awaiting) {
		p.add(mild, askLine(o.Ongoing, v.approval(), v.tag))
	}
	for _, t := range v.trouble {
		for _, line := range wrap(s.printable(t), width, 3) {
			p.add(mild, line)
		}
	}
	return p.lines
}

// of picks what is in a stage.
func (v view) of(stage experiment.Stage) []ongoing {
	var out []ongoing
	for _, o := range v.ongoing {
		if o.Stage == stage {
			out = append(out, o)
		}
	}
	return out
}

// prepared is "ready: #12 #13; proposing: #14". What is being proposed while
// nothing trains has lines of its own.
func (v view) prepared() string {
	var parts []string
	for _, stage := range []experiment.Stage{experiment.Ready, experiment.Proposing} {
		if stage == experiment.Proposing && len(v.of(experiment.Training)) == 0 {
			continue
		}
		if all := v.of(stage); len(all) > 0 {
			parts = append(parts, string(stage)+":"+numbers(all))
		}
	}
	return strings.Join(parts, "; ")
}

// numbers is " #12 #13".
func numbers(all []ongoing) string {
	text, last := "", campaignItself
	for _, o := range all {
		if o.Experiment != last {
			text += fmt.Sprintf(" #%d", o.Experiment)
		}
		last = o.Experiment
	}
	return text
}

// headline says where the campaign stands.
func (v view) headline() string {
	st := v.status
	parts := []string{v.tag, string(st.Phase), progressOf(st.Tally, st.Limits)}
	for _, c := range []struct {
		n    int
		noun string
	}{{st.Kept, "kept"}, {st.Discarded, "discarded"}, {st.Crashed, "crashed"}, {st.Tally.Confirmed, "confirmed"}, {st.RolledBack, "rolled back"}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.noun))
		}
	}
	if !st.StartedAt.IsZero() {
		parts = append(parts, elapsed(v.now.Sub(st.StartedAt), st.Limits))
	}
	if share := st.Slots.BusyShare; share != nil {
		parts = append(parts, "slots busy "+percent(*share))
	}
	if st.Spent.CostUSD > 0 {
		parts = append(parts, dollars(st.Spent.CostUSD))
	}
	if st.Hints > 0 {
		parts = append(parts, plural(st.Hints, "hint")+" waiting")
	}
	if st.Ideas > 0 {
		parts = append(parts, plural(st.Ideas, "idea")+" waiting")
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
	return line + provisionalAside(st.Best)
}

// confirmedLine is what fresh seeds say; "" where nobody asks them.
func (v view) confirmedLine(s style) string {
	in := v.status.Confirmed
	if in == nil || in.Experiment == 0 && v.status.Experiment == 0 {
		return ""
	}
	line := fmt.Sprintf("confirmed  %s  #%d %s", fresh(*in, s), in.Experiment, in.Title)
	if in.Audit != nil && in.Audit.Overfit {
		line += "  (overfit to the validation split)"
	}
	return line
}

// approval is the campaign's, as far as it is known.
func (v view) approval() experiment.Approval {
	if v.status == nil {
		return experiment.Approval{}
	}
	return v.status.Approval
}
