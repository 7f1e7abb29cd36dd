package llm

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	openai "github.com/sashabaranov/go-openai"
)

// message is one of a conversation.
type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// manners is what a server was found to put up with. It is learned from its
// refusals, and kept for the next call.
type manners struct {
	base        string   // the address that answers
	limits      []string // the names for the length of an answer that are left to try
	temperature bool     // may be sent
	system      bool     // a system message may be sent
	most        int      // tokens of an answer that it allows; 0: unknown
}

const (
	oldLimit = "max_tokens"
	newLimit = "max_completion_tokens"
)

func firstManners(c Config, e endpoint) manners {
	m := manners{base: e.base, limits: []string{oldLimit, newLimit}, temperature: c.Temperature != nil, system: true}
	if strings.HasSuffix(e.host, "openai.com") {
		m.limits = []string{newLimit, oldLimit}
	}
	return m
}

// maxRequests bounds what one call may take: an address, both names for the
// length and its greatest value, temperature and system message.
const maxRequests = 8

// chat makes one call, with as many requests as the server's manners need.
// room is the greatest length of the answer in tokens; 0 leaves it to the server.
func (l *LLM) chat(ctx context.Context, model string, messages []message, room int) (call, *trouble) {
	start := time.Now()
	m := l.learned()
	for asked := 1; ; asked++ {
		req := m.request(model, messages, room, l.config.Temperature)
		x, t := l.exchange(ctx, m, model, func(ctx context.Context, c *openai.Client) error {
			_, err := c.CreateChatCompletion(ctx, req)
			return err
		})
		switch {
		case t == nil:
			l.learn(m)
			return l.read(x, model, messages, room, time.Since(start)), nil
		case t.kind == filtered:
			return call{ID: rand.Text(), Model: model, Server: l.at.host, Request: digest(messages), Messages: messages, Finish: string(openai.FinishReasonContentFilter), Refusal: oneLine(l.hidden.redact(t.err.Error()), maxQuoted)}, nil
		case t.kind == tooLong && room > 0:
			room = 0 // perhaps the prompt alone has room
		case asked == maxRequests || !m.improve(t, l.at):
			return call{}, t
		}
	}
}

// improve drops what the server did not like. It says no when nothing is left
// to drop, so asking ends.
func (m *manners) improve(t *trouble, at endpoint) bool {
	switch {
	case t.kind == elsewhere:
		bases := at.bases()
		i := slices.Index(bases, m.base)
		if i+1 >= len(bases) {
			return false
		}
		m.base = bases[i+1]
		return true
	case t.kind != unmannerly:
		return false
	}
	switch t.param {
	case "temperature":
		m.temperature = false
	case "system":
		m.system = false
	default:
		if t.most > 0 && (m.most == 0 || t.most < m.most) {
			m.most = t.most
			return true
		}
		m.limits = slices.DeleteFunc(slices.Clone(m.limits), func(name string) bool { return name == t.param })
	}
	return true
}

func (m manners) request(model string, messages []message, room int, temperature *float64) openai.ChatCompletionRequest {
	req := openai.ChatCompletionRequest{Model: model}
	if m.most > 0 {
		room = min(room, m.most)
	}
	if len(m.limits) > 0 && m.limits[0] == newLimit {
		req.MaxCompletionTokens = room
	} else if len(m.limits) > 0 {
		req.MaxTokens = room
	}
	if m.temperature && temperature != nil {
		req.Temperature = max(float32(*temperature), 1e-9) // the library leaves out a zero
	}
	for _, msg := range messages {
		if msg.Role == openai.ChatMessageRoleSystem && !m.system {
			msg.Role = openai.ChatMessageRoleUser
		}
		if n := len(req.Messages); n > 0 && req.Messages[n-1].Role == msg.Role {
			req.Messages[n-1].Content += "\n\n" + msg.Content
			continue
		}
		req.Messages = append(req.Messages, openai.ChatCompletionMessage{Role: msg.Role, Content: msg.Content})
	}
	return req
}

// exchange makes one request and says what is wrong with what comes back.
func (l *LLM) exchange(ctx context.Context, m manners, model string, do func(context.Context, *openai.Client) error) (exchange, *trouble) {
	w := &wire{client: l.http, at: l.at}
	config := openai.DefaultConfig(l.config.Key)
	config.BaseURL, config.HTTPClient = m.base, w
	limited, cancel := context.WithTimeout(ctx, l.config.Timeout)
	defer cancel()
	err := do(limited, openai.NewClientWithConfig(config))
	if ctx.Err() != nil {
		return w.got, &trouble{kind: down, err: fmt.Errorf("asking %s: no answer yet: %w", l.at.host, ctx.Err())}
	}
	if limited.Err() != nil && err != nil {
		return w.got, &trouble{kind: down, err: fmt.Errorf("asking %s: no answer within %v; %s sets how long to wait", l.at.host, l.config.Timeout, EnvTimeout)}
	}
	if err == nil && !w.got.bare() {
		return w.got, nil
	}
	return w.got, l.classify(w.got, err, model, m)
}

// param is name, or nothing when it was not sent: then dropping it cannot help.
func (m manners) param(name string) string {
	switch name {
	case "temperature":
		if m.temperature {
			return name
		}
	case "system":
		if m.system {
			return name
		}
	case oldLimit, newLimit:
		if len(m.limits) > 0 && m.limits[0] == name {
			return name
		}
	}
	return ""
}

// unmannerly finds the parameter that a server complains about.
func (m manners) unmannerly(c complaint) string {
	for _, name := range []string{"temperature", oldLimit, newLimit} {
		if c.says(name) && m.param(name) != "" {
			return name
		}
	}
	if c.says(systemPhrases...) {
		return m.param("system")
	}
	return ""
}
