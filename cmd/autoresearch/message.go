package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers/cluster"
	"github.com/autoresearch-go/autoresearch/workflows"
)

// updateTimeout bounds an Update: a worker that answers queries answers it at
// once, but for those that store a file first.
const updateTimeout = 15 * time.Second

// message is something that a running campaign is told. Every message is an
// Update, which is answered or refused. Those with a signal can be left for
// later when no worker is there to answer.
type message struct {
	name     string
	arg      any                         // nil: none
	from     func(experiment.Status) any // what arg is, if that depends on where the campaign stands
	signal   bool
	patience time.Duration // 0 is updateTimeout
}

// tell delivers m to the campaign tag, or to the latest one.
func (a *app) tell(ctx context.Context, tag string, m message) error {
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	tag, err = a.chooseTag(ctx, c, tag)
	if err != nil {
		return err
	}
	if err := a.mustRun(ctx, c, tag); err != nil {
		return err
	}
	st, err := query(ctx, c, tag)
	if err != nil {
		return a.leave(ctx, c, tag, m)
	}
	if m.from != nil {
		m.arg = m.from(st)
	}
	answer, err := update(ctx, c, tag, m)
	if err != nil {
		return err
	}
	if note := aside(m, st); note != "" {
		a.note("%s", note)
	}
	return a.told(tag, m, answer)
}

// aside is what somebody who sent m may not expect.
func aside(m message, st experiment.Status) string {
	if b, ok := m.arg.(workflows.SetBudget); ok && b.Parallel != nil && *b.Parallel > st.Limits.Slots() {
		return "workers keep the slots that they were started with: 'autoresearch up' again has as many as the campaign, or add some with 'autoresearch worker --train --slots N'"
	}
	return unread(m, st.Proposer)
}

// unread warns of words that nobody will read.
func unread(m message, proposer string) string {
	if asksLLM(proposer) {
		return ""
	}
	switch m.name {
	case workflows.MessageHint, workflows.MessageSetProgram:
		return fmt.Sprintf("nobody reads it: only the proposer llm reads hints and program.md, and this campaign has %s", proposer)
	}
	return ""
}

// update asks the workflow and waits for its answer.
func update(ctx context.Context, c *cluster.Cluster, tag string, m message) (workflows.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(m.patience, updateTimeout))
	defer cancel()
	h, err := c.Client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: experiment.ResearchID(tag), UpdateName: m.name, Args: m.args(),
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	var answer workflows.Answer
	if err == nil {
		err = h.Get(ctx, &answer)
	}
	var refused *temporal.ApplicationError
	if errors.As(err, &refused) {
		return answer, failed("see 'autoresearch status --tag "+tag+"'", "campaign %s refused %s: %s", tag, m.name, refused.Message())
	}
	if err != nil {
		return answer, fmt.Errorf("send %s to campaign %s: %w", m.name, tag, err)
	}
	return answer, nil
}

// leave sends m as a signal, which waits in the history for the next worker.
func (a *app) leave(ctx context.Context, c *cluster.Cluster, tag string, m message) error {
	const hint = "start one with 'autoresearch up' or 'autoresearch worker'"
	if !m.signal {
		return newFailure(exitUnreachable, hint, "no worker is there to answer %s for campaign %s", m.name, tag)
	}
	var arg any
	if args := m.args(); len(args) > 0 {
		arg = args[0]
	}
	if err := c.Client.SignalWorkflow(ctx, experiment.ResearchID(tag), "", m.name, arg); err != nil {
		return fmt.Errorf("send %s to campaign %s: %w", m.name, tag, err)
	}
	a.note("no worker is running: %s waits for the next one (autoresearch up)", m.name)
	return a.told(tag, m, workflows.Answer{})
}

func (m message) args() []any {
	if m.arg == nil {
		return nil
	}
	return []any{m.arg}
}

// told passes the answer on. An empty one means that there is none yet.
func (a *app) told(tag string, m message, answer workflows.Answer) error {
	if a.json {
		return a.object(struct {
			Campaign string `json:"campaign"`
			Message  string `json:"message"`
			Pending  bool   `json:"pending"` // left for a worker that is not there yet
			Answer   string `json:"answer"`
		}{tag, m.name, answer.Phase == "", answer.Message})
	}
	if text := answerText(answer); text != "" {
		a.note("campaign %s: %s", tag, text)
	}
	return nil
}

// answerText is an answer for people; the limits that end a campaign leave out
// how many training runs it has at a time.
func answerText(answer workflows.Answer) string {
	if l := answer.Limits; l != nil {
		return answer.Message + "; " + plural(l.Slots(), "training run") + " at a time"
	}
	return answer.Message
}

// mustRun explains a campaign that no message can reach.
func (a *app) mustRun(ctx context.Context, c *cluster.Cluster, tag string) error {
	d, err := describe(ctx, c, tag)
	var missing *serviceerror.NotFound
	switch {
	case errors.As(err, &missing):
		return notFound("'autoresearch up --tag "+tag+"' starts or resumes it", "no campaign %s runs on %s", tag, c.Address)
	case err != nil:
		return err
	case !d.open:
		return failed("'autoresearch up --tag "+tag+" --experiments N' continues it with a larger limit", "campaign %s is not running any more: %s", tag, d.state)
	}
	return nil
}

// messageCommand makes a command that only sends m.
func messageCommand(a *app, use, short, long string, m message) *cobra.Command {
	var tag string
	c := &cobra.Command{
		Use: use, Short: short, Long: long, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.tell(cmd.Context(), tag, m) },
	}
	tagFlag(c, &tag)
	return c
}
