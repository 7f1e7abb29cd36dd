package sandbox

import (
	"bytes"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/guard"
)

// maxLine bounds the lines of a tail, in bytes.
const maxLine = 1000

// output carries what a program writes to its log. We own the pipes' reading
// ends, so that a descendant that keeps a writing end cannot hold us up.
type output struct {
	stdout, stderr *os.File // the program's ends; the same file unless Stdout is set
	readers        []*os.File
	sinks          []io.Writer
	tail           *tail
	done           sync.WaitGroup
}

func openOutput(s Spec) (*output, error) {
	limit := s.LogLimit
	if limit == 0 {
		limit = defaultLogLimit
	}
	o := &output{tail: &tail{}}
	log := io.MultiWriter(o.tail, &limited{w: s.Log, left: limit})
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	o.stdout, o.stderr = w, w
	o.readers, o.sinks = []*os.File{r}, []io.Writer{log}
	if s.Stdout == nil {
		return o, nil
	}
	r, w, err = os.Pipe()
	if err != nil {
		o.close(0)
		return nil, err
	}
	o.stdout = w
	o.readers, o.sinks = append(o.readers, r), append(o.sinks, &limited{w: s.Stdout, left: limit})
	return o, nil
}

// read starts to carry, once the program has its ends.
func (o *output) read() {
	o.closeWriters()
	for i, r := range o.readers {
		o.done.Go(func() { _, _ = io.Copy(o.sinks[i], r) })
	}
}

func (o *output) closeWriters() {
	o.stderr.Close()
	if o.stdout != o.stderr {
		o.stdout.Close()
	}
}

// close waits for what is still in the pipes, but not for ever.
func (o *output) close(patience time.Duration) {
	if patience == 0 { // never read
		o.closeWriters()
	}
	for _, r := range o.readers {
		_ = r.SetReadDeadline(time.Now().Add(patience))
	}
	o.done.Wait()
	for _, r := range o.readers {
		r.Close()
	}
}

// limited passes on the first bytes and swallows the rest, and the errors of
// its writer too: a full disk must not block the program on a full pipe.
type limited struct {
	w    io.Writer
	left int64
}

const cutNote = "\n[the rest of the output is left out]\n"

func (l *limited) Write(b []byte) (int, error) {
	if l.w != nil && l.left > 0 {
		part := b[:min(int64(len(b)), l.left)]
		_, err := l.w.Write(part)
		if l.left -= int64(len(part)); err == nil && l.left == 0 {
			_, err = io.WriteString(l.w, cutNote)
		}
		if err != nil {
			l.left = 0
		}
	}
	return len(b), nil
}

// tail keeps the last lines.
type tail struct {
	mu      sync.Mutex
	ring    []string
	partial []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(b)
	for {
		line, rest, ended := bytes.Cut(b, []byte{'\n'})
		t.partial = append(t.partial, line[:min(len(line), maxLine-len(t.partial))]...)
		if !ended {
			return n, nil
		}
		t.push()
		b = rest
	}
}

func (t *tail) push() {
	t.ring = append(t.ring, text(t.partial))
	if len(t.ring) > TailLines {
		t.ring = slices.Delete(t.ring, 0, len(t.ring)-TailLines)
	}
	t.partial = t.partial[:0]
}

func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.partial) > 0 {
		t.push()
	}
	return slices.Clone(t.ring)
}

// text makes a line fit for JSON, terminals and prompts.
func text(line []byte) string {
	return guard.Plain(string(line))
}
