package llm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/activities/proposer/llm/llmtest"
	"github.com/autoresearch-go/autoresearch/activities/proposer/proposertest"
)

// Nothing that leaves the proposer has the key in it, whatever a server does
// with it.
func TestKeyNeverLeaves(t *testing.T) {
	for _, status := range []int{200, 400, 401, 403, 404, 429, 500} {
		s, n := llmtest.New(t, llmtest.EchoKey(status)), &notes{}
		_, err := ask(t, fresh(t, s.URL()), n)
		require.Error(t, err)
		require.ErrorContains(t, err, "[$OPENAI_API_KEY]", "the server did say it")
		require.NotContains(t, err.Error()+n.all(), testKey, "status %d", status)
	}
	for name, text := range map[string]string{
		"cut in the middle": strings.Repeat("x", maxQuoted-20) + testKey,
		"made invisible":    testKey[:9] + "\u200b" + testKey[9:],
	} {
		_, err := ask(t, fresh(t, llmtest.New(t, llmtest.Fail(500, text, "")).URL()), nil)
		require.NotContains(t, err.Error(), testKey[:8], name)
	}
	s, n := llmtest.New(t, llmtest.EchoKeyInAnswer), &notes{}
	a, err := ask(t, fresh(t, s.URL()), n)
	require.NoError(t, err)
	text, err := json.Marshal(a)
	require.NoError(t, err)
	require.NotContains(t, string(text)+n.all(), testKey)
	require.Contains(t, a.Proposal.Edits[0].Replace, "[$OPENAI_API_KEY]")
	require.Equal(t, 4, strings.Count(n.all(), "[$OPENAI_API_KEY]"), "model, hypothesis, edit, reasoning: %s", n.all())
}

// A prompt does not tell the key either, say in a program.md.
func TestKeyIsNotInPrompts(t *testing.T) {
	s := llmtest.New(t)
	r := proposertest.Past().Request(5)
	r.Program = "Use " + testKey
	_, err := fresh(t, s.URL()).Propose(t.Context(), r)
	require.NoError(t, err)
	require.NotContains(t, s.Requests()[0].Prompt(), testKey)
}

// User, password and query of the address are sent, and are as secret as a key.
func TestSecretsInTheAddress(t *testing.T) {
	const user, password, query = "somebody-special", "p@ss/word-4711", "sig-778899aabb"
	address := func(s *llmtest.Server) string {
		u, err := url.Parse(s.URL())
		require.NoError(t, err)
		u.User, u.RawQuery = url.UserPassword(user, password), url.Values{"sig": {query}}.Encode()
		return u.String()
	}
	echo := func(c *llmtest.Call) {
		u, p, _ := (&http.Request{Header: c.Request.Header}).BasicAuth()
		llmtest.Fail(500, fmt.Sprintf("%s %s %s %s", c.Request.Header.Get("Authorization"), u, p, c.Request.Path), "x")(c)
	}
	s := llmtest.New(t, echo)
	_, err := ask(t, fresh(t, address(s), func(c *Config) { c.Key = "" }), nil)
	require.ErrorContains(t, err, "[$OPENAI_BASE_URL]")
	require.ErrorContains(t, err, "/v1/chat/completions?[$OPENAI_BASE_URL]")
	require.Contains(t, s.Requests()[0].Header.Get("Authorization"), "Basic ")
	s.Close()
	_, gone := ask(t, fresh(t, address(s)), nil)
	for _, secret := range []string{user, password, query, url.QueryEscape(password), url.PathEscape(password)} {
		require.NotContains(t, err.Error(), secret)
		require.NotContains(t, gone.Error(), secret)
	}
	_, err = New(Config{BaseURL: "ftp://" + user + ":" + password + "@host"})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "ftp://")
	require.NotContains(t, err.Error(), user)
}

// A word for a key, as local servers are given, is no secret: taking it out
// would damage answers.
func TestShortKeys(t *testing.T) {
	s := llmtest.New(t, llmtest.Answer(strings.ReplaceAll(good, "Smoother.", "a EMPTY b")))
	a, err := ask(t, fresh(t, s.URL(), func(c *Config) { c.Key = "EMPTY" }), nil)
	require.NoError(t, err)
	require.Equal(t, "a EMPTY b", a.Proposal.Hypothesis)
}

func TestCleanText(t *testing.T) {
	for in, want := range map[string]string{
		"a\x1b[31mred\x1b[0m\x1b]0;title\x07b": "aredb",
		"a\r\nb\rc\td":                         "a\nb\nc\td",
		"a\x00\x08\u202e\u200bb\xff":           "ab",
		"grüße, 世界":                            "grüße, 世界",
	} {
		require.Equal(t, want, cleanText(in))
	}
	require.Equal(t, "one two", oneLine(" one\n\n\ttwo ", 100))
	require.Equal(t, "grü…", oneLine("grüße und mehr", 8))
	require.LessOrEqual(t, len(oneLine(strings.Repeat("ß", 100), 50)), 50)
}
