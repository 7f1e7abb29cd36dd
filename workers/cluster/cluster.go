package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
)

// DefaultNamespace is where campaigns run unless the environment names another
// namespace. It is the default of tctl and of the Temporal CLI too.
const DefaultNamespace = "default"

// Cluster is a reachable Temporal frontend.
type Cluster struct {
	Client    client.Client
	Address   string // host:port of the frontend
	Namespace string
	UIURL     string // Web UI of the embedded engine; empty for other clusters
	Embedded  bool   // the engine of the home, as opposed to a cluster from the environment
	PID       int    // of the embedded engine when Connect returned

	dir string // Home/engine
}

// Options say which home and how to behave while connecting.
type Options struct {
	// Home is the home directory; the embedded engine lives in Home/engine.
	Home string
	// Start builds and starts the engine when none is running (up, worker).
	// Without it only a live one is found (status, best).
	Start bool
	// Progress shows the line that moves during the first build, at least once
	// a second; final is true for its last form. May be nil.
	Progress func(line string, final bool)
	// Logf reports what the user should know: "port 7233 is taken, using
	// 20117". May be nil.
	Logf func(format string, args ...any)
	// Logger is the Temporal client's logger. Nil: it says nothing.
	Logger log.Logger
}

// Connect finds Temporal, starting the embedded engine if it has to and may,
// and returns when the frontend answers. See the package comment.
func Connect(ctx context.Context, o Options) (*Cluster, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	ext, err := fromEnvironment()
	if err != nil {
		return nil, err
	}
	if ext != nil {
		return ext.connect(ctx, o)
	}
	return connectEmbedded(ctx, o)
}

// withDefaults fills what the caller left out.
func (o Options) withDefaults() (Options, error) {
	if o.Progress == nil {
		o.Progress = func(string, bool) {}
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	if o.Logger == nil {
		o.Logger = quiet{}
	}
	if o.Home == "" {
		return o, nil // fine for a cluster from the environment
	}
	home, err := filepath.Abs(o.Home)
	if err != nil {
		return o, fmt.Errorf("find the home %s: %w", o.Home, err)
	}
	o.Home = home
	return o, nil
}

// Close closes the client. The engine goes on.
func (c *Cluster) Close() { c.Client.Close() }

// StopEngine asks the embedded engine to stop and waits until it has. It does
// nothing for a cluster from the environment or for an engine that is gone.
func (c *Cluster) StopEngine(ctx context.Context) error {
	if !c.Embedded {
		return nil
	}
	return stopEngine(ctx, c.dir)
}

// keepInterval is how often Keep looks. Workers retry on their own meanwhile.
const keepInterval = 500 * time.Millisecond

// Keep watches the embedded engine and starts it again, on the same ports and
// database, when it dies. It returns nil when ctx ends (end it before
// StopEngine), or an error when the engine cannot be brought back. For a
// cluster from the environment it only waits.
func (c *Cluster) Keep(ctx context.Context, o Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	o.Start = true
	tick := time.NewTicker(keepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !c.Embedded || lockHeld(filepath.Join(c.dir, lockName)) {
			continue
		}
		o.Logf("the Temporal engine died, starting it again (log: %s)", filepath.Join(c.dir, logName))
		if err := c.restart(ctx, o); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// keepPatience is the longest pause between two tries to bring the engine back:
// a full disk, say, may be cleared. They add up to a minute.
const keepPatience = 32 * time.Second

// restart brings the engine back for a client that exists already.
func (c *Cluster) restart(ctx context.Context, o Options) error {
	n, err := connectEmbedded(ctx, o)
	for pause := keepInterval; err != nil && pause <= keepPatience; pause *= 2 {
		o.Logf("the Temporal engine does not start, trying again in %v", pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		n, err = connectEmbedded(ctx, o)
	}
	if err != nil {
		return err
	}
	defer n.Close()
	if n.Address != c.Address {
		return &Error{
			Attempt: "bring the Temporal engine back at " + c.Address,
			Err:     errors.New("the port was taken meanwhile, it is now at " + n.Address),
			Advice:  "run the same command again",
		}
	}
	return nil
}

// quiet is a logger that says nothing: what matters comes back as an error.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
