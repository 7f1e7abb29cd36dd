package llm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/proposer/llm/llmtest"
	"github.com/autoresearch-go/autoresearch/activities/proposer/proposertest"
)

// good is an answer to the suite's request.
const good = `Title: raise Momentum from 0.95 to 0.97
Hypothesis: Smoother.
Expected: Less.

train.go
<<<<<<< SEARCH
	Momentum  = 0.95   // range 0.8..0.99
=======
	Momentum  = 0.97   // range 0.8..0.99
>>>>>>> REPLACE
`

// TestServers has a line for each way in which a server misbehaves.
func TestServers(t *testing.T) {
	long := strings.Repeat("So the idea is to think about it once more. ", 60)
	body := func(message string) string { return `{"error":{"message":"` + message + `","type":"x"}}` }
	for _, c := range []struct {
		name   string
		script []llmtest.Step
		calls  int    // chat calls of one attempt
		err    string // refused, wait, again, or "" for an answer
		says   []string
		fails  string // the answer's Failure says
	}{
		{name: "a good answer", script: []llmtest.Step{llmtest.Answer(good)}, calls: 1},

		// What passes by itself.
		{name: "429 with seconds", script: []llmtest.Step{llmtest.RetryAfter("17")}, calls: 1, err: "wait", says: []string{"429 Too Many Requests", "Rate limit reached", "wait 17s"}},
		{name: "429 with a date", script: []llmtest.Step{llmtest.RetryAfter(time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat))}, calls: 1, err: "wait", says: []string{"wait 1m"}},
		{name: "429 without a word", script: []llmtest.Step{llmtest.Status(429, "")}, calls: 1, err: "again"},
		{name: "503 with a pause", script: []llmtest.Step{llmtest.Status(503, body("loading the model"), "Retry-After", "5")}, calls: 1, err: "wait", says: []string{"loading the model"}},
		{name: "500", script: []llmtest.Step{llmtest.Status(500, "boom")}, calls: 1, err: "again", says: []string{"500 Internal Server Error", "boom"}},
		{name: "502 from a proxy", script: []llmtest.Step{llmtest.HTML(502)}, calls: 1, err: "again", says: []string{"502", "The proxy is tired"}},
		{name: "a page with status 200", script: []llmtest.Step{llmtest.HTML(200)}, calls: 1, err: "again", says: []string{"web page", "/v1"}},
		{name: "a page with status 404", script: []llmtest.Step{llmtest.HTML(404)}, calls: 1, err: "refused", says: []string{"404", "OPENAI_BASE_URL"}},
		{name: "an answer without end", script: []llmtest.Step{llmtest.Status(200, strings.Repeat(" ", maxBody+1))}, calls: 1, err: "again", says: []string{"longer than"}},
		{name: "a page with status 403", script: []llmtest.Step{llmtest.HTML(403)}, calls: 1, err: "again", says: []string{"proxy"}},
		{name: "an error with status 200", script: []llmtest.Step{llmtest.Status(200, `{"error":{"message":"upstream is busy","code":429}}`)}, calls: 1, err: "again", says: []string{"429", "upstream is busy"}},
		{name: "garbage JSON", script: []llmtest.Step{llmtest.GarbageJSON}, calls: 1, err: "again", says: []string{"unexpected EOF"}},
		{name: "no JSON", script: []llmtest.Step{llmtest.Status(200, "hello")}, calls: 1, err: "again", says: []string{"hello"}},
		{name: "an empty body", script: []llmtest.Step{llmtest.Status(200, "")}, calls: 1, err: "again"},
		{name: "a reset in the answer", script: []llmtest.Step{llmtest.Reset}, calls: 1, err: "again"},
		{name: "a connection dropped", script: []llmtest.Step{llmtest.Drop}, calls: 1, err: "again", says: []string{"EOF"}},
		{name: "a redirect elsewhere", script: []llmtest.Step{llmtest.Redirect(307, "http://other.example/v1/chat/completions")}, calls: 1, err: "again", says: []string{"redirects", "OPENAI_BASE_URL"}},

		// What somebody has to change.
		{name: "401", script: []llmtest.Step{llmtest.Fail(401, "Incorrect API key", "invalid_api_key")}, calls: 1, err: "refused", says: []string{"401", "check OPENAI_API_KEY"}},
		{name: "403", script: []llmtest.Step{llmtest.Fail(403, "Country not supported", "x")}, calls: 1, err: "refused", says: []string{"Country not supported"}},
		{name: "402", script: []llmtest.Step{llmtest.Status(402, body("pay"))}, calls: 1, err: "refused", says: []string{"no credit left"}},
		{name: "quota", script: []llmtest.Step{llmtest.Fail(429, "You exceeded your current quota", "insufficient_quota")}, calls: 1, err: "refused", says: []string{"no credit left"}},
		{name: "unknown model, 404", script: []llmtest.Step{llmtest.Fail(404, "The model `x` does not exist", "model_not_found")}, calls: 1, err: "refused", says: []string{"OPENAI_MODEL", "it has researcher"}},
		{name: "unknown model, 400", script: []llmtest.Step{llmtest.Status(400, body("x is not a valid model ID"))}, calls: 1, err: "refused", says: []string{"OPENAI_MODEL"}},
		{name: "unknown model, in words", script: []llmtest.Step{llmtest.Status(404, `{"error":"model 'x' not found, try pulling it first"}`)}, calls: 1, err: "refused", says: []string{"try pulling", "OPENAI_MODEL"}},
		{name: "too long", script: []llmtest.Step{llmtest.Fail(400, "Please reduce the length of the messages", "context_length_exceeded")}, calls: 1, err: "refused", says: []string{"AUTORESEARCH_LLM_CONTEXT"}},
		{name: "too long, llama.cpp", script: []llmtest.Step{llmtest.Status(500, body("the request exceeds the available context size"))}, calls: 1, err: "refused", says: []string{"AUTORESEARCH_LLM_CONTEXT"}},
		{name: "a request it does not take", script: []llmtest.Step{llmtest.Status(422, `{"detail":[{"loc":["body"],"msg":"odd"}]}`)}, calls: 1, err: "refused", says: []string{"does not accept", "odd"}},

		// What is asked again at once.
		{name: "too long, with the size", script: []llmtest.Step{llmtest.Fail(400, "This model's maximum context length is 2048 tokens. However, you requested 9000 tokens", "context_length_exceeded"), llmtest.Answer(good)}, calls: 2},
		{name: "too long, llama.cpp, with the size", script: []llmtest.Step{llmtest.Status(400, `{"error":{"code":400,"message":"request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it","type":"exceed_context_size_error","n_ctx":4096}}`), llmtest.Answer(good)}, calls: 2},
		{name: "too long, with a size that explains nothing", script: []llmtest.Step{llmtest.Fail(400, "This model's maximum context length is 200000 tokens", "context_length_exceeded")}, calls: 1, err: "refused", says: []string{"AUTORESEARCH_LLM_CONTEXT"}},
		{name: "cut off, then well", script: []llmtest.Step{llmtest.Truncated(good[:200]), llmtest.Answer(good)}, calls: 2},
		{name: "cut off with a whole edit", script: []llmtest.Step{llmtest.Truncated(good), llmtest.Answer(good)}, calls: 2},
		{name: "cut off twice for talking", script: []llmtest.Step{llmtest.Truncated(long), llmtest.Truncated(long)}, calls: 2, fails: "cut off after 100 tokens"},
		{name: "no room at all", script: []llmtest.Step{llmtest.Truncated("Ti"), llmtest.Truncated("Ti"), llmtest.Truncated("Ti")}, calls: 3, err: "wait", says: []string{"3 calls", "cut off", "AUTORESEARCH_LLM_MAX_TOKENS"}},
		{name: "empty, then well", script: []llmtest.Step{llmtest.EmptyContent, llmtest.Answer(good)}, calls: 2},
		{name: "empty for ever", script: []llmtest.Step{llmtest.EmptyContent, llmtest.EmptyContent, llmtest.NoChoices}, calls: 3, err: "wait", says: []string{"no usable answer in 3 calls", "empty"}},
		{name: "thoughts alone", script: []llmtest.Step{llmtest.ReasoningOnly("reasoning_content", "hm"), llmtest.ReasoningOnly("reasoning", "hm"), llmtest.Answer("<think>hm")}, calls: 3, err: "wait", says: []string{"thoughts but no answer"}},
		{name: "declined, then well", script: []llmtest.Step{llmtest.ContentFilter, llmtest.Answer(good)}, calls: 2},
		{name: "declined twice", script: []llmtest.Step{llmtest.ContentFilter, llmtest.Refusal("I cannot help with that.")}, calls: 2, fails: "I cannot help with that."},
		{name: "filtered with status 400", script: []llmtest.Step{llmtest.Fail(400, "filtered", "content_filter"), llmtest.Answer(good)}, calls: 2},

		// What is read rightly.
		{name: "the answer among the thoughts", script: []llmtest.Step{llmtest.ReasoningOnly("reasoning_content", good)}, calls: 1},
		{name: "the answer among other thoughts", script: []llmtest.Step{llmtest.ReasoningOnly("reasoning", good)}, calls: 1},
		{name: "thoughts before the answer", script: []llmtest.Step{llmtest.Answer("<think>\nMomentum?\n</think>\n" + good)}, calls: 1},
		{name: "content in parts", script: []llmtest.Step{llmtest.Choice(map[string]any{"content": []any{map[string]any{"type": "text", "text": good}}}, "stop")}, calls: 1},
		{name: "no finish_reason", script: []llmtest.Step{llmtest.Choice(map[string]any{"content": good}, "")}, calls: 1},
		{name: "a bad edit", script: []llmtest.Step{llmtest.Answer("Title: t\n\nI would raise the momentum.")}, calls: 1, fails: "edit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := llmtest.New(t, c.script...)
			n := &notes{}
			a, err := ask(t, fresh(t, s.URL()), n)
			require.Equal(t, c.err, errorKind(err), "%v", err)
			require.Equal(t, c.calls, s.Calls())
			for _, part := range c.says {
				require.ErrorContains(t, err, part)
			}
			if err != nil {
				require.LessOrEqual(t, len(err.Error()), 900)
				require.NotContains(t, err.Error(), testKey)
				return
			}
			if c.fails != "" {
				require.NotNil(t, a.Failure)
				require.Contains(t, a.Failure.Message, c.fails)
				require.Empty(t, a.Proposal.Edits)
			} else {
				require.Nil(t, a.Failure)
				require.Equal(t, "raise Momentum from 0.95 to 0.97", a.Proposal.Title)
				require.Len(t, a.Proposal.Edits, 1)
			}
			require.NotEmpty(t, a.Proposal.Title)
			filtered := int64(strings.Count(n.all(), `"seconds": 0,`)) // status 400 costs nothing
			paid := c.calls - strings.Count(c.name, "with the size")   // nor does a prompt that is too long
			require.Equal(t, 1000*(int64(paid)-filtered), a.Spent.PromptTokens, "all calls of the round are counted")
			require.Len(t, n.text, paid)
		})
	}
}

func TestNoServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	listener.Close()
	for name, url := range map[string]string{
		"refused":     "http://" + address + "/v1",
		"no such dns": "http://nowhere.invalid/v1",
	} {
		_, err := ask(t, fresh(t, url), nil)
		require.Equal(t, "again", errorKind(err), "%s: %v", name, err)
		require.ErrorContains(t, err, "asking ", name)
	}
}

// A server that says nothing, or never ends, is left after the time of a call.
func TestTimeout(t *testing.T) {
	for name, step := range map[string]llmtest.Step{"hang": llmtest.Hang, "drip": llmtest.SlowDrip} {
		s := llmtest.New(t, step)
		_, err := ask(t, fresh(t, s.URL(), func(c *Config) { c.Timeout = 50 * time.Millisecond }), nil)
		require.Equal(t, "again", errorKind(err), "%s: %v", name, err)
		require.ErrorContains(t, err, "no answer within 50ms; AUTORESEARCH_LLM_TIMEOUT")
	}
}

func TestCancel(t *testing.T) {
	for name, step := range map[string]llmtest.Step{"hang": llmtest.Hang, "drip": llmtest.SlowDrip} {
		ctx, cancel := context.WithCancel(context.Background())
		s := llmtest.New(t, func(c *llmtest.Call) { cancel(); step(c) })
		_, err := fresh(t, s.URL()).Propose(ctx, proposertest.Past().Request(5))
		require.ErrorIs(t, err, context.Canceled, name)
	}
}

