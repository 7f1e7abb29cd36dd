package e2e

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/activities/policy"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// What must be true of every campaign that is complete, whatever was done to it
// meanwhile. Experiments are prepared ahead and run side by side, so the order of
// decisions is not the order of numbers, and neither is the same from one
// campaign to the next. What is the same: each number is decided once, each
// decision follows from the one before it, and each run is paid for once.

// plain is for campaigns that are not about confirming: without checks each has
// as many trainings as experiments.
const plain = "--policy=threshold/1"

// checkLedger holds the accounts of a complete campaign against each other: the
// ledger, the artifacts behind it, results.tsv, git, and the workflow's answer.
func (u *user) checkLedger(tag string, experiments int) {
	t := u.t
	t.Helper()
	rows := u.checkDecisions(tag, experiments)
	best := u.best(tag)
	last := rows[len(rows)-1]
	require.Equal(t, experiments, best.Experiments)
	require.Equal(t, best.Experiments, best.Kept+best.Discarded+best.Crashed)
	require.Equal(t, last.Incumbent.Experiment, best.Experiment)
	require.Equal(t, last.Incumbent.Commit, best.Commit)
	require.InDelta(t, last.Incumbent.ValBpb, *best.ValBpb, 0)
	u.checkGit(tag, rows, best)
	u.checkWorkflow(tag, best)
}

// checkDecisions is checkLedger without what needs an engine of the home's own.
func (u *user) checkDecisions(tag string, experiments int) []experiment.Result {
	t := u.t
	t.Helper()
	rows := u.history(tag)
	checks := 0 // have numbers of their own, and count in no limit
	for _, r := range rows {
		if r.Check != nil {
			checks++
		}
	}
	require.Equal(t, upTo(experiments+checks), numbers(rows), "each experiment is decided once, and none is lost")
	require.Equal(t, upTo(experiments+checks), u.begun(tag), "nothing else was begun")
	u.checkChain(tag, rows)
	for _, r := range rows {
		u.checkRuns(tag, r)
	}
	u.checkTable(tag, rows)
	return rows
}

func upTo(n int) (all []int) {
	for i := range n + 1 {
		all = append(all, i)
	}
	return all
}

func numbers(rows []experiment.Result) (all []int) {
	for _, r := range rows {
		all = append(all, r.Experiment)
	}
	slices.Sort(all)
	return all
}

