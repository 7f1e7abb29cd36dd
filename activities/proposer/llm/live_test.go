package llm

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/proposer/proposertest"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// envLive is the address of a real server, such as http://127.0.0.1:8080/v1:
//
//	AUTORESEARCH_LLAMA_URL=http://127.0.0.1:8080/v1 go test ./activities/proposer/llm -run TestLive -v -timeout 60m
const envLive = "AUTORESEARCH_LLAMA_URL"

// TestLive asks a real server the narrow question, the full one where it fits,
// and three at once. Whatever it answers, it is an exact edit or a failure with a
// message, and it is paid once.
func TestLive(t *testing.T) {
	url := os.Getenv(envLive)
	if url == "" {
		t.Skip("set " + envLive + " to the address of a real server")
	}
	train, err := os.ReadFile("../../../trainer/train.go")
	require.NoError(t, err)
	l := fresh(t, url, func(c *Config) { c.Model, c.Timeout = "", 20*time.Minute })
	model, err := l.Check(t.Context())
	require.NoError(t, err)
	t.Log("model", model)

	request := func(n int) proposer.Request {
		r := proposertest.Past().Request(n)
		r.Files = map[string][]byte{"trainer/train.go": train}
		r.Program = "Lower val_bpb.\n"
		for range narrowLeast {
			r.History = append(r.History, experiment.Result{Sequence: 100, Verdict: experiment.Crash, Reason: experiment.InvalidEdit, Proposer: "llm"})
		}
		return r
	}
	for n := 5; n < 11; n++ {
		propose(t, l, request(n))
	}
	full := request(11)
	full.History = full.History[:1]
	propose(t, l, full)

	var together sync.WaitGroup
	for n := 12; n < 15; n++ {
		together.Go(func() { propose(t, l, request(n)) })
	}
	together.Wait()
}

// propose makes a proposal with its repairs, checks it, and asks once more: the
// notes must answer.
func propose(t *testing.T, l *LLM, r proposer.Request) {
	for r.Round = range 3 {
		kept := &notes{}
		r.Notes = kept
		start := time.Now()
		a, err := l.Propose(context.Background(), r)
		if err != nil {
			t.Errorf("#%d: %v", r.Number, err)
			return
		}
		took := time.Since(start)
		if err := sound(r, a, kept); err != nil {
			t.Errorf("#%d round %d: %v\n%s", r.Number, r.Round, err, kept.all())
		}
		again, err := l.Propose(context.Background(), r)
		if err != nil || again.Spent != a.Spent || len(again.Proposal.Edits) != len(a.Proposal.Edits) {
			t.Errorf("#%d round %d: the notes give another answer: %v, %v", r.Number, r.Round, again, err)
		}
		said := a.Proposal.Title
		if a.Failure != nil {
			said = a.Failure.Message
		}
		t.Logf("#%d round %d: %d+%d tokens, %v: %.200q", r.Number, r.Round, a.Spent.PromptTokens, a.Spent.CompletionTokens, took.Round(time.Millisecond), said)
		if a.Failure == nil {
			return
		}
		r.Previous, r.Complaint = &a.Proposal, a.Failure
	}
}

func sound(r proposer.Request, a proposer.Answer, kept *notes) error {
	_, failure := proposer.ApplyEdits(r.Files, a.Proposal.Edits)
	switch {
	case a.Spent.PromptTokens == 0 || a.Spent.CompletionTokens == 0:
		return fmt.Errorf("no tokens are counted: %+v", a.Spent)
	case !strings.Contains(kept.all(), `"finish_reason"`):
		return fmt.Errorf("no transcript is kept")
	case a.Proposal.Title == "":
		return fmt.Errorf("no title")
	case a.Failure != nil && (a.Failure.Message == "" || a.Failure.Reason != experiment.InvalidEdit || len(a.Proposal.Edits) > 0):
		return fmt.Errorf("an odd failure: %+v with %d edits", a.Failure, len(a.Proposal.Edits))
	case a.Failure == nil && len(a.Proposal.Edits) == 0:
		return fmt.Errorf("neither an edit nor a failure")
	case a.Failure == nil && failure != nil:
		return fmt.Errorf("an edit that does not apply: %s", failure.Message)
	}
	return nil
}
