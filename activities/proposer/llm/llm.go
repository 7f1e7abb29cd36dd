// Package llm is the proposer "llm": a language model as the researcher, on any
// server that speaks the chat completions protocol of OpenAI.
//
// Each call is stateless. The model gets program.md, the incumbent's file, a
// digest of the campaign that we compute, and in a repair round its own answer
// with the complaint; it answers with a title, a hypothesis and an edit in
// plain text. The parts:
//
//	config.go      what can be configured, and the address of the server
//	secrets.go     what must not leave this process, and text made clean
//	prompt.go      the conversation: contract, file, digest, repair; its bounds
//	narrow.go      the smaller question, for small contexts and small models
//	digest.go      the campaign's past in few words
//	client.go      one call, in the manners that the server is used to
//	classify.go    the one place that decides what a failed call means
//	wire.go        HTTP: redirects, Retry-After, what servers say about errors
//	transcript.go  paid answers, kept before they are used
//	models.go      which model, and Check for those who want to know beforehand
//	llm.go         the proposer: calls until there is an answer
//
// # Errors
//
// A failing server is never an experiment. What passes by itself (no
// connection, a timeout, status 5xx or 429, an answer that breaks off, that is no
// JSON or has nothing in it) is an error that may be retried, with the server's
// own Retry-After in a proposer.WaitError. What somebody has to change (key,
// model, address, credit, a context that nothing fits into) wraps
// proposer.ErrRefused and says what to change.
//
// What the model says is an answer, with a Failure where it is no usable edit:
// text that cannot be read as an edit, and, at the second time in a round, an
// answer that was cut off although it had all the room there is, or that the
// model or its content filter declined. The second time, because another sample
// is often fine; an answer, because waiting would not change what this prompt
// leads to, while the next experiment has another prompt.
//
// # Money
//
// Every answer is written to the request's Notes before anything is made of it.
// An attempt that follows a crash reads them, and uses the first that is usable
// instead of calling again. What the round has cost is the sum over all its
// calls, those without a usable answer included. A call whose answer never
// arrived leaves no note: what it cost, nobody told us.
//
// # Secrets
//
// The key goes into one header, to one server: redirects elsewhere are not
// followed. It is taken out of prompts, answers, notes and errors, as are
// the user, password and query of the server's address.
package llm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	openai "github.com/sashabaranov/go-openai"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/proposer/answer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// LLM proposes what a language model says. It is safe for concurrent use.
type LLM struct {
	config Config
	at     endpoint
	hidden secrets
	http   *http.Client

	mu      sync.Mutex
	manners manners
	works   bool   // it has answered before
	model   string // the one that the server offers, when none is configured
	takes   int    // tokens of context that the server says it has; 0: it has not said
}

var _ proposer.Proposer = (*LLM)(nil)

