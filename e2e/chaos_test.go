package e2e

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/activities/proposer/llm/llmtest"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Chaos kills at random moments. To look for longer, or to repeat a failure:
//
//	AUTORESEARCH_CHAOS_KILLS=200 AUTORESEARCH_CHAOS_SEED=7 go test -run Chaos -timeout 2h ./e2e
func chaosOf(t *testing.T, kills int) *chaos {
	t.Helper()
	number := func(name string, otherwise int) int {
		n, err := strconv.Atoi(os.Getenv(name))
		if err != nil {
			return otherwise
		}
		return n
	}
	seed := number("AUTORESEARCH_CHAOS_SEED", int(time.Now().UnixNano()%1e6))
	c := &chaos{kills: number("AUTORESEARCH_CHAOS_KILLS", kills), rng: rand.New(rand.NewPCG(uint64(seed), 1))}
	t.Logf("%d kills, AUTORESEARCH_CHAOS_SEED=%d", c.kills, seed)
	return c
}

type chaos struct {
	kills int
	rng   *rand.Rand
	done  []string // what was killed, for messages
}

// between is a random time.
func (c *chaos) between(low, high time.Duration) time.Duration {
	return low + time.Duration(c.rng.Int64N(int64(high-low)))
}

// script gives each experiment a program of its own, which no other has a line
// of: whatever its parent is by then, the candidate is the same.
func script(t *testing.T, experiments int) string {
	t.Helper()
	var lines strings.Builder
	for n := 1; n <= experiments; n++ {
		lr := 0.001 * math.Pow(100, float64(n)/float64(experiments+1))
		fmt.Fprintf(&lines, `{"title":"idea %d","set":{"LR":%.6f,"Depth":%d,"Window":%q}}`+"\n", n, lr, 1+n%12, []string{"L", "SL", "SSSL"}[n%3])
	}
	path := filepath.Join(t.TempDir(), "script.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(lines.String()), 0o644))
	return path
}

// A campaign that is killed again and again has the experiments of one that was
// left alone, to the last bit of every candidate and every score. The order in
// which they are decided depends on which candidate was prepared first, and so
// do the verdicts: checkLedger sees to it that they follow from that order.
func TestChaosLeavesNoTrace(t *testing.T) {
	t.Parallel()
	c := chaosOf(t, 6)
	const tag = "chaos"
	experiments := 8 + 4*c.kills // enough to be killed in
	up := []string{"up", plain, "--target", "noop", "--proposer", "script", "--parallel", "2", "--tag", tag, "--experiments", strconv.Itoa(experiments), "--seeds", "2", "--exit"}
	calm, wild := newUser(t).noop(), newUser(t)
	git(t, wild.clone, "fetch", "-q", calm.clone, "HEAD")
	git(t, wild.clone, "reset", "-q", "--hard", "FETCH_HEAD")
	calm.env = []string{"AUTORESEARCH_SCRIPT=" + script(t, experiments)}
	wild.env = calm.env
	calm.run(up...)

	wild.survive(c, up, 3*time.Second, wild.killUp, wild.killEngineIfThere, func() string { return wild.killUp() + wild.killEngineIfThere() })

	calm.checkLedger(tag, experiments)
	wild.checkLedger(tag, experiments)
	want, got := calm.history(tag), wild.history(tag)
	for n := range experiments + 1 {
		require.Equal(t, calm.outcome(row(t, want, n)), wild.outcome(row(t, got, n)), "after killing %s", strings.Join(c.done, ", "))
	}
}

// noop commits the target noop, whose experiments take no time and whose scores
// depend on the file and the seed alone.
func (u *user) noop() *user {
	u.t.Helper()
	require.NoError(u.t, os.Mkdir(filepath.Join(u.clone, "noop"), 0o755))
	require.NoError(u.t, os.WriteFile(filepath.Join(u.clone, "noop", "train.go"), []byte(target.NoopSource), 0o644))
	git(u.t, u.clone, "add", "noop")
	git(u.t, u.clone, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "noop")
	return u
}

// outcome is all of a result that depends neither on when the campaign began
// nor on the order of its decisions.
func (u *user) outcome(r experiment.Result) string {
	u.t.Helper()
	tree := git(u.t, experiment.Home(u.home).Repo(), "rev-parse", r.Commit+"^{tree}") // its commit has a date
	text := fmt.Sprintf("#%d %s %s", r.Experiment, tree, r.Title)
	for _, m := range r.Measurements {
		text += fmt.Sprintf(" %d:%v", m.Seed, m.ValBpb)
	}
	return text
}

// The same with a language model that goes away now and then, in the middle of
// an answer even: what was stored is not asked for again.
func TestChaosLanguageModel(t *testing.T) {
	t.Parallel()
	c := chaosOf(t, 6)
	const tag = "chaos"
	experiments := 8 + 3*c.kills
	m := newModel(t, llmtest.Options{Latency: 100 * time.Millisecond})
	u := newUser(t).noop()
	u.env = m.env(apiKey)
	up := []string{"up", plain, "--target", "noop", "--parallel", "2", "--tag", tag, "--experiments", strconv.Itoa(experiments), "--exit"}
	cut := func() string {
		m.shut()
		m.open()
		return " connection"
	}
	busy := func() string {
		m.fail(status(503, `{"error":{"message":"overloaded"}}`, "Retry-After", "1"))
		<-time.After(c.between(0, 2*time.Second)) // a way to fail that lasts
		m.fail(nil)
		return " model"
	}
	u.survive(c, up, 3*time.Second, u.killUp, u.killEngineIfThere, cut, busy, func() string { return u.killUp() + cut() + u.killEngineIfThere() })

	u.checkLedger(tag, experiments)
	u.checkAskedOnce(tag)
	for n, missing := range m.lost(u.notes(tag)) {
		require.Positive(t, missing, "#%d: an answer that nobody gave", n)
		t.Logf("#%d: %d answers never arrived", n, missing)
	}
	for _, r := range u.history(tag)[1:] {
		require.Equal(t, "llm", r.Proposer, "#%d", r.Experiment)
		require.NotContains(t, r.Message, "overloaded", "an outage is no experiment")
	}
}

// A campaign of real training runs whose every part is killed at random
// moments decides each experiment once, and blames no candidate for it.
func TestChaosWhileTraining(t *testing.T) {
	c := chaosOf(t, 5)
	const tag = "chaos"
	experiments := 2 + c.kills/2
	up := []string{"up", plain, "--tag", tag, "--experiments", strconv.Itoa(experiments), "--budget", "1s", "--seeds", "1", "--exit"}
	u := newUser(t)
	trainer := func() string { return u.killTrainer(c.between(0, 2*time.Second)) }
	u.survive(c, up, 8*time.Second, u.killUp, u.killEngineIfThere, trainer,
		func() string { return u.killUp() + u.killEngineIfThere() },
		func() string { return trainer() + u.killEngineIfThere() })

	u.checkLedger(tag, experiments)
	for _, r := range u.history(tag) {
		require.NotEqual(t, experiment.Crash, r.Verdict, "#%d: %s, after killing %s", r.Experiment, r.Message, strings.Join(c.done, ", "))
		steps := stepsIn(u.runFile(tag, r.Experiment, "metrics.jsonl"))
		for i := 1; i < len(steps); i++ {
			require.Greater(t, steps[i], steps[i-1], "#%d has each step once", r.Experiment)
		}
	}
	require.Empty(t, u.trainers(), "no trainer outlives the campaign")
}

// survive runs a command that goes on after each kill, until it is complete.
func (u *user) survive(c *chaos, up []string, most time.Duration, ways ...func() string) {
	u.t.Helper()
	u.up = u.start(up...)
	for len(c.done) < c.kills {
		pause := c.between(most/20, most)
		way := ways[c.rng.IntN(len(ways))]
		select {
		case <-u.up.done:
		case <-time.After(pause): // the moment is the test: there is nothing to poll for
		}
		if u.up.ended() {
			require.NoError(u.t, u.up.err, "it ended after killing %s\n%s", strings.Join(c.done, ", "), u.up.output())
			break // complete
		}
		c.done = append(c.done, strings.TrimSpace(way()))
		if u.up.ended() {
			u.up = u.start(up...)
		}
	}
	if !u.up.ended() {
		u.up.wait()
	}
	u.t.Logf("killed: %s", strings.Join(c.done, ", "))
}

func (u *user) killUp() string {
	u.up.kill()
	return " up"
}

func (u *user) killEngineIfThere() string {
	if pid := u.enginePID(); pid > 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		return " engine"
	}
	return " no-engine"
}

// killTrainer kills a trainer some time after it began, which it waits for:
// they are there for a few seconds only.
func (u *user) killTrainer(after time.Duration) string {
	u.t.Helper()
	eventually(u.t, "a trainer", func() bool { return len(u.trainers()) > 0 || u.up.ended() })
	select {
	case <-u.up.done:
	case <-time.After(after):
	}
	for _, pid := range u.trainers() {
		if n, err := strconv.Atoi(pid); err == nil {
			_ = syscall.Kill(n, syscall.SIGKILL)
			return " trainer"
		}
	}
	return " no-trainer"
}
