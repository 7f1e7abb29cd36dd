package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// peer is a process that takes training steps when told to.
type peer struct {
	name    string
	cmd     *exec.Cmd
	orders  io.WriteCloser
	answers *bufio.Reader
	log     *bytes.Buffer // what it printed
	blocks  []block       // one for each round
	peak    int64         // bytes resident at most while it took them
}

// block is what one block of steps took.
type block struct {
	tokens int
	wall   time.Duration
	cpu    time.Duration // of the process, all threads
	others float64       // CPUs that other processes kept busy meanwhile
}

func (b block) speed() float64  { return float64(b.tokens) / b.wall.Seconds() } // tokens a second
func (b block) thrift() float64 { return float64(b.tokens) / b.cpu.Seconds() }  // and a CPU-second

// start runs cmd, which answers on file descriptor 3, and waits until it is ready.
func start(name string, cmd *exec.Cmd) (*peer, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	p := &peer{name: name, cmd: cmd, answers: bufio.NewReader(r), log: &bytes.Buffer{}}
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = p.log, p.log, []*os.File{w}
	if p.orders, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	w.Close()
	return p, p.answer("ready")
}

// answer waits for a line of p.
func (p *peer) answer(want string) error {
	line, err := p.answers.ReadString('\n')
	if err == nil && strings.TrimSpace(line) == want {
		return nil
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	return fmt.Errorf("%s ended, or answered %q instead of %q: %s", p.name, line, want, p.log)
}

// steps lets p take n steps.
func (p *peer) steps(n int) error {
	if _, err := fmt.Fprintln(p.orders, n); err != nil {
		return p.answer("nothing: its input is closed")
	}
	return p.answer("done")
}

// block lets p take n steps of tokens each and measures them.
func (p *peer) block(n, tokens int) error {
	cpu, busy, began := cpuTime(p.cmd.Process.Pid), busyTime(), time.Now()
	if err := p.steps(n); err != nil {
		return err
	}
	b := block{tokens: n * tokens, wall: time.Since(began), cpu: cpuTime(p.cmd.Process.Pid) - cpu}
	b.others = max(0, (busyTime()-busy-b.cpu).Seconds()/b.wall.Seconds())
	p.blocks = append(p.blocks, b)
	return nil
}

func (p *peer) stop() {
	p.orders.Close()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// command prepares a process of its own kind; env is added to the environment.
func command(ctx context.Context, env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	return cmd
}
