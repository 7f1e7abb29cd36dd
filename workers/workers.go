package workers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers/cluster"
	"github.com/autoresearch-go/autoresearch/workflows"
)

// Config is what workers need to know of their machine.
type Config struct {
	Home     experiment.Home // made if it is missing
	Checkout string          // the user's repository; empty where there is none
	// Namespace of the client, which does not tell; the cluster's (package
	// cluster). Empty: "default".
	Namespace string
	Sandbox   sandbox.Mode  // how much must confine candidates; empty is sandbox.Auto
	Slots     int           // training slots of this process; at least 1
	Cores     int           // of each training slot, and for builds; at least 1
	GPUs      []GPU         // of the role TrainCUDA: one slot each, see FindGPUs
	Logger    log.Logger    // of the recovery; nil says nothing. Workers use the client's
	Signer    ledger.Signer // of decisions; nil is nobody

	// What serves the activities; nil is the real ones. Tests double them.
	research any
	train    func(queue string) any     // for the slot with this queue
	watch    func(GPU, *activities.GPU) // gives a GPU its looks and tests
	host     string                     // empty is the machine's name
	box      sandbox.Sandbox            // of that mode; Start makes it
}

// Workers are the workers of one process.
type Workers struct {
	workers []worker.Worker
	locks   []func()
	closers []func()           // after the workers
	quit    context.CancelFunc // ends the recovery
	failed  chan error
	once    sync.Once
	wait    sync.WaitGroup
}

const (
	// stopPatience is for what runs when a worker is told to stop. A training
	// run hears of it at once (activity.GetWorkerStopChannel) and needs it to
	// write its checkpoint; then its context ends.
	stopPatience = 10 * time.Second
	// stickyTimeout is how long a workflow task waits for the worker that has
	// the workflow in memory. The default of 5 s would be most of the time that
	// a campaign may take to go on after a kill.
	stickyTimeout = time.Second
	// heartbeatAtLeast bounds how long the SDK holds heartbeats back (otherwise
	// 0.8 of their timeout, 24 s): people watch them, and a cancellation comes
	// with the answer to one.
	heartbeatAtLeast = 2 * time.Second
	// researchActivities at once. An experiment that is prepared waits in one for
	// most of a minute, while a language model writes; and twice as many are
	// prepared as there are slots. What needs the processors is bounded apart
	// (activities.Research.Builds).
	researchActivities = 64
	// MaxSlots of a process is what a campaign can fill.
	MaxSlots = 64
)

// Start takes the home for each role, starts its workers and, in the
// background, recovers what an earlier process of this home left behind.
func Start(c client.Client, cfg Config, roles ...Role) (_ *Workers, err error) {
	home, err := filepath.Abs(string(cfg.Home))
	if err != nil {
		return nil, fmt.Errorf("find the home %s: %w", cfg.Home, err)
	}
	cfg.Home, cfg.Cores, cfg.Slots = experiment.Home(home), max(1, cfg.Cores), max(1, cfg.Slots)
	if cfg.Slots > MaxSlots {
		return nil, fmt.Errorf("%d training slots are too many for one process: at most %d", cfg.Slots, MaxSlots)
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, fmt.Errorf("make the home: %w", err)
	}
	if cfg.box, err = sandbox.Default(cfg.Sandbox); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &Workers{quit: cancel, failed: make(chan error, 1)}
	defer func() {
		if err != nil {
			w.Stop()
		}
	}()
	where, err := findPlace(cfg.Home, cmp.Or(cfg.host, hostname()))
	if err != nil {
		return nil, err
	}
	for _, role := range roles {
		for _, s := range cfg.seats(role) {
			release, err := where.lock(role, s)
			if err != nil {
				return nil, err
			}
			w.locks = append(w.locks, release)
		}
	}
	namespace := cmp.Or(cfg.Namespace, cluster.DefaultNamespace)
	if err := where.checkNeighbours(ctx, c, namespace); err != nil {
		return nil, err
	}
	for _, role := range roles {
		if err := w.start(ctx, c, cfg, where, role); err != nil {
			return nil, err
		}
	}
	for _, role := range roles {
		r := recovery{client: c, namespace: namespace, place: where, role: role, mine: cfg.seats(role), logger: cfg.logger()}
		if role != Research && cfg.train == nil {
			r.clear = func(ctx context.Context, s seat) error {
				return activities.ClearSlot(ctx, train(cfg, where.slotQueue(role, s), 1))
			}
		}
		w.wait.Go(func() { r.run(ctx) })
	}
	return w, nil
}

// Run starts workers, waits until ctx ends or one of them fails, and stops them.
func Run(ctx context.Context, c client.Client, cfg Config, roles ...Role) error {
	w, err := Start(c, cfg, roles...)
	if err != nil {
		return err
	}
	defer w.Stop()
	select {
	case <-ctx.Done():
		return nil
	case err := <-w.Failed():
		return err
	}
}

