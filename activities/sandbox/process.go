package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// Process is the Sandbox of plain processes: a process group and parent-death
// signal for the ordinary case, and marks in the environment for the rest.
type Process struct{}

var _ Sandbox = Process{}

// Run implements Sandbox.
func (Process) Run(ctx context.Context, s Spec) (Outcome, error) {
	return run(ctx, s, func(s Spec) (*starter, error) {
		cmd := exec.Command(s.Path, s.Args...)
		cmd.Dir, cmd.Env = s.Dir, s.environment()
		cmd.SysProcAttr = processAttr()
		return &starter{cmd: cmd, isolation: NoIsolation}, nil
	})
}

// starter is a command that will be the program, or launch it.
type starter struct {
	cmd       *exec.Cmd
	stage     *stage // nil for a plain process
	isolation string
}

// run is a run of any sandbox of this package: prepare says how it starts.
func run(ctx context.Context, s Spec, prepare func(Spec) (*starter, error)) (Outcome, error) {
	if err := s.check(); err != nil {
		return Outcome{}, fmt.Errorf("starting a process: %w", err)
	}
	if ctx.Err() != nil {
		return Outcome{ExitCode: -1, Stopped: context.Cause(ctx)}, nil
	}
	c, err := launch(s, prepare)
	if err != nil {
		return Outcome{}, fmt.Errorf("starting %s in %s: %w", filepath.Base(s.Path), s.Dir, err)
	}
	c.supervise(ctx)
	return c.finish()
}

// child is one run of a program.
type child struct {
	spec Spec
	*starter
	tree   *tree
	disk   *diskWatch
	out    *output
	began  time.Time
	oom    int64         // the kernel's count of such kills when we began
	exited chan struct{} // closed when the program has been waited for

	peak    int64
	stopped error
}

func launch(s Spec, prepare func(Spec) (*starter, error)) (*child, error) {
	how, err := prepare(s)
	if err != nil {
		return nil, err
	}
	out, err := openOutput(s)
	if err != nil {
		how.stage.close()
		return nil, err
	}
	how.cmd.Stdout, how.cmd.Stderr = out.stdout, out.stderr
	if s.Stdin != nil {
		how.cmd.Stdin = s.Stdin
	}
	c := &child{spec: s, starter: how, disk: watchDisk(s), out: out, began: time.Now(), oom: oomKills(), exited: make(chan struct{})}
	if err := c.start(); err != nil {
		how.stage.close()
		out.close(0)
		return nil, err
	}
	out.read()
	if err := how.stage.begin(); err != nil {
		_ = how.cmd.Process.Kill()
		<-c.exited
		how.stage.close()
		out.close(time.Second)
		return nil, err
	}
	c.tree = newTree(how.cmd.Process.Pid, IDVariable+"="+s.ID+"\x00")
	c.tree.own, c.tree.apart = how.stage.own(), how.stage.stays()
	if how.stage == nil {
		limitResources(how.cmd.Process.Pid)
	}
	return c, nil
}

// environment is all that the program sees of ours. Later entries win.
func (s Spec) environment() []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.Dir, "TMPDIR=" + s.Dir}
	if s.Cores > 0 {
		env = append(env, "GOMAXPROCS="+strconv.Itoa(s.Cores))
	}
	return append(append(env, s.Env...), IDVariable+"="+s.ID)
}

// start starts the program on a thread that lives as long as the program does:
// Linux sends the parent-death signal when the *thread* that forked ends, and
// the Go runtime ends threads as it likes.
func (c *child) start() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait() // ProcessState says how it ended
			close(c.exited)
		}
	}()
	return <-started
}

// supervise returns when the program has ended, by itself or by us.
func (c *child) supervise(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.exited:
			return
		case <-ctx.Done():
			c.stopped = context.Cause(ctx)
			c.terminate()
			return
		case <-tick.C:
		}
		if err := c.watch(); err != nil {
			c.stopped = err
			return // finish kills it
		}
	}
}

// watch takes a sample and asks whether the program may go on.
func (c *child) watch() error {
	if err := c.tree.scan(); err != nil {
		return fmt.Errorf("watching %s: %w", filepath.Base(c.spec.Path), err)
	}
	s := Sample{CPU: max(c.tree.cpu(), c.stage.used()), Wall: time.Since(c.began), Memory: c.tree.memory(), Processes: c.tree.processes(), PID: c.tree.program()}
	c.peak = max(c.peak, s.Memory)
	if err := c.exceeded(s, c.tree.threads()); err != nil {
		return err
	}
	if c.spec.Watch != nil {
		return c.spec.Watch(s)
	}
	return nil
}

// terminate asks the tree to end and waits for the program as long as Grace.
func (c *child) terminate() {
	_ = c.tree.scan() // on failure those of the last scan are asked
	c.tree.signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-time.After(c.spec.Grace):
	}
}

// kill ends the program with its group, in which nobody can start another
// meanwhile. Until the program has been waited for, the number is its own.
func (c *child) kill() {
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	_ = c.cmd.Process.Kill()
}

// finish ends what is left of the tree and adds up what it used.
func (c *child) finish() (Outcome, error) {
	killed := false
	select {
	case <-c.exited:
	default:
		killed = true
		_ = c.tree.scan() // the last look at what it has used
		c.kill()
		<-c.exited
	}
	wall := time.Since(c.began)
	state := c.cmd.ProcessState
	status := c.stage.end(state)
	cpu, err := c.tree.end(max(0, state.UserTime()+state.SystemTime()-c.stage.own()))
	cpu = max(cpu, c.stage.used())
	oom := c.outOfMemory(status, killed)
	c.stage.close()
	c.out.close(time.Second)

	o := Outcome{
		ExitCode: status.ExitStatus(), CPU: cpu, Wall: wall, Tail: c.out.tail.lines(), Stopped: c.stopped,
		PeakBytes: max(c.peak, peakOf(state)), Isolation: c.isolation, OutOfMemory: oom,
	}
	if status.Signaled() {
		o.Signal = status.Signal()
	}
	if err != nil {
		return o, fmt.Errorf("ending the processes of %s: %w", filepath.Base(c.spec.Path), err)
	}
	return o, nil
}

// outOfMemory says whether a tree that has ended held too much. The kernel may
// have been faster than our looks at it; where nobody counts that for this tree
// alone, its count for the machine has to do.
func (c *child) outOfMemory(status syscall.WaitStatus, byUs bool) bool {
	if errors.Is(c.stopped, ErrMemory) {
		return true
	}
	if byUs || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		return false
	}
	kills, _, known := c.stage.refused()
	if !known {
		return oomKills() > c.oom
	}
	if kills > 0 && c.stopped == nil {
		c.stopped = fmt.Errorf("%w: the kernel stopped it at %d MiB", ErrMemory, c.spec.Memory/4*5>>20)
	}
	return kills > 0
}

// Clear implements Sandbox.
func (Process) Clear(ctx context.Context, prefix string) error {
	if prefix == "" {
		return errors.New("clearing leftover processes: an empty prefix would mean every run")
	}
	t := newTree(0, IDVariable+"="+prefix)
	if err := t.kill(ctx); err != nil {
		return fmt.Errorf("clearing leftover processes of %s: %w", prefix, err)
	}
	return nil
}