// begun are the numbers that have artifacts.
func (u *user) begun(tag string) (all []int) {
	dirs, _ := os.ReadDir(filepath.Join(experiment.Home(u.home).Artifacts(), tag))
	for _, d := range dirs {
		if n, err := strconv.Atoi(d.Name()); err == nil && d.IsDir() {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all
}

// row is the result of an experiment.
func row(t *testing.T, rows []experiment.Result, n int) experiment.Result {
	t.Helper()
	at := slices.IndexFunc(rows, func(r experiment.Result) bool { return r.Experiment == n })
	require.GreaterOrEqual(t, at, 0, "experiment %d is not decided", n)
	return rows[at]
}

// campaign is what a campaign was started with.
func (u *user) campaign(tag string) (c experiment.Campaign) {
	u.t.Helper()
	readJSON(u.t, filepath.Join(experiment.Home(u.home).Artifacts(), experiment.CampaignKey(tag, "campaign.json")), &c)
	return c
}

// checkChain decides the whole campaign again from its measurements alone, in
// the order of its decisions: each is what the policy says, made against what
// held after the one before.
func (u *user) checkChain(tag string, rows []experiment.Result) {
	t := u.t
	t.Helper()
	campaign := u.campaign(tag)
	judge, err := policy.ByName(campaign.Settings.Policy)
	require.NoError(t, err)
	again := policy.Replay(judge, campaign.PriorStdDev, rows)
	require.Len(t, again, len(rows))
	kept := map[string]bool{} // commits
	var held *experiment.Incumbent
	var noise experiment.Noise
	for i, r := range rows {
		what := fmt.Sprintf("decision %d, of #%d", i, r.Experiment)
		require.Equal(t, i, r.Sequence, "the order of decisions has no gap")
		require.Equal(t, i == 0, r.Experiment == 0, "the baseline comes first")
		require.Equal(t, []any{held, noise}, []any{r.Against, r.Noise}, "%s: made against what held", what)
		d := again[i]
		require.Equal(t, []any{d.Verdict, d.Reason, d.ValBpb, d.Threshold, d.Incumbent, d.Noise},
			[]any{r.Verdict, r.Reason, r.ValBpb, r.Threshold, r.Incumbent, r.NoiseAfter}, what)
		require.Equal(t, campaign.Data, r.Data, what)
		if i > 0 && len(r.Measurements) > 0 {
			require.True(t, kept[r.Parent], "%s: what is trained is a change to what was the incumbent then", what)
		}
		kept[r.Commit] = kept[r.Commit] || r.Verdict == experiment.Keep
		if r.Check != nil {
			of := row(t, rows[:i], r.Check.Of)
			require.Equal(t, []string{of.Commit, of.Commit}, []string{r.Commit, r.Parent}, "%s: it measured what #%d was", what, of.Experiment)
		}
		held, noise = &rows[i].Incumbent, r.NoiseAfter
	}
}

// checkRuns compares an experiment's runs with what was decided on: each was
// trained to its end once, in its last revision, and none was paid for in vain.
func (u *user) checkRuns(tag string, r experiment.Result) {
	t := u.t
	t.Helper()
	dir := filepath.Join(experiment.Home(u.home).Artifacts(), experiment.Key(tag, r.Experiment, ""))
	revision := ""
	if n := u.revision(tag, r.Experiment); n > 0 {
		revision = fmt.Sprintf("-rev-%d", n)
	}
	var want []string
	for k, m := range r.Measurements {
		want = append(want, fmt.Sprintf("run-%d%s.json", k, revision))
		require.Equal(t, experiment.Seed(u.campaign(tag).Settings.Seed, r.Experiment, k), m.Seed)
		var was struct {
			Measurement experiment.Measurement `json:"measurement"`
		}
		readJSON(t, filepath.Join(dir, want[k]), &was)
		w := was.Measurement
		require.Equal(t, []any{w.Seed, w.ChargedSeconds, w.Tokens, w.Steps, w.Attempts},
			[]any{m.Seed, m.ChargedSeconds, m.Tokens, m.Steps, m.Attempts}, "#%d: what was decided on is what was trained", r.Experiment)
		name := strings.TrimSuffix(strings.Replace(want[k], "run", "train", 1), ".json") + ".log"
		log, err := os.ReadFile(filepath.Join(dir, strings.Replace(name, "train-0", "train", 1)))
		require.NoError(t, err)
		require.Equal(t, m.Attempts, max(1, strings.Count("\n"+string(log), "\n--- attempt ")), "#%d: the log has each attempt", r.Experiment)
	}
	records, err := filepath.Glob(filepath.Join(dir, "run-*.json"))
	require.NoError(t, err)
	var got []string
	for _, record := range records {
		got = append(got, filepath.Base(record))
	}
	require.Equal(t, want, got, "#%d: one record for each run, of its last revision", r.Experiment)
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, v), path)
}

// revision is that of an experiment's newest proposal.
func (u *user) revision(tag string, n int) (newest int) {
	files, _ := filepath.Glob(filepath.Join(experiment.Home(u.home).Artifacts(), experiment.Key(tag, n, "proposal-*.json")))
	for _, f := range files {
		var revision int
		_, _ = fmt.Sscanf(filepath.Base(f), "proposal-%d-", &revision)
		newest = max(newest, revision)
	}
	return newest
}

// checkTable compares results.tsv with the ledger, row by row.
func (u *user) checkTable(tag string, rows []experiment.Result) {
	t := u.t
	t.Helper()
	text, err := os.ReadFile(experiment.Home(u.home).Results(tag))
	require.NoError(t, err)
	require.Equal(t, string(ledger.Table(rows)), string(text), "the table is what the ledger gives")
	table := csv.NewReader(bytes.NewReader(text)) // as a stranger's script reads it
	table.Comma, table.LazyQuotes = '\t', true
	lines, err := table.ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{"commit", "val_bpb", "memory_gb", "status", "description", "experiment"}, lines[0][:6])
	require.Len(t, lines, len(rows)+1)
	for i, r := range rows {
		line := lines[i+1]
		require.True(t, strings.HasPrefix(r.Commit, line[0]), "commit of row %d", i)
		status := string(r.Verdict)
		if r.Check != nil {
			status = "check" // whoever reads Karpathy's columns alone must not take it for a try
		}
		require.Equal(t, []string{status, strconv.Itoa(r.Experiment)}, []string{line[3], line[5]}, "row %d", i)
		if r.ValBpb != nil {
			v, err := strconv.ParseFloat(line[1], 64)
			require.NoError(t, err)
			require.InDelta(t, *r.ValBpb, v, 1e-6)
		}
	}
}

