package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// newStatus makes "status".
func newStatus(a *app) *cobra.Command {
	var tag string
	c := &cobra.Command{
		Use: "status", Short: "where a campaign stands", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := a.status(cmd.Context(), tag)
			if err != nil {
				return err
			}
			if a.json {
				return a.object(st)
			}
			a.printStatus(st)
			return nil
		},
	}
	tagFlag(c, &tag)
	return c
}

// printStatus is printBest and what is going on.
func (a *app) printStatus(st experiment.Status) {
	s := a.styleOf(a.stdout)
	a.printBest(st)
	a.line(fmt.Sprintf("budget    %s charged training time per run", span(st.Budget.Std())))
	a.line("limits    " + limits(st.Limits))
	a.line("proposer  " + st.Proposer)
	if !st.StartedAt.IsZero() {
		a.line(fmt.Sprintf("started   %s (%s ago)", st.StartedAt.Local().Format("2006-01-02 15:04"), span(a.now().Sub(st.StartedAt).Truncate(time.Second))))
	}
	for _, o := range st.Running {
		a.line(fmt.Sprintf("running   #%d %s since %s", o.Experiment, o.Stage, span(a.now().Sub(o.StartedAt).Truncate(time.Second))))
	}
	if st.Hints > 0 {
		a.line("hints     " + plural(st.Hints, "hint") + " not yet read by a proposer")
	}
	if st.Trouble != "" {
		a.line("trouble   " + s.paint(mild, s.printable(st.Trouble)))
	}
	if st.StopReason != "" {
		a.line("ended     " + s.printable(st.StopReason))
	}
	for _, b := range st.Recent {
		a.line("  " + briefLine(b, s))
	}
}

// limits is how a campaign ends.
func limits(l experiment.Limits) string {
	var parts []string
	if l.Experiments > 0 {
		parts = append(parts, plural(l.Experiments, "experiment"))
	}
	if l.WallTime > 0 {
		parts = append(parts, span(l.WallTime.Std())+" of wall time")
	}
	if l.Plateau > 0 {
		parts = append(parts, plural(l.Plateau, "experiment")+" without a keep")
	}
	if len(parts) == 0 {
		return "none, it goes on until it is stopped"
	}
	return strings.Join(parts, ", or ")
}

// briefLine is an experiment in one line, as far as a Brief knows it.
func briefLine(b experiment.Brief, s style) string {
	return eventLine(experiment.Result{
		Experiment: b.Experiment, Verdict: b.Verdict, Reason: b.Reason, ValBpb: b.ValBpb, Title: b.Title,
	}, s)
}
