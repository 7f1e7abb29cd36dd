package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"go.temporal.io/sdk/log"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers"
	"github.com/autoresearch-go/autoresearch/workers/cluster"
)

// session is what 'up' and 'worker' hold while they run: Temporal, kept alive,
// and workers. Its close stops them in order.
type session struct {
	a       *app
	cluster *cluster.Cluster
	workers *workers.Workers
	adopted bool // the engine ran before us
	file    *os.File
	logger  log.Logger
	lost    chan error // the engine died and could not be brought back
	unwatch func()     // ends the watch over the engine
}

// open connects to Temporal, starting the embedded engine if need be.
func (a *app) open(ctx context.Context) (*session, error) {
	file, err := openLog(a.home())
	if err != nil {
		return nil, err
	}
	s := &session{a: a, file: file, lost: make(chan error, 1)}
	s.logger = log.NewStructuredLogger(slog.New(slog.NewTextHandler(hiding{file, a.hide}, &slog.HandlerOptions{Level: slog.LevelInfo})))
	if c, err := a.connect(ctx); err == nil {
		s.adopted = c.Embedded
		c.Close()
	}
	o := a.engineOptions()
	o.Logger = s.logger
	if s.cluster, err = cluster.Connect(ctx, o); err != nil {
		file.Close()
		return nil, err
	}
	a.note("temporal  %s", whereTemporal(s.cluster))
	keep, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.unwatch = stop
	go func() {
		if err := s.cluster.Keep(keep, o); err != nil {
			s.lost <- err
		}
	}()
	return s, nil
}

// hiding is a file that takes no secrets. The logger writes whole lines.
type hiding struct {
	w    io.Writer
	hide func(string) string
}

func (h hiding) Write(b []byte) (int, error) {
	_, err := io.WriteString(h.w, h.hide(string(b)))
	return len(b), err
}

// maxLog is where the log of earlier sessions is cut off.
const maxLog = 16 << 20

// openLog opens the file for what does not belong on a terminal.
func openLog(home experiment.Home) (*os.File, error) {
	name := home.Log()
	if info, err := os.Stat(name); err == nil && info.Size() > maxLog {
		_ = os.Rename(name, name+".1") // if not, it just goes on growing
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, homeFailure(string(home), err)
	}
	return f, nil
}

// work starts workers of the roles in this process; gpus are of the role TrainCUDA.
func (s *session) work(checkout string, slots, cores int, gpus []workers.GPU, roles ...workers.Role) error {
	w, err := workers.Start(s.cluster.Client, workers.Config{
		Home: s.a.home(), Checkout: checkout, Namespace: s.cluster.Namespace, Slots: slots, Cores: cores, GPUs: gpus, Sandbox: s.a.sandbox, Logger: s.logger,
		Signer: s.a.signing.signer(),
	}, roles...)
	if err != nil {
		return err
	}
	s.workers = w
	return nil
}

// during runs f until it returns, or until the engine or a worker is lost for
// good.
func (s *session) during(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	var workersFailed <-chan error
	if s.workers != nil {
		workersFailed = s.workers.Failed()
	}
	var err error
	select {
	case err := <-done:
		return err
	case err = <-workersFailed:
	case err = <-s.lost:
		err = fmt.Errorf("keep the engine alive: %w", err)
	}
	cancel(err)
	<-done
	return err
}

// close stops the workers, which lets a training run write its checkpoint,
// then the engine if it is to end, and lets go of the rest.
func (s *session) close(ctx context.Context, stopEngine bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	if s.workers != nil {
		s.workers.Stop()
	}
	s.unwatch()
	var err error
	if stopEngine {
		err = s.cluster.StopEngine(ctx)
	}
	s.cluster.Close()
	return errors.Join(err, s.file.Close())
}
