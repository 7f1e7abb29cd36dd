package verify_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/activities/ledger/verify"
	"github.com/autoresearch-go/autoresearch/activities/ledger/verify/verifytest"
	"github.com/autoresearch-go/autoresearch/activities/policy"
	"github.com/autoresearch-go/autoresearch/activities/repo"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// BenchmarkVerify checks a campaign of threshold/1 with VERIFY_DECISIONS
// decisions, 1,000 if that is not set, whose candidates are made by
// git fast-import:
//
//	VERIFY_DECISIONS=10000 go test ./activities/ledger/verify -run xxx -bench Verify -benchtime 1x
func BenchmarkVerify(b *testing.B) {
	n, err := strconv.Atoi(os.Getenv("VERIFY_DECISIONS"))
	if err != nil {
		n = 1000
	}
	home, err := long(b, n)
	if err != nil {
		b.Fatal(err)
	}
	o := options(home)
	o.Deep = false
	for b.Loop() {
		r, err := verify.Run(b.Context(), tag, o)
		if err != nil || r.Decisions != n || len(r.Findings) > 0 {
			b.Fatalf("%d decisions, %d findings, first %v, %v", r.Decisions, len(r.Findings), r.Findings[:min(3, len(r.Findings))], err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "us/decision")
}

// long makes a campaign of the real one's beginning and many discarded
// candidates.
func long(b *testing.B, n int) (experiment.Home, error) {
	home, err := verifytest.Make(b.Context(), b.TempDir(), verifytest.Options{Tag: tag, Policy: "threshold/1"})
	if err != nil {
		return "", err
	}
	v := vandal{b, home}
	all := v.all()
	last := all[len(all)-1]
	var c experiment.Campaign
	if err := json.Unmarshal([]byte(v.read("artifacts/mar5/campaign.json")), &c); err != nil {
		return "", err
	}
	numbers := make([]int, 0, n)
	for i := len(all); i < n; i++ {
		numbers = append(numbers, i)
	}
	commits, err := fastImport(home, last.Incumbent.Commit, numbers)
	if err != nil {
		return "", err
	}
	sources, err := archives(b, home, c, commits)
	if err != nil {
		return "", err
	}
	judge, err := policy.ByName("threshold/1")
	if err != nil {
		return "", err
	}
	before := ledger.Digest([]byte(v.read(result(last.Experiment))))
	for i, k := range numbers {
		m := last.Measurements[0]
		m.Seed, m.ValBpb, m.Failure = experiment.Seed(c.Settings.Seed, k, 0), 3, nil
		r := experiment.Result{
			Campaign: tag, Experiment: k, Sequence: k, Commit: commits[i], Parent: last.Incumbent.Commit, Title: fmt.Sprint("idea ", k), Proposer: "script",
			Measurements: []experiment.Measurement{m}, SyntaxTokens: 21, Against: &last.Incumbent, Noise: last.NoiseAfter, Policy: judge.Name(),
			Data: c.Data, Program: c.Program, Previous: before, Source: sources[commits[i]], Evaluator: c.Evaluator, DecidedAt: verifytest.Began.Add(time.Duration(k) * time.Minute),
		}
		d := judge.Decide(policy.Input{Experiment: k, Commit: r.Commit, Parent: r.Parent, Title: r.Title, SyntaxTokens: 21, PriorStdDev: c.PriorStdDev, Measurements: r.Measurements, Incumbent: &last.Incumbent, Noise: last.NoiseAfter})
		r.Verdict, r.Reason, r.ValBpb, r.Threshold, r.Incumbent, r.NoiseAfter = d.Verdict, d.Reason, d.ValBpb, d.Threshold, d.Incumbent, d.Noise
		r.Sum()
		files := map[string]any{
			"proposal-0-0.json": map[string]any{"title": r.Title, "proposer": r.Proposer, "parent": r.Parent},
			"run-0.json":        map[string]any{"measurement": m, "source": r.Source},
			"evaluation.json":   map[string]any{"measurement": m},
		}
		dir := filepath.Join(home.Artifacts(), tag, fmt.Sprintf("%04d", k))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		r.Records = map[string]string{}
		for name, value := range files {
			text, err := json.Marshal(value)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name), text, 0o644)
			}
			if err != nil {
				return "", err
			}
			r.Records[name] = ledger.Digest(text)
		}
		r.Proposed = r.Records["proposal-0-0.json"]
		delete(r.Records, "proposal-0-0.json")
		text, err := json.MarshalIndent(r, "", "  ")
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "result.json"), text, 0o644)
		}
		if err != nil {
			return "", err
		}
		before = ledger.Digest(text)
	}
	return home, os.WriteFile(home.Results(tag), ledger.Table(v.all()), 0o644)
}

// fastImport makes a candidate and its ref for each number.
func fastImport(home experiment.Home, parent string, numbers []int) (commits []string, err error) {
	var in strings.Builder
	for i, n := range numbers {
		message := fmt.Sprintf("idea %d\n\nCampaign: %s\nExperiment: %d\nProposer: script\n", n, tag, n)
		file := strings.Replace(target.NoopSource, "0.03", fmt.Sprintf("0.0%d", n), 1)
		fmt.Fprintf(&in, "commit %s\nmark :%d\ncommitter u <u@x> 1700000000 +0000\ndata %d\n%s\nfrom %s\nM 100644 inline noop/train.go\ndata %d\n%s\n",
			experiment.CandidateRef(tag, n), i+1, len(message), message, parent, len(file), file)
	}
	marks := filepath.Join(home.Repo(), "marks")
	cmd := exec.Command("git", "--git-dir", home.Repo(), "fast-import", "--quiet", "--force", "--export-marks="+marks)
	cmd.Stdin = strings.NewReader(in.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("git fast-import: %w: %s", err, out)
	}
	text, err := os.ReadFile(marks)
	commits = make([]string, len(numbers))
	for line := range strings.Lines(string(text)) {
		var mark int
		var id string
		if _, err := fmt.Sscanf(line, ":%d %s", &mark, &id); err == nil {
			commits[mark-1] = id
		}
	}
	return commits, err
}

// archives are the digests of the candidates' sources.
func archives(b *testing.B, home experiment.Home, c experiment.Campaign, commits []string) (map[string]string, error) {
	r, err := repo.View(home.Repo())
	if err != nil {
		return nil, err
	}
	p, err := r.Packer(b.Context(), c.Base, target.Noop{}.Sources(), target.Noop{}.Editable())
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	return all, p.Digests(b.Context(), commits, func(commit, digest string) { all[commit] = digest })
}
