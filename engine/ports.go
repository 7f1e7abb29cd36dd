package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"

	"go.temporal.io/server/common/primitives"
)

// Internal ports are drawn from below the range from which Linux takes the
// ports of outgoing connections (32768 and up), so that no connection of
// another program, or a client's own retry to itself, sits on one.
const (
	firstInternalPort = 20000
	lastInternalPort  = 31999
)

// ports maps each Temporal service to the port it listens on.
type ports map[primitives.ServiceName]int

// pickPorts checks that the two given ports are free and draws the internal
// ones, so that several engines can run side by side on one machine. All are
// held open until all are known, then released together for the server.
func pickPorts(o Options) (ports, error) {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	for _, p := range []int{o.Port, o.UIPort} {
		l, err := net.Listen("tcp", hostPort(o.IP, p))
		if err != nil {
			return nil, fmt.Errorf("open port %d: %w", p, err)
		}
		held = append(held, l)
	}
	picked := ports{primitives.FrontendService: o.Port}
	for _, s := range []primitives.ServiceName{primitives.HistoryService, primitives.MatchingService, primitives.WorkerService} {
		l, err := listenInternal(o.IP)
		if err != nil {
			return nil, err
		}
		held = append(held, l)
		picked[s] = l.Addr().(*net.TCPAddr).Port
	}
	return picked, nil
}

// listenInternal opens some free internal port.
func listenInternal(ip string) (l net.Listener, err error) {
	for range 200 {
		p := firstInternalPort + rand.IntN(lastInternalPort-firstInternalPort+1)
		if l, err = net.Listen("tcp", hostPort(ip, p)); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("find a free port between %d and %d: %w", firstInternalPort, lastInternalPort, err)
}

// checkLoopback refuses addresses that other machines could reach: the engine
// has no authentication.
func checkLoopback(ip string) error {
	if a := net.ParseIP(ip); a == nil || !a.IsLoopback() {
		return fmt.Errorf("-ip %q is not a loopback address: the engine has no authentication, so only this machine may reach it", ip)
	}
	return nil
}

func hostPort(ip string, port int) string { return net.JoinHostPort(ip, strconv.Itoa(port)) }
