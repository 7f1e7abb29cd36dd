package e2e

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// Two experiments train side by side, a core each. `up` is killed in the middle
// of both, and the next one goes on with both from their checkpoints.
func TestParallelResumes(t *testing.T) {
	u := newUser(t)
	const tag = "pair"
	up := []string{"up", plain, "--tag", tag, "--parallel", "2", "--cores", "1", "--experiments", "4", "--budget", "3s", "--seeds", "2", "--exit"}
	p := u.start(up...)
	eventually(t, "status shows two trainings", func() bool {
		training := u.inStage(tag, experiment.Training)
		return len(training) == 2 && training[0] > 0
	})
	pair := u.pair(tag)
	require.LessOrEqual(t, len(u.trainers()), 2)
	p.kill()
	eventually(t, "the trainers died with their worker", func() bool { return len(u.trainers()) == 0 })
	for _, n := range pair {
		require.False(t, u.trained(tag, n), "#%d was killed in the middle", n)
	}

	u.start(up...).wait()
	u.checkLedger(tag, 4)
	for _, n := range pair {
		u.checkResumed(tag, n, 1)
	}
	for _, r := range u.history(tag) {
		require.NotEqual(t, experiment.Crash, r.Verdict, r.Message)
	}
}

// pair waits until two experiments are in training and have checkpoints.
func (u *user) pair(tag string) (pair []int) {
	u.t.Helper()
	eventually(u.t, "two experiments have checkpoints", func() bool {
		pair = nil
		for _, n := range u.begun(tag) {
			if n > 0 && len(u.steps(tag, n)) > 0 && len(u.checkpoints(tag, n)) > 0 && !u.trained(tag, n) {
				pair = append(pair, n)
			}
		}
		return len(pair) == 2
	})
	return pair
}

// trained says whether the run of an experiment is over.
func (u *user) trained(tag string, n int) bool {
	_, err := os.Stat(u.runFile(tag, n, "run-0.json"))
	return err == nil
}
