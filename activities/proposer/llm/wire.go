package llm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxBody   = 16 << 20 // of an answer: far more than a model writes
	maxQuoted = 300      // of a server's words in an error
)

// exchange is one request and what came back, as far as anything did.
type exchange struct {
	status int // 0: no answer at all
	header http.Header
	body   []byte
}

// wire carries one request of the client library. The library forgets headers
// and bodies that we need (Retry-After, a router's cost, reasoning), so they
// are kept here on their way.
type wire struct {
	client *http.Client
	at     endpoint
	got    exchange
}

// Do sends one request and reads the whole answer.
func (w *wire) Do(req *http.Request) (*http.Response, error) {
	req.URL.RawQuery = w.at.query
	if w.at.user != nil && req.Header.Get("Authorization") == "" {
		password, _ := w.at.user.Password()
		req.SetBasicAuth(w.at.user.Username(), password)
	}
	res, err := w.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	w.got = exchange{res.StatusCode, res.Header, body}
	switch {
	case err != nil:
		return nil, fmt.Errorf("the answer broke off after %d bytes: %w", len(body), err)
	case len(body) > maxBody:
		return nil, fmt.Errorf("the answer is longer than %d bytes", maxBody)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

// newHTTPClient makes the client for all calls. The time limit of a call is in
// its context.
func newHTTPClient() *http.Client {
	return &http.Client{CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if len(via) > 5 || !sameServer(via[0].URL, req.URL) || req.Method != via[0].Method {
			return http.ErrUseLastResponse // the key and the prompt stay with the server they are meant for
		}
		return nil
	}}
}

// sameServer allows a redirect within a server, and its step up to https.
func sameServer(from, to *url.URL) bool {
	if from.Hostname() != to.Hostname() {
		return false
	}
	return from.Scheme == to.Scheme && from.Port() == to.Port() ||
		from.Scheme == "http" && to.Scheme == "https" && from.Port() == "" && to.Port() == ""
}

// html says that a person was meant to read this: a login page, a proxy's
// excuse, or the web interface of a server whose API is elsewhere.
func (x exchange) html() bool {
	return strings.HasPrefix(x.header.Get("Content-Type"), "text/html") || bytes.HasPrefix(bytes.TrimSpace(x.body), []byte("<"))
}

// complaint is what a server says about a request that failed, in any of the
// shapes that servers use.
type complaint struct {
	message, code, param string
	status               int // some servers answer 200 and write the status into the body
}

func (x exchange) complaint() complaint {
	c := complaint{status: x.status}
	var body struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Detail  any             `json:"detail"`
		Type    string          `json:"type"`
		Code    any             `json:"code"`
	}
	if json.Unmarshal(x.body, &body) != nil {
		c.message = string(x.body)
		return c
	}
	var inner struct {
		Message any    `json:"message"`
		Code    any    `json:"code"`
		Type    string `json:"type"`
		Param   any    `json:"param"`
	}
	switch {
	case len(body.Error) > 0 && json.Unmarshal(body.Error, &inner) == nil:
		c.message, c.param = words(inner.Message), words(inner.Param)
		c.code = strings.TrimSpace(words(inner.Code) + " " + inner.Type)
	case len(body.Error) > 0 && string(body.Error) != "null":
		c.message = strings.Trim(string(body.Error), `"`)
	case body.Message != "":
		c.message, c.code = body.Message, words(body.Code)+" "+body.Type
	case body.Detail != nil:
		c.message = words(body.Detail)
	}
	if code, err := strconv.Atoi(words(inner.Code)); err == nil && x.status == http.StatusOK && code >= 400 && code < 600 {
		c.status = code
	}
	if c.message == "" && x.status != http.StatusOK {
		c.message = string(x.body)
	}
	return c
}

// words is a JSON value as text.
func words(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	text, _ := json.Marshal(v)
	return string(text)
}

// says looks for any of the phrases in all that the complaint holds.
func (c complaint) says(phrases ...string) bool {
	text := strings.ToLower(c.message + " " + c.code + " " + c.param)
	for _, p := range phrases {
		if strings.Contains(text, p) {
			return true
		}
	}
	return false
}

// maxWait bounds what a server may ask for: one that asks for a year is wrong.
const maxWait = 24 * time.Hour

// retryAfter is the pause that a server asks for: seconds, or a date. The
// server's own clock is used for a date, where it shows one.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	bounded := func(d time.Duration) (time.Duration, bool) { return min(max(d, 0), maxWait), true }
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil && ms >= 0 && ms < 1e12 {
		return bounded(time.Duration(ms * float64(time.Millisecond)))
	}
	text := strings.TrimSpace(h.Get("Retry-After"))
	if s, err := strconv.ParseFloat(text, 64); err == nil && s >= 0 {
		return bounded(time.Duration(min(s, maxWait.Seconds()) * float64(time.Second)))
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	if server, err := http.ParseTime(h.Get("Date")); err == nil {
		now = server
	}
	return bounded(at.Sub(now))
}

// plainCause takes the address off an error of net/http, which our messages
// name already, and which may hold a password.
func plainCause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