// checkGit compares refs, commits and branch with the ledger.
func (u *user) checkGit(tag string, rows []experiment.Result, best experiment.Best) {
	t := u.t
	t.Helper()
	bare := experiment.Home(u.home).Repo()
	refs := map[string]string{}
	for ref := range strings.Lines(git(t, bare, "for-each-ref", "--format=%(refname) %(objectname)", "refs/experiments/"+tag)) {
		name, commit, _ := strings.Cut(strings.TrimSpace(ref), " ")
		refs[name] = commit
	}
	for _, r := range rows {
		ref := refs[experiment.CandidateRef(tag, r.Experiment)]
		if r.Commit == "" && ref != "" { // of an earlier revision: the last one came to no candidate
			require.Contains(t, u.applied(tag, r.Experiment), ref, "#%d", r.Experiment)
			continue
		}
		require.Equal(t, r.Commit, ref, "#%d", r.Experiment)
		if r.Commit != "" && r.Experiment > 0 && r.Check == nil {
			require.Equal(t, r.Parent, git(t, bare, "rev-parse", r.Commit+"^"), "the parent of candidate %d", r.Experiment)
		}
	}
	require.Equal(t, best.Commit, git(t, bare, "rev-parse", experiment.Branch(tag)))
	require.Equal(t, best.Commit, git(t, u.clone, "rev-parse", experiment.Branch(tag)), "the branch in the user's checkout")
	require.Empty(t, git(t, u.clone, "status", "--porcelain"), "the checkout is untouched")
	git(t, bare, "fsck", "--no-dangling")
}

// applied lists the candidates that an experiment has had.
func (u *user) applied(tag string, n int) (commits []string) {
	files, _ := filepath.Glob(filepath.Join(experiment.Home(u.home).Artifacts(), experiment.Key(tag, n, "apply-*.json")))
	for _, f := range files {
		var applied struct{ Commit string }
		readJSON(u.t, f, &applied)
		commits = append(commits, applied.Commit)
	}
	return commits
}

// checkWorkflow brings the engine back if need be, and looks into it.
func (u *user) checkWorkflow(tag string, best experiment.Best) {
	t := u.t
	t.Helper()
	if u.enginePID() == 0 {
		w := u.start("worker") // brings the engine back; a query needs a worker
		defer w.kill()
		eventually(t, "the engine is back", func() bool { return u.enginePID() > 0 && u.engine().Ready })
	}
	checkExecutions(t, u.temporal(), tag, best)
}

// checkExecutions reads the campaign's result and search attributes from
// Temporal, where nothing of it runs any more.
func checkExecutions(t *testing.T, c client.Client, tag string, best experiment.Best) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var answer experiment.Best
	eventually(t, "the query is answered", func() bool {
		v, err := c.QueryWorkflow(ctx, experiment.ResearchID(tag), "", "best")
		return err == nil && v.Get(&answer) == nil
	})
	require.Equal(t, best.Commit, answer.Commit)
	require.InDelta(t, *best.ValBpb, *answer.ValBpb, 0)
	require.Equal(t, best.Tally, answer.Tally)
	d, err := c.DescribeWorkflowExecution(ctx, experiment.ResearchID(tag), "")
	require.NoError(t, err)
	var shown float64
	require.NoError(t, json.Unmarshal(d.WorkflowExecutionInfo.SearchAttributes.IndexedFields["BestValBpb"].Data, &shown))
	require.InDelta(t, *best.ValBpb, shown, 0)
	eventually(t, "nothing of the campaign runs any more", func() bool {
		open, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{
			Query: fmt.Sprintf("ExecutionStatus = 'Running' AND Campaign = '%s'", tag),
		})
		return err == nil && open.GetCount() == 0
	})
}
