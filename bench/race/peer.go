// Package race measures programs that take training steps side by side: the
// trainer with constants of choice, and the same model elsewhere. One at a time
// takes a block of steps, in rounds, so that what slows the machine down slows
// all of them; ratios are by round. Clocks, CPU time and memory are read from
// outside, the same way for all (Linux only).
//
// A [Program] is train.go with some constants changed, built so that it takes
// steps when told to. A [Peer] is a process that takes steps: each number on its
// standard input is a number of steps, and a line on file descriptor 3 says that
// they are done. It fails when a peer does not start or dies, with what the peer
// printed.
package race

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

// Peer is a process that takes training steps when told to.
type Peer struct {
	Name    string
	Blocks  []Block // one for each round
	Peak    int64   // bytes resident at most while it took them
	cmd     *exec.Cmd
	orders  io.WriteCloser
	answers *bufio.Reader
	log     *bytes.Buffer // what it printed
}

// Block is what one block of steps took.
type Block struct {
	Tokens int
	Wall   time.Duration
	CPU    time.Duration // of the process, all threads
	Others float64       // CPUs that other processes kept busy meanwhile
}

// Speed is in tokens a second.
func (b Block) Speed() float64 { return float64(b.Tokens) / b.Wall.Seconds() }

// Thrift is in tokens a CPU-second.
func (b Block) Thrift() float64 { return float64(b.Tokens) / b.CPU.Seconds() }

// Start runs cmd, which answers on file descriptor 3, and waits until it is ready.
func Start(name string, cmd *exec.Cmd) (*Peer, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	p := &Peer{Name: name, cmd: cmd, answers: bufio.NewReader(r), log: &bytes.Buffer{}}
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
func (p *Peer) answer(want string) error {
	line, err := p.answers.ReadString('\n')
	if err == nil && strings.TrimSpace(line) == want {
		return nil
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	return fmt.Errorf("%s ended, or answered %q instead of %q: %s", p.Name, line, want, p.log)
}

// Steps lets p take n steps.
func (p *Peer) Steps(n int) error {
	if _, err := fmt.Fprintln(p.orders, n); err != nil {
		return p.answer("nothing: its input is closed")
	}
	return p.answer("done")
}

// Block lets p take n steps of tokens each and measures them.
func (p *Peer) Block(n, tokens int) error {
	cpu, busy, began := cpuTime(p.cmd.Process.Pid), busyTime(), time.Now()
	if err := p.Steps(n); err != nil {
		return err
	}
	b := Block{Tokens: n * tokens, Wall: time.Since(began), CPU: cpuTime(p.cmd.Process.Pid) - cpu}
	b.Others = max(0, (busyTime()-busy-b.CPU).Seconds()/b.Wall.Seconds())
	p.Blocks = append(p.Blocks, b)
	return nil
}

// Stop ends the process.
func (p *Peer) Stop() {
	p.orders.Close()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// ReadPeak takes the most memory that the process has had resident since
// ResetPeak.
func (p *Peer) ReadPeak() { p.Peak = resident(p.cmd.Process.Pid, "VmHWM") }

// ResetPeak lets the peak begin anew.
func (p *Peer) ResetPeak() { resetPeak(p.cmd.Process.Pid) }

// Command prepares a process; env is added to the environment.
func Command(ctx context.Context, env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	return cmd
}
