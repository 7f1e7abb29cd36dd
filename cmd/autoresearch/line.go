package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// leastBar is the shortest bar that shows something.
const leastBar = 10

// head is "#7 train".
func (o ongoing) head() string {
	step := o.step
	if step == "" {
		step = string(o.Stage)
	}
	if o.Experiment == campaignItself {
		return step
	}
	return fmt.Sprintf("#%d %s", o.Experiment, step)
}

// line is an experiment at work that has the width for itself, with a bar where
// there is room for one.
func (o ongoing) line(width int, s style, now time.Time) string {
	head := o.head()
	done, training := o.done()
	if !training {
		return strings.TrimSpace(head + "  " + o.waits(now))
	}
	tail := figures(*o.progress, done)
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

// row is one of several experiments at work: the same, aligned, with its title.
func (o ongoing) row(width, heads int, s style, now time.Time) string {
	line := fmt.Sprintf("%-*s  ", heads, o.head())
	done, training := o.done()
	if !training {
		return strings.TrimRight(line+fmt.Sprintf("%-*s", leastBar+19, o.waits(now))+"  "+o.Title, " ")
	}
	p := *o.progress
	if width >= heads+leastBar+30 {
		line += bar(done, leastBar, s) + " "
	}
	budget := seconds(p.BudgetSeconds)
	charged := seconds(math.Trunc(p.ChargedSeconds)) + " of " + budget
	line += fmt.Sprintf("%3.0f%%  %*s", 100*done, 2*len(budget)+4, charged)
	if p.Step > 0 {
		line += fmt.Sprintf("  loss %.4f", p.Loss)
	}
	return line + "  " + o.Title
}

// done is the share of the budget that a training run has used; ok is false
// for what is no training run, and for one that has not said anything yet.
func (o ongoing) done() (share float64, ok bool) {
	if o.step != "train" || o.queued || o.progress == nil || o.progress.BudgetSeconds <= 0 {
		return 0, false
	}
	return min(max(o.progress.ChargedSeconds/o.progress.BudgetSeconds, 0), 1), true
}

// waits is how long something takes that has no measure.
func (o ongoing) waits(now time.Time) string {
	if o.since.IsZero() {
		return ""
	}
	wait := span(now.Sub(o.since).Truncate(time.Second))
	if o.queued && now.Sub(o.since) > 2*time.Second {
		return "waiting for a free worker, " + wait
	}
	return wait
}

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

// askLine asks for approval, with the command that answers.
func askLine(o experiment.Ongoing, a experiment.Approval, tag string) string {
	text := fmt.Sprintf("#%d awaits approval", o.Experiment)
	if !o.Deadline.IsZero() {
		text += " until " + o.Deadline.Local().Format("15:04")
		switch a.Approve {
		case experiment.ApproveAccept:
			text += ", then it is accepted"
		case experiment.ApproveReject:
			text += ", then it is rejected"
		}
	}
	text += fmt.Sprintf(": autoresearch approve %d --tag %s (or reject)", o.Experiment, tag)
	if o.Title != "" {
		text += "  " + o.Title
	}
	return text
}

// percent is a share with one decimal, which does not round 99.96 % to 100.
func percent(share float64) string {
	return fmt.Sprintf("%.1f %%", float64(int(share*1000))/10)
}

// dollars are exact enough for a call that costs a fraction of a cent.
func dollars(usd float64) string {
	if usd < 1 {
		return fmt.Sprintf("$%.4f", usd)
	}
	return fmt.Sprintf("$%.2f", usd)
}
