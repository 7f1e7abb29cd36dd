package cluster

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A cold build compiles allPackages and costs buildCPUMinutes (6 to 11 were
// measured); from fewPackages down it is the link that counts.
const (
	allPackages     = 1800
	buildCPUMinutes = 10
	fewPackages     = 100
)

// meter shows how the build goes, once a second.
type meter struct {
	show     func(line string, final bool)
	start    time.Time
	packages atomic.Int64 // compiled
	modules  atomic.Int64 // downloaded
	total    atomic.Int64 // packages to compile; 0: not known yet
	waits    atomic.Bool  // for somebody else's build

	quit chan struct{}
	ends sync.WaitGroup
}

// startMeter begins to show progress; done or giveUp ends it.
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

// done ends the line: the engine is there. Only the first of done and giveUp
// counts; both are called by the goroutine that builds.
func (m *meter) done() { m.stop("built the Temporal engine in %s") }

// giveUp ends the line: the error follows.
func (m *meter) giveUp() { m.stop("gave up building the Temporal engine after %s") }

func (m *meter) stop(format string) {
	select {
	case <-m.quit:
		return
	default:
		close(m.quit)
	}
	m.ends.Wait()
	m.show(fmt.Sprintf(format, time.Since(m.start).Round(time.Second)), true)
}

// line is the line's present form.
func (m *meter) line() string {
	total, packages, modules := m.total.Load(), m.packages.Load(), m.modules.Load()
	doing := "reading the module list"
	switch {
	case total > 0 && packages >= total:
		doing = "linking"
	case total > 0:
		doing = fmt.Sprintf("%d of ~%s packages", packages, thousands(total))
	case modules > 0:
		doing = fmt.Sprintf("%d of ~460 modules downloaded", min(modules, 460))
	case m.waits.Load():
		doing = "waiting for another autoresearch that builds it"
	}
	return fmt.Sprintf("building the Temporal engine, once, %s: %s, %.0f s",
		estimate(runtime.NumCPU(), total), doing, time.Since(m.start).Seconds())
}

// estimate says how long a build of that many packages may take on that many
// cores; 0 packages: not known, so all.
func estimate(cores int, packages int64) string {
	if 0 < packages && packages <= fewPackages {
		return "less than a minute"
	}
	work := float64(buildCPUMinutes)
	if packages > 0 {
		work *= float64(packages) / allPackages
	}
	minutes := max(1, int(math.Round(work/float64(cores))))
	return fmt.Sprintf("about %s on %s", plural(minutes, "minute"), plural(cores, "core"))
}

func plural(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}

// thousands writes 1781 as "1,781".
func thousands(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
