package main

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workflows"
)

const approvalHelp = `Approval says whether candidates wait for a person before they are trained, and
what becomes of those that nobody answers for in time: accept trains them, reject
discards them. With off nobody is asked, and those that wait go on.

'autoresearch approve N' and 'autoresearch reject N' answer; 'status' and 'up' name
the candidates that wait.`

// newApproval makes "approval".
func newApproval(a *app) *cobra.Command {
	var tag string
	var within experiment.Duration
	values := []string{experiment.ApproveOff, experiment.ApproveAccept, experiment.ApproveReject}
	c := &cobra.Command{
		Use: "approval off|accept|reject", Short: "ask before candidates are trained, or stop asking", Long: approvalHelp,
		Args: cobra.ExactArgs(1), ValidArgs: values,
		RunE: func(cmd *cobra.Command, args []string) error {
			to := experiment.Approval{Approve: args[0], ApproveWithin: within}
			if !slices.Contains(values, args[0]) {
				return usage("for example: autoresearch approval reject --within 10m", "%q is not off, accept or reject", args[0])
			}
			if err := to.Validate(); err != nil {
				return usage("", "%w", err)
			}
			given := cmd.Flags().Changed("within")
			if given && within == 0 {
				return usage("to ask nobody: autoresearch approval off", "within is 0: it must be positive")
			}
			return a.tell(cmd.Context(), tag, message{name: workflows.MessageSetApproval, from: func(st experiment.Status) any {
				if !given { // it stays what it was
					to.ApproveWithin = st.Approval.ApproveWithin
				}
				return to
			}})
		},
	}
	tagFlag(c, &tag)
	c.Flags().Var((*durationFlag)(&within), "within", "how long a candidate waits for an answer, a `TIME` such as 10m (default: as before, or 30m)")
	return c
}

// approvalNote is what a person who is asked has to know.
func approvalNote(a experiment.Approval) string {
	switch a.Approve {
	case experiment.ApproveAccept:
		return "each candidate waits " + span(a.Within()) + " for your answer, then it is accepted"
	case experiment.ApproveReject:
		return "each candidate waits " + span(a.Within()) + " for your answer, then it is rejected"
	}
	return "off: candidates are trained without asking"
}
