package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// newHistory makes "history".
func newHistory(a *app) *cobra.Command {
	var tag string
	c := &cobra.Command{
		Use: "history", Short: "all experiments of a campaign", Args: cobra.NoArgs,
		Long: "History lists the decided experiments from the ledger in the order of their\ndecisions, the baseline (#0) first; experiments that run side by side end in\nanother order than they begin. With --json it is one object a line: the whole\nrecord of the experiment.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, results, err := a.results(cmd.Context(), tag)
			if err != nil {
				return err
			}
			if a.json {
				return a.objects(results)
			}
			a.printHistory(results)
			return nil
		},
	}
	tagFlag(c, &tag)
	return c
}

// objects writes one JSON object a line.
func (a *app) objects(results []experiment.Result) error {
	for _, r := range results {
		if err := a.object(r); err != nil {
			return err
		}
	}
	return nil
}

// printHistory writes a table, cut to the terminal's width if there is one.
func (a *app) printHistory(results []experiment.Result) {
	s := a.styleOf(a.stdout)
	width, terminal := a.size(a.stdout)
	if !terminal {
		width = 1 << 20 // a pipe gets whole titles
	}
	const format = "%4s  %-7s  %8s  %8s  %-14s  %8s  %-7s  %-6s  "
	now := ledger.Standings(results)
	head := fmt.Sprintf(format, "#", "verdict", "val_bpb", "change", "reason", "charged", "commit", "by")
	if len(now) > 0 {
		head += fmt.Sprintf("%-11s  ", "now")
	}
	a.line(s.paint(loud, s.clip(head+"title", width)))
	for _, r := range results {
		change := "-"
		if r.Against != nil && r.ValBpb != nil {
			change = fmt.Sprintf("%+.4f", *r.ValBpb-r.Against.ValBpb)
		}
		verdict, title := string(r.Verdict), r.Title
		if r.Check != nil {
			verdict, title = "check", strings.TrimSuffix(r.Check.Title()+": "+checkTitle(r), ": ")
		}
		row := fmt.Sprintf(format, fmt.Sprint(r.Experiment), verdict, bpb(r.ValBpb), change, r.Reason,
			seconds(r.ChargedSeconds), experiment.ShortCommit(r.Commit), r.Proposer)
		if len(now) > 0 {
			row += fmt.Sprintf("%-11s  ", now[r.Experiment])
		}
		color := rowColor(r.Verdict)
		if now[r.Experiment] == ledger.RolledBack || now[r.Experiment] == ledger.Void {
			color = faint
		}
		a.line(s.paint(color, s.clip(row+s.printable(title), width)))
	}
}

// rowColor leaves most of a table alone: kept rows shall stand out.
func rowColor(v experiment.Verdict) string {
	if v == experiment.Discard {
		return faint
	}
	return verdictColor(v)
}