// A second call is not begun when it cannot end in time: the next attempt makes
// it, from the notes.
func TestDeadline(t *testing.T) {
	s, n := llmtest.New(t, llmtest.EmptyContent, llmtest.Answer(good)), &notes{}
	l := fresh(t, s.URL(), func(c *Config) { c.Timeout = time.Hour })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	r := proposertest.Past().Request(5)
	r.Notes = n
	_, err := l.Propose(ctx, r)
	require.Equal(t, "wait", errorKind(err))
	a, err := l.Propose(ctx, r)
	require.NoError(t, err)
	require.EqualValues(t, 2000, a.Spent.PromptTokens)
}

// The pauses after paid calls without an answer grow to an hour.
func TestPauses(t *testing.T) {
	s, n := llmtest.New(t), &notes{}
	l := fresh(t, s.URL())
	var pauses []time.Duration
	for range 10 {
		s.Then(llmtest.EmptyContent, llmtest.EmptyContent, llmtest.EmptyContent)
		_, err := ask(t, l, n)
		var wait *proposer.WaitError
		require.True(t, errors.As(err, &wait), "%v", err)
		pauses = append(pauses, wait.After)
	}
	require.Equal(t, 30*time.Second, pauses[0])
	require.Equal(t, time.Minute, pauses[1])
	require.Equal(t, time.Hour, pauses[9])
	a, err := ask(t, l, n)
	require.NoError(t, err)
	require.EqualValues(t, 31000, a.Spent.PromptTokens)
}

