package llm

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/proposer/llm/llmtest"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestFromEnv(t *testing.T) {
	require.False(t, Configured(env(EnvModel, "m", EnvKey, " ")))
	require.True(t, Configured(env(EnvKey, "k")))
	require.True(t, Configured(env(EnvBaseURL, "http://h")))

	l, err := FromEnv(env(EnvKey, " k\n"))
	require.NoError(t, err)
	require.Equal(t, Config{Key: "k", BaseURL: DefaultBaseURL, Timeout: DefaultTimeout, Context: DefaultContext}, l.config)

	l, err = FromEnv(env(EnvBaseURL, "http://h:1", EnvModel, "m", EnvPrice, "0.25, 2", EnvTimeout, "90s", EnvMaxTokens, "500", EnvContext, "8192", EnvTemperature, "0"))
	require.NoError(t, err)
	zero := 0.0
	require.Equal(t, Config{BaseURL: "http://h:1", Model: "m", Price: Price{0.25, 2}, Timeout: 90 * time.Second, MaxTokens: 500, Context: 8192, Temperature: &zero}, l.config)

	for _, c := range []struct{ name, value, says string }{
		{EnvKey, "", "no server is configured; set OPENAI_API_KEY, or OPENAI_BASE_URL"},
		{EnvKey, "sk-\u00e4bc", "OPENAI_API_KEY has a character"},
		{EnvKey, "sk-1 sk-2", "OPENAI_API_KEY has a character"},
		{EnvBaseURL, "localhost:8080", "OPENAI_BASE_URL does not begin with http"},
		{EnvBaseURL, "http://", "OPENAI_BASE_URL names no host"},
		{EnvBaseURL, "http://a b", "OPENAI_BASE_URL is no URL"},
		{EnvPrice, "3", "two prices"},
		{EnvPrice, "a,b", "AUTORESEARCH_LLM_PRICE"},
		{EnvPrice, "1,-2", "from 0 up"},
		{EnvPrice, "NaN,1", "from 0 up"},
		{EnvTimeout, "10", "AUTORESEARCH_LLM_TIMEOUT"},
		{EnvTimeout, "1ms", "at least 1s"},
		{EnvMaxTokens, "0", "AUTORESEARCH_LLM_MAX_TOKENS"},
		{EnvContext, "8k", "AUTORESEARCH_LLM_CONTEXT"},
		{EnvContext, "100", "from 2048 up"},
		{EnvTemperature, "-1", "AUTORESEARCH_LLM_TEMPERATURE"},
	} {
		pairs := []string{c.name, c.value}
		if c.name != EnvKey && c.name != EnvBaseURL {
			pairs = append(pairs, EnvKey, "k")
		}
		_, err := FromEnv(env(pairs...))
		require.ErrorIs(t, err, proposer.ErrRefused, "%s=%s", c.name, c.value)
		require.ErrorContains(t, err, c.says)
		if c.name == EnvKey && c.value != "" {
			require.NotContains(t, err.Error(), c.value)
		}
	}
}

func TestWhichModel(t *testing.T) {
	many := []string{"zeta", "alpha"}
	for i := range 40 {
		many = append(many, "m"+strings.Repeat("x", i))
	}
	for _, c := range []struct {
		name    string
		offers  []string
		says    []string
		is, not string
	}{
		{name: "one", offers: []string{"only"}, is: "only"},
		{name: "none", offers: []string{}, says: []string{"offers no model", "OPENAI_MODEL"}},
		{name: "two", offers: []string{"b", "a"}, says: []string{"offers 2 models: set OPENAI_MODEL to one; it has a, b"}},
		{name: "many", offers: many, says: []string{"offers 42 models", "it has alpha, m, mx", "and 22 more"}, not: "zeta"},
	} {
		s := llmtest.NewWith(t, llmtest.Options{Models: c.offers})
		l := fresh(t, s.URL(), func(c *Config) { c.Model = "" })
		model, err := l.Check(t.Context())
		_, asked := ask(t, l, nil)
		if c.is != "" {
			require.NoError(t, errors.Join(err, asked), c.name)
			require.Equal(t, c.is, model)
			require.Equal(t, c.is, s.Requests()[1].Model)
			require.Equal(t, 1, s.Lists(), "what was found is remembered")
			continue
		}
		for _, err := range []error{err, asked} {
			require.ErrorIs(t, err, proposer.ErrRefused, c.name)
			for _, part := range c.says {
				require.ErrorContains(t, err, part)
			}
			if c.not != "" {
				require.NotContains(t, err.Error(), c.not)
			}
		}
		require.Zero(t, s.Calls())
	}
}

// The one model of a server may be exchanged while a campaign runs.
func TestModelIsExchanged(t *testing.T) {
	s := llmtest.NewWith(t, llmtest.Options{}, llmtest.Researcher, llmtest.Fail(404, "The model `researcher` does not exist", "model_not_found"))
	l := fresh(t, s.URL(), func(c *Config) { c.Model = "" })
	_, err := ask(t, l, nil)
	require.NoError(t, err)
	_, err = ask(t, l, nil)
	require.Equal(t, "again", errorKind(err), "%v", err)
	_, err = ask(t, l, nil)
	require.NoError(t, err)
	require.Equal(t, 2, s.Lists())
}

func TestCheck(t *testing.T) {
	s := llmtest.NewWith(t, llmtest.Options{Key: testKey})
	model, err := fresh(t, s.URL()).Check(t.Context())
	require.NoError(t, err)
	require.Equal(t, "researcher", model)
	require.EqualValues(t, checkRoom, s.Requests()[0].Body["max_tokens"])

	for _, model := range []string{"", "researcher"} {
		_, err = fresh(t, s.URL(), func(c *Config) { c.Key, c.Model = "sk-wrong-wrong", model }).Check(t.Context())
		require.ErrorIs(t, err, proposer.ErrRefused)
		require.ErrorContains(t, err, "check OPENAI_API_KEY")
		_, err = fresh(t, s.URL(), func(c *Config) { c.Key, c.Model = "", model }).Check(t.Context())
		require.ErrorContains(t, err, "set OPENAI_API_KEY")
	}
	s.Then(llmtest.Truncated("O"))
	_, err = fresh(t, s.URL()).Check(t.Context())
	require.NoError(t, err, "a word that is cut off is an answer")
	s.Then(llmtest.HTML(502))
	_, err = fresh(t, s.URL()).Check(t.Context())
	require.Equal(t, "again", errorKind(err), "a campaign can wait for that")
}
