// Package verifytest makes campaigns of the target noop by the real activities,
// without Temporal: a home with a repository, artifacts and a ledger such as a
// worker leaves behind. Tests of what reads a ledger start from one.
package verifytest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/activities/policy"
	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Began is when a campaign starts; each decision is a minute later.
var Began = time.Date(2026, 3, 5, 9, 0, 0, 0, time.UTC)

// Edit is a candidate: a line of noop/train.go instead of another.
type Edit struct{ Old, New string }

// Edits are the candidates of a campaign: three that are better, one that is
// worse, one that does not build and one whose loss is no number.
var Edits = []Edit{
	{`LR      = 0.03`, `LR      = 0.015`},
	{`Depth   = 3`, `Depth   = 4`},
	{`Outcome = "ok"`, `Outcome = "build-failed"`},
	{`Depth   = 4`, `Depth   = 11`},
	{`Outcome = "ok"`, `Outcome = "nan"`},
	{`Window  = "L"`, `Window  = "SSSL"`},
}

// Options says what campaign to make.
type Options struct {
	Tag      string
	Policy   string        // the default where it is empty
	Signer   ledger.Signer // of every decision; nil is nobody
	Checks   int           // at most so many checks after each candidate, if the policy wants them
	Settings experiment.Settings
}

// Make makes a campaign in dir/home, from a checkout in dir/checkout, and returns
// the home.
func Make(ctx context.Context, dir string, o Options) (experiment.Home, error) {
	m := &maker{Options: o, next: 1}
	if err := m.open(ctx, dir); err != nil {
		return "", err
	}
	if err := m.baseline(ctx); err != nil {
		return "", fmt.Errorf("baseline: %w", err)
	}
	for _, e := range Edits {
		if err := m.experiment(ctx, e); err != nil {
			return "", fmt.Errorf("experiment %d: %w", m.next, err)
		}
		for range o.Checks {
			if err := m.check(ctx); err != nil {
				return "", fmt.Errorf("check %d: %w", m.next, err)
			}
		}
	}
	_, err := m.research.Ledger.Repair(ctx, o.Tag)
	return m.research.Home, err
}

type maker struct {
	Options
	research *activities.Research
	train    *activities.Train
	campaign experiment.Campaign
	last     experiment.Result
	next     int  // number
	edit     Edit // that is proposed next
	clock    int  // minutes
}

