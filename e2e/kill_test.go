package e2e

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// A campaign whose `up` and engine are killed, alone and together, in the
// middle of training ends with the ledger that it would have had anyway.
func TestKillAnything(t *testing.T) {
	u := newUser(t)
	const tag = "kill"
	up := []string{"up", "--tag", tag, "--experiments", "3", "--budget", "2s", "--seeds", "2", "--exit"}

	p := u.start(up...)
	u.training(tag, 0)
	u.killEngine() // the engine alone: `up` brings it back

	u.training(tag, 1)
	reached := u.steps(tag, 1)
	p.kill() // `up` with its workers: the trainer dies with it, the engine lives
	require.Positive(t, u.enginePID(), "the engine outlives the worker")
	eventually(t, "the trainer died with its worker", 10*time.Second, func() bool { return len(u.trainers()) == 0 })

	p = u.start(up...)
	u.training(tag, 2)
	p.kill() // both at once: a power cut
	u.killEngine()

	p = u.start(up...)
	u.training(tag, 3)
	u.killEngine()
	p.wait(5 * time.Minute)

	u.checkLedger(tag, 3)
	u.checkResumed(tag, 1, reached[len(reached)-1])
}

// A worker process of its own, killed while it trains, is replaced by the next.
func TestKillWorker(t *testing.T) {
	u := newUser(t)
	const tag = "worker"
	w := u.start("worker")
	eventually(t, "the engine is ready", 2*time.Minute, func() bool { return u.engine().Ready && u.enginePID() > 0 })
	u.run("start", "--tag", tag, "--experiments", "1", "--budget", "2s", "--seeds", "1")
	u.training(tag, 1)
	w.kill()
	eventually(t, "the trainer died with its worker", 10*time.Second, func() bool { return len(u.trainers()) == 0 })
	u.start("worker")

	c := u.temporal()
	var best experiment.Best
	require.NoError(t, c.GetWorkflow(context.Background(), experiment.ResearchID(tag), "").Get(context.Background(), &best))
	require.Equal(t, 1, best.Experiments)
	u.checkLedger(tag, 1)
	require.Greater(t, u.history(tag)[1].Measurements[0].Attempts, 1, "the killed run was attempted again")
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

// checkLedger holds the four accounts of a campaign against each other: the
// ledger, results.tsv, git, and the workflow's answer.
func (u *user) checkLedger(tag string, experiments int) {
	t := u.t
	t.Helper()
	rows := u.history(tag)
	require.Len(t, rows, experiments+1)
	bestOfLedger := rows[0]
	for n, r := range rows {
		require.Equal(t, n, r.Experiment, "each experiment once, in order")
		require.Equal(t, n == 0, r.Reason == experiment.Baseline, "one baseline")
		require.Equal(t, n == 0, r.Against == nil, "every other experiment had an incumbent to beat")
		require.Contains(t, []experiment.Verdict{experiment.Keep, experiment.Discard, experiment.Crash}, r.Verdict)
		if r.Verdict == experiment.Keep {
			bestOfLedger = r
		}
	}
	best := u.best(tag)
	require.Equal(t, experiments, best.Experiments)
	require.Equal(t, best.Experiments, best.Kept+best.Discarded+best.Crashed)
	require.Equal(t, bestOfLedger.Experiment, best.Experiment)
	require.Equal(t, bestOfLedger.Commit, best.Commit)
	require.InDelta(t, *bestOfLedger.ValBpb, *best.ValBpb, 0)

	u.checkTable(tag, rows)
	u.checkGit(tag, rows, best)
	u.checkWorkflow(tag, best)
}

func (u *user) checkTable(tag string, rows []experiment.Result) {
	t := u.t
	t.Helper()
	f, err := os.Open(experiment.Home(u.home).Results(tag))
	require.NoError(t, err)
	defer f.Close()
	table := csv.NewReader(f)
	table.Comma, table.LazyQuotes = '\t', true
	lines, err := table.ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{"commit", "val_bpb", "memory_gb", "status", "description"}, lines[0][:5])
	require.Len(t, lines, len(rows)+1)
	for i, r := range rows {
		line := lines[i+1]
		require.True(t, strings.HasPrefix(r.Commit, line[0]), "commit of row %d", i)
		require.Equal(t, string(r.Verdict), line[3])
		if r.ValBpb != nil {
			v, err := strconv.ParseFloat(line[1], 64)
			require.NoError(t, err)
			require.InDelta(t, *r.ValBpb, v, 1e-6)
		}
	}
}

func (u *user) checkGit(tag string, rows []experiment.Result, best experiment.Best) {
	t := u.t
	t.Helper()
	bare := experiment.Home(u.home).Repo()
	for _, r := range rows {
		if r.Commit != "" {
			require.Equal(t, r.Commit, git(t, bare, "rev-parse", experiment.CandidateRef(tag, r.Experiment)))
		}
	}
	require.Equal(t, best.Commit, git(t, bare, "rev-parse", experiment.Branch(tag)))
	require.Equal(t, best.Commit, git(t, u.clone, "rev-parse", experiment.Branch(tag)), "the branch in the user's checkout")
	require.Empty(t, git(t, u.clone, "status", "--porcelain"), "the checkout is untouched")
	git(t, bare, "fsck", "--no-dangling")
}

// checkWorkflow reads the campaign's result and search attributes from Temporal.
func (u *user) checkWorkflow(tag string, best experiment.Best) {
	t := u.t
	t.Helper()
	if u.enginePID() == 0 {
		w := u.start("worker") // brings the engine back; a query needs a worker
		defer w.kill()
		eventually(t, "the engine is back", time.Minute, func() bool { return u.enginePID() > 0 && u.engine().Ready })
	}
	c := u.temporal()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var answer experiment.Best
	eventually(t, "the query is answered", time.Minute, func() bool {
		v, err := c.QueryWorkflow(ctx, experiment.ResearchID(tag), "", "best")
		return err == nil && v.Get(&answer) == nil
	})
	require.Equal(t, best.Commit, answer.Commit)
	require.InDelta(t, *best.ValBpb, *answer.ValBpb, 0)
	d, err := c.DescribeWorkflowExecution(ctx, experiment.ResearchID(tag), "")
	require.NoError(t, err)
	var shown float64
	require.NoError(t, json.Unmarshal(d.WorkflowExecutionInfo.SearchAttributes.IndexedFields["BestValBpb"].Data, &shown))
	require.InDelta(t, *best.ValBpb, shown, 0)
}

// checkResumed proves that a killed run went on from its checkpoint: its curve
// has every step once, and more than one attempt made it.
func (u *user) checkResumed(tag string, n int, reached int64) {
	t := u.t
	t.Helper()
	m := u.history(tag)[n].Measurements[0]
	require.Greater(t, m.Attempts, 1)
	steps := stepsIn(filepath.Join(experiment.Home(u.home).Artifacts(), experiment.Key(tag, n, "metrics.jsonl")))
	require.NotEmpty(t, steps)
	for i := 1; i < len(steps); i++ {
		require.Greater(t, steps[i], steps[i-1], "each step once")
	}
	log, err := os.ReadFile(filepath.Join(experiment.Home(u.home).Artifacts(), experiment.Key(tag, n, "train.log")))
	require.NoError(t, err)
	require.Regexp(t, `--- attempt 2\n.*from step [1-9]`, string(log), "the run went on from a checkpoint; it had reached step %d", reached)
}