// A larger room is asked for by a cut-off answer, and only then.
func TestMoreRoom(t *testing.T) {
	s := llmtest.New(t, llmtest.Truncated("Title"))
	_, err := ask(t, fresh(t, s.URL()), nil)
	require.NoError(t, err)
	first, second := s.Requests()[0], s.Requests()[1]
	require.NotContains(t, first.Body, "max_tokens")
	require.EqualValues(t, DefaultContext-1000-100, second.Body["max_tokens"])
	require.Contains(t, second.Prompt(), "Your last answer was cut off")
	require.NotContains(t, first.Prompt(), "cut off")

	s = llmtest.New(t, llmtest.Truncated("Title"), llmtest.Fail(400, "max_tokens is too large: this model supports at most 4096 completion tokens", "invalid_value"))
	_, err = ask(t, fresh(t, s.URL(), func(c *Config) { c.MaxTokens = 2000 }), nil)
	require.NoError(t, err)
	require.EqualValues(t, 2000, s.Requests()[0].Body["max_tokens"])
	require.EqualValues(t, 4096, s.Requests()[2].Body["max_tokens"])

	s = llmtest.New(t, llmtest.Truncated("Title"), llmtest.Fail(400, "maximum context length is 8192 tokens, max_tokens is too large", "x"))
	_, err = ask(t, fresh(t, s.URL()), nil)
	require.NoError(t, err, "without room for more the answer is left to the server")
	require.NotContains(t, s.Requests()[2].Body, "max_tokens")
}

