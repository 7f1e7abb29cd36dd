package llm

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/proposer/answer"
	"github.com/autoresearch-go/autoresearch/activities/proposer/llm/llmtest"
	"github.com/autoresearch-go/autoresearch/activities/proposer/proposertest"
	"github.com/autoresearch-go/autoresearch/activities/search"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// struggling is a campaign of a model that fails at the full question.
func struggling(t *testing.T) proposer.Request {
	t.Helper()
	train, err := os.ReadFile("../../../trainer/train.go")
	require.NoError(t, err)
	r := proposertest.Past().Request(8)
	r.Files = map[string][]byte{"trainer/train.go": train}
	for range narrowLeast {
		r.History = append(r.History, experiment.Result{Experiment: 5, Sequence: 50, Verdict: experiment.Crash, Reason: experiment.InvalidEdit, Proposer: "llm", Title: "an answer without a title"})
	}
	return r
}

// Who gets the narrow question: contexts that cannot hold the file, last repairs,
// and models of which half of the latest answers were no edits.
func TestNarrowed(t *testing.T) {
	few := func(r proposer.Request) proposer.Request { r.History = r.History[:len(r.History)-1]; return r }
	others := func(r proposer.Request) proposer.Request {
		for i := range r.History {
			r.History[i].Proposer = "hpo"
		}
		return r
	}
	recovered := func(r proposer.Request) proposer.Request {
		for range narrowWindow - narrowLeast + 1 {
			r.History = append(r.History, experiment.Result{Sequence: 60, Verdict: experiment.Discard, Reason: experiment.Worse, Proposer: "llm"})
		}
		return r
	}
	round := func(n int, reason experiment.Reason) func(proposer.Request) proposer.Request {
		return func(r proposer.Request) proposer.Request {
			r = repair(few(r), nil, reason, "no")
			r.Round = n
			return r
		}
	}
	untunable := func(r proposer.Request) proposer.Request {
		text := strings.NewReplacer("// range", "//", "// one of", "//").Replace(string(r.Files["trainer/train.go"]))
		r.Files = map[string][]byte{"trainer/train.go": []byte(text)}
		return r
	}
	for name, c := range map[string]struct {
		change  func(proposer.Request) proposer.Request
		context int
		want    bool
	}{
		"struggling":             {nil, 0, true},
		"too few failures":       {few, 0, false},
		"failures of others":     {others, 0, false},
		"recovered":              {recovered, 0, false},
		"first repair":           {round(1, experiment.InvalidEdit), 0, false},
		"last repair":            {round(2, experiment.InvalidEdit), 0, true},
		"last repair of a build": {round(2, experiment.BuildFailed), 0, false},
		"context of 4096":        {few, 4096, true},
		"context of 2048":        {few, 2048, true},
		"nothing to tune":        {untunable, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := struggling(t)
			if c.change != nil {
				r = c.change(r)
			}
			l := fresh(t, "http://h/v1", func(to *Config) { to.Context = c.context })
			messages, err := l.prompt(r)
			require.NoError(t, err)
			require.Equal(t, c.want, narrowed(messages))
			room, _ := l.room()
			require.LessOrEqual(t, tokensOf(messages), room)
		})
	}
}

// The examples are answers as they should be, and change from one experiment to
// the next.
func TestExamplesAreGoodAnswers(t *testing.T) {
	r := struggling(t)
	found := tunables(r.Files)
	seen := map[string]bool{}
	for turn := range 40 {
		for _, e := range examples(found, turn) {
			a := answer.Parse(e, r.Files)
			require.Nil(t, a.Failure, e)
			require.Nil(t, outside(r.Files, a.Edits), e)
			require.NotEmpty(t, a.Hypothesis)
			seen[a.Title] = true
		}
		require.Len(t, examples(found, turn), 2)
	}
	require.Len(t, seen, len(found), "each constant has its turn")
	require.Empty(t, examples([]search.Constant{{Dim: search.Dim{Name: "Only", Choices: []string{"1"}}, Value: "1"}}, 0), "nothing else to choose")
}

// What a small model has said to the narrow question, and what becomes of it.
func TestNarrowAnswers(t *testing.T) {
	for name, c := range map[string]struct{ answer, title, fails string }{
		"good":     {"Hypothesis: 0.25 may do better than 0.3 within the budget.\nWarmdown = 0.25", "change Warmdown = 0.25", ""},
		"far out":  {"Hypothesis: 36 may do better than 0.08 within the budget.\nEmbedLR = 36", "", "EmbedLR is 36: outside of its range 0.005..1"},
		"no such":  {"Hypothesis: 0.96 may do better.\nBeta3 = 0.96", "", "sets Beta3, which is not a constant"},
		"sentence": {"16", "", "no edits, only prose"},
		"not one":  {"Hypothesis: all.\nBeta1 = 0.85; Beta2 = 0.96; Beta3 = 0.947", "", "sets Beta1 to something that is no single number"},
		"no list":  {"Hypothesis: fewer.\nContext = 36500", "", "not one of 64, 128, 256, 512"},
	} {
		t.Run(name, func(t *testing.T) {
			r := struggling(t)
			s := llmtest.New(t, llmtest.Answer(c.answer))
			a, err := fresh(t, s.URL()).Propose(t.Context(), r)
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(s.Requests()[0].Prompt(), narrowContract))
			if c.fails != "" {
				require.NotNil(t, a.Failure)
				require.Contains(t, a.Failure.Message, c.fails)
				require.Empty(t, a.Proposal.Edits)
				return
			}
			require.Nil(t, a.Failure)
			require.Equal(t, c.title, a.Proposal.Title)
			files, failure := proposer.ApplyEdits(r.Files, a.Proposal.Edits)
			require.Nil(t, failure)
			require.Regexp(t, `Warmdown += 0.25 `, string(files["trainer/train.go"]))
		})
	}
}

// An answer of two lines gets little room, and more where it was cut off: the
// model may be one that thinks first.
func TestNarrowRoom(t *testing.T) {
	s := llmtest.New(t, llmtest.Truncated("well"), llmtest.Truncated("well, well"), llmtest.Answer("Depth = 3"))
	a, err := fresh(t, s.URL()).Propose(t.Context(), struggling(t))
	require.NoError(t, err)
	require.Nil(t, a.Failure)
	var rooms []float64
	for _, r := range s.Requests() {
		room, _ := r.Body[oldLimit].(float64)
		rooms = append(rooms, room)
	}
	require.Equal(t, []float64{narrowRoom, 4 * narrowRoom, 16 * narrowRoom}, rooms)
}

// A server's own word on its context is kept for the calls that follow.
func TestContextIsLearned(t *testing.T) {
	tooLong := llmtest.Fail(400, "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens", "context_length_exceeded")
	s := llmtest.New(t, tooLong, llmtest.Answer("Depth = 3"), llmtest.Answer("Depth = 3"))
	l := fresh(t, s.URL())
	r := struggling(t)
	r.History = r.History[:1]
	for range 2 {
		_, err := l.Propose(t.Context(), r)
		require.NoError(t, err)
	}
	var narrow []bool
	for _, q := range s.Requests() {
		narrow = append(narrow, strings.HasPrefix(q.Prompt(), narrowContract))
	}
	require.Equal(t, []bool{false, true, true}, narrow)
	require.Equal(t, 4096, l.context())
	require.False(t, l.learnContext(8192), "larger than known")
	require.False(t, l.learnContext(100), "no server is that small")
	require.Contains(t, l.limit(), "takes 4096 in all")
}
