package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"
	"go.temporal.io/sdk/temporal"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers/cluster"
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

// An answer for a candidate waits for a worker; a patch, which has to be tried
// first, cannot.
func TestMessagesWithoutAWorker(t *testing.T) {
	a, out := newApp(t)
	answer := workflows.Approve{Experiment: 7, Reason: "too large"}
	m := mocks.NewClient(t)
	m.On("SignalWorkflow", mock.Anything, "research-mar5", "", "approve", answer).Return(nil)
	c := &cluster.Cluster{Client: m}
	require.NoError(t, a.leave(t.Context(), c, "mar5", message{name: workflows.MessageApprove, arg: answer, signal: true}))
	require.Contains(t, out.String(), "no worker is running: approve waits for the next one")
	err := a.leave(t.Context(), c, "mar5", message{name: workflows.MessagePropose, arg: workflows.Idea{}})
	require.Equal(t, exitUnreachable, classify(err).code)
}

// What the campaign answers is printed, and what it refuses is a failure.
func TestUpdatesAreAnswered(t *testing.T) {
	handle := &mocks.WorkflowUpdateHandle{}
	handle.On("Get", mock.Anything, mock.Anything).Run(func(args mock.Arguments) {
		*args.Get(1).(*workflows.Answer) = workflows.Answer{Phase: experiment.Running, Message: "the next experiment is: a wider window"}
	}).Return(nil).Once()
	handle.On("Get", mock.Anything, mock.Anything).Return(temporal.NewNonRetryableApplicationError("the patch does not apply", "InvalidInput", nil)).Once()
	m := mocks.NewClient(t)
	idea := workflows.Idea{Title: "a wider window", Patch: "--- a"}
	m.On("UpdateWorkflow", mock.Anything, mock.MatchedBy(func(o client.UpdateWorkflowOptions) bool {
		return o.WorkflowID == "research-mar5" && o.UpdateName == "propose" && o.Args[0] == idea
	})).Return(handle, nil)
	c := &cluster.Cluster{Client: m}
	sent := message{name: workflows.MessagePropose, arg: idea, patience: ideaTimeout}
	answer, err := update(t.Context(), c, "mar5", sent)
	require.NoError(t, err)
	a, out := newApp(t)
	require.NoError(t, a.told("mar5", sent, answer))
	require.Equal(t, "campaign mar5: the next experiment is: a wider window\n", out.String())
	_, err = update(t.Context(), c, "mar5", sent)
	require.EqualError(t, err, "campaign mar5 refused propose: the patch does not apply")
}

// More training runs need more slots, and whoever asks for them is told.
func TestMoreParallelNeedsSlots(t *testing.T) {
	four := 4
	m := message{name: workflows.MessageSetBudget, arg: workflows.SetBudget{Parallel: &four}}
	require.Contains(t, aside(m, experiment.Status{Limits: experiment.Limits{Parallel: 2}}), "worker --train --slots")
	require.Empty(t, aside(m, experiment.Status{Limits: experiment.Limits{Parallel: 4}}))
}

func TestPatches(t *testing.T) {
	const diff = "--- a/trainer/train.go\n+++ b/trainer/train.go\n@@ -1 +1 @@\n-x\n+y\n"
	a, _ := newApp(t)
	file := filepath.Join(a.dir, "idea.patch")
	for name, c := range map[string]struct{ text, wrong string }{
		"a diff":       {diff, ""},
		"with CRLF":    {strings.ReplaceAll(diff, "\n", "\r\n"), ""},
		"from git":     {"diff --git a/x b/x\nindex 1..2 100644\n" + diff, ""},
		"empty":        {"", "not a unified diff"},
		"prose":        {"please try a larger batch\n", "not a unified diff"},
		"no hunk":      {"--- a/x\n+++ b/x\n", "not a unified diff"},
		"binary":       {diff + "\x00", "is not text"},
		"not UTF-8":    {diff + "\xff", "is not text"},
		"64 KiB":       {diff + strings.Repeat("+", maxPatch-len(diff)), ""},
		"and one more": {diff + strings.Repeat("+", maxPatch-len(diff)+1), "at most 64 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(file, []byte(c.text), 0o644))
			a.stdin = strings.NewReader(c.text)
			for _, path := range []string{"idea.patch", file, "-"} {
				got, err := a.readPatch(path)
				if c.wrong == "" {
					require.NoError(t, err)
					require.Equal(t, c.text, got)
					continue
				}
				require.ErrorContains(t, err, c.wrong)
				require.Equal(t, exitUsage, classify(err).code)
			}
		})
	}
}

func TestTitleOfAPatch(t *testing.T) {
	mail := "From 1234\nSubject: [PATCH 2/3] widen the window\n\n---\n\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-Subject: no\n"
	require.Equal(t, "widen the window", titleOf(mail, "x.patch"))
	require.Equal(t, "widen", titleOf("Subject: widen\n\n--- a/x\n", "-"))
	require.Equal(t, "patch x.patch", titleOf("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-Subject: no\n", "dir/x.patch"))
	require.Equal(t, "a patch from standard input", titleOf("--- a/x\n", "-"))
}