// Parameters that a server does not accept are left out, from then on.
func TestManners(t *testing.T) {
	warm := 0.7
	for _, c := range []struct {
		name   string
		step   llmtest.Step
		config Config
		calls  int
		sent   string
		absent []string
	}{
		{"max_tokens", llmtest.Without("max_tokens", " Use 'max_completion_tokens' instead."), Config{MaxTokens: 500}, 2, "max_completion_tokens", []string{"max_tokens"}},
		{"temperature", llmtest.Without("temperature", ""), Config{Temperature: &warm}, 2, "model", []string{"temperature"}},
		{"a model that the library knows", llmtest.Researcher, Config{Temperature: &warm, MaxTokens: 500, Model: "gpt-5-mini"}, 1, "max_completion_tokens", []string{"temperature", "max_tokens"}},
		{"system", llmtest.Fail(400, "System role not supported", "x"), Config{}, 2, "messages", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := llmtest.New(t, c.step, c.step)
			if c.name == "system" {
				s = llmtest.New(t, c.step)
			}
			l := fresh(t, s.URL(), func(to *Config) {
				to.MaxTokens, to.Temperature = c.config.MaxTokens, c.config.Temperature
				if c.config.Model != "" {
					to.Model = c.config.Model
				}
			})
			_, err := ask(t, l, nil)
			require.NoError(t, err)
			require.Equal(t, c.calls, s.Calls())
			last := s.Requests()[c.calls-1]
			require.Contains(t, last.Body, c.sent)
			for _, name := range c.absent {
				require.NotContains(t, last.Body, name)
			}
			if c.name == "system" {
				require.Len(t, last.Messages, 1)
				require.Equal(t, "user", last.Messages[0].Role)
			}
			_, err = ask(t, l, nil)
			require.NoError(t, err)
			require.Equal(t, c.calls+1, s.Calls(), "what was learned is remembered")
		})
	}
}

func TestTemperatureZeroIsSent(t *testing.T) {
	zero := 0.0
	s := llmtest.New(t)
	_, err := ask(t, fresh(t, s.URL(), func(c *Config) { c.Temperature = &zero }), nil)
	require.NoError(t, err)
	require.InDelta(t, 0, s.Requests()[0].Body["temperature"], 1e-6)
}

// An address without /v1, or with a slash, or that of the call itself, is found.
func TestBaseURL(t *testing.T) {
	for _, c := range []struct{ prefix, path string }{
		{"/v1", "/v1"}, {"/v1", "/v1/"}, {"/v1", ""}, {"/v1", "/"}, {"/v1", "/v1/chat/completions"},
		{"/", ""}, {"/api/v1", "/api"}, {"/openai", "/openai/"},
	} {
		for _, site := range []bool{false, true} {
			s := llmtest.NewWith(t, llmtest.Options{Prefix: c.prefix, Site: site})
			for _, model := range []string{"researcher", ""} {
				l := fresh(t, s.Address()+c.path, func(to *Config) { to.Model = model })
				for range 2 {
					_, err := ask(t, l, nil)
					require.NoError(t, err, "%+v", c)
				}
			}
			require.Equal(t, 4, s.Calls())
		}
	}
	s := llmtest.NewWith(t, llmtest.Options{Prefix: "/deep/v1"})
	_, err := ask(t, fresh(t, s.Address()+"/v1"), nil)
	require.Equal(t, "refused", errorKind(err))
	require.ErrorContains(t, err, "no API is there: OPENAI_BASE_URL")
	_, err = ask(t, fresh(t, s.Address(), func(c *Config) { c.Model = "" }), nil)
	require.Equal(t, "refused", errorKind(err))
	require.ErrorContains(t, err, "OPENAI_MODEL")
}

// A server that has answered before and now says 404 or 400 is being restarted,
// or dislikes one prompt: the campaign goes on.
func TestProvenServer(t *testing.T) {
	s := llmtest.New(t, llmtest.Researcher, llmtest.Status(404, `{"detail":"Not Found"}`), llmtest.Status(404, ""), llmtest.Status(400, "odd"))
	l := fresh(t, s.URL())
	_, err := ask(t, l, nil)
	require.NoError(t, err)
	for range 3 {
		_, err = ask(t, l, nil)
		require.Equal(t, "again", errorKind(err), "%v", err)
	}
}

