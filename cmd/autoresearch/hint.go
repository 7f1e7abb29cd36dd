package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/workflows"
)

// maxHint keeps hints out of the way of the workflow's history.
const maxHint = 2000

// newHint makes "hint".
func newHint(a *app) *cobra.Command {
	var tag string
	c := &cobra.Command{
		Use: "hint TEXT...", Short: "tell the proposer something, for its next proposals", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text := strings.TrimSpace(strings.Join(args, " "))
			switch {
			case text == "":
				return usage("for example: autoresearch hint 'try a larger batch'", "the hint is empty")
			case len(text) > maxHint:
				return usage("write it into program.md, and 'autoresearch program program.md'", "the hint has %d bytes: at most %d", len(text), maxHint)
			}
			m := message{name: workflows.MessageHint, arg: workflows.Hint{Text: text}, signal: true}
			return a.tell(cmd.Context(), tag, m)
		},
	}
	tagFlag(c, &tag)
	return c
}
