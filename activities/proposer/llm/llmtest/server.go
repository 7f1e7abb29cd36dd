// Package llmtest is a language model server for tests: it speaks enough of the
// chat completions protocol of OpenAI, misbehaves on demand, and counts what it
// was asked.
//
// A [Server] follows its script, one [Step] for each call, and answers all
// further calls as a [Researcher]: with a small valid change of one tunable
// constant of the file in the prompt. So whole campaigns can run against it.
//
// It needs no testing.T: [Start] and [Server.Close] serve a process outside of
// tests, [New] is for tests.
package llmtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options describes a server. The zero value is usable.
type Options struct {
	Models  []string      // {"researcher"}
	Prefix  string        // of the paths; "/v1". "/" is none
	Key     string        // that requests must bring; "" takes any, or none
	Latency time.Duration // before each answer of the researcher
	Usage   Usage         // of each answer; 1000 and 100 tokens
	Address string        // "127.0.0.1:0"
	Site    bool          // other paths are a web page, as of servers with a web interface
}

// Usage is what an answer costs.
type Usage struct {
	PromptTokens     int      `json:"prompt_tokens"`
	CompletionTokens int      `json:"completion_tokens"`
	Cost             *float64 `json:"cost,omitempty"` // US dollars, as some routers report it
}

// Request is one call as it came in.
type Request struct {
	Path     string
	Header   http.Header
	Body     map[string]any // everything
	Model    string
	Messages []Message
}

// Message is one of a conversation.
type Message struct{ Role, Content string }

// Prompt is all messages in one text.
func (r Request) Prompt() string {
	var parts []string
	for _, m := range r.Messages {
		parts = append(parts, m.Content)
	}
	return strings.Join(parts, "\n\n")
}

// Server is a running server. It is safe for concurrent use.
type Server struct {
	options Options
	address string
	http    *http.Server
	closed  chan struct{}
	once    sync.Once

	mu       sync.Mutex
	steps    []Step
	requests []Request
	listed   int
}

// Start starts a server that follows a script.
func Start(o Options, script ...Step) (*Server, error) {
	if o.Models == nil {
		o.Models = []string{"researcher"}
	}
	switch o.Prefix {
	case "":
		o.Prefix = "/v1"
	case "/":
		o.Prefix = ""
	}
	if o.Usage == (Usage{}) {
		o.Usage = Usage{PromptTokens: 1000, CompletionTokens: 100}
	}
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("language model server: %w", err)
	}
	s := &Server{options: o, address: "http://" + listener.Addr().String(), steps: slices.Clone(script), closed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+o.Prefix+"/models", s.guard(s.models))
	mux.HandleFunc("POST "+o.Prefix+"/chat/completions", s.guard(s.chat))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if o.Site {
			HTML(http.StatusOK)(&Call{w: w})
			return
		}
		write(w, http.StatusNotFound, map[string]any{"detail": "Not Found"})
	})
	s.http = &http.Server{Handler: mux}
	go func() { _ = s.http.Serve(listener) }()
	return s, nil
}

// TB is what New needs of a testing.TB.
type TB interface {
	Helper()
	Cleanup(func())
	Fatal(...any)
}

// New starts a server for a test.
func New(t TB, script ...Step) *Server {
	t.Helper()
	return NewWith(t, Options{}, script...)
}

// NewWith starts a server with options for a test.
func NewWith(t TB, o Options, script ...Step) *Server {
	t.Helper()
	s, err := Start(o, script...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Close ends the server and all its connections at once.
func (s *Server) Close() {
	s.once.Do(func() {
		close(s.closed)
		_ = s.http.Close()
	})
}

// URL is the value for OPENAI_BASE_URL.
func (s *Server) URL() string { return s.address + s.options.Prefix }

// Address is the URL without a path.
func (s *Server) Address() string { return s.address }

// Then adds to the script.
func (s *Server) Then(script ...Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, script...)
}

// Calls is the number of chat calls so far.
func (s *Server) Calls() int { return len(s.Requests()) }

// Lists is the number of times that the models were asked for.
func (s *Server) Lists() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listed
}

// Requests are the chat calls so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// guard refuses a wrong key.
func (s *Server) guard(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.options.Key != "" && r.Header.Get("Authorization") != "Bearer "+s.options.Key {
			Fail(http.StatusUnauthorized, "Incorrect API key provided: "+r.Header.Get("Authorization"), "invalid_api_key")(&Call{w: w})
			return
		}
		next(w, r)
	}
}

func (s *Server) models(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	s.listed++
	s.mu.Unlock()
	data := []map[string]any{}
	for _, id := range s.options.Models {
		data = append(data, map[string]any{"id": id, "object": "model"})
	}
	write(w, http.StatusOK, map[string]any{"object": "list", "data": data})
}

func (s *Server) chat(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	req := Request{Path: r.URL.RequestURI(), Header: r.Header}
	var body struct{ Messages []Message }
	if err == nil {
		err = json.Unmarshal(text, &req.Body)
	}
	if err == nil {
		err = json.Unmarshal(text, &body)
	}
	req.Model, _ = req.Body["model"].(string)
	req.Messages = body.Messages
	s.mu.Lock()
	s.requests = append(s.requests, req)
	step := Researcher
	if len(s.steps) > 0 {
		step, s.steps = s.steps[0], s.steps[1:]
	}
	s.mu.Unlock()
	call := &Call{Request: req, Server: s, w: w, r: r}
	if err != nil {
		step = Fail(http.StatusBadRequest, "the body is no chat request: "+err.Error(), "invalid_request_error")
	}
	step(call)
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
