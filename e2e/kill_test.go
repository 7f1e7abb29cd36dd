package e2e

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// A campaign whose `up` and engine are killed, alone and together, in the
// middle of training ends with the ledger that it would have had anyway.
func TestKillAnything(t *testing.T) {
	u := newUser(t)
	const tag = "kill"
	up := []string{"up", plain, "--tag", tag, "--experiments", "3", "--budget", "2s", "--seeds", "2", "--exit"}

	p := u.start(up...)
	u.training(tag, 0)
	u.killEngine() // the engine alone: `up` brings it back

	first := u.trainsNext(tag)
	reached := u.steps(tag, first)
	p.kill() // `up` with its workers: the trainer dies with it, the engine lives
	require.Positive(t, u.enginePID(), "the engine outlives the worker")
	eventually(t, "the trainer died with its worker", func() bool { return len(u.trainers()) == 0 })

	p = u.start(up...)
	second := u.trainsNext(tag, first)
	p.kill() // both at once: a power cut
	u.killEngine()

	p = u.start(up...)
	u.trainsNext(tag, first, second)
	u.killEngine()
	p.wait()

	u.checkLedger(tag, 3)
	u.checkResumed(tag, first, reached[len(reached)-1])
}

// A worker process of its own, killed while it trains, is replaced by the next.
func TestKillWorker(t *testing.T) {
	u := newUser(t)
	const tag = "worker"
	w := u.start("worker")
	eventually(t, "the engine is ready", func() bool { return u.engine().Ready && u.enginePID() > 0 })
	u.run("start", plain, "--tag", tag, "--experiments", "1", "--budget", "2s", "--seeds", "1")
	u.training(tag, 1)
	w.kill()
	eventually(t, "the trainer died with its worker", func() bool { return len(u.trainers()) == 0 })
	u.start("worker")

	c := u.temporal()
	var best experiment.Best
	require.NoError(t, c.GetWorkflow(context.Background(), experiment.ResearchID(tag), "").Get(context.Background(), &best))
	require.Equal(t, 1, best.Experiments)
	u.checkLedger(tag, 1)
	require.Greater(t, row(t, u.history(tag), 1).Measurements[0].Attempts, 1, "the killed run was attempted again")
}

// The engine is killed the moment it is ready, before anybody has talked to it.
func TestEngineKilledWhenReady(t *testing.T) {
	t.Parallel()
	u := newUser(t).noop()
	const tag = "ready"
	p := u.start("up", plain, "--target", "noop", "--tag", tag, "--experiments", "1", "--exit")
	for killed := 0; killed < 2; {
		if s := u.engine(); s.Ready && u.enginePID() > 0 {
			_ = syscall.Kill(s.PID, syscall.SIGKILL)
			eventually(t, "it is dead", func() bool { return u.enginePID() != s.PID })
			killed++
		}
		require.False(t, p.ended(), p.output())
		runtime.Gosched() // no pause: the moment is the test
	}
	p.wait()
	u.checkLedger(tag, 1)
}

// trainers lists the trainer processes of this home.
func (u *user) trainers() (pids []string) {
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		b, err := os.ReadFile(p)
		if err == nil && strings.Contains(string(b), filepath.Join(u.home, "runs")) {
			pids = append(pids, filepath.Base(filepath.Dir(p)))
		}
	}
	return pids
}

// checkResumed proves that a killed run went on from its checkpoint: its curve
// has every step once, and more than one attempt made it.
func (u *user) checkResumed(tag string, n int, reached int64) {
	t := u.t
	t.Helper()
	m := row(t, u.history(tag), n).Measurements[0]
	require.Greater(t, m.Attempts, 1)
	steps := stepsIn(u.runFile(tag, n, "metrics.jsonl"))
	require.NotEmpty(t, steps)
	for i := 1; i < len(steps); i++ {
		require.Greater(t, steps[i], steps[i-1], "each step once")
	}
	log, err := os.ReadFile(u.runFile(tag, n, "train.log"))
	require.NoError(t, err)
	require.Regexp(t, `--- attempt 2\n.*from step [1-9]`, string(log), "the run went on from a checkpoint; it had reached step %d", reached)
}
