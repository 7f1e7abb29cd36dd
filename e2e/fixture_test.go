package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// binary is the command under test, built once from the working tree with
// buildFlags, which files with a build tag set.
var (
	binary     string
	buildFlags []string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "autoresearch-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "autoresearch")
	build := exec.Command("go", append(append([]string{"build"}, buildFlags...), "-o", binary, "./cmd/autoresearch")...)
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the command: %v\n%s", err, out)
		return 1
	}
	// The engine is built once per machine; doing it here keeps the minutes
	// that it may take out of every test's time limits.
	engine := exec.Command(binary, "engine", "build")
	engine.Dir, engine.Stderr = "..", os.Stderr
	if err := engine.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "build the engine: %v\n", err)
		return 1
	}
	return m.Run()
}

// user is somebody with a fresh clone and an empty home.
type user struct {
	t     *testing.T
	clone string
	home  string
	env   []string // beyond the process's own
	up    *process // where a test needs to know it
}

// newUser clones the repository as it is in the working tree: the last commit,
// and on top of it what is not committed yet.
func newUser(t *testing.T) *user {
	t.Helper()
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	clone := filepath.Join(t.TempDir(), "clone")
	git(t, "", "clone", "-q", root, clone)
	overlay(t, root, clone)
	u := &user{t: t, clone: clone, home: filepath.Join(clone, experiment.HomeDir)}
	t.Cleanup(u.shutdown)
	return u
}

// overlay commits the working tree's uncommitted changes into the clone, so
// that a developer tests what is on the disk and not what was committed last.
func overlay(t *testing.T, root, clone string) {
	t.Helper()
	diff := exec.Command("git", "-C", root, "diff", "--binary", "HEAD")
	patch, err := diff.Output()
	require.NoError(t, err)
	if len(patch) == 0 {
		return
	}
	apply := exec.Command("git", "-C", clone, "apply", "--index")
	apply.Stdin = bytes.NewReader(patch)
	out, err := apply.CombinedOutput()
	require.NoError(t, err, string(out))
	git(t, clone, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "uncommitted")
}

// shutdown stops whatever the user left running in the home.
func (u *user) shutdown() {
	if pid := u.enginePID(); pid > 0 {
		cmd := u.command("engine", "stop")
		if out, err := cmd.CombinedOutput(); err != nil {
			u.t.Logf("engine stop: %v\n%s", err, out)
		}
	}
}

func (u *user) command(args ...string) *exec.Cmd {
	if args[0] == "up" && !slices.Contains(args, "--probe") { // it has tests of its own
		args = append(slices.Clip(args), "--probe=off")
	}
	cmd := exec.Command(binary, args...)
	cmd.Dir = u.clone
	cmd.Env = append(clean(os.Environ()), u.env...)
	return cmd
}

// clean drops what would lead the command away from its own home.
func clean(env []string) []string {
	var kept []string
	for _, e := range env {
		if !strings.HasPrefix(e, "TEMPORAL_") && !strings.HasPrefix(e, "AUTORESEARCH_") && !strings.HasPrefix(e, "OPENAI_") {
			kept = append(kept, e)
		}
	}
	return kept
}

// run runs a command to its end and returns standard output; it must succeed.
func (u *user) run(args ...string) string {
	u.t.Helper()
	var stderr bytes.Buffer
	cmd := u.command(args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(u.t, err, "autoresearch %s\n%s%s", strings.Join(args, " "), out, stderr.String())
	return string(out)
}

// process is a command that runs beside the test.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	done chan struct{}
	mu   sync.Mutex
	out  bytes.Buffer
	err  error
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// start starts a command in the background, in its own process group.
func (u *user) start(args ...string) *process {
	u.t.Helper()
	p := &process{t: u.t, name: strings.Join(args, " "), cmd: u.command(args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(u.t, p.cmd.Start())
	go func() { p.err = p.cmd.Wait(); close(p.done) }()
	u.t.Cleanup(func() {
		if !p.ended() {
			p.kill()
		}
		if u.t.Failed() {
			u.t.Logf("output of %q:\n%s", p.name, p.output())
		}
	})
	return p
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill is kill -9 of this one process, as a power cut would have it.
func (p *process) kill() {
	p.t.Helper()
	_ = p.cmd.Process.Kill()
	<-p.done
}

// wait waits for a clean end.
func (p *process) wait() {
	p.t.Helper()
	select {
	case <-p.done:
		require.NoError(p.t, p.err, "%s\n%s", p.name, p.output())
	case <-time.After(patience):
		require.FailNow(p.t, "still running", "%s after %v\n%s", p.name, patience, p.output())
	}
}

// patience bounds each wait. Nothing takes as long, but on a machine with ten
// other things to do.
const patience = 6 * time.Minute

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patience, 50*time.Millisecond, what)
}

// engineState is what the engine says of itself in the home.
type engineState struct {
	PID     int    `json:"pid"`
	Address string `json:"address"`
	UIURL   string `json:"ui_url"`
	Ready   bool   `json:"ready"`
}

func (u *user) engine() (s engineState) {
	b, err := os.ReadFile(filepath.Join(u.home, "engine", "state.json"))
	if err == nil {
		_ = json.Unmarshal(b, &s)
	}
	return s
}

// enginePID is the pid of the live engine, or 0.
func (u *user) enginePID() int {
	s := u.engine()
	if s.PID > 0 && syscall.Kill(s.PID, 0) == nil && !zombie(s.PID) {
		return s.PID
	}
	return 0
}

func (u *user) killEngine() {
	u.t.Helper()
	pid := u.enginePID()
	require.Positive(u.t, pid, "no engine to kill")
	require.NoError(u.t, syscall.Kill(pid, syscall.SIGKILL))
	eventually(u.t, "the engine is dead", func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })
}

func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(b), ") Z ")
}

