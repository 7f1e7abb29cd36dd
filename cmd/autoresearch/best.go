package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// newBest makes "best".
func newBest(a *app) *cobra.Command {
	var tag string
	c := &cobra.Command{
		Use: "best", Short: "the best candidate so far", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := a.status(cmd.Context(), tag)
			if err != nil {
				return err
			}
			if a.json {
				return a.object(st.Best)
			}
			a.printBest(st)
			return nil
		},
	}
	tagFlag(c, &tag)
	return c
}

// printBest writes the incumbent for a person.
func (a *app) printBest(st experiment.Status) {
	s := a.styleOf(a.stdout)
	a.line(s.paint(loud, st.Campaign) + "  " + string(st.Phase) + "  " + progressOf(st.Tally, st.Limits))
	if st.ValBpb == nil {
		a.line("best      not measured yet: the baseline comes first")
		return
	}
	a.line(fmt.Sprintf("best      %s  #%d %s%s", s.paint(good, bpb(st.ValBpb)), st.Experiment, s.printable(st.Title), provisionalAside(st.Best)))
	for _, l := range confirmedLines(st, s) {
		a.line(fmt.Sprintf("%-9s %s", l[0], l[1]))
	}
	if b := st.Baseline; b != nil && st.Experiment > 0 {
		gain := *st.ValBpb - b.ValBpb
		a.line(fmt.Sprintf("baseline  %.4f  (%+.4f, %+.1f %%; noise %.4f)", b.ValBpb, gain, 100*gain/b.ValBpb, st.Noise.StdDev))
	}
	a.line(fmt.Sprintf("commit    %s  (branch %s)", st.Commit, experiment.Branch(st.Campaign)))
	a.line(fmt.Sprintf("verdicts  %d kept  %d discarded  %d crashed", st.Kept, st.Discarded, st.Crashed))
	if st.Confirmed == nil && st.Provisional {
		a.note("%s", provisionalNote)
	}
}

// provisionalAside marks a best score that fresh seeds have not confirmed, where
// there is one that they have.
func provisionalAside(b experiment.Best) string {
	if b.Confirmed == nil || !b.Provisional {
		return ""
	}
	return "  (provisional)"
}

// tagFlag gives a command the flag --tag.
func tagFlag(c *cobra.Command, tag *string) {
	c.Flags().StringVar(tag, "tag", "", "campaign `TAG` (default: the only one, or the latest)")
}