// New makes the proposer. It opens no connection; its errors wrap
// proposer.ErrRefused.
func New(c Config) (*LLM, error) {
	if c.BaseURL == "" {
		c.BaseURL = DefaultBaseURL
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Context <= 0 {
		c.Context = DefaultContext
	}
	at, err := parseEndpoint(c.BaseURL)
	if err != nil {
		return nil, err
	}
	if strings.ContainsFunc(c.Key, func(r rune) bool { return r < '!' || r > '~' }) {
		return nil, refuse("proposer llm: %s has a character that no key has: a blank, a line end, or a letter with an accent", EnvKey)
	}
	return &LLM{config: c, at: at, hidden: secretsOf(c.Key, at), http: newHTTPClient(), manners: firstManners(c, at)}, nil
}

// Name is "llm".
func (*LLM) Name() string { return "llm" }

const (
	maxAsked   = 3 // calls of one attempt at a round, while none is usable
	firstPause = 30 * time.Second
	lastPause  = time.Hour
)

// Propose asks the model until it has given an answer that can be read, or
// declined to. See the package comment for what becomes an error.
func (l *LLM) Propose(ctx context.Context, r proposer.Request) (proposer.Answer, error) {
	fail := func(err error) (proposer.Answer, error) {
		return proposer.Answer{}, fmt.Errorf("proposer llm: experiment %d: %w", r.Number, err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	t, err := recall(ctx, r.Notes)
	if err != nil {
		return fail(err)
	}
	for asked := 0; ; asked++ {
		if a, ok := l.harvest(t, r); ok {
			return a, nil
		}
		if asked == maxAsked || asked > 0 && !l.timeLeft(ctx) {
			return fail(t.nothing())
		}
		if err := l.ask(ctx, t, r); err != nil {
			return fail(err)
		}
	}
}

// timeLeft says whether another call fits before the deadline. If not, the next
// attempt goes on from the notes.
func (l *LLM) timeLeft(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > l.config.Timeout
}

// ask makes one call and keeps its answer. A prompt that is too long for the
// server is made again, for the size that the server names.
func (l *LLM) ask(ctx context.Context, t *transcript, r proposer.Request) error {
	for {
		messages, err := l.prompt(r)
		if err != nil {
			return err
		}
		room := l.config.MaxTokens
		if room == 0 && narrowed(messages) {
			room = narrowRoom
		}
		if len(t.calls) > 0 {
			last := t.calls[len(t.calls)-1]
			messages[len(messages)-1].Content += last.advice()
			if last.cutOff() {
				room = l.moreRoom(last, messages)
			}
		}
		model, trouble := l.chosen(ctx)
		if trouble == nil {
			var c call
			if c, trouble = l.chat(ctx, model, messages, room); trouble == nil {
				return t.keep(ctx, c)
			}
		}
		if trouble.kind != tooLong || !l.learnContext(trouble.most) {
			return l.explain(ctx, trouble)
		}
	}
}

// moreRoom is all that the context leaves for an answer after one was cut off.
func (l *LLM) moreRoom(last call, messages []message) int {
	used := int(last.Spent.PromptTokens)
	if used == 0 {
		used = tokensOf(messages)
	}
	all := max(l.context()-used-100, 2*int(last.Spent.CompletionTokens), 256)
	if narrowed(messages) && last.Room > 0 {
		return min(all, 4*last.Room)
	}
	return all
}

// harvest makes the answer of the first call that can be used.
func (l *LLM) harvest(t *transcript, r proposer.Request) (proposer.Answer, bool) {
	long, declined := 0, 0
	for _, c := range t.calls {
		failure := ""
		switch {
		case c.declined():
			if declined++; declined == 2 {
				failure = "the model declined to answer, twice: " + oneLine(c.Refusal, 200)
			}
		case c.cutOff():
			if c.substantial() {
				if long++; long == 2 {
					failure = fmt.Sprintf("the answer was cut off after %d tokens, before its end: answer in fewer words, with the edit alone", c.Spent.CompletionTokens)
				}
			}
		case strings.TrimSpace(c.Content) != "":
			return l.answer(c, c.Content, "", t, r), true
		case strings.TrimSpace(c.Reasoning) != "":
			if a := l.answer(c, c.Reasoning, "", t, r); a.Failure == nil {
				return a, true
			}
		}
		if failure != "" {
			return l.answer(c, c.Content, failure, t, r), true
		}
	}
	return proposer.Answer{}, false
}

// declined says that the model, or the filter around it, would not answer.
func (c call) declined() bool {
	return c.Finish == string(openai.FinishReasonContentFilter) || c.Refusal != "" && strings.TrimSpace(c.Content) == ""
}

func (c call) cutOff() bool { return c.Finish == string(openai.FinishReasonLength) }

// substantial tells a model that talks too long from a server that gives it no
// room, which is no fault of the model.
func (c call) substantial() bool {
	return strings.TrimSpace(c.Content) != "" && (c.Spent.CompletionTokens >= 512 || len(c.Content) >= 2000)
}

// advice is what is added to the prompt after a call without a usable answer.
func (c call) advice() string {
	switch {
	case c.cutOff():
		return "\n\nYour last answer was cut off before its end. Do not think aloud: answer with the title, one sentence for the hypothesis, and one small edit."
	case c.Reasoning != "":
		return "\n\nYour last answer had thoughts but no text. Write the title, the hypothesis and the edit as your answer."
	}
	return ""
}

// nothing is the error of a round without a usable answer. The pauses grow with
// the number of paid calls, so that little is spent on a server that gives
// nothing for it.
func (t *transcript) nothing() error {
	n := len(t.calls)
	last := t.calls[n-1]
	why := fmt.Sprintf("the last was empty, with finish_reason %q", last.Finish)
	switch {
	case last.cutOff():
		why = fmt.Sprintf("the last was cut off after %d tokens; %s and %s give it more room", last.Spent.CompletionTokens, EnvMaxTokens, EnvContext)
	case last.Reasoning != "":
		why = "the last had thoughts but no answer"
	case last.declined():
		why = "the last was declined"
	}
	pause := lastPause
	if doublings := (n - 1) / maxAsked; doublings < 8 {
		pause = min(firstPause<<doublings, lastPause)
	}
	return &proposer.WaitError{After: pause, Err: fmt.Errorf("%s at %s gave no usable answer in %d calls: %s", last.Model, last.Server, n, why)}
}

// Bounds of what is kept of an answer.
const (
	maxTitle      = 100
	maxHypothesis = 2000
	maxRaw        = 6000
)

// answer reads a text as a proposal. Where no edit can be read, the text itself
// stands in for the hypothesis: people see what the model said, and the model
// does in the repair round.
func (l *LLM) answer(c call, text, failure string, t *transcript, r proposer.Request) proposer.Answer {
	parsed := answer.Parse(text, r.Files)
	if failure != "" {
		parsed.Failure = &experiment.Failure{Reason: experiment.InvalidEdit, Message: failure}
	} else if parsed.Failure == nil && narrowed(c.Messages) {
		parsed.Failure = outside(r.Files, parsed.Edits)
	}
	p := experiment.Proposal{
		Title:      oneLine(parsed.Title, maxTitle),
		Hypothesis: cut(strings.TrimSpace(cleanText(parsed.Hypothesis)), maxHypothesis),
		Expected:   oneLine(parsed.Expected, maxHypothesis),
		Proposer:   l.Name(),
		Parent:     r.Parent.Commit,
		Edits:      parsed.Edits,
	}
	if parsed.Failure != nil {
		p.Edits, p.Hypothesis = nil, middle(cleanText(text), maxRaw)
	}
	if p.Title == "" && parsed.Failure == nil {
		p.Title = "an edit without a title"
	} else if p.Title == "" {
		p.Title = "an answer without a readable edit"
	}
	return proposer.Answer{Proposal: p, Failure: parsed.Failure, Spent: t.spent()}
}

// middle leaves out the middle of a long text.
func middle(text string, most int) string {
	text = strings.TrimSpace(text)
	if len(text) <= most {
		return text
	}
	head, tail := strings.ToValidUTF8(text[:most*3/4], ""), strings.ToValidUTF8(text[len(text)-most/4:], "")
	return fmt.Sprintf("%s\n[... %d bytes left out ...]\n%s", head, len(text)-len(head)-len(tail), tail)
}

// explain turns trouble into the error that the caller gets.
func (l *LLM) explain(ctx context.Context, t *trouble) error {
	if t.kind != unknown || ctx.Err() != nil {
		return t.err
	}
	if l.config.Model == "" { // the server has another one now
		l.mu.Lock()
		l.model = ""
		l.mu.Unlock()
		return errors.New(t.err.Error())
	}
	if models, trouble := l.models(ctx); trouble == nil && len(models) > 0 {
		return fmt.Errorf("%w: %s", t.err, list(models))
	}
	return t.err
}

func (l *LLM) learned() manners {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.manners
}

// learn keeps the manners of a request that was answered.
func (l *LLM) learn(m manners) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.manners, l.works = m, true
}

// proven says that the server has answered before, so that its address and our
// manners are right.
func (l *LLM) proven() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.works
}

// leastContext is the smallest size of a context that is believed.
const leastContext = 1024

// learnContext keeps the size that the server names, if that is news: smaller
// than what we thought.
func (l *LLM) learnContext(size int) bool {
	if size < leastContext || size >= l.context() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.takes = size
	return true
}

// context is how many tokens a prompt and its answer share.
func (l *LLM) context() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.takes > 0 {
		return min(l.takes, l.config.Context)
	}
	return l.config.Context
}

// limit says where the size of the context comes from.
func (l *LLM) limit() string {
	if n := l.context(); n < l.config.Context {
		return fmt.Sprintf("%s takes %d in all", l.at.host, n)
	}
	return fmt.Sprintf("%s is %d", EnvContext, l.config.Context)
}
