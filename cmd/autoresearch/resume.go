package main

import (
	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/workflows"
)

// newResume makes "resume".
func newResume(a *app) *cobra.Command {
	return messageCommand(a, "resume", "go on after 'pause'",
		"Resume goes on after 'pause'. A campaign whose process was stopped or killed is\nresumed by 'autoresearch up'.",
		message{name: workflows.MessageResume, signal: true})
}
