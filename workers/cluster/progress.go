package cluster

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// buildCPUMinutes is what a cold build costs: 6 to 11 were measured.
const buildCPUMinutes = 10

// meter shows how the build goes, once a second.
type meter struct {
	show     func(line string, final bool)
	start    time.Time
	packages atomic.Int64 // compiled
	modules  atomic.Int64 // downloaded
	total    atomic.Int64 // packages in all; 0: not known yet
	waits    atomic.Bool  // for somebody else's build

	quit chan struct{}
	ends sync.WaitGroup
}

// startMeter begins to show progress; stop ends it.
func startMeter(show func(string, bool)) *meter {
	m := &meter{show: show, start: time.Now(), quit: make(chan struct{})}
	m.ends.Go(func() {
		// At first at once: a build that takes minutes must not look hung.
		m.show(m.line(), false)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-m.quit:
				return
			case <-tick.C:
				m.show(m.line(), false)
			}
		}
	})
	return m
}

// waiting notes that another process is building.
func (m *meter) waiting() { m.waits.Store(true) }

// done stops the line and shows its final form.
func (m *meter) done() {
	m.stop()
	m.show(fmt.Sprintf("built the Temporal engine in %s", m.elapsed()), true)
}

// stop ends the moving line. It may be called more than once, by one goroutine.
func (m *meter) stop() {
	select {
	case <-m.quit:
	default:
		close(m.quit)
	}
	m.ends.Wait()
}

func (m *meter) elapsed() time.Duration { return time.Since(m.start).Round(time.Second) }

// line is the line's present form.
func (m *meter) line() string {
	head := "building the Temporal engine, once, " + estimate(runtime.NumCPU()) + ": "
	seconds := fmt.Sprintf(", %.0f s", time.Since(m.start).Seconds())
	switch total := m.total.Load(); {
	case total > 0:
		m.waits.Store(false)
		return head + fmt.Sprintf("%d of ~%s packages", min(m.packages.Load(), total), thousands(total)) + seconds
	case m.modules.Load() > 0:
		return head + fmt.Sprintf("%d of ~460 modules downloaded", min(m.modules.Load(), 460)) + seconds
	case m.waits.Load():
		return "waiting for another autoresearch to build the Temporal engine" + seconds
	}
	return head + "reading the module list" + seconds
}

// estimate says how long a cold build may take on that many cores.
func estimate(cores int) string {
	minutes := max(1, (buildCPUMinutes+cores/2)/cores)
	unit := "minutes"
	if minutes == 1 {
		unit = "minute"
	}
	if cores == 1 {
		return fmt.Sprintf("about %d %s on 1 core", minutes, unit)
	}
	return fmt.Sprintf("about %d %s on %d cores", minutes, unit, cores)
}

// thousands writes 1781 as "1,781".
func thousands(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
