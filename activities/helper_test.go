package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/autoresearch-go/autoresearch/activities/policy"
	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

var testClock = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

// git runs the user's git in a checkout.
func git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=u", "-c", "user.email=u@x"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_DATE=@1700000000 +0000", "GIT_COMMITTER_DATE=@1700000000 +0000")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// newCheckout is a clone of the target noop with one commit.
func newCheckout(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "checkout")
	writeFile(t, filepath.Join(dir, "noop/train.go"), target.NoopSource)
	writeFile(t, filepath.Join(dir, "program.md"), "Lower val_bpb.\n")
	git(t, dir, "init", "-q", "-b", "main")
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-qm", "base")
	return dir
}

// answers is a proposer whose answer to experiment n, round r is a function.
type answers func(q proposer.Request) (proposer.Answer, error)

func (answers) Name() string { return "script" }

func (a answers) Propose(_ context.Context, q proposer.Request) (proposer.Answer, error) { return a(q) }

// setLR answers with an edit of one constant.
func setLR(to string) answers {
	return func(q proposer.Request) (proposer.Answer, error) { return lrAnswer(q, to), nil }
}

func lrAnswer(q proposer.Request, to string) proposer.Answer {
	for _, line := range strings.Split(string(q.Files["noop/train.go"]), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "LR ") {
			edit := experiment.Edit{Path: "noop/train.go", Search: line, Replace: "\tLR = " + to + " // range 0.001..0.1 log"}
			return proposer.Answer{Proposal: experiment.Proposal{Title: "set LR to " + to, Hypothesis: "it may help", Edits: []experiment.Edit{edit}}, Spent: experiment.Spent{PromptTokens: 10}}
		}
	}
	panic("no LR in the file")
}

// newResearch opens the home inside a checkout, with one proposer.
func newResearch(t testing.TB, checkout string, p proposer.Proposer) *Research {
	t.Helper()
	r, err := OpenResearch(t.Context(), experiment.Home(filepath.Join(checkout, experiment.HomeDir)), checkout)
	if err != nil {
		t.Fatal(err)
	}
	r.Targets = target.Builtin(target.Options{GoCache: r.Home.GoCache()}).ByName
	r.Policies = policy.ByName
	r.Proposers = func(name string) (proposer.Proposer, error) {
		if name != "script" {
			return nil, errors.New("there is no such proposer: they are script")
		}
		return p, nil
	}
	r.Now = func() time.Time { return testClock }
	return r
}

func testSettings() experiment.Settings {
	return experiment.Settings{Tag: "mar5", Target: "noop", Proposer: "script", Budget: experiment.Duration(2 * time.Second), Seeds: 2, Policy: "threshold/1"}
}

// do runs one activity as a worker would, input and result through JSON.
func do[I, O any](t testing.TB, r *Research, method func(context.Context, I) (O, error), in I) (O, error) {
	t.Helper()
	var out O
	var s testsuite.WorkflowTestSuite
	s.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := s.NewTestActivityEnvironment()
	env.SetTestTimeout(time.Minute)
	env.RegisterActivity(r)
	value, err := env.ExecuteActivity(method, in)
	if err == nil {
		err = value.Get(&out)
	}
	return out, err
}

func must[I, O any](t testing.TB, r *Research, method func(context.Context, I) (O, error), in I) O {
	t.Helper()
	out, err := do(t, r, method, in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wantRefusal checks type, retry and words of an activity's error.
func wantRefusal(t testing.TB, err error, kind string, retryable bool, words ...string) {
	t.Helper()
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || app.Type() != kind || app.NonRetryable() == retryable {
		t.Errorf("error is %v; want type %s, retryable %v", err, kind, retryable)
		return
	}
	for _, w := range words {
		if !strings.Contains(app.Message(), w) {
			t.Errorf("message %q does not say %q", app.Message(), w)
		}
	}
}

// prepared is a campaign ready for its experiments.
func prepared(t testing.TB, r *Research) experiment.Campaign {
	t.Helper()
	return must(t, r, r.Prepare, PrepareInput{testSettings()}).Campaign
}

// measured plays Train and Evaluate.
func measured(scores ...float64) []experiment.Measurement {
	var all []experiment.Measurement
	for _, s := range scores {
		all = append(all, experiment.Measurement{ValBpb: s, ChargedSeconds: 2, WallSeconds: 1, Tokens: 100, PeakBytes: 1 << 30})
	}
	return all
}

// baseline decides experiment 0.
func baseline(t testing.TB, r *Research, c experiment.Campaign) DecideResult {
	t.Helper()
	applied := must(t, r, r.Apply, ApplyInput{Campaign: c, Parent: c.Base, Baseline: true})
	if applied.Failure != nil {
		t.Fatalf("the baseline is broken: %v", applied.Failure)
	}
	return must(t, r, r.Decide, DecideInput{
		Campaign: c, Parent: c.Base, Commit: applied.Commit, Title: "baseline", SyntaxTokens: applied.SyntaxTokens, Measurements: measured(2.5, 2.51),
	})
}

// proposed runs Propose and Apply of one round.
func proposed(t testing.TB, r *Research, c experiment.Campaign, n, round int) ApplyResult {
	t.Helper()
	must(t, r, r.Propose, ProposeInput{Campaign: c, Number: n, Round: round, Parent: experiment.Incumbent{Commit: c.Base}})
	return must(t, r, r.Apply, ApplyInput{Campaign: c, Number: n, Round: round, Parent: c.Base})
}

func artifactText(t testing.TB, r *Research, c experiment.Campaign, n int, name string) string {
	t.Helper()
	b, err := readArtifact(t.Context(), r.Store, experiment.Key(c.Tag(), n, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func fromJSON(t testing.TB, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatal(err)
	}
}

// killedAtGit runs a test of this package in a process of its own, which is
// killed when it runs its k-th git command. It is false when there were fewer:
// then the test has passed. The process finds its checkout in KILLED_IN.
func killedAtGit(t *testing.T, test, checkout string, k int, env ...string) bool {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\necho x >>%[1]s/count\n[ $(wc -l <%[1]s/count) -eq %[2]d ] && kill -9 $PPID\nexec %[3]s \"$@\"\n", bin, k, git)
	writeFile(t, filepath.Join(bin, "git"), script)
	if err := os.Chmod(filepath.Join(bin, "git"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "KILLED_IN="+checkout), env...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("git command %d: %v: %s", k, err, out)
	}
	return err != nil
}
