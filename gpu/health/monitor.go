package health

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// driver is NVML, or its double. Its methods may hang.
type driver interface {
	// Versions are the driver's own and the newest CUDA that it serves.
	Versions() (driver, cuda string)
	GPUs() ([]GPU, error)
	// Sample looks at a GPU or a MIG device; Xids are not its business.
	Sample(uuid string) (Snapshot, error)
	// Xid waits for the next one, for a second at most; a GPU of "" is none.
	Xid() (uuid string, code int, err error)
	Close()
}

// keptXids bounds what is remembered of a GPU.
const keptXids = 16

// Monitor looks at the GPUs of this machine. It is safe for concurrent use.
type Monitor struct {
	driver   driver
	patience time.Duration
	now      func() time.Time

	busy   chan struct{} // holds one while a call is under way
	mu     sync.Mutex
	xids   map[string][]Xid // by UUID
	closed bool
	done   chan struct{} // closed when nobody listens for Xids any more
}

// Open finds the driver and begins to listen for what it reports.
func Open(ctx context.Context) (*Monitor, error) {
	type opened struct {
		d   driver
		err error
	}
	answer := make(chan opened, 1)
	go func() {
		d, err := openDriver()
		answer <- opened{d, err}
	}()
	select {
	case o := <-answer:
		if o.err != nil {
			return nil, o.err
		}
		return newMonitor(o.d), nil
	case <-time.After(Patience):
		return nil, fmt.Errorf("opening NVML: %w", ErrSilent)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func newMonitor(d driver) *Monitor {
	m := &Monitor{driver: d, patience: Patience, now: time.Now, busy: make(chan struct{}, 1), xids: map[string][]Xid{}, done: make(chan struct{})}
	go m.listen()
	return m
}

// listen collects Xids until the Monitor is closed.
func (m *Monitor) listen() {
	defer close(m.done)
	for {
		uuid, code, err := m.driver.Xid()
		m.mu.Lock()
		if m.closed || err != nil {
			m.mu.Unlock()
			return // without events the counters still tell
		}
		if uuid != "" {
			kept := append(m.xids[uuid], Xid{code, m.now()})
			m.xids[uuid] = kept[max(0, len(kept)-keptXids):]
		}
		m.mu.Unlock()
	}
}

// Close lets go of the driver, unless that hangs.
func (m *Monitor) Close() {
	m.mu.Lock()
	already := m.closed
	m.closed = true
	m.mu.Unlock()
	if already {
		return
	}
	select {
	case <-m.done:
	case <-time.After(m.patience):
		return // whoever hangs in the driver needs it
	}
	select {
	case m.busy <- struct{}{}:
		m.driver.Close()
	default: // a call hangs
	}
}

// ask makes one call, and waits no longer than the Monitor's patience.
func ask[T any](ctx context.Context, m *Monitor, what string, call func() (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	var none T
	limit := time.NewTimer(m.patience)
	defer limit.Stop()
	select {
	case m.busy <- struct{}{}:
	case <-limit.C:
		return none, fmt.Errorf("%s: %w", what, ErrSilent)
	case <-ctx.Done():
		return none, ctx.Err()
	}
	got := make(chan answer, 1)
	go func() {
		v, err := call()
		<-m.busy
		got <- answer{v, err}
	}()
	select {
	case a := <-got:
		if a.err != nil {
			return none, fmt.Errorf("%s: %w", what, a.err)
		}
		return a.v, nil
	case <-limit.C:
		return none, fmt.Errorf("%s: %w", what, ErrSilent)
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// Versions are those of the driver and of the newest CUDA that it serves.
func (m *Monitor) Versions(ctx context.Context) (driver, cuda string, err error) {
	v, err := ask(ctx, m, "asking for the driver's version", func() ([2]string, error) {
		d, c := m.driver.Versions()
		return [2]string{d, c}, nil
	})
	return v[0], v[1], err
}

// GPUs lists what the driver knows.
func (m *Monitor) GPUs(ctx context.Context) ([]GPU, error) {
	return ask(ctx, m, "listing GPUs", m.driver.GPUs)
}

// Sample is one look at a GPU or MIG device.
func (m *Monitor) Sample(ctx context.Context, uuid string) (Snapshot, error) {
	s, err := ask(ctx, m, "looking at the GPU "+uuid, func() (Snapshot, error) { return m.driver.Sample(uuid) })
	if err != nil {
		return s, err
	}
	m.mu.Lock()
	s.Xids = slices.Concat(m.xids[uuid], m.xids[s.Parent])
	m.mu.Unlock()
	if PIDsTold() {
		for i, p := range s.Processes {
			s.Processes[i].Name = nameOf(p.PID)
		}
	}
	return s, nil
}

// initialNamespace is the inode of the process ids that a machine starts with.
const initialNamespace = "pid:[4026531836]"

// PIDsTold says whether the process ids that NVML names are those that this
// process sees: outside of any container they are.
func PIDsTold() bool {
	ns, err := os.Readlink("/proc/self/ns/pid")
	return err == nil && ns == initialNamespace
}

func nameOf(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
