package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
)

const (
	// readyTimeout bounds the wait for the first answer. It is 0.5 s on an idle
	// machine; a large database on a slow, busy disk takes longer.
	readyTimeout = 60 * time.Second
	// stopTimeout bounds a stop. The server may want minutes to drain what it
	// cannot lose: everything it has answered for is on disk already.
	stopTimeout = 4 * time.Second
)

// server is the running Temporal server.
type server struct{ temporal.Server }

// startServer starts all Temporal services and returns when they answer and
// every namespace has its search attributes.
func startServer(ctx context.Context, o Options, p ports, logger log.Logger) (*server, error) {
	hosts := map[primitives.ServiceName]static.Hosts{}
	for name, port := range p {
		hosts[name] = static.SingleLocalHost(hostPort(o.IP, port))
	}
	srv, err := temporal.NewServer(
		temporal.WithConfig(serverConfig(o, p)),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithLogger(logger),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return authorization.NewNoopClaimMapper() }),
		temporal.WithDynamicConfigClient(dynamicConfig()),
	)
	if err != nil {
		return nil, fmt.Errorf("configure the Temporal server: %w", err)
	}
	if err := srv.Start(); err != nil {
		return nil, fmt.Errorf("start the Temporal server: %w", err)
	}
	s := &server{srv}
	if err := s.waitReady(ctx, o); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// waitReady polls until the frontend serves every namespace: Start returns
// before that.
func (s *server) waitReady(ctx context.Context, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	c, err := client.NewLazyClient(client.Options{HostPort: hostPort(o.IP, o.Port), Logger: quiet{}})
	if err != nil {
		return fmt.Errorf("make a client for the health check: %w", err)
	}
	defer c.Close()
	return poll(ctx, "the Temporal server to answer", func() error {
		if _, err := c.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
			return err
		}
		for _, ns := range o.Namespaces {
			if _, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: ns}); err != nil {
				return err
			}
			if err := ensureAttributes(ctx, c.OperatorService(), ns); err != nil {
				return err
			}
		}
		return nil
	})
}

// stop stops the server in order, but within stopTimeout.
func (s *server) stop() {
	overdue := time.AfterFunc(stopTimeout, func() { os.Exit(0) })
	defer overdue.Stop()
	_ = s.Stop() // nothing is left to do about an error: the process ends
}

// poll calls f until it succeeds; the error names what was waited for and why
// the last try failed.
func poll(ctx context.Context, what string, f func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (last try: %w)", what, ctx.Err(), err)
		case <-tick.C:
		}
	}
}
