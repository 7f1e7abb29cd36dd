package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// Waiting for a lock: git holds one for milliseconds, so two seconds (git waits itself, too) are long. A
// lock in our own repository that is older than staleLock belongs to nobody.
const (
	lockTries = 12
	lockWait  = 40 * time.Millisecond
	staleLock = 20 * time.Second
)

// git runs commands on one repository.
type git struct {
	at     []string // options that choose the repository
	config string   // our global configuration file
	ours   bool     // stale locks may be removed
}

// call is one git command.
type call struct {
	args  []string
	env   []string
	stdin io.Reader
}

// run returns what git writes to its standard output. It tries again while
// another process holds a lock.
func (g git) run(ctx context.Context, c call) ([]byte, error) {
	for try := 1; ; try++ {
		out, err := g.once(ctx, c)
		lock := lockIn(err)
		if lock == "" {
			return out, err
		}
		if g.ours {
			removeStale(lock)
		}
		if try == lockTries || c.stdin != nil && !rewind(c.stdin) {
			return nil, fmt.Errorf("%w: %w; if no git command is running there, delete %s", ErrBusy, err, lock)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lockWait):
		}
	}
}

// text is run for one line of output.
func (g git) text(ctx context.Context, args ...string) (string, error) {
	out, err := g.run(ctx, call{args: args})
	return strings.TrimSpace(string(out)), err
}

func (g git) once(ctx context.Context, c call) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", append(g.options(), c.args...)...)
	cmd.Env = append(g.environ(), c.env...)
	cmd.Stdin = c.stdin
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	// A terminated git removes its locks; a killed one leaves them.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if err == nil {
		return out.Bytes(), nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("git %s: %w", c.args[0], ctx.Err())
	}
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("running git: %w; install git", err)
	}
	return nil, &gitError{args: c.args, code: cmd.ProcessState.ExitCode(), out: out.Bytes(), stderr: message(stderr.String(), err), err: err}
}

// options come before the command. They are given on the command line where
// the repository's own configuration must not win.
func (g git) options() []string {
	return append(g.at[:len(g.at):len(g.at)],
		"-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0", "-c", "maintenance.auto=false",
		"-c", "core.quotePath=false", "-c", "commit.gpgSign=false", "-c", "core.fsync=all")
}

// environ is the caller's without anything that steers git.
func (g git) environ() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GIT_") && !strings.HasPrefix(v, "LC_") && !strings.HasPrefix(v, "LANG") {
			env = append(env, v)
		}
	}
	return append(env, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+g.config,
		"GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0", "GIT_LITERAL_PATHSPECS=1", "GIT_NO_REPLACE_OBJECTS=1",
		"GIT_AUTHOR_NAME=autoresearch", "GIT_AUTHOR_EMAIL=autoresearch@localhost",
		"GIT_COMMITTER_NAME=autoresearch", "GIT_COMMITTER_EMAIL=autoresearch@localhost")
}

// message is git's own last complaint, without its prefix.
func message(stderr string, err error) string {
	stderr = strings.TrimSpace(stderr)
	if stderr == "" {
		return err.Error()
	}
	return strings.TrimPrefix(strings.TrimPrefix(stderr, "fatal: "), "error: ")
}

// What git says about a lock: of a ref or index, and of a configuration file.
var (
	lockPattern   = regexp.MustCompile(`[Uu]nable to create '([^']+\.lock)': File exists`)
	configPattern = regexp.MustCompile(`could not lock config file (.+): File exists`)
)

// lockIn returns the lock file that err is about, or "".
func lockIn(err error) string {
	var g *gitError
	if !errors.As(err, &g) {
		return ""
	}
	if m := lockPattern.FindStringSubmatch(g.stderr); m != nil {
		return m[1]
	}
	if m := configPattern.FindStringSubmatch(g.stderr); m != nil {
		return m[1] + ".lock"
	}
	return ""
}

// removeStale removes a lock that nobody can be holding any more.
func removeStale(lock string) {
	if info, err := os.Stat(lock); err == nil && time.Since(info.ModTime()) > staleLock {
		_ = os.Remove(lock)
	}
}

func rewind(r io.Reader) bool {
	s, ok := r.(io.Seeker)
	if !ok {
		return false
	}
	_, err := s.Seek(0, io.SeekStart)
	return err == nil
}
