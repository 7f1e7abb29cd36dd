package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// origin is a server of data sets that plays all the trouble there is.
type origin struct {
	*httptest.Server
	t     *testing.T
	mu    sync.Mutex
	files map[string][]byte
	steps []step // of the next requests; after that all goes well
	asked []request
	named bool // it names SHA-256 sums, on a redirect like Hugging Face's
	plain bool // no ETag, no date: downloads cannot go on
}

type request struct{ name, span, validator string }

// step is how one request goes.
type step struct {
	status      int    // instead of an answer
	retryAfter  string // with the status
	kind        string // content type
	drop        int    // the connection breaks after so many bytes
	ignoreRange bool
	flip        int          // one byte is damaged, at this place
	change      func([]byte) // the file is changed before
	stall       bool         // nothing comes after the first bytes
	extra       string       // comes after the file
}

func newOrigin(t *testing.T, files map[string][]byte) *origin {
	o := &origin{t: t, files: files}
	o.Server = httptest.NewServer(o)
	t.Cleanup(o.Close)
	return o
}

func (o *origin) then(steps ...step) { o.steps = append(o.steps, steps...) }

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	name := path.Base(r.URL.Path)
	text, ok := o.files[name]
	if o.named && !strings.HasPrefix(r.URL.Path, "/cdn/") {
		defer o.mu.Unlock()
		if ok {
			w.Header().Set("X-Linked-Etag", strconv.Quote(sumText(text)))
			w.Header().Set("X-Linked-Size", strconv.Itoa(len(text)))
		}
		http.Redirect(w, r, "/cdn/"+name, http.StatusFound)
		return
	}
	var s step
	if len(o.steps) > 0 {
		s, o.steps = o.steps[0], o.steps[1:]
	}
	o.asked = append(o.asked, request{name, r.Header.Get("Range"), r.Header.Get("If-Range")})
	if s.change != nil {
		text = bytes.Clone(text)
		s.change(text)
		o.files[name] = text
	}
	o.mu.Unlock()
	if s.flip > 0 {
		text = bytes.Clone(text)
		text[s.flip] ^= 0x55
	}
	switch {
	case s.status != 0:
		if s.retryAfter != "" {
			w.Header().Set("Retry-After", s.retryAfter)
		}
		http.Error(w, "trouble", s.status)
		return
	case !ok:
		http.NotFound(w, r)
		return
	}
	if s.kind != "" {
		w.Header().Set("Content-Type", s.kind)
	}
	if !o.plain {
		w.Header().Set("ETag", `"`+sumText(o.files[name])[:8]+`"`)
	}
	if s.ignoreRange || o.plain {
		r.Header.Del("Range")
	}
	if s.drop == 0 && !s.stall && s.extra == "" {
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(text))
		return
	}
	o.breakOff(w, r, text, s)
}

// breakOff sends the beginning of an answer.
func (o *origin) breakOff(w http.ResponseWriter, r *http.Request, text []byte, s step) {
	from := 0
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil && r.Header.Get("If-Range") == w.Header().Get("ETag") {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(text)-1, len(text)))
		w.Header().Set("Content-Length", strconv.Itoa(len(text)-from))
		w.WriteHeader(http.StatusPartialContent)
	} else {
		from = 0
		if s.extra == "" {
			w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		}
		w.WriteHeader(http.StatusOK)
	}
	if s.extra != "" {
		w.Write(text)
		w.Write([]byte(s.extra))
		return
	}
	w.Write(text[from : from+s.drop])
	w.(http.Flusher).Flush()
	if s.stall {
		<-r.Context().Done()
	}
	panic(http.ErrAbortHandler)
}

func (o *origin) spans() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []string
	for _, r := range o.asked {
		all = append(all, r.span)
	}
	return all
}

func sumText(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// impatient retries at once.
func impatient() *retries {
	return &retries{most: 3, all: 100, wait: func(int) time.Duration { return time.Millisecond }, stall: 5 * time.Second, asked: time.Second}
}
