package launcher

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// init is the entry point. The launcher's thread is the process's first, and
// stays locked: privileges, limits and the parent-death signal are a thread's.
func init() {
	if len(os.Args) == 0 || os.Args[0] != Name {
		return
	}
	runtime.LockOSThread()
	// Only our two pipes and the program's three files may cross over. Whoever
	// started the supervisor may have left others open.
	closeOnExec(planFD)
	text, err := readAll(planFD)
	var p Plan
	if err != nil || len(text) == 0 || json.Unmarshal(text, &p) != nil {
		os.Exit(exitOrphan)
	}
	_ = unix.Close(planFD)
	if err := p.run(); err != nil {
		report(Report{Error: err.Error()})
		os.Exit(exitFailed)
	}
	os.Exit(0)
}

// run confines the launcher and starts the program.
func (p *Plan) run() error {
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"limit resources", p.limit},
		{"make a file system of its own", p.mounts},
		{"drop privileges", p.drop},
		{"restrict files by Landlock", p.landlock},
		{"filter system calls", p.filter},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	if p.Path == "" {
		report(Report{Began: true, CPU: ownCPU()})
		return nil
	}
	if p.Namespaces {
		return p.start()
	}
	return p.become()
}

// become replaces the launcher by the program.
func (p *Plan) become() error {
	if err := unix.Chdir(p.Dir); err != nil {
		return fmt.Errorf("change to %s: %w", p.Dir, err)
	}
	report(Report{Began: true, CPU: ownCPU()}) // if exec fails, another report follows
	return fmt.Errorf("exec: %w", unix.Exec(p.Path, p.Args, p.Env))
}

// start starts the program and stays as the first process of its namespace.
func (p *Plan) start() error {
	// The kernel lets nothing inside the namespace end its first process, unless
	// that has a handler, and Go has one for everything. The supervisor's
	// SIGTERM is for the program, which has got it too.
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPIPE)
	pid, err := syscall.ForkExec(p.Path, p.Args, &syscall.ProcAttr{Dir: p.Dir, Env: p.Env, Files: []uintptr{0, 1, 2}})
	if err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	report(Report{Began: true, CPU: ownCPU()})
	for fd := range 3 {
		_ = unix.Close(fd) // who reads the program's output waits for its end
	}
	for {
		var status unix.WaitStatus
		ended, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("wait for the program: %w", err)
		case ended == pid:
			report(Report{Ended: true, Status: uint32(status), CPU: ownCPU()})
			os.Exit(0) // and with it all that is left in the namespace
		}
	}
}

// ownCPU is what this process has used, without those that it waited for.
func ownCPU() int64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// report writes one line; when nobody reads it any more, nobody is interested.
func report(r Report) {
	line, err := json.Marshal(r)
	if err == nil {
		_, _ = unix.Write(reportFD, append(line, '\n'))
	}
}

func readAll(fd int) (text []byte, err error) {
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil || n == 0:
			return text, err
		default:
			text = append(text, buf[:n]...)
		}
	}
}
