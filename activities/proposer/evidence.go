package proposer

import (
	"fmt"
	"math"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/search"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// evidence counts the past moves that are like a change, or unlike it.
type evidence struct {
	tries, better int
	best          float64 // greatest gain
}

func (e *evidence) add(t search.Trial) {
	e.tries++
	if !t.Failed && t.Gain > 0 {
		e.better++
		e.best = max(e.best, t.Gain)
	}
}

// gather sorts the past moves of a constant: to the same side as c (for words:
// to the same word), or elsewhere.
func gather(c change, trials []search.Trial) (same, other evidence) {
	for _, t := range trials {
		from, to := t.From[c.Name], t.Point[c.Name]
		if from == "" || to == "" || from == to {
			continue
		}
		if to == c.to || c.Kind != search.Nominal && step(from, to) == step(c.Value, c.to) {
			same.add(t)
		} else {
			other.add(t)
		}
	}
	return same, other
}

// step is the direction between two numbers.
func step(from, to string) float64 {
	a, _ := search.Number(from)
	b, _ := search.Number(to)
	return math.Copysign(1, b-a)
}

// hypothesis says why a change may help, with what the campaign has seen.
func hypothesis(changes []change, trials []search.Trial) string {
	var said []string
	for _, c := range changes {
		said = append(said, because(c, trials))
	}
	if len(changes) > 1 {
		said = append(said, "They move together, since the best value of one may depend on the other.")
	}
	return strings.Join(said, " ")
}

func because(c change, trials []search.Trial) string {
	same, other := gather(c, trials)
	this, that := c.sides()
	switch {
	case same.tries > 0:
		return fmt.Sprintf("%s%s.", tally(same, this), upTo(same))
	case other.tries > 0:
		return fmt.Sprintf("%s; %s has not been tried.", tally(other, that), this)
	}
	return fmt.Sprintf("%s has not been changed in this campaign yet; one step shows whether it matters.", c.Name)
}

// sides names the direction of a change and the other one.
func (c change) sides() (this, that string) {
	switch {
	case c.Kind == search.Nominal:
		return c.Name + " " + search.Plain(c.to), "another " + c.Name
	case step(c.Value, c.to) > 0:
		return "a larger " + c.Name, "a smaller " + c.Name
	}
	return "a smaller " + c.Name, "a larger " + c.Name
}

// tally is true to the counts: better means a better score than the parent's,
// by however little.
func tally(e evidence, what string) string {
	switch {
	case e.tries == 1 && e.better == 1:
		return fmt.Sprintf("The one try with %s was better than its parent", what)
	case e.tries == 1:
		return fmt.Sprintf("The one try with %s was no better than its parent", what)
	case e.better == 0:
		return fmt.Sprintf("None of %d tries with %s was better than its parent", e.tries, what)
	case e.better == e.tries:
		return fmt.Sprintf("All %d tries with %s were better than their parents", e.tries, what)
	}
	verb := "were"
	if e.better == 1 {
		verb = "was"
	}
	return fmt.Sprintf("%d of %d tries with %s %s better than the parent", e.better, e.tries, what, verb)
}

func upTo(e evidence) string {
	if e.better == 0 {
		return ""
	}
	return fmt.Sprintf(", by up to %.4f", e.best)
}

// expected says what should be seen if the hypothesis holds.
func expected(changes []change, trials []search.Trial, parent experiment.Incumbent) string {
	text := "val_bpb falls below " + bar(parent)
	for _, c := range changes {
		if same, _ := gather(c, trials); same.better > 0 {
			this, _ := c.sides()
			return fmt.Sprintf("%s; %s has gained up to %.4f", text, this, same.best)
		}
	}
	return text + "; how much is open"
}

// bar is what a candidate has to beat, in words where it has no score yet.
func bar(parent experiment.Incumbent) string {
	switch {
	case parent.Runs > 0:
		return fmt.Sprintf("the incumbent's %.4f", parent.ValBpb)
	case parent.Experiment == 0:
		return "the baseline's"
	}
	return fmt.Sprintf("that of #%d, which is still being measured", parent.Experiment)
}
