package main

import (
	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/workflows"
)

// newStop makes "stop".
func newStop(a *app) *cobra.Command {
	return messageCommand(a, "stop", "let the training runs end, then complete the campaign",
		"", message{name: workflows.MessageStop, signal: true})
}
