package ledger_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/activities/repo"
	"github.com/autoresearch-go/autoresearch/experiment"
)

var began = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

// result is experiment n of a campaign in which every third one is kept, and
// all are decided in the order of their numbers.
func result(n int) experiment.Result {
	bpb := 3 - float64(n)/100
	r := experiment.Result{
		Campaign: "mar5", Experiment: n, Sequence: n, Commit: fmt.Sprintf("%040x", n+1), Parent: fmt.Sprintf("%040x", 1),
		Verdict: experiment.Discard, Reason: experiment.Worse, ValBpb: &bpb, Title: fmt.Sprintf("idea %d", n), Proposer: "script",
		Measurements: []experiment.Measurement{{ChargedSeconds: 60.04, WallSeconds: 33, Tokens: 1000, PeakBytes: 3 << 29}},
		Spent:        experiment.Spent{PromptTokens: int64(1700 * n), CompletionTokens: int64(200 * n), CostUSD: 0.0123 * float64(n)},
		SyntaxTokens: 900, Policy: "threshold/1", Threshold: 0.01, DecidedAt: began.Add(time.Duration(n) * time.Minute),
		Incumbent: experiment.Incumbent{Experiment: n - n%3, Commit: fmt.Sprintf("%040x", n-n%3+1), ValBpb: 3}, NoiseAfter: experiment.Noise{StdDev: 0.02, DoF: float64(n)},
	}
	switch {
	case n == 0:
		r.Verdict, r.Reason, r.Title, r.Proposer = experiment.Keep, experiment.Baseline, "baseline", ""
	case n%3 == 0:
		r.Verdict, r.Reason = experiment.Keep, experiment.Improved
	case n%3 == 2:
		r.Verdict, r.Reason, r.ValBpb, r.Title = experiment.Crash, experiment.OOM, nil, "tabs\tand\nnew lines\u2028 \x00 here"
	}
	r.Sum()
	return r
}

func newLedger(t *testing.T) *ledger.Ledger {
	t.Helper()
	home := experiment.Home(t.TempDir())
	return &ledger.Ledger{Home: home, Store: artifact.NewFile(home.Artifacts())}
}

