package main

import (
	"sync"
	"time"
)

// plainInterval is how often a moving line is written where it cannot move.
const plainInterval = 20 * time.Second

// progressLine shows a line that moves, such as that of the engine's build.
type progressLine struct {
	mu   sync.Mutex
	last time.Time
}

// showProgress draws line on a terminal; elsewhere it writes it now and then.
func (a *app) showProgress(line string, final bool) {
	width, terminal := a.size(a.stderr)
	s := a.styleOf(a.stderr)
	if terminal && a.moves() {
		a.screen.open(a.stderr)
		if final {
			a.screen.draw(nil)
			a.note("%s", line)
			return
		}
		a.screen.draw([]string{s.clip(s.printable(line), width-1)})
		return
	}
	p := &a.progress
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := a.now(); final || now.Sub(p.last) >= plainInterval {
		p.last = now
		a.note("%s", line)
	}
}

// moves tells whether lines may be drawn again on standard error.
func (a *app) moves() bool {
	_, terminal := a.size(a.stderr)
	return terminal && !a.noColor && !a.json && a.getenv("TERM") != "dumb" && a.getenv("NO_COLOR") == ""
}