// temporal connects to the user's engine.
func (u *user) temporal() client.Client {
	u.t.Helper()
	c, err := client.Dial(client.Options{HostPort: u.engine().Address})
	require.NoError(u.t, err)
	u.t.Cleanup(c.Close)
	return c
}

// steps returns the step numbers in the newest attempt at run 0 of an
// experiment: what the training has reached just now.
func (u *user) steps(tag string, n int) []int64 {
	dirs, _ := filepath.Glob(filepath.Join(u.home, "runs", tag, fmt.Sprintf("%04d-0-*", n)))
	var newest []int64
	for _, dir := range dirs {
		if s := stepsIn(filepath.Join(dir, "metrics.jsonl")); len(s) > 0 {
			newest = s
		}
	}
	return newest
}

func stepsIn(path string) (steps []int64) {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var m struct {
			Step int64 `json:"step"`
		}
		if json.Unmarshal(lines.Bytes(), &m) == nil {
			steps = append(steps, m.Step)
		}
	}
	return steps
}

// checkpoints lists the checkpoint files of all attempts at an experiment.
func (u *user) checkpoints(tag string, n int) []string {
	files, _ := filepath.Glob(filepath.Join(u.home, "runs", tag, fmt.Sprintf("%04d-*", n), "checkpoints", "*.ckpt"))
	return files
}

// training waits until experiment n trains and has a checkpoint to resume from.
func (u *user) training(tag string, n int) {
	u.t.Helper()
	eventually(u.t, fmt.Sprintf("experiment %d trains", n), func() bool {
		return len(u.steps(tag, n)) > 0 && len(u.checkpoints(tag, n)) > 0
	})
}

// trainsNext waits until an experiment trains that is none of the known ones,
// and has a checkpoint. Which one it is depends on the verdicts before it.
func (u *user) trainsNext(tag string, known ...int) (n int) {
	u.t.Helper()
	eventually(u.t, fmt.Sprintf("an experiment trains other than the baseline and %v", known), func() bool {
		for _, n = range u.begun(tag) {
			if n > 0 && !slices.Contains(known, n) && len(u.steps(tag, n)) > 0 && len(u.checkpoints(tag, n)) > 0 {
				return true
			}
		}
		return false
	})
	return n
}

// runFile is the path of the artifact of an experiment's run, in its last revision.
func (u *user) runFile(tag string, n int, name string) string {
	if revision := u.revision(tag, n); revision > 0 {
		ext := filepath.Ext(name)
		name = fmt.Sprintf("%s-rev-%d%s", strings.TrimSuffix(name, ext), revision, ext)
	}
	return filepath.Join(experiment.Home(u.home).Artifacts(), experiment.Key(tag, n, name))
}

func (u *user) history(tag string) (rows []experiment.Result) {
	u.t.Helper()
	for line := range strings.Lines(u.run("history", "--json", "--tag", tag)) {
		var r experiment.Result
		require.NoError(u.t, json.Unmarshal([]byte(line), &r), line)
		rows = append(rows, r)
	}
	return rows
}

func (u *user) best(tag string) (b experiment.Best) {
	u.t.Helper()
	require.NoError(u.t, json.Unmarshal([]byte(u.run("best", "--json", "--tag", tag)), &b))
	return b
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), "git", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "git %s\n%s", strings.Join(args, " "), out)
	return strings.TrimSpace(string(out))
}
