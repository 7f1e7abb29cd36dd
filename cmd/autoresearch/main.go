package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"
)

// env is what a command may know of the world around it. Tests make their own.
type env struct {
	stdout, stderr io.Writer
	stdin          io.Reader
	dir            string              // working directory
	getenv         func(string) string // environment
	now            func() time.Time
	size           func(io.Writer) (columns int, terminal bool)
	rows           func(io.Writer) int // of a terminal; 0 where that is not known
	freeBytes      func(dir string) (uint64, error)
	interrupts     <-chan os.Signal // Ctrl-C and SIGTERM
	exit           func(exitCode)   // at once, without order
}

func main() { os.Exit(int(realMain(os.Args[1:]))) }

// realMain is the process without its exit, so that test scripts can run it.
func realMain(args []string) exitCode {
	dir, err := os.Getwd()
	if err != nil {
		dir = "."
	}
	interrupts := make(chan os.Signal, 2)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupts)
	return run(context.Background(), env{
		stdout: os.Stdout, stderr: os.Stderr, stdin: os.Stdin, dir: dir, getenv: os.Getenv, now: time.Now,
		size: terminalSize, rows: terminalRows, freeBytes: freeBytes, interrupts: interrupts,
		exit: func(code exitCode) { os.Exit(int(code)) },
	}, args)
}

// run executes one command line and reports its failure.
func run(ctx context.Context, e env, args []string) exitCode {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a := &app{env: e}
	go a.obeyInterrupts(ctx, cancel)
	root := newRoot(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if !a.began { // cobra refused the command line
		a.json = a.json || hasJSONFlag(args)
		err = usage("run 'autoresearch --help' for the commands, 'autoresearch COMMAND --help' for their flags", "%w", err)
	}
	return a.report(err)
}

// obeyInterrupts ends ctx at the first Ctrl-C, which lets every command stop in
// its own order, and the process at the second.
func (a *app) obeyInterrupts(ctx context.Context, cancel func()) {
	select {
	case <-ctx.Done():
		return
	case <-a.interrupts:
	}
	cancel()
	<-a.interrupts
	a.note("stopped at once; the engine may still run: autoresearch engine stop")
	a.exit(exitInterrupted)
}

// hasJSONFlag finds --json in a command line that could not be parsed.
func hasJSONFlag(args []string) bool {
	for _, arg := range args {
		switch arg {
		case "--json", "--json=true":
			return true
		case "--":
			return false
		}
	}
	return false
}

// terminalSize tells whether w is a terminal, and its width.
func terminalSize(w io.Writer) (int, bool) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil || columns <= 0 {
		columns = 80
	}
	return columns, true
}

// terminalRows is the height of the terminal w.
func terminalRows(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	_, rows, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return rows
}

// freeBytes is what an ordinary user can still write in dir.
func freeBytes(dir string) (uint64, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, err
	}
	return uint64(fs.Bavail) * uint64(fs.Bsize), nil
}
