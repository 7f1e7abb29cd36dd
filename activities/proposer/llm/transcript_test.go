package llm

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/activities/proposer/llm/llmtest"
)

var errKilled = errors.New("killed")

// An answer is stored before it is used: after a crash in between nobody pays
// again.
func TestKilledAfterTheAnswer(t *testing.T) {
	s, n := llmtest.New(t, llmtest.EmptyContent, llmtest.Answer(good)), &notes{writeErr: errKilled}
	l := fresh(t, s.URL())
	for calls := 1; calls <= 2; calls++ {
		_, err := ask(t, l, n)
		require.ErrorIs(t, err, errKilled)
		require.Equal(t, calls, s.Calls())
	}
	n.writeErr = nil
	for range 2 {
		a, err := ask(t, fresh(t, s.URL()), n)
		require.NoError(t, err)
		require.Equal(t, "raise Momentum from 0.95 to 0.97", a.Proposal.Title)
		require.EqualValues(t, 2000, a.Spent.PromptTokens, "the empty answer was paid for too")
		require.EqualValues(t, 200, a.Spent.CompletionTokens)
		require.Equal(t, 2, s.Calls())
	}
	s.Close()
	_, err := ask(t, l, n)
	require.NoError(t, err, "not even the server is needed")
}

// Two attempts at once, one of which was taken for dead: the first note of a
// number stays, both calls count, and both attempts give the same answer.
func TestTwoAttemptsAtOnce(t *testing.T) {
	other := strings.ReplaceAll(good, "0.97", "0.98")
	n := &notes{}
	s := llmtest.New(t)
	s.Then(func(c *llmtest.Call) {
		s.Then(llmtest.Answer(other))
		_, err := ask(t, fresh(t, s.URL()), n)
		require.NoError(t, err)
		llmtest.Answer(good)(c)
	})
	a, err := ask(t, fresh(t, s.URL()), n)
	require.NoError(t, err)
	require.Equal(t, "raise Momentum from 0.95 to 0.98", a.Proposal.Title)
	require.EqualValues(t, 2000, a.Spent.PromptTokens)
	require.Len(t, n.text, 2)
}

// A store may take secrets out of what it writes: the call is still ours.
func TestStoreThatRedacts(t *testing.T) {
	s, n := llmtest.New(t, llmtest.Answer(good)), &redacting{}
	_, err := ask(t, fresh(t, s.URL()), n)
	require.NoError(t, err)
	require.Len(t, n.text, 1)
}

type redacting struct{ notes }

func (n *redacting) Write(ctx context.Context, name string, text []byte) ([]byte, error) {
	return n.notes.Write(ctx, name, []byte(strings.ReplaceAll(string(text), "0.97", "[$SECRET]")))
}

func TestDamagedNote(t *testing.T) {
	s, n := llmtest.New(t, llmtest.Answer(good)), &notes{text: map[string]string{"call-0.json": "{"}}
	a, err := ask(t, fresh(t, s.URL()), n)
	require.NoError(t, err)
	require.Equal(t, 1, s.Calls())
	require.EqualValues(t, 1000, a.Spent.PromptTokens)
}

func TestNote(t *testing.T) {
	cost := 0.125
	s := llmtest.NewWith(t, llmtest.Options{Usage: llmtest.Usage{PromptTokens: 3000, CompletionTokens: 40, Cost: &cost}},
		llmtest.Choice(map[string]any{"content": good, "reasoning_content": "Momentum."}, "stop"))
	n := &notes{}
	a, err := ask(t, fresh(t, s.URL(), func(c *Config) { c.Price = Price{1, 1} }), n)
	require.NoError(t, err)
	require.InDelta(t, cost, a.Spent.CostUSD, 1e-9, "the server's own cost goes before the price")
	var c call
	require.NoError(t, json.Unmarshal([]byte(n.text["call-0.json"]), &c))
	require.Equal(t, "researcher", c.Model)
	require.Equal(t, "stop", c.Finish)
	require.Equal(t, strings.TrimSpace(good), strings.TrimSpace(c.Content))
	require.Equal(t, "Momentum.", c.Reasoning)
	require.Len(t, c.Request, 64)
	require.Len(t, c.Messages, 2)
	require.Equal(t, a.Spent, c.Spent)
	require.Contains(t, n.text["call-0.json"], "<<<<<<< SEARCH", "people can read it")
}

func TestPrice(t *testing.T) {
	s := llmtest.NewWith(t, llmtest.Options{Usage: llmtest.Usage{PromptTokens: 2_000_000, CompletionTokens: 100_000}})
	a, err := ask(t, fresh(t, s.URL(), func(c *Config) { c.Price = Price{0.25, 2} }), nil)
	require.NoError(t, err)
	require.InDelta(t, 0.7, a.Spent.CostUSD, 1e-9)
}
