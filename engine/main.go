// Command engine is an embedded Temporal: server, Web UI and SQLite database in
// one process, for a person with one machine and no cluster.
//
// It is its own Go module, because the server and the UI bring 462 modules that
// the rest of autoresearch does not need. Nobody starts it by hand: package
// workers/cluster builds it once, starts it in its own process session, finds
// it again through its state file, and stops it. By hand it works too:
//
//	go build -ldflags='-s -w' && ./engine -db /tmp/home/temporal.db
//
// The order of a start is the order of [run]: lock, database, ports, server,
// search attributes, UI, state file. Three files lie beside the database:
//
//	lock                  flock, held for the whole life: one engine per database
//	state.json            [State]: who runs, where it answers, is it ready
//	temporal.db.version   the server version that made the database
//
// # How it fails
//
// Every failure before readiness is one line on standard error, "engine: what
// was attempted: why", and exit status 1. After readiness the process ends on
// SIGTERM or SIGINT only, in under [stopTimeout]. It may be killed at any
// moment: each commit is in SQLite's write-ahead log, synced to disk.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/server/common/headers"
)

// Options are the command's flags.
type Options struct {
	DB         string        // SQLite file; the directory must exist
	IP         string        // loopback address that everything binds to
	Port       int           // frontend gRPC port
	UIPort     int           // Web UI port
	Namespaces []string      // created when missing
	Retention  time.Duration // how long closed workflows are kept, for namespaces created here
	State      string        // state file; default: state.json beside DB
	Lock       string        // lock file; default: lock beside DB
	Log        string        // log file, kept under 20 MB; default: standard error
	LogLevel   string        // debug, info, warn or error
}

func main() {
	o, err := parseFlags(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "engine:", err)
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "engine:", err)
		os.Exit(1)
	}
}

// parseFlags reads the command line into Options and fills the defaults.
func parseFlags(args []string) (Options, error) {
	var o Options
	var namespaces string
	f := flag.NewFlagSet("engine", flag.ContinueOnError)
	f.StringVar(&o.DB, "db", "", "SQLite `file` (required)")
	f.StringVar(&o.IP, "ip", "127.0.0.1", "loopback `address` to bind to")
	f.IntVar(&o.Port, "port", 7233, "frontend gRPC `port`")
	f.IntVar(&o.UIPort, "ui-port", 8233, "Web UI `port`")
	f.StringVar(&namespaces, "namespace", "default", "comma-separated namespaces to create when missing")
	f.DurationVar(&o.Retention, "retention", 90*24*time.Hour, "how long closed workflows are kept")
	f.StringVar(&o.State, "state", "", "state `file` (default: state.json beside the database)")
	f.StringVar(&o.Lock, "lock", "", "lock `file` (default: lock beside the database)")
	f.StringVar(&o.Log, "log", "", "log `file`, kept under 20 MB (default: standard error)")
	f.StringVar(&o.LogLevel, "log-level", "warn", "debug, info, warn or error")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.DB == "" {
		return o, errors.New("-db is required: the SQLite file to use")
	}
	if err := checkLoopback(o.IP); err != nil {
		return o, err
	}
	// The server accepts less, but a day is what it enforces for namespaces
	// registered in the normal way.
	if o.Retention < 24*time.Hour {
		return o, fmt.Errorf("-retention %v is less than 24h", o.Retention)
	}
	dir := filepath.Dir(o.DB)
	if o.State == "" {
		o.State = filepath.Join(dir, "state.json")
	}
	if o.Lock == "" {
		o.Lock = filepath.Join(dir, "lock")
	}
	o.Namespaces = strings.Split(namespaces, ",")
	return o, nil
}

// run is the engine's life, from lock to stop.
func run(ctx context.Context, o Options) error {
	limitMemory()
	lock, err := takeLock(o.Lock)
	if err != nil {
		return err
	}
	defer lock.Close()

	state := State{
		PID: os.Getpid(), Started: processStart(os.Getpid()), Version: headers.ServerVersion,
		Address: hostPort(o.IP, o.Port), UIURL: "http://" + hostPort(o.IP, o.UIPort), Namespaces: o.Namespaces,
	}
	// Not ready yet, but from here on the file describes this process and not
	// its predecessor: whoever sees the lock held can trust it.
	if err := state.write(o.State); err != nil {
		return err
	}

	logger, closeLog, err := newLogger(ctx, o.Log, o.LogLevel)
	if err != nil {
		return err
	}
	defer closeLog()
	if err := prepareStore(o); err != nil {
		return err
	}
	ports, err := pickPorts(o)
	if err != nil {
		return err
	}
	srv, err := startServer(ctx, o, ports, logger)
	if err != nil {
		return err
	}
	defer srv.stop()
	ui, err := startUI(ctx, o)
	if err != nil {
		return err
	}
	defer ui.Stop()

	state.Ready = true
	if err := state.write(o.State); err != nil {
		return err
	}
	fmt.Printf("engine: Temporal %s ready at %s, UI %s, pid %d\n", state.Version, state.Address, state.UIURL, state.PID)
	<-ctx.Done()
	return nil
}