func TestRedirects(t *testing.T) {
	s := llmtest.NewWith(t, llmtest.Options{Key: testKey})
	stolen := llmtest.New(t)
	for _, code := range []int{301, 302, 303, 307, 308} {
		s.Then(llmtest.Redirect(code, stolen.URL()+"/chat/completions"))
		_, err := ask(t, fresh(t, s.URL()), nil)
		require.Equal(t, "again", errorKind(err), "%d: %v", code, err)
	}
	require.Zero(t, stolen.Calls(), "neither key nor prompt goes to another server")
	s.Then(llmtest.Redirect(307, "/v1/chat/completions"))
	_, err := ask(t, fresh(t, s.URL()), nil)
	require.NoError(t, err, "within a server a redirect is followed")
}

// A server that finds something else each time is not asked for ever.
func TestManyRefusals(t *testing.T) {
	s := llmtest.New(t)
	for n := 900; n > 800; n-- {
		s.Then(llmtest.Fail(400, fmt.Sprintf("max_tokens may be at most %d", n), "x"))
	}
	_, err := ask(t, fresh(t, s.URL(), func(c *Config) { c.MaxTokens = 1000 }), nil)
	require.Equal(t, "again", errorKind(err))
	require.Equal(t, maxRequests, s.Calls())
}

// Bodies of odd shapes are errors, or answers with nothing in them.
func TestOddBodies(t *testing.T) {
	for _, status := range []int{200, 400, 500} {
		for _, body := range []string{
			"[]", "null", "7", `"text"`, "{}", `{"error":null}`, `{"error":[]}`, `{"error":7}`, `{"error":{"message":{"a":[1]},"code":{},"type":3}}`,
			`{"choices":null}`, `{"choices":[null]}`, `{"choices":[{"message":null}]}`, `{"choices":{}}`, `{"choices":[{"message":{"content":7}}]}`,
			`{"choices":[{"message":{"content":[{"type":"image_url"}],"reasoning":{"a":1}}}],"usage":{"cost":"x"}}`, `{"usage":null}`, `{"detail":[{"loc":[]}]}`, "\x00\xff",
		} {
			s := llmtest.New(t)
			for range maxAsked {
				s.Then(llmtest.Status(status, body))
			}
			_, err := ask(t, fresh(t, s.URL()), nil)
			require.Error(t, err, "%d %s", status, body)
			require.Equal(t, status == 400, errorKind(err) == "refused", "%d %s: %v", status, body, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, c := range []struct {
		header []string
		want   time.Duration
		none   bool
	}{
		{header: []string{"Retry-After", "17"}, want: 17 * time.Second},
		{header: []string{"Retry-After", " 0.5 "}, want: 500 * time.Millisecond},
		{header: []string{"Retry-After-Ms", "250", "Retry-After", "1"}, want: 250 * time.Millisecond},
		{header: []string{"Retry-After", at(time.Minute)}, want: time.Minute},
		{header: []string{"Retry-After", at(time.Minute), "Date", at(-time.Minute)}, want: 2 * time.Minute},
		{header: []string{"Retry-After", at(-time.Minute)}, want: 0},
		{header: []string{"Retry-After", "1e300"}, want: maxWait},
		{header: []string{"Retry-After", "-5"}, none: true},
		{header: []string{"Retry-After", "soon"}, none: true},
		{none: true},
	} {
		h := http.Header{}
		for i := 0; i < len(c.header); i += 2 {
			h.Set(c.header[i], c.header[i+1])
		}
		got, ok := retryAfter(h, now)
		require.Equal(t, c.want, got, "%v", c.header)
		require.Equal(t, !c.none, ok, "%v", c.header)
	}
}
