package llm

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	openai "github.com/sashabaranov/go-openai"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// maxReasoning is how much of a model's thinking is kept.
const maxReasoning = 64 << 10

// call is one paid call: what was asked, what came back, what it cost. It is
// kept as call-<k>.json before anything is made of it, with no secret in it.
type call struct {
	ID        string           `json:"id"` // ours: the same call in another attempt's note has another
	Model     string           `json:"model"`
	Server    string           `json:"server,omitempty"`
	At        time.Time        `json:"at"`
	Seconds   float64          `json:"seconds"`
	Request   string           `json:"request_sha256"` // of the messages
	Room      int              `json:"max_tokens,omitempty"`
	Finish    string           `json:"finish_reason"`
	Content   string           `json:"content"`
	Reasoning string           `json:"reasoning,omitempty"`
	Refusal   string           `json:"refusal,omitempty"`
	Spent     experiment.Spent `json:"spent"`
	Messages  []message        `json:"messages"`
}

// body is what the library does not read of an answer.
type body struct {
	Choices []struct {
		Message struct {
			Reasoning any `json:"reasoning"` // routers and newer servers; others say reasoning_content
		} `json:"message"`
	} `json:"choices"`
	Usage struct {
		Cost any `json:"cost"` // US dollars, from some routers
	} `json:"usage"`
}

// read takes a server's answer apart.
func (l *LLM) read(x exchange, model string, messages []message, room int, took time.Duration) call {
	var res openai.ChatCompletionResponse
	var more body
	_ = json.Unmarshal(x.body, &res) // the library has read it already
	_ = json.Unmarshal(x.body, &more)
	c := call{ID: rand.Text(), Model: model, Server: l.at.host, At: time.Now().UTC().Truncate(time.Second), Seconds: took.Seconds(),
		Request: digest(messages), Room: room, Messages: messages}
	if res.Model != "" {
		c.Model = oneLine(l.hidden.redact(res.Model), 200)
	}
	if len(res.Choices) > 0 {
		choice := res.Choices[0]
		c.Finish = string(choice.FinishReason)
		c.Content = l.hidden.redact(text(choice.Message))
		c.Refusal = l.hidden.redact(choice.Message.Refusal)
		c.Reasoning = choice.Message.ReasoningContent
		if c.Reasoning == "" && len(more.Choices) > 0 {
			c.Reasoning, _ = more.Choices[0].Message.Reasoning.(string)
		}
	}
	c.Content, c.Reasoning = apart(c.Content, c.Reasoning)
	c.Reasoning = cut(l.hidden.redact(c.Reasoning), maxReasoning)
	c.Spent = experiment.Spent{PromptTokens: int64(res.Usage.PromptTokens), CompletionTokens: int64(res.Usage.CompletionTokens)}
	c.Spent.CostUSD = l.config.Price.of(c.Spent.PromptTokens, c.Spent.CompletionTokens)
	if cost, ok := more.Usage.Cost.(float64); ok && cost >= 0 {
		c.Spent.CostUSD = cost
	}
	return c
}

// text is a message's content, which some servers send in parts.
func text(m openai.ChatCompletionMessage) string {
	var parts strings.Builder
	for _, p := range m.MultiContent {
		parts.WriteString(p.Text)
	}
	return m.Content + parts.String()
}

// apart takes thinking that a server left in the content out of it. Some chat
// templates open the thinking themselves, so that only its end is seen.
func apart(content, reasoning string) (string, string) {
	before, after, closed := strings.Cut(content, "</think>")
	thought, opened := strings.CutPrefix(strings.TrimSpace(before), "<think>")
	if !opened && !closed || reasoning != "" && !opened {
		return content, reasoning
	}
	return strings.TrimLeft(after, "\r\n"), strings.TrimSpace(reasoning + "\n" + thought)
}

func digest(messages []message) string {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode(messages)
	return hex.EncodeToString(h.Sum(nil))
}

// transcript is the paid calls of a round, those of killed attempts included.
type transcript struct {
	notes proposer.Notes // nil: they are kept in memory alone
	calls []call
}

func callNote(k int) string { return fmt.Sprintf("call-%d.json", k) }

// maxCalls ends the search for notes, whatever a store says.
const maxCalls = 1000

// recall reads the calls of earlier attempts at the same round.
func recall(ctx context.Context, notes proposer.Notes) (*transcript, error) {
	t := &transcript{notes: notes}
	if notes == nil {
		return t, nil
	}
	for k := range maxCalls {
		note, err := notes.Read(ctx, callNote(k))
		if err != nil {
			return nil, fmt.Errorf("reading the note %s: %w", callNote(k), err)
		}
		if note == nil {
			break
		}
		t.calls = append(t.calls, decodeCall(note))
	}
	return t, nil
}

// decodeCall reads a note. One that somebody damaged is a call without an
// answer: it holds its number, and another call is made.
func decodeCall(note []byte) call {
	var c call
	if json.Unmarshal(note, &c) != nil {
		return call{Finish: "unreadable"}
	}
	return c
}

// keep stores a call. Where another attempt, one that was taken for dead, has
// written that number, its call comes first and ours is the next.
func (t *transcript) keep(ctx context.Context, c call) error {
	if t.notes == nil {
		t.calls = append(t.calls, c)
		return nil
	}
	var note bytes.Buffer
	e := json.NewEncoder(&note)
	e.SetEscapeHTML(false) // people read it
	e.SetIndent("", "  ")
	if err := e.Encode(c); err != nil {
		return fmt.Errorf("keeping the answer: %w", err)
	}
	for k := len(t.calls); k < maxCalls; k++ {
		// What was paid for is kept even if the campaign is being stopped.
		stored, err := t.notes.Write(context.WithoutCancel(ctx), callNote(k), note.Bytes())
		if err != nil {
			return fmt.Errorf("keeping the answer as %s: %w", callNote(k), err)
		}
		t.calls = append(t.calls, decodeCall(stored))
		if t.calls[k].ID == c.ID {
			return nil
		}
	}
	return fmt.Errorf("keeping the answer: the round has %d calls already", len(t.calls))
}

// spent is what the round has cost so far.
func (t *transcript) spent() experiment.Spent {
	var s experiment.Spent
	for _, c := range t.calls {
		s.Add(c.Spent)
	}
	return s
}
