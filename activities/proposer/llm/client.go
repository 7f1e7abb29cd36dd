package llm

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	openai "github.com/sashabaranov/go-openai"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
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

// kind says what to do about a call that failed.
type kind int

const (
	down       kind = iota // ask again later: err says when, if the server does
	refused                // somebody has to change something
	elsewhere              // the API is not at this address
	unmannerly             // ask again without the parameter
	tooLong                // the prompt and the room for an answer are more than the model takes
	unknown                // the model is not there
	filtered               // the server will not answer this prompt
)

// trouble is a call that failed.
type trouble struct {
	kind  kind
	err   error
	param string // unmannerly: which
	most  int    // unmannerly: the greatest value that it may have, if the server says
}

// chat makes one call, with as many requests as the server's manners need.
// room is the greatest length of the answer in tokens; 0 leaves it to the server.
func (l *LLM) chat(ctx context.Context, model string, messages []message, room int) (call, *trouble) {
	start := time.Now()
	m := l.learned()
	for {
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
		case !m.improve(t, l.at):
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

// bare is a success without content: some routers say 200 and mean an error.
func (x exchange) bare() bool {
	c := x.complaint()
	var body struct{ Choices, Data []json.RawMessage }
	return json.Unmarshal(x.body, &body) == nil && len(body.Choices)+len(body.Data) == 0 && c.message != ""
}

// classify is the one place that decides what a failed call means: whether
// asking again helps, asking otherwise, or nothing but a person.
func (l *LLM) classify(x exchange, err error, model string, m manners) *trouble {
	c := x.complaint()
	say := func(k kind, format string, args ...any) *trouble {
		return &trouble{kind: k, err: l.says(k, model, x, c, fmt.Sprintf(format, args...))}
	}
	param := m.unmannerly(c)
	noContext := c.says(contextPhrases...)
	switch status := c.status; {
	case x.status == 0 && libraryRefuses(err) != "":
		return &trouble{kind: unmannerly, err: err, param: m.param(libraryRefuses(err))}
	case x.status == 0:
		return &trouble{kind: down, err: fmt.Errorf("asking %s: %s", l.at.host, l.hidden.redact(oneLine(plainCause(err).Error(), maxQuoted)))}
	case status >= 300 && status < 400:
		return say(down, "it redirects to another server, which is not given the key; if that is the right one, put its address into %s", EnvBaseURL)
	case c.says("insufficient_quota", "insufficient credits", "billing") || status == http.StatusPaymentRequired:
		return say(refused, "the account has no credit left: pay, or set %s to another server", EnvBaseURL)
	case status == http.StatusForbidden && x.html():
		return say(down, "a proxy in between may be in the way")
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return say(refused, "%s", keyAdvice(l.config.Key))
	case status == http.StatusProxyAuthRequired:
		return say(refused, "the proxy in between wants a password: see HTTPS_PROXY")
	case busy(status) || status >= 500 && !noContext && param != "system":
		t := say(down, "")
		if after, ok := retryAfter(x.header, time.Now()); ok {
			t.err = &proposer.WaitError{After: after, Err: fmt.Errorf("%w; it asks to wait %v", t.err, after.Round(time.Second))}
		}
		return t
	case status >= 400 && noContext, status == http.StatusRequestEntityTooLarge:
		return say(tooLong, "the prompt does not fit the model: %s is %d tokens; set it to what the server was started with", EnvContext, l.config.Context)
	case status >= 400 && param != "":
		t := say(unmannerly, "it does not accept %s", param)
		t.param, t.most = param, c.most()
		return t
	case status >= 400 && !x.html() && noModel.MatchString(c.message+" "+c.code):
		return say(unknown, "set %s to a model that the server has", EnvModel)
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		return say(elsewhere, "no API is there: %s is its address, most often with /v1 at the end", EnvBaseURL)
	case status >= 400 && c.says("content_filter", "content management policy"):
		return say(filtered, "")
	case status >= 400 && l.proven(): // it took such a request before
		return say(down, "")
	case status >= 400:
		return say(refused, "it does not accept the request")
	case x.html():
		return say(elsewhere, "a web page came back: is a proxy in between, or should %s end in /v1?", EnvBaseURL)
	case err != nil && !isStatus(err): // what carried the answer, or its JSON
		return say(down, "%s", oneLine(plainCause(err).Error(), maxQuoted))
	}
	return say(down, "")
}

// says is the text of an error: who was asked, what came back, what to do.
func (l *LLM) says(k kind, model string, x exchange, c complaint, advice string) error {
	status := http.StatusText(c.status)
	if status != "" {
		status = " " + status
	}
	text := fmt.Sprintf("asking %s", l.at.host)
	if model != "" {
		text = fmt.Sprintf("asking %.100s at %s", model, l.at.host)
	}
	text = fmt.Sprintf("%s: %d%s", text, c.status, status)
	quote := oneLine(l.hidden.redact(c.message), maxQuoted)
	if x.html() {
		quote = oneLine(tags.ReplaceAllString(quote, " "), 100)
	}
	if quote != "" {
		text += ": " + quote
	}
	if advice != "" {
		text += "; " + advice
	}
	text = l.hidden.redact(text)
	if k == refused || k == unknown || k == tooLong || k == elsewhere && !x.html() && !l.proven() {
		return &refusal{text}
	}
	return errors.New(text)
}

var tags = regexp.MustCompile(`(?s)<(style|script).*?</(style|script)>|<[^>]*>?`)

func keyAdvice(key string) string {
	if key == "" {
		return "set " + EnvKey
	}
	return "check " + EnvKey + ": is it the key of this server, and may it use the model?"
}

// Phrases by which servers say what their status does not.
var (
	contextPhrases = []string{"context_length", "context length", "context window", "context size", "maximum context", "prompt is too long", "input is too long", "reduce the length", "too many tokens"}
	systemPhrases  = []string{"system role", "system message", "conversation roles must alternate"}
)

// noModel is the many ways to say that a model is not there.
var noModel = regexp.MustCompile(`(?i)model_(not_found|decommissioned|not_available)|(unknown|invalid|no such|not a valid) model|no endpoints found|\bmodel\b.{0,150}?(not found|not exist|decommissioned|not available)`)

// busy are the statuses below 500 that pass by themselves.
func busy(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly:
		return true
	}
	return false
}

// isStatus says that the library's error is about the status, which we read
// ourselves.
func isStatus(err error) bool {
	var api *openai.APIError
	var req *openai.RequestError
	return errors.As(err, &api) || errors.As(err, &req)
}

// libraryRefuses names the parameter that the library will not send to a model
// it knows.
func libraryRefuses(err error) string {
	switch {
	case errors.Is(err, openai.ErrReasoningModelMaxTokensDeprecated), errors.Is(err, openai.ErrO1MaxTokensDeprecated):
		return oldLimit
	case errors.Is(err, openai.ErrReasoningModelLimitationsOther), errors.Is(err, openai.ErrReasoningSamplingUnsupported):
		return "temperature"
	}
	return ""
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

var mostPattern = regexp.MustCompile(`(?i)(?:at most|less than or equal to|<=|maximum(?: value)? of) (\d{3,9})`)

// most is the longest answer that a server allows, where it says.
func (c complaint) most() int {
	found := mostPattern.FindStringSubmatch(c.message)
	if found == nil {
		return 0
	}
	n, _ := strconv.Atoi(found[1])
	return n
}
