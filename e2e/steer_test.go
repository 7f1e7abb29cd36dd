package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/activities/proposer/llm/llmtest"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// People have a say while a campaign runs.

// awaiting waits until candidates wait for an answer that are none of the known
// ones, and names the first of them.
func (u *user) awaiting(tag string, known ...int) (n int) {
	u.t.Helper()
	eventually(u.t, "a candidate waits for approval", func() bool {
		for _, n = range u.inStage(tag, experiment.Awaiting) {
			if !slices.Contains(known, n) {
				return true
			}
		}
		return false
	})
	return n
}

// Candidates wait for a person, who lets one be trained and rejects another; for
// the rest the default answers.
func TestApproval(t *testing.T) {
	t.Parallel()
	u := newUser(t).noop()
	const tag = "asked"
	p := u.start("up", plain, "--target", "noop", "--tag", tag, "--experiments", "8", "--approve", "--approve-within", "1h", "--exit")
	first := u.awaiting(tag)
	eventually(t, "up asks", func() bool {
		return strings.Contains(p.output(), "autoresearch approve "+strconv.Itoa(first)+" --tag asked")
	})
	u.fails(1, "experiment 99 is not under way", "approve", "99", "--tag", tag)
	u.run("reject", strconv.Itoa(first), "--because", "tried last year", "--tag", tag)
	second := u.awaiting(tag, first)
	u.run("approve", strconv.Itoa(second), "--tag", tag)
	u.run("approval", "reject", "--within", "3s", "--tag", tag)
	eventually(t, "the default rejects one", func() bool { return len(u.rejected(tag)) >= 2 })
	u.run("approval", "accept", "--within", "1s", "--tag", tag)
	p.wait()

	u.checkLedger(tag, 8)
	rows := u.history(tag)
	require.Contains(t, row(t, rows, first).Message, "tried last year")
	rejected := u.rejected(tag)
	require.Contains(t, rejected, first)
	require.Less(t, len(rejected), 7, "the default accepts, too")
	for _, r := range rows[1:] {
		if !slices.Contains(rejected, r.Experiment) {
			require.Len(t, r.Measurements, 1, "#%d was trained", r.Experiment)
			continue
		}
		require.Equal(t, experiment.Discard, r.Verdict)
		require.Nil(t, r.ValBpb)
		require.Empty(t, r.Measurements)
		require.NotEmpty(t, r.Commit, "the candidate is kept: somebody may change their mind")
		require.Regexp(t, "tried last year|nobody approved it in time", r.Message)
	}
	require.NotContains(t, rejected, second, "the approved one was trained")
}

func (u *user) rejected(tag string) (all []int) {
	for _, r := range u.history(tag) {
		if r.Reason == experiment.Rejected {
			all = append(all, r.Experiment)
		}
	}
	return all
}

// A person's change goes the way of all others, and program.md may be edited
// while the campaign runs: each experiment says which text it saw.
func TestIdeaAndProgram(t *testing.T) {
	u := newUser(t)
	const tag = "idea"
	p := u.start("up", plain, "--tag", tag, "--experiments", "3", "--budget", "1s", "--seeds", "1", "--exit")
	u.training(tag, 0)
	eventually(t, "the first experiment is proposed", func() bool {
		return exists(filepath.Join(experiment.Home(u.home).Artifacts(), experiment.Key(tag, 1, "proposal-0-0.json")))
	})
	program := filepath.Join(u.clone, "program.md")
	text, err := os.ReadFile(program)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(program, append(text, "\nThink small.\n"...), 0o644))

	source := filepath.Join(u.clone, "trainer", "train.go")
	src, err := os.ReadFile(source)
	require.NoError(t, err)
	changed := regexp.MustCompile(`(\bSoftcap +=) 15.0`).ReplaceAllString(string(src), "$1 13.0")
	require.NotEqual(t, string(src), changed)
	patch := filepath.Join(t.TempDir(), "by-hand.patch")
	require.NoError(t, os.WriteFile(patch, u.diff(source, changed), 0o644))
	u.fails(1, "the patch does not fit commit", "propose", u.stale(patch), "--tag", tag)
	u.run("propose", patch, "--hypothesis", "the cap is too high", "--tag", tag)

	p.wait()
	require.NoError(t, os.WriteFile(program, text, 0o644))
	u.checkLedger(tag, 3)
	rows := u.history(tag)
	var person []int
	// Experiment 1 was proposed before the edit. If the idea was kept first, it was
	// proposed again, after it.
	var proposal struct {
		Program string `json:"program"`
	}
	b, err := os.ReadFile(filepath.Join(experiment.Home(u.home).Artifacts(), experiment.Key(tag, 1, "proposal-0-0.json")))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &proposal))
	programs := map[string]bool{proposal.Program: true}
	for _, r := range rows[1:] {
		programs[r.Program] = true
		if r.Proposer == experiment.Person {
			person = append(person, r.Experiment)
			require.Equal(t, "patch by-hand.patch", r.Title)
			require.NotEqual(t, experiment.Crash, r.Verdict, r.Message)
		}
	}
	require.Len(t, person, 1, "one idea, one experiment")
	require.Len(t, programs, 2, "before and after the edit")
	for digest := range programs {
		require.FileExists(t, filepath.Join(experiment.Home(u.home).Artifacts(), experiment.CampaignKey(tag, "program-"+digest+".md")))
	}
	require.NotEqual(t, proposal.Program, row(t, rows, person[0]).Program)
}