func (m *maker) open(ctx context.Context, dir string) (err error) {
	checkout := filepath.Join(dir, "checkout")
	if err := write(checkout, map[string]string{"noop/train.go": target.NoopSource, "program.md": "Lower val_bpb.\n"}); err != nil {
		return err
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-qm", "base"}} {
		cmd := exec.CommandContext(ctx, "git", append([]string{"-C", checkout, "-c", "user.name=u", "-c", "user.email=u@x"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_DATE=@1700000000 +0000", "GIT_COMMITTER_DATE=@1700000000 +0000")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w: %s", args[0], err, out)
		}
	}
	home := experiment.Home(filepath.Join(dir, "home"))
	if m.research, err = activities.OpenResearch(ctx, home, checkout); err != nil {
		return err
	}
	targets := target.Builtin(target.Options{GoCache: home.GoCache()}).ByName
	r := m.research
	r.Targets, r.Policies, r.Ledger.Signer = targets, policy.ByName, m.Signer
	r.Proposers = func(string) (proposer.Proposer, error) { return (*script)(m), nil }
	r.Now = func() time.Time { return Began.Add(time.Duration(m.clock) * time.Minute) }
	m.train = &activities.Train{Home: home, Store: artifact.NewFile(home.Artifacts()), Targets: targets, Slot: "train-test-0", Cores: 1, Memory: 1 << 30}
	s := m.Settings
	s.Tag, s.Target, s.Proposer, s.Budget, s.Seeds, s.Policy = m.Tag, "noop", "script", experiment.Duration(2*time.Second), 2, m.Policy
	prepared, err := r.Prepare(ctx, activities.PrepareInput{Settings: s})
	m.campaign = prepared.Campaign
	return err
}

func write(dir string, files map[string]string) error {
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// script proposes the edit that the maker wants.
type script maker

func (*script) Name() string { return "script" }

func (s *script) Propose(_ context.Context, q proposer.Request) (proposer.Answer, error) {
	file := string(q.Files["noop/train.go"])
	if !strings.Contains(file, s.edit.Old) {
		return proposer.Answer{}, fmt.Errorf("the parent has no %q", s.edit.Old)
	}
	return proposer.Answer{
		Proposal: experiment.Proposal{Title: "set " + s.edit.New, Hypothesis: "it may help", Edits: []experiment.Edit{{Path: "noop/train.go", Search: s.edit.Old, Replace: s.edit.New}}},
		Spent:    experiment.Spent{PromptTokens: 1000, CompletionTokens: 100, CostUSD: 0.01},
	}, nil
}

func (m *maker) baseline(ctx context.Context) error {
	applied, err := m.research.Apply(ctx, activities.ApplyInput{Campaign: m.campaign, Parent: m.campaign.Base, Baseline: true})
	if err != nil {
		return err
	}
	return m.decide(ctx, applied, activities.DecideInput{Parent: m.campaign.Base, Title: "baseline", Program: m.campaign.Program}, m.campaign.Settings.Seeds)
}

func (m *maker) experiment(ctx context.Context, e Edit) error {
	m.edit = e
	n, parent := m.next, m.last.Incumbent
	m.next++
	proposed, err := m.research.Propose(ctx, activities.ProposeInput{Campaign: m.campaign, Number: n, Parent: parent})
	if err != nil {
		return err
	}
	applied, err := m.research.Apply(ctx, activities.ApplyInput{Campaign: m.campaign, Number: n, Parent: parent.Commit})
	if err != nil {
		return err
	}
	return m.decide(ctx, applied, activities.DecideInput{Number: n, Parent: parent.Commit, Title: proposed.Title, Proposer: proposed.Proposer, Program: proposed.Program}, 1)
}

// check runs the most urgent check that the policy wants.
func (m *maker) check(ctx context.Context) error {
	if len(m.last.Checks) == 0 {
		return nil
	}
	want := m.last.Checks[0]
	of, err := m.research.Ledger.Decided(ctx, m.Tag, want.Of)
	if err != nil {
		return err
	}
	n := m.next
	m.next++
	return m.decide(ctx, activities.ApplyResult{Commit: want.Commit, Source: of.Source, SyntaxTokens: of.SyntaxTokens},
		activities.DecideInput{Number: n, Parent: want.Commit, Title: fmt.Sprintf("%s #%d: %s", want.Purpose, want.Of, of.Title), Program: m.campaign.Program, Check: &want}, 1)
}

// decide measures a candidate, if there is one, and gives the verdict.
func (m *maker) decide(ctx context.Context, applied activities.ApplyResult, in activities.DecideInput, runs int) error {
	in.Campaign, in.Commit, in.SyntaxTokens, in.Failure = m.campaign, applied.Commit, applied.SyntaxTokens, applied.Failure
	for k := 0; k < runs && applied.Failure == nil; k++ {
		trained, err := m.train.Train(ctx, activities.TrainInput{
			Campaign: m.campaign, Number: in.Number, Run: k, Seed: experiment.Seed(m.campaign.Settings.Seed, in.Number, k), Source: applied.Source,
		})
		if err != nil {
			return err
		}
		measured, err := m.train.Evaluate(ctx, activities.EvaluateInput{
			Campaign: m.campaign, Number: in.Number, Run: k, Model: trained.Model, GraphDigest: applied.GraphDigest,
			Measurement: trained.Measurement, Audit: in.Number == 0 || in.Check != nil,
		})
		if err != nil {
			return err
		}
		in.Measurements = append(in.Measurements, measured.Measurement)
	}
	m.clock++
	if _, err := m.research.Decide(ctx, in); err != nil {
		return err
	}
	r, err := m.research.Ledger.Decided(ctx, m.Tag, in.Number)
	if err == nil {
		m.last = *r
	}
	return err
}
