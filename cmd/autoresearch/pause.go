package main

import (
	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/workflows"
)

// newPause makes "pause".
func newPause(a *app) *cobra.Command {
	return messageCommand(a, "pause", "let the training runs end, and start no other",
		"", message{name: workflows.MessagePause, signal: true})
}