// diff is git's, of a change to a file that is then taken back.
func (u *user) diff(path, to string) []byte {
	u.t.Helper()
	from, err := os.ReadFile(path)
	require.NoError(u.t, err)
	require.NoError(u.t, os.WriteFile(path, []byte(to), 0o644))
	cmd := exec.Command("git", "diff", path)
	cmd.Dir = u.clone
	out, err := cmd.Output()
	require.NoError(u.t, err)
	require.NoError(u.t, os.WriteFile(path, from, 0o644))
	return out
}

// stale is a patch to lines that are not there.
func (u *user) stale(patch string) string {
	u.t.Helper()
	b, err := os.ReadFile(patch)
	require.NoError(u.t, err)
	path := filepath.Join(u.t.TempDir(), "stale.patch")
	require.NoError(u.t, os.WriteFile(path, []byte(strings.Replace(string(b), "= 15.0", "= 17.5", 1)), 0o644))
	return path
}

// Several proposers take turns by their shares.
func TestMixedProposers(t *testing.T) {
	t.Parallel()
	m := newModel(t, llmtest.Options{})
	u := newUser(t).noop()
	u.env = m.env(apiKey)
	const tag = "mixed"
	u.run("up", plain, "--target", "noop", "--proposer", "llm:1,hpo:1", "--tag", tag, "--experiments", "8", "--exit")
	u.checkLedger(tag, 8)
	shares, err := experiment.ParseProposers("llm:1,hpo:1")
	require.NoError(t, err)
	count := map[string]int{}
	for _, r := range u.history(tag)[1:] {
		require.Equal(t, experiment.ProposerOf(shares, r.Experiment), r.Proposer, "#%d", r.Experiment)
		count[r.Proposer]++
	}
	require.Equal(t, map[string]int{"llm": 4, "hpo": 4}, count)
	u.checkPaidOnce(tag, m)
}

// A campaign is stopped while candidates are prepared: what trains is decided,
// and the rest leaves no row. When it goes on, what was proposed is not paid for
// again.
func TestStopWithPrepared(t *testing.T) {
	m := newModel(t, llmtest.Options{})
	u := newUser(t)
	u.env = m.env(apiKey)
	const tag = "stopped"
	p := u.start("up", plain, "--tag", tag, "--experiments", "20", "--budget", "5s", "--seeds", "1", "--exit")
	trains := u.trainsNext(tag)
	eventually(t, "a candidate is prepared for either verdict", func() bool { return len(u.inStage(tag, experiment.Ready)) == 2 })
	u.run("stop", "--tag", tag)
	p.wait()
	decided := numbers(u.history(tag))
	require.Contains(t, decided, trains)
	open := slices.DeleteFunc(u.begun(tag), func(n int) bool { return slices.Contains(decided, n) })
	require.GreaterOrEqual(t, len(open), 2, "what was prepared left no row")
	before, lost := m.calls(), m.lost(u.notes(tag))

	all := len(decided) - 1 + len(open)
	u.start("up", plain, "--tag", tag, "--experiments", strconv.Itoa(all), "--exit").wait()
	u.checkLedger(tag, all)
	reused := 0
	for _, n := range open {
		if before[n] > 0 && u.revision(tag, n) == 0 {
			require.Equal(t, before[n], m.calls()[n], "#%d", n)
			reused++
		}
	}
	require.Positive(t, reused, "one was a change to what is the incumbent now")
	require.Equal(t, lost, m.lost(u.notes(tag)), "what was stored was not asked for again")
	u.checkAskedOnce(tag)
}
