package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/workflows"
)

// newApprove makes "approve".
func newApprove(a *app) *cobra.Command {
	var tag string
	c := &cobra.Command{
		Use: "approve N", Short: "let a candidate that waits for you be trained", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.answerFor(cmd, tag, args[0], workflows.Approve{Accept: true})
		},
	}
	tagFlag(c, &tag)
	return c
}

// newReject makes "reject".
func newReject(a *app) *cobra.Command {
	var tag, because string
	c := &cobra.Command{
		Use: "reject N", Short: "discard a candidate that waits for you", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			because = strings.TrimSpace(because)
			if len(because) > maxHint {
				return usage("say it in fewer words", "the reason has %d bytes: at most %d", len(because), maxHint)
			}
			return a.answerFor(cmd, tag, args[0], workflows.Approve{Reason: because})
		},
	}
	tagFlag(c, &tag)
	c.Flags().StringVar(&because, "because", "", "why, for the record and for the proposer: `TEXT`")
	return c
}

// answerFor sends the answer for one candidate.
func (a *app) answerFor(cmd *cobra.Command, tag, number string, answer workflows.Approve) error {
	n, err := experimentNumber(cmd, number)
	if err != nil {
		return err
	}
	if n == 0 {
		return usage("'autoresearch status' names the candidates that wait", "experiment 0 is the baseline: nobody is asked about it")
	}
	answer.Experiment = n
	return a.tell(cmd.Context(), tag, message{name: workflows.MessageApprove, arg: answer, signal: true})
}

// experimentNumber reads "7" or "#7".
func experimentNumber(cmd *cobra.Command, text string) (int, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(text, "#"))
	if err != nil || n < 0 {
		return 0, usage("for example: "+cmd.Root().Name()+" "+cmd.Name()+" 7", "%q is not the number of an experiment", text)
	}
	return n, nil
}
