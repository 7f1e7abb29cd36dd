package llm

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"time"

	openai "github.com/sashabaranov/go-openai"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
)

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
	most  int    // unmannerly: the greatest value that it may have; tooLong: the size of the context; 0: the server does not say
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
		t := say(tooLong, "the prompt does not fit the model: %s is %d tokens; set it to what the server was started with", EnvContext, l.config.Context)
		t.most = x.contextSize(c)
		return t
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
	if k == refused || k == unknown || k == tooLong || k == elsewhere && c.status != http.StatusOK && !l.proven() {
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

// bare is a success without content: some routers say 200 and mean an error.
func (x exchange) bare() bool {
	c := x.complaint()
	var body struct{ Choices, Data []json.RawMessage }
	return json.Unmarshal(x.body, &body) == nil && len(body.Choices)+len(body.Data) == 0 && c.message != ""
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

// contextPattern finds the size of the context in what servers say about a prompt
// that is too long, or in a field beside it.
var contextPattern = regexp.MustCompile(`(?i)(?:context (?:length|size|window)\D{0,30}|"n_ctx"\s*:\s*)(\d{3,9})\b`)

// contextSize is the size of the context, where the server names it.
func (x exchange) contextSize(c complaint) int {
	for _, text := range []string{c.message, string(x.body)} {
		if found := contextPattern.FindStringSubmatch(text); found != nil {
			n, _ := strconv.Atoi(found[1])
			return n
		}
	}
	return 0
}