func record(t *testing.T, l *ledger.Ledger, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		r, err := l.Record(t.Context(), result(n))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Follow(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

func table(t *testing.T, l *ledger.Ledger) string {
	t.Helper()
	b, err := os.ReadFile(l.Home.Results("mar5"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRecordIsOnce(t *testing.T) {
	l := newLedger(t)
	record(t, l, 0)
	late := result(0)
	late.Title = "another decision"
	got, err := l.Record(t.Context(), late)
	if err != nil || got.Title != "baseline" {
		t.Errorf("the second decision gave %q, %v", got.Title, err)
	}
	if r, err := l.Decided(t.Context(), "mar5", 0); err != nil || r == nil || r.Title != "baseline" {
		t.Errorf("Decided = %v, %v", r, err)
	}
	if r, err := l.Decided(t.Context(), "mar5", 1); err != nil || r != nil {
		t.Errorf("Decided of nothing = %v, %v", r, err)
	}
}

func TestConcurrentRecord(t *testing.T) {
	l := newLedger(t)
	var wg sync.WaitGroup
	titles := make([]string, 8)
	for i := range titles {
		wg.Go(func() {
			r := result(0)
			r.Title = fmt.Sprint("writer ", i)
			other := &ledger.Ledger{Home: l.Home, Store: l.Store} // another process has no cache in common
			got, err := other.Record(t.Context(), r)
			if err == nil {
				_, err = other.Follow(t.Context(), got)
			}
			if err != nil {
				t.Error(err)
			}
			titles[i] = got.Title
		})
	}
	wg.Wait()
	for _, title := range titles {
		if title != titles[0] {
			t.Errorf("one writer was told %q, another %q", titles[0], title)
		}
	}
	if got := table(t, l); strings.Count(got, "writer ") != 1 {
		t.Errorf("the table has not one row:\n%s", got)
	}
}

func TestTable(t *testing.T) {
	l := newLedger(t)
	record(t, l, 0, 1, 2, 3)
	want := "commit\tval_bpb\tmemory_gb\tstatus\tdescription\texperiment\tparent\treason\truns\tcharged_seconds\twall_seconds\ttokens\tsyntax_tokens\tproposer\tpolicy\tthreshold\tdecided_at\tmessage\tsequence\tprompt_tokens\tcompletion_tokens\tcost_usd\tcheck_of\tpurpose\taudit_bpb\tclass\tsandbox\tconfirmed\tconfirmed_bpb\tconfirmed_low\tconfirmed_high\tconfirmed_runs\n" +
		"0000000\t3.000000\t1.5\tkeep\tbaseline\t0\t0000000\tbaseline\t1\t60.0\t33.0\t1000\t900\t\tthreshold/1\t0.010000\t2026-03-05T12:00:00Z\t\t0\t0\t0\t0.000000\t\t\t\t\t\t\t\t\t\t\n" +
		"0000000\t2.990000\t1.5\tdiscard\tidea 1\t1\t0000000\tworse\t1\t60.0\t33.0\t1000\t900\tscript\tthreshold/1\t0.010000\t2026-03-05T12:01:00Z\t\t1\t1700\t200\t0.012300\t\t\t\t\t\t\t\t\t\t\n" +
		"0000000\t0.000000\t0.0\tcrash\ttabs and new lines here\t2\t0000000\toom\t1\t60.0\t33.0\t1000\t900\tscript\tthreshold/1\t0.010000\t2026-03-05T12:02:00Z\t\t2\t3400\t400\t0.024600\t\t\t\t\t\t\t\t\t\t\n" +
		"0000000\t2.970000\t1.5\tkeep\tidea 3\t3\t0000000\timproved\t1\t60.0\t33.0\t1000\t900\tscript\tthreshold/1\t0.010000\t2026-03-05T12:03:00Z\t\t3\t5100\t600\t0.036900\t\t\t\t\t\t\t\t\t\t\n"
	if got := table(t, l); got != want {
		t.Errorf("table is\n%s\nwant\n%s", got, want)
	}
	for _, row := range strings.Split(strings.TrimSuffix(want, "\n"), "\n") {
		if strings.Count(row, "\t") != 31 {
			t.Errorf("row %q has not 32 cells", row)
		}
	}
}

func TestRepairTable(t *testing.T) {
	l := newLedger(t)
	record(t, l, 0, 1, 2)
	want, name := table(t, l), l.Home.Results("mar5")
	for what, harm := range map[string]func() error{
		"deleted":   func() error { return os.Remove(name) },
		"edited":    func() error { return os.WriteFile(name, []byte("commit\n"), 0o644) },
		"truncated": func() error { return os.Truncate(name, 20) },
		"folder":    func() error { return os.RemoveAll(filepath.Dir(name)) },
	} {
		if err := harm(); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Repair(t.Context(), "mar5"); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got := table(t, l); got != want {
			t.Errorf("%s: table is %q", what, got)
		}
	}
	before, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Repair(t.Context(), "mar5"); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(name); err != nil || !os.SameFile(before, after) {
		t.Error("a table without a difference was written again")
	}
}

func TestState(t *testing.T) {
	l := newLedger(t)
	if s, err := l.State(t.Context(), "mar5"); err != nil || s.Next != 0 || s.Incumbent != nil {
		t.Errorf("State of an empty ledger = %+v, %v", s, err)
	}
	for n := range 15 {
		record(t, l, n)
	}
	fresh := &ledger.Ledger{Home: l.Home, Store: l.Store}
	for who, l := range map[string]*ledger.Ledger{"writer": l, "fresh": fresh} {
		s, err := l.State(t.Context(), "mar5")
		if err != nil {
			t.Fatal(err)
		}
		want := experiment.Tally{Experiments: 14, Kept: 4, Discarded: 5, Crashed: 5, SinceKeep: 2}
		if s.Next != 15 || s.Tally != want || s.Incumbent.Experiment != 12 || s.Baseline.Experiment != 0 || s.Noise.DoF != 14 {
			t.Errorf("%s: State = %+v", who, s)
		}
		if len(s.Recent) != 10 || s.Recent[9].Experiment != 14 || s.Recent[0].Experiment != 5 {
			t.Errorf("%s: Recent = %+v", who, s.Recent)
		}
	}
}

func TestUnusableHome(t *testing.T) {
	l := newLedger(t)
	if err := os.WriteFile(filepath.Join(string(l.Home), "results"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := l.Record(t.Context(), result(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Follow(t.Context(), r); err == nil || !strings.Contains(err.Error(), l.Home.Results("mar5")) {
		t.Errorf("Follow = %v", err)
	}
	// Once that is put right, the next attempt gives what the first would have.
	if err := os.Remove(filepath.Join(string(l.Home), "results")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Follow(t.Context(), r); err != nil || strings.Count(table(t, l), "\n") != 2 {
		t.Errorf("Follow again: %v", err)
	}
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=u", "-c", "user.email=u@x"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestRepairRefs(t *testing.T) {
	checkout := t.TempDir()
	if err := os.WriteFile(filepath.Join(checkout, "a"), []byte("0"), 0o644); err != nil {
		t.Fatal(err)
	}
	git(t, checkout, "init", "-q", "-b", "main")
	git(t, checkout, "add", "-A")
	git(t, checkout, "commit", "-qm", "base")
	l := newLedger(t)
	var err error
	if l.Repo, err = repo.Open(t.Context(), l.Home); err != nil {
		t.Fatal(err)
	}
	l.Checkout = checkout
	user, err := l.Repo.Checkout(t.Context(), checkout)
	if err != nil {
		t.Fatal(err)
	}
	base, err := user.ImportHead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	commits := []string{base}
	for n := 1; n <= 3; n++ {
		c, err := l.Repo.Commit(t.Context(), base, map[string][]byte{"a": fmt.Append(nil, n)}, "c", began)
		if err != nil {
			t.Fatal(err)
		}
		commits = append(commits, c)
	}
	for n, c := range commits {
		r := result(n)
		r.Commit, r.Incumbent.Commit = c, commits[r.Incumbent.Experiment]
		if _, err := l.Record(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what string, repair func() ([]ledger.Notice, error), notices int) {
		t.Helper()
		got, err := repair()
		if err != nil || len(got) != notices {
			t.Errorf("%s: notices %q, %v", what, got, err)
		}
		for n, c := range commits {
			if at, _ := l.Repo.Ref(t.Context(), experiment.CandidateRef("mar5", n)); at != c {
				t.Errorf("%s: ref of candidate %d is at %q", what, n, at)
			}
		}
		if at, _ := l.Repo.Ref(t.Context(), "refs/heads/autoresearch/mar5"); at != commits[3] {
			t.Errorf("%s: branch is at %q", what, at)
		}
		if notices > 0 {
			return
		}
		if at := git(t, checkout, "rev-parse", "autoresearch/mar5"); at != commits[3] {
			t.Errorf("%s: published branch is at %q", what, at)
		}
	}
	repair := func() ([]ledger.Notice, error) { return l.Repair(t.Context(), "mar5") }
	check("nothing done yet", repair, 0)
	git(t, checkout, "branch", "-f", "autoresearch/mar5", "main")
	check("moved by the user", repair, 0)
	git(t, checkout, "branch", "-D", "autoresearch/mar5")
	for _, ref := range []string{experiment.CandidateRef("mar5", 2), "refs/heads/autoresearch/mar5"} {
		if _, err := l.Repo.MoveRef(t.Context(), ref, commits[1]); err != nil {
			t.Fatal(err)
		}
	}
	check("moved in the home", repair, 0)
	git(t, checkout, "checkout", "-q", "autoresearch/mar5")
	check("checked out, and in place", repair, 0)
	if err := os.Rename(checkout, checkout+"-gone"); err != nil {
		t.Fatal(err)
	}
	check("checkout gone", repair, 1)
}

// BenchmarkFollow shows what a decision costs early and late in a campaign.
func BenchmarkFollow(b *testing.B) {
	for _, decided := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprint(decided), func(b *testing.B) {
			l := &ledger.Ledger{Home: experiment.Home(b.TempDir()), Store: new(artifact.Memory)}
			for n := range decided {
				if _, err := l.Record(b.Context(), result(n)); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := l.State(b.Context(), "mar5"); err != nil { // reads them all
				b.Fatal(err)
			}
			for n := decided; b.Loop(); n++ {
				r, err := l.Record(b.Context(), result(n))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := l.Follow(b.Context(), r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPoll shows what it costs a live view to look for news in a home with
// 10,000 experiments, one in ten of which was given up.
func BenchmarkPoll(b *testing.B) {
	home := experiment.Home(b.TempDir())
	l := &ledger.Ledger{Home: home, Store: artifact.NewFile(home.Artifacts())}
	for sequence := range 9000 {
		r := result(sequence)
		r.Experiment = sequence + sequence/9
		key := home.Artifacts() + "/" + experiment.Key("mar5", r.Experiment, "result.json")
		text, err := json.Marshal(r)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(key), 0o755), os.WriteFile(key, text, 0o644)); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := l.Results(b.Context(), "mar5"); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if results, err := l.Results(b.Context(), "mar5"); err != nil || len(results) != 9000 {
			b.Fatal(len(results), err)
		}
	}
}

// What has become of an experiment follows from the lines alone.
func TestStandings(t *testing.T) {
	in := func(n int, confirmed bool) experiment.Incumbent {
		return experiment.Incumbent{Experiment: n, Commit: "c", Confirmed: confirmed}
	}
	line := func(all ...experiment.Incumbent) []experiment.Incumbent { return all }
	results := []experiment.Result{
		{Line: line(in(0, true))},
		{Experiment: 1, Line: line(in(0, true), in(1, false))},
		{Experiment: 2, Line: line(in(0, true), in(1, false), in(2, false))},
		{Experiment: 3, Line: line(in(1, true), in(2, false))},               // the baseline has left it, confirmed
		{Experiment: 4, Line: line(in(1, true)), Voids: []int{2, 9}},         // 2 is refuted
		{Experiment: 5, Line: line(in(1, true), in(5, false))},               //
		{Experiment: 6, Line: line(in(1, true))},                             // 5 is refuted
		{Experiment: 7, Line: line(in(1, true), in(5, false), in(8, false))}, // retested: 5 holds after all
	}
	got := fmt.Sprint(ledger.Standings(results))
	if want := "map[0:confirmed 1:confirmed 2:rolled back 5:provisional 8:provisional 9:void]"; got != want {
		t.Errorf("Standings = %s, want %s", got, want)
	}
	if got := ledger.Standings([]experiment.Result{result(0), result(3)}); len(got) > 0 {
		t.Errorf("without a line: %v", got)
	}
}

// The sum of results is what a campaign answers to "best".
func TestBestOfResults(t *testing.T) {
	if b := ledger.Best(nil); b != (experiment.Best{}) {
		t.Errorf("Best of nothing = %+v", b)
	}
	results := []experiment.Result{result(0), result(1), result(2), result(3)}
	b := ledger.Best(results)
	if b.Experiment != 3 || !b.Provisional || b.Confirmed != nil || *b.RawMinimum != 2.97 || b.Tally != (experiment.Tally{Experiments: 3, Kept: 1, Discarded: 1, Crashed: 1}) {
		t.Errorf("Best = %+v", b)
	}
	sure := result(3).Incumbent
	sure.Confirmed = true
	results[3].Line, results[3].Incumbent, results[3].FalseKeepRate = []experiment.Incumbent{sure}, sure, 0.05
	if b := ledger.Best(results); b.Provisional || b.Confirmed.Experiment != 3 || b.FalseKeepRate != 0.05 {
		t.Errorf("Best = %+v", b)
	}
}
