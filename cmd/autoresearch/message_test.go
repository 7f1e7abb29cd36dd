package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/workflows"
)

// A hint to a proposer that cannot read is taken, and the user told.
func TestWordsThatNobodyReads(t *testing.T) {
	for _, c := range []struct {
		message, proposer string
		warned            bool
	}{
		{workflows.MessageHint, "hpo", true},
		{workflows.MessageSetProgram, "hpo", true},
		{workflows.MessageHint, "script,hpo:2", true},
		{workflows.MessageHint, "llm", false},
		{workflows.MessageHint, "hpo:3,llm", false},
		{workflows.MessagePause, "hpo", false},
		{workflows.MessagePropose, "hpo", false}, // a person's idea needs no reader
	} {
		note := unread(message{name: c.message}, c.proposer)
		require.Equal(t, c.warned, note != "", "%s to %s", c.message, c.proposer)
		if c.warned {
			require.Contains(t, note, c.proposer)
		}
	}
}
