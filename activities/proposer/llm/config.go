package llm

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
)

// The environment variables that configure the proposer. The first three are
// those of every OpenAI-compatible program.
const (
	EnvKey         = "OPENAI_API_KEY"
	EnvBaseURL     = "OPENAI_BASE_URL"
	EnvModel       = "OPENAI_MODEL"
	EnvPrice       = "AUTORESEARCH_LLM_PRICE"       // "IN,OUT": US dollars per million tokens
	EnvTimeout     = "AUTORESEARCH_LLM_TIMEOUT"     // of one call, such as 10m
	EnvMaxTokens   = "AUTORESEARCH_LLM_MAX_TOKENS"  // of one answer
	EnvContext     = "AUTORESEARCH_LLM_CONTEXT"     // tokens that prompt and answer share
	EnvTemperature = "AUTORESEARCH_LLM_TEMPERATURE" // left to the server by default
)

// Defaults of Config.
const (
	DefaultBaseURL = "https://api.openai.com/v1"
	DefaultTimeout = 10 * time.Minute
	DefaultContext = 32768
)

const minContext = 2048 // the system message and an answer, and some of a file

// Config is everything that the proposer can be told.
type Config struct {
	Key         string // may be empty: local servers often have none
	BaseURL     string // "" is DefaultBaseURL; may have user and query, both secret
	Model       string // "" asks the server, which must then offer exactly one
	Price       Price
	Timeout     time.Duration // of one call
	MaxTokens   int           // of one answer; 0 leaves it to the server
	Context     int           // tokens that the prompt and the answer share
	Temperature *float64      // nil leaves it to the server
}

// Price is what tokens cost, in US dollars per million. A cost that the server
// reports itself goes before it.
type Price struct{ In, Out float64 }

func (p Price) of(in, out int64) float64 { return (float64(in)*p.In + float64(out)*p.Out) / 1e6 }

// Configured says whether the environment names a server: then a campaign may
// use the proposer without being told to.
func Configured(getenv func(string) string) bool {
	return strings.TrimSpace(getenv(EnvKey)) != "" || strings.TrimSpace(getenv(EnvBaseURL)) != ""
}

// FromEnv makes the proposer that the environment describes. Its errors name
// the variable and wrap proposer.ErrRefused. It opens no connection.
func FromEnv(getenv func(string) string) (*LLM, error) {
	c, err := configOf(func(name string) string { return strings.TrimSpace(getenv(name)) })
	if err != nil {
		return nil, err
	}
	return New(c)
}

func configOf(getenv func(string) string) (Config, error) {
	c := Config{Key: getenv(EnvKey), BaseURL: getenv(EnvBaseURL), Model: getenv(EnvModel)}
	if !Configured(getenv) {
		return c, refuse("proposer llm: no server is configured; set %s, or %s for a server of your own, such as http://localhost:8080/v1", EnvKey, EnvBaseURL)
	}
	for _, v := range []struct {
		name, example string
		read          func(string) error
	}{
		{EnvPrice, "0.25,2 (US dollars per million tokens, in and out)", c.readPrice},
		{EnvTimeout, "10m", c.readTimeout},
		{EnvMaxTokens, "8192", c.readMaxTokens},
		{EnvContext, "32768 (tokens)", c.readContext},
		{EnvTemperature, "0.7", c.readTemperature},
	} {
		text := getenv(v.name)
		if text == "" {
			continue
		}
		if err := v.read(text); err != nil {
			return c, refuse("proposer llm: %s is %.40q: %v; it looks like %s", v.name, text, err, v.example)
		}
	}
	return c, nil
}

func (c *Config) readPrice(text string) error {
	in, out, two := strings.Cut(text, ",")
	var err error
	if c.Price.In, err = atLeast(0, in); err == nil && two {
		c.Price.Out, err = atLeast(0, out)
	}
	if err == nil && !two {
		err = fmt.Errorf("two prices are needed")
	}
	return err
}

func (c *Config) readTimeout(text string) (err error) {
	c.Timeout, err = time.ParseDuration(text)
	if err == nil && c.Timeout < time.Second {
		err = fmt.Errorf("at least 1s is needed")
	}
	return err
}

func (c *Config) readMaxTokens(text string) (err error) {
	c.MaxTokens, err = tokens(1, text)
	return err
}

func (c *Config) readContext(text string) (err error) {
	c.Context, err = tokens(minContext, text)
	return err
}

func (c *Config) readTemperature(text string) error {
	v, err := atLeast(0, text)
	c.Temperature = &v
	return err
}

func tokens(least int, text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > 1<<30 {
		return 0, fmt.Errorf("a whole number from %d up is needed", least)
	}
	return n, nil
}

func atLeast(least float64, text string) (float64, error) {
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(v >= least && v < 1e9) {
		return 0, fmt.Errorf("a number from %g up is needed", least)
	}
	return v, nil
}

// endpoint is the server's address, without what is secret about it.
type endpoint struct {
	base  string // scheme, host and path, without a slash at the end
	host  string // for messages
	user  *url.Userinfo
	query string
}

// parseEndpoint takes the address apart. The error does not quote it, since it
// may hold a password.
func parseEndpoint(text string) (endpoint, error) {
	bad := func(why string) (endpoint, error) {
		return endpoint{}, refuse("proposer llm: %s %s; it looks like http://localhost:8080/v1", EnvBaseURL, why)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return bad("is no URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return bad("does not begin with http:// or https://")
	case u.Host == "":
		return bad("names no host")
	}
	e := endpoint{host: u.Host, user: u.User, query: u.RawQuery}
	path := strings.TrimRight(u.EscapedPath(), "/")
	path = strings.TrimRight(strings.TrimSuffix(path, "/chat/completions"), "/") // the address of the call, as some pages show it
	e.base = u.Scheme + "://" + u.Host + path
	return e, nil
}

// bases are the addresses to try: as given, and with the /v1 that is so easily
// left out.
func (e endpoint) bases() []string {
	if strings.HasSuffix(e.base, "/v1") {
		return []string{e.base}
	}
	return []string{e.base, e.base + "/v1"}
}

// refuse makes an error that stops the campaign: somebody has to change
// something first.
func refuse(format string, args ...any) error {
	return &refusal{fmt.Sprintf(format, args...)}
}

// refusal is proposer.ErrRefused with a message of its own.
type refusal struct{ message string }

func (r *refusal) Error() string { return r.message }
func (r *refusal) Unwrap() error { return proposer.ErrRefused }
