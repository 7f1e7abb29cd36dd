package e2e

import (
	"encoding/json"
	"fmt"
	"go/format"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// A campaign of bad ideas, one of which changes nothing and is kept because its
// seed was lucky. Its check measures it again and refutes it: the incumbent and
// the branches move back, and what was prepared on it is made again on the
// baseline. With kill -9 in the middle of the check, of the worker and of
// everything, the ledger ends the same.
func TestLuckIsRolledBack(t *testing.T) {
	t.Parallel()
	const tag = "luck"
	const experiments = luckyOne + 2
	calm := newUser(t).noop()
	seed, salt := luck(t)
	calm.env = []string{"AUTORESEARCH_SCRIPT=" + luckyScript(t, salt, experiments)}
	wild := newUser(t)
	git(t, wild.clone, "fetch", "-q", calm.clone, "HEAD")
	git(t, wild.clone, "reset", "-q", "--hard", "FETCH_HEAD")
	wild.env = calm.env
	up := []string{
		"up", "--target", "noop", "--proposer", "script", "--policy", "confirm/1", "--seed", fmt.Sprint(seed), "--seeds", "3",
		"--tag", tag, "--experiments", fmt.Sprint(experiments), "--confirm-share", "0.5", "--exit",
	}
	calm.run(up...)

	p := wild.start(up...)
	check := wild.checking(tag)
	p.kill() // the worker in the middle of the check; the engine lives
	p = wild.start(up...)
	wild.checking(tag)
	p.kill() // and everything
	wild.killEngine()
	require.NoError(t, os.RemoveAll(filepath.Join(wild.home, "engine")), "with Temporal's database")
	wild.start(up...).wait()

	for _, u := range []*user{calm, wild} {
		u.checkLedger(tag, experiments)
		rows, base := u.history(tag), u.campaign(tag).Base
		lucky, refuted := row(t, rows, luckyOne), row(t, rows, check)
		require.Equal(t, []any{experiment.Keep, experiment.Improved}, []any{lucky.Verdict, lucky.Reason})
		require.Equal(t, []any{experiment.Discard, experiment.Refuted, fmt.Sprintf("confirm #%d: nothing at all", luckyOne)}, []any{refuted.Verdict, refuted.Reason, refuted.Title})
		require.Equal(t, lucky.Commit, refuted.Commit)
		require.Equal(t, base, refuted.Incumbent.Commit, "the incumbent is what it was before")

		rebased := 0
		for _, r := range rows {
			if r.Sequence > refuted.Sequence && r.Check == nil {
				require.Equal(t, base, r.Parent, "#%d", r.Experiment)
				if slices.Contains(u.parents(tag, r.Experiment), lucky.Commit) {
					rebased++
				}
			}
		}
		require.Positive(t, rebased, "what was prepared on it was made again")
		best := u.best(tag)
		require.Equal(t, []any{0, base, 1}, []any{best.Experiment, best.Commit, best.RolledBack})
		table, err := os.ReadFile(experiment.Home(u.home).Results(tag))
		require.NoError(t, err)
		require.Contains(t, string(table), "\tcheck\t"+refuted.Title+"\t")
	}
	want, got := calm.history(tag), wild.history(tag)
	require.Len(t, got, len(want))
	for _, r := range want {
		other := row(t, got, r.Experiment)
		require.Equal(t, []any{calm.outcome(r), r.Verdict, r.Reason}, []any{wild.outcome(other), other.Verdict, other.Reason})
	}
}

// parents are the commits that the proposals of an experiment were to change.
func (u *user) parents(tag string, n int) (commits []string) {
	files, _ := filepath.Glob(filepath.Join(experiment.Home(u.home).Artifacts(), experiment.Key(tag, n, "proposal-*.json")))
	for _, f := range files {
		var p experiment.Proposal
		readJSON(u.t, f, &p)
		commits = append(commits, p.Parent)
	}
	return commits
}

// checking waits until a check trains, and says which number it has.
func (u *user) checking(tag string) (n int) {
	u.t.Helper()
	eventually(u.t, "a check trains", func() bool {
		for _, n = range u.begun(tag) {
			has := func(name string) bool {
				_, err := os.Stat(filepath.Join(experiment.Home(u.home).Artifacts(), experiment.Key(tag, n, name)))
				return err == nil
			}
			runs, _ := filepath.Glob(filepath.Join(u.home, "runs", tag, fmt.Sprintf("%04d-0-*", n)))
			if has("check.json") && !has("run-0.json") && len(runs) > 0 {
				return true
			}
		}
		return false
	})
	return n
}

// luckyOne is the number of the lucky candidate. Enough bad ones come before it
// for its check not to wait: see the policy's Worth.
const luckyOne = 6

// lasting is how long a run of the lucky candidate takes, so that there is time
// to kill it.
const lasting = 3

// luckyEdit changes nothing that the score depends on, but the noise.
func luckyEdit(salt int) experiment.Edit {
	return experiment.Edit{Path: "noop/train.go", Search: "\tOutcome = \"ok\"\n", Replace: fmt.Sprintf("\tOutcome = \"ok\"\n\tSalt = %d\n\tSeconds = %d\n", salt, lasting)}
}

// luckyScript has bad candidates around the lucky one.
func luckyScript(t *testing.T, salt, experiments int) string {
	t.Helper()
	lucky, err := json.Marshal(experiment.Proposal{Title: "nothing at all", Edits: []experiment.Edit{luckyEdit(salt)}})
	require.NoError(t, err)
	var lines []string
	for n := 1; n <= experiments+8; n++ { // checks have numbers, too
		lines = append(lines, fmt.Sprintf(`{"set":{"LR":0.0%d}}`, 80+n))
	}
	lines[luckyOne-1] = string(lucky)
	path := filepath.Join(t.TempDir(), "script.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644))
	return path
}

// luck finds a campaign's seed under which the baseline is measured about right,
// and a candidate that has luck with its seed, and none with those of the checks
// that may follow.
func luck(t *testing.T) (seed uint64, salt int) {
	t.Helper()
	base := hashOf(t, target.NoopSource)
	for seed = 1; ; seed++ {
		sum := 0.0
		for k := range 3 {
			sum += noise(base, seed, 0, k)
		}
		if sum/3 > -0.1 && sum/3 < 0.1 {
			break
		}
	}
	edit := luckyEdit(12345)
	lucky, err := format.Source([]byte(strings.Replace(target.NoopSource, edit.Search, edit.Replace, 1)))
	require.NoError(t, err)
	for salt = 10000; salt < 99999; salt++ {
		hash := hashOf(t, strings.Replace(string(lucky), "12345", fmt.Sprint(salt), 1))
		luck := noise(hash, seed, luckyOne, 0)
		unlucky := luck < -2.2 && luck > -2.8 // more would be too good to be urgent
		for n := luckyOne + 1; n <= luckyOne+5 && unlucky; n++ {
			unlucky = noise(hash, seed, n, 0) > 0.3
		}
		if unlucky {
			return seed, salt
		}
	}
	require.Fail(t, "no luck")
	return 0, 0
}

func hashOf(t *testing.T, source string) uint64 {
	t.Helper()
	h := fnv.New64a()
	_, err := h.Write([]byte(source))
	require.NoError(t, err)
	return h.Sum64()
}

// noise is the part of a noop score that depends on the seed: see target.Noop.
func noise(hash, campaign uint64, n, run int) float64 {
	return rand.New(rand.NewPCG(hash, experiment.Seed(campaign, n, run))).NormFloat64()
}
