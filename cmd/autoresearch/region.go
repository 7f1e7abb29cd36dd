package main

import (
	"io"
	"slices"
	"strings"
	"sync"
)

// region is the live part of a terminal: a few lines at the bottom that are
// drawn again and again, while ordinary lines scroll away above them. Without
// a terminal it writes ordinary lines alone. The zero value does that.
type region struct {
	mu    sync.Mutex
	w     io.Writer // the terminal; nil: there is none
	lines []string  // on the screen now
}

// open makes w the terminal to draw on.
func (r *region) open(w io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.w = w
}

// draw replaces the live lines. They must not be wider than the terminal.
func (r *region) draw(lines []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.w == nil {
		return
	}
	var b strings.Builder
	switch {
	case slices.Equal(lines, r.lines):
		return
	case len(r.lines) == 0, len(lines) == 0:
		r.erase(&b)
		r.lines = lines
		r.paint(&b)
	default:
		r.repaint(&b, lines)
	}
	io.WriteString(r.w, b.String())
}

// repaint writes lines over those that are there. Nothing is cleared that is
// not written at once, so that the eye sees only what has changed.
func (r *region) repaint(b *strings.Builder, lines []string) {
	b.WriteString(strings.Repeat("\x1b[A", len(r.lines)) + "\r")
	for _, line := range lines {
		b.WriteString(line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	r.lines = lines
}

// print writes an ordinary line to w, above the live lines.
func (r *region) print(w io.Writer, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.w == nil || len(r.lines) == 0 {
		io.WriteString(w, line+"\n")
		return
	}
	var b strings.Builder
	r.erase(&b)
	io.WriteString(r.w, b.String())
	io.WriteString(w, line+"\n")
	b.Reset()
	r.paint(&b)
	io.WriteString(r.w, b.String())
}

// erase moves to the first live line and clears to the end of the screen.
func (r *region) erase(b *strings.Builder) {
	if len(r.lines) > 0 {
		b.WriteString(strings.Repeat("\x1b[A", len(r.lines)) + "\r\x1b[J")
	}
}

func (r *region) paint(b *strings.Builder) {
	for _, line := range r.lines {
		b.WriteString(line + "\n")
	}
}
