package llmtest

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// Step answers one call, well or badly.
type Step func(*Call)

// Call is one call in progress.
type Call struct {
	Request Request
	Server  *Server
	w       http.ResponseWriter
	r       *http.Request
}

// wait pauses, and ends early when the client or the server goes away.
func (c *Call) wait(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-c.r.Context().Done():
	case <-c.Server.closed:
	}
	return false
}

// reply sends a completion. The message is what the protocol calls so.
func (c *Call) reply(finish string, message map[string]any) {
	write(c.w, http.StatusOK, c.completion(finish, message))
}

func (c *Call) completion(finish string, message map[string]any) map[string]any {
	message["role"] = "assistant"
	return map[string]any{
		"id": "chatcmpl-1", "object": "chat.completion", "model": c.Request.Model,
		"choices": []any{map[string]any{"index": 0, "finish_reason": finish, "message": message}},
		"usage":   c.Server.options.Usage,
	}
}

// Answer answers with a text.
func Answer(text string) Step {
	return Choice(map[string]any{"content": text}, "stop")
}

// Choice answers with a message as given, and a finish_reason.
func Choice(message map[string]any, finish string) Step {
	return func(c *Call) { c.reply(finish, message) }
}

// Researcher answers as a researcher would: see Research.
func Researcher(c *Call) {
	if c.wait(c.Server.options.Latency) {
		c.reply("stop", map[string]any{"content": Research(c.Request.Prompt())})
	}
}

// Slow lets a step wait first.
func Slow(d time.Duration, step Step) Step {
	return func(c *Call) {
		if c.wait(d) {
			step(c)
		}
	}
}

// Truncated answers with a text that is cut off by the limit of its length.
func Truncated(text string) Step {
	return Choice(map[string]any{"content": text}, "length")
}

// EmptyContent answers with nothing, which has its price all the same.
func EmptyContent(c *Call) { c.reply("stop", map[string]any{"content": ""}) }

// NoChoices answers without any choice.
func NoChoices(c *Call) {
	write(c.w, http.StatusOK, map[string]any{"id": "chatcmpl-1", "choices": []any{}, "usage": c.Server.options.Usage})
}

// ReasoningOnly leaves the content null and puts a text into field:
// reasoning_content or reasoning.
func ReasoningOnly(field, text string) Step {
	return Choice(map[string]any{"content": nil, field: text}, "stop")
}

// Refusal answers that the model will not.
func Refusal(text string) Step {
	return Choice(map[string]any{"content": nil, "refusal": text}, "stop")
}

// ContentFilter answers that a filter has taken the answer away.
func ContentFilter(c *Call) { c.reply("content_filter", map[string]any{"content": ""}) }

// Status answers with a status and a body.
func Status(code int, body string, header ...string) Step {
	return func(c *Call) {
		c.w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			c.w.Header().Set(header[i], header[i+1])
		}
		c.w.WriteHeader(code)
		fmt.Fprint(c.w, body)
	}
}

// Fail answers with an error as OpenAI writes it.
func Fail(status int, message, code string) Step {
	return func(c *Call) {
		write(c.w, status, map[string]any{"error": map[string]any{"message": message, "type": "error", "param": nil, "code": code}})
	}
}

// RetryAfter answers 429 and says when to come again: seconds or a date.
func RetryAfter(when string) Step {
	return Status(http.StatusTooManyRequests, `{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}`, "Retry-After", when)
}

// HTML answers with a page, as a proxy does.
func HTML(status int) Step {
	return Status(status, "<!DOCTYPE html><html><head><title>Bad gateway</title><style>p{}</style></head><body><p>The proxy is tired.</p></body></html>", "Content-Type", "text/html; charset=utf-8")
}

// GarbageJSON answers with JSON that ends too early, with a good length.
func GarbageJSON(c *Call) {
	Status(http.StatusOK, `{"id":"chatcmpl-1","choices":[{"message":{"content":"Title`)(c)
}

// Redirect sends the client elsewhere.
func Redirect(status int, url string) Step { return Status(status, "", "Location", url) }

// Hang never answers.
func Hang(c *Call) { c.wait(time.Hour) }

// SlowDrip sends one byte of an endless answer now and then.
func SlowDrip(c *Call) {
	for {
		_, _ = c.w.Write([]byte(" "))
		_ = http.NewResponseController(c.w).Flush()
		if !c.wait(10 * time.Millisecond) {
			return
		}
	}
}

// Reset breaks the connection in the middle of an answer.
func Reset(c *Call) {
	text, _ := json.Marshal(c.completion("stop", map[string]any{"content": Research(c.Request.Prompt())}))
	conn, _, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		return
	}
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(text), text[:len(text)/2])
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite() // what was sent arrives
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// Drop breaks the connection before any answer.
func Drop(c *Call) {
	if conn, _, err := http.NewResponseController(c.w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

// EchoKey repeats the key in an error with the status.
func EchoKey(status int) Step {
	return func(c *Call) {
		Fail(status, "Who is this? "+c.Request.Header.Get("Authorization")+" at "+c.Request.Path, "odd")(c)
	}
}

// EchoKeyInAnswer repeats the key in every part of a good answer.
func EchoKeyInAnswer(c *Call) {
	key := strings.TrimPrefix(c.Request.Header.Get("Authorization"), "Bearer ")
	answer := strings.Replace(Research(c.Request.Prompt()), "Hypothesis: ", "Hypothesis: "+key+" ", 1)
	answer = strings.Replace(answer, "\n>>>>>>> REPLACE", " // "+key+"\n>>>>>>> REPLACE", 1)
	c.Request.Model += key
	c.reply("stop", map[string]any{"content": answer, "reasoning_content": "the key is " + key})
}

// Without refuses a parameter as OpenAI does, and is the researcher when it is
// not sent.
func Without(param, instead string) Step {
	return func(c *Call) {
		if _, sent := c.Request.Body[param]; sent {
			write(c.w, http.StatusBadRequest, map[string]any{"error": map[string]any{
				"message": fmt.Sprintf("Unsupported parameter: '%s' is not supported with this model.%s", param, instead),
				"type":    "invalid_request_error", "param": param, "code": "unsupported_parameter"}})
			return
		}
		Researcher(c)
	}
}