// Failed tells of a worker that cannot go on.
func (w *Workers) Failed() <-chan error { return w.failed }

// Stop asks the activities that run to stop where they can go on from, waits
// for them as long as they may take, and gives the home back.
func (w *Workers) Stop() {
	w.once.Do(func() {
		w.quit()
		for _, each := range w.workers {
			w.wait.Go(each.Stop)
		}
		w.wait.Wait()
		for _, c := range w.closers {
			c()
		}
		for _, release := range w.locks {
			release()
		}
	})
}

// seats are the slots of a role that this process serves.
func (cfg Config) seats(role Role) (all []seat) {
	switch role {
	case Train:
		for n := range cfg.Slots {
			all = append(all, nth(n))
		}
	case TrainCUDA:
		for _, g := range cfg.GPUs {
			all = append(all, seat(g.UUID))
		}
	default:
		all = []seat{""}
	}
	return all
}

func (w *Workers) start(ctx context.Context, c client.Client, cfg Config, where place, role Role) error {
	switch role {
	case Research:
		return w.startResearch(ctx, c, cfg, where)
	case Train:
		for _, s := range cfg.seats(role) {
			own := where.slotQueue(role, s)
			if err := w.startSlot(c, cfg, w.options(where, role, s), workflows.TrainQueue, train(cfg, own, cfg.Slots)); err != nil {
				return err
			}
		}
		return nil
	case TrainCUDA:
		return w.startGPUs(ctx, c, cfg, where)
	}
	return fmt.Errorf("there is no role %q: the roles are %s, %s and %s", role, Research, Train, TrainCUDA)
}

func (w *Workers) startResearch(ctx context.Context, c client.Client, cfg Config, where place) error {
	served := cfg.research
	if served == nil {
		a, err := research(ctx, cfg)
		if err != nil {
			return err
		}
		served = a
	}
	o := w.options(where, Research, "")
	o.MaxConcurrentActivityExecutionSize = researchActivities
	o.StickyScheduleToStartTimeout = stickyTimeout
	each := worker.New(c, workflows.ResearchQueue, o)
	each.RegisterWorkflow(workflows.Research)
	each.RegisterWorkflow(workflows.Experiment)
	return w.begin(each, served)
}

// startSlot serves one slot: the shared queue, one activity at a time and only
// while the slot is vacant, and its own queue, where the evaluation of what it
// has trained comes. Each asks with a single poller: there is one task to take.
func (w *Workers) startSlot(c client.Client, cfg Config, shared worker.Options, queue string, a *activities.Train) error {
	var served any = a
	free, fit := &vacancy{vacant: a.Tenancy.Vacant}, &vacancy{}
	if a.GPU != nil {
		free.ready, fit.ready = a.GPU.Ready, a.GPU.Fit
	}
	if cfg.train != nil {
		served, free.vacant = cfg.train(a.Slot), nil
	}
	shared.DisableWorkflowWorker = true
	shared.MaxConcurrentActivityTaskPollers = 1
	alone := shared
	var err, errAlone error
	shared.Tuner, err = free.tuner()
	alone.Tuner, errAlone = fit.tuner() // one at a time too: what is started but waits for the slot would be missing elsewhere
	if err := errors.Join(err, errAlone); err != nil {
		return fmt.Errorf("start a worker: %w", err)
	}
	return errors.Join(w.begin(worker.New(c, queue, shared), served), w.begin(worker.New(c, a.Slot, alone), served))
}

func (w *Workers) options(where place, role Role, s seat) worker.Options {
	return worker.Options{
		Identity:                     where.identity(role, s),
		BuildID:                      buildID(),
		WorkerStopTimeout:            stopPatience,
		MaxHeartbeatThrottleInterval: heartbeatAtLeast,
		OnFatalError: func(err error) {
			select {
			case w.failed <- fmt.Errorf("the %s worker cannot go on: %w", role, err):
			default: // the first one says it
			}
		},
	}
}

func (w *Workers) begin(each worker.Worker, served any) error {
	each.RegisterActivityWithOptions(served, activity.RegisterOptions{SkipInvalidStructFunctions: true})
	if err := each.Start(); err != nil {
		return fmt.Errorf("start a worker: %w", err)
	}
	w.workers = append(w.workers, each)
	return nil
}

// hostname is this machine in identities and queue names; empty if it has none.
func hostname() string {
	name, _ := os.Hostname()
	return name
}

func (cfg Config) logger() log.Logger {
	if cfg.Logger != nil {
		return cfg.Logger
	}
	return quiet{}
}

// quiet is a logger that says nothing.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
