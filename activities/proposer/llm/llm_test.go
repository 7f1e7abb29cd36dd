package llm

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/proposer/llm/llmtest"
	"github.com/autoresearch-go/autoresearch/activities/proposer/proposertest"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// A model that cannot be read sees what it wrote, and is offered forms that are
// easier to get right.
func TestRepairOfAnUnreadableAnswer(t *testing.T) {
	s := llmtest.New(t, llmtest.Answer("Title: smoother\n\nMake Momentum a little larger, please."),
		llmtest.Answer("Title: smoother\nHypothesis: It helps.\n\nMomentum = 0.97"))
	l := fresh(t, s.URL())
	r := proposertest.Past().Request(5)
	first, err := l.Propose(t.Context(), r)
	require.NoError(t, err)
	require.NotNil(t, first.Failure)
	require.Equal(t, experiment.InvalidEdit, first.Failure.Reason)
	require.Equal(t, "smoother", first.Proposal.Title)

	r.Round, r.Previous, r.Complaint = 1, &first.Proposal, first.Failure
	second, err := l.Propose(t.Context(), r)
	require.NoError(t, err)
	prompt := s.Requests()[1].Prompt()
	require.Contains(t, prompt, "Make Momentum a little larger, please.")
	require.Contains(t, prompt, "one line for each:\n\nMatrixLR = new value")
	require.Contains(t, prompt, "the whole new file")
	require.Nil(t, second.Failure)
	files, failure := proposer.ApplyEdits(r.Files, second.Proposal.Edits)
	require.Nil(t, failure)
	require.Contains(t, string(files[proposertest.File]), "Momentum  = 0.97 ")
}

// A whole file is asked for only where the answer has room for it.
func TestWholeFileIsOfferedWhereItFits(t *testing.T) {
	train, err := os.ReadFile("../../../trainer/train.go")
	require.NoError(t, err)
	for context, offered := range map[int]bool{16384: false, 65536: true} {
		r := repair(rich(), nil, experiment.InvalidEdit, "no")
		r.Files = map[string][]byte{"trainer/train.go": train}
		messages, err := fresh(t, "http://h/v1", func(c *Config) { c.Context = context }).prompt(r)
		require.NoError(t, err)
		require.Contains(t, messages[1].Content, "\nDepth = new value")
		if offered {
			require.Contains(t, messages[1].Content, "the whole new file")
		} else {
			require.NotContains(t, messages[1].Content, "the whole new file")
		}
	}
}

// The double keeps whole campaigns going: valid edits, and no title twice.
func TestResearcherCampaign(t *testing.T) {
	train, err := os.ReadFile("../../../trainer/train.go")
	require.NoError(t, err)
	for path, text := range map[string]string{"trainer/train.go": string(train), "noop/train.go": target.NoopSource} {
		s := llmtest.New(t)
		l := fresh(t, s.URL(), func(c *Config) { c.Context = 16384 })
		r := proposertest.Past().Request(1)
		r.History, r.Files = r.History[:1], map[string][]byte{path: []byte(text)}
		seen := map[string]bool{}
		for n := 1; n <= 40; n++ {
			r.Number = n
			a, err := l.Propose(t.Context(), r)
			require.NoError(t, err)
			require.Nil(t, a.Failure, "%s #%d", path, n)
			_, failure := proposer.ApplyEdits(r.Files, a.Proposal.Edits)
			require.Nil(t, failure)
			require.False(t, seen[a.Proposal.Title] && n < 10, "%s twice", a.Proposal.Title)
			seen[a.Proposal.Title] = true
			r.History = append(r.History, experiment.Result{Experiment: n, Sequence: n, Verdict: experiment.Discard, Reason: experiment.Worse, Title: a.Proposal.Title, Proposer: "llm"})
		}
		require.Greater(t, len(seen), 20, path)
	}
}

// No file, no call.
func TestNothingToEdit(t *testing.T) {
	s := llmtest.New(t)
	r := proposertest.Past().Request(5)
	r.Files = nil
	_, err := fresh(t, s.URL()).Propose(t.Context(), r)
	require.ErrorIs(t, err, proposer.ErrRefused)
	require.Zero(t, s.Calls())
}

// A curve that cannot be read is left out.
func TestBrokenCurve(t *testing.T) {
	r := rich()
	r.Curve = func(int) ([]proposer.Point, error) { return nil, fmt.Errorf("gone") }
	messages, err := fresh(t, "http://h/v1").prompt(r)
	require.NoError(t, err)
	require.NotContains(t, messages[1].Content, "Training curve")
}
