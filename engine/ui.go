package main

import (
	"context"
	"fmt"
	"net"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/server_options"
)

// startUI serves Temporal's Web UI and returns when its port answers. If the
// port was taken since it was checked, the UI library ends the process with a
// message; there is no way to give it an open listener.
func startUI(ctx context.Context, o Options) (*uiserver.Server, error) {
	ui := uiserver.NewServer(server_options.WithConfigProvider(&uiconfig.Config{
		TemporalGRPCAddress: hostPort(o.IP, o.Port),
		Host:                o.IP,
		Port:                o.UIPort,
		EnableUI:            true,
		DefaultNamespace:    o.Namespaces[0],
		CORS:                uiconfig.CORS{CookieInsecure: true}, // plain HTTP on loopback
		DisableNewsFetch:    true,                                // no calls home
		HideLogs:            true,
	}))
	go func() { _ = ui.Start() }() // returns after Stop
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := poll(ctx, "the Temporal UI to answer", func() error {
		conn, err := net.Dial("tcp", hostPort(o.IP, o.UIPort))
		if err == nil {
			conn.Close()
		}
		return err
	})
	if err != nil {
		ui.Stop()
		return nil, fmt.Errorf("start the Temporal UI: %w", err)
	}
	return ui, nil
}
