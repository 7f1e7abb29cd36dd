package llm

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/proposer/llm/llmtest"
	"github.com/autoresearch-go/autoresearch/activities/proposer/proposertest"
)

const testKey = "sk-test-0123456789abcdef"

// fresh makes a proposer for a server, with changes.
func fresh(t *testing.T, url string, change ...func(*Config)) *LLM {
	t.Helper()
	c := Config{Key: testKey, BaseURL: url, Model: "researcher", Timeout: 20 * time.Second}
	for _, f := range change {
		f(&c)
	}
	l, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// ask makes a proposal of the suite's campaign.
func ask(t *testing.T, l *LLM, notes proposer.Notes) (proposer.Answer, error) {
	t.Helper()
	r := proposertest.Past().Request(5)
	r.Notes = notes
	return l.Propose(context.Background(), r)
}

// notes are kept in memory.
type notes struct {
	mu       sync.Mutex
	text     map[string]string
	writeErr error // returned after a note was stored: the process was killed
}

func (n *notes) Read(_ context.Context, name string) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if text, ok := n.text[name]; ok {
		return []byte(text), nil
	}
	return nil, nil
}

func (n *notes) Write(_ context.Context, name string, text []byte) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.text == nil {
		n.text = map[string]string{}
	}
	if _, ok := n.text[name]; !ok {
		n.text[name] = string(text)
	}
	return []byte(n.text[name]), n.writeErr
}

// all is the text of all notes.
func (n *notes) all() string {
	var b strings.Builder
	for _, text := range n.text {
		b.WriteString(text)
	}
	return b.String()
}

func TestConformance(t *testing.T) {
	s := llmtest.New(t)
	proposertest.Conformance(t, true, func() proposer.Proposer { return fresh(t, s.URL()) })
}

// kind of an error, as the campaign sees it.
func errorKind(err error) string {
	var wait *proposer.WaitError
	switch {
	case err == nil:
		return ""
	case errors.Is(err, proposer.ErrRefused):
		return "refused"
	case errors.As(err, &wait):
		return "wait"
	}
	return "again"
}
