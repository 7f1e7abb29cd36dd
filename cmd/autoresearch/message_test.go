package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/workflows"
)

// A hint to a proposer that cannot read is taken, and the user told.
func TestWordsThatNobodyReads(t *testing.T) {
	require.Contains(t, unread(message{name: workflows.MessageHint}, "hpo"), "cannot read")
	require.Contains(t, unread(message{name: workflows.MessageSetProgram}, "hpo"), "cannot read")
	require.Empty(t, unread(message{name: workflows.MessagePause}, "hpo"))
	require.Empty(t, unread(message{name: workflows.MessageHint}, "script"))
}
