package activities

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

func TestPrepare(t *testing.T) {
	dir := newCheckout(t)
	r := newResearch(t, dir, setLR("0.02"))
	got := must(t, r, r.Prepare, PrepareInput{testSettings()})
	c := got.Campaign
	if c.Base != git(t, dir, "rev-parse", "HEAD") || c.PriorStdDev != 0.01 || !c.StartedAt.Equal(testClock) || got.Ledger.Next != 0 {
		t.Errorf("campaign is %+v, ledger %+v", c, got.Ledger)
	}
	if text, err := r.programText(t.Context(), "mar5", c.Program); err != nil || text != "Lower val_bpb.\n" {
		t.Errorf("program.md is %q, %v", text, err)
	}
	for _, path := range []string{r.Home.Data(c.Data) + "/train/train.bin", r.Home.Build(c.Evaluator) + "/evaluator/evaluator", r.Home.Artifacts() + "/_data/" + c.Data + "/val/val.bin"} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("Prepare left no %v", err)
		}
	}
	if status := git(t, dir, "status", "--porcelain"); status != "" {
		t.Errorf("the checkout is touched: %s", status)
	}
	// Again, also after the checkout went on, became dirty, and the clock moved.
	r.Now = func() time.Time { return testClock.Add(time.Hour) }
	writeFile(t, filepath.Join(dir, "noop/train.go"), "package other\n")
	again := must(t, r, r.Prepare, PrepareInput{experiment.Settings{Tag: "mar5", Limits: experiment.Limits{Experiments: 9}}})
	c.Settings.Limits = experiment.Limits{Experiments: 9}
	if asJSON(t, again.Campaign) != asJSON(t, c) {
		t.Errorf("the second Prepare gave\n%s, the first\n%s", asJSON(t, again.Campaign), asJSON(t, c))
	}
}

func TestPrepareContinues(t *testing.T) {
	dir := newCheckout(t)
	r := newResearch(t, dir, setLR("0.02"))
	c := prepared(t, r)
	baseline(t, r, c)
	// Everything that can be made again is lost; so is the table.
	for _, path := range []string{r.Home.Cache(), r.Home.Repo(), filepath.Dir(r.Home.Results("mar5"))} {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	r = newResearch(t, dir, setLR("0.02"))
	got := must(t, r, r.Prepare, PrepareInput{testSettings()})
	if got.Ledger.Next != 1 || got.Ledger.Incumbent == nil || got.Ledger.Incumbent.Commit != c.Base || len(got.Ledger.Recent) != 1 {
		t.Errorf("ledger is %s", asJSON(t, got.Ledger))
	}
	if _, err := os.Stat(r.Home.Results("mar5")); err != nil {
		t.Error(err)
	}
	if res := proposed(t, r, c, 1, 0); res.Failure != nil {
		t.Errorf("the next experiment fails: %v", res.Failure)
	}
}

// The home's repository is lost after a keep: the incumbent comes back from the
// branch in the checkout. Without that there is nothing to improve.
func TestPrepareAfterTheRepositoryWasLost(t *testing.T) {
	dir := newCheckout(t)
	r := newResearch(t, dir, setLR("0.02"))
	c := prepared(t, r)
	baseline(t, r, c)
	applied := proposed(t, r, c, 1, 0)
	kept := must(t, r, r.Decide, DecideInput{
		Campaign: c, Number: 1, Parent: c.Base, Commit: applied.Commit, Title: "set LR to 0.02", Proposer: "script",
		SyntaxTokens: applied.SyntaxTokens, Measurements: measured(1.5),
	})
	if kept.Incumbent.Commit != applied.Commit {
		t.Fatalf("not kept: %s", asJSON(t, kept))
	}
	lose := func() *Research {
		if err := os.RemoveAll(r.Home.Repo()); err != nil {
			t.Fatal(err)
		}
		return newResearch(t, dir, setLR("0.01"))
	}
	r = lose()
	must(t, r, r.Prepare, PrepareInput{testSettings()})
	if at, err := r.Repo.Ref(t.Context(), "refs/heads/"+experiment.Branch("mar5")); err != nil || at != applied.Commit {
		t.Errorf("the branch is at %q, %v; want %s", at, err, applied.Commit)
	}
	git(t, dir, "branch", "-D", experiment.Branch("mar5"))
	git(t, dir, "reflog", "expire", "--expire=all", "--all")
	git(t, dir, "gc", "-q", "--prune=now")
	r = lose()
	_, err := do(t, r, r.Prepare, PrepareInput{testSettings()})
	wantRefusal(t, err, ErrLedger, false, experiment.ShortCommit(applied.Commit), "restore")
}

func TestPrepareRefusesBadInput(t *testing.T) {
	with := func(change func(*experiment.Settings)) experiment.Settings {
		s := testSettings()
		change(&s)
		return s
	}
	for what, c := range map[string]struct {
		harm     func(t *testing.T, dir string)
		settings experiment.Settings
		kind     string
		words    []string
	}{
		"empty tag":        {settings: experiment.Settings{Target: "noop"}, kind: ErrInvalidSettings, words: []string{"tag"}},
		"tag with dots":    {settings: with(func(s *experiment.Settings) { s.Tag = ".." }), kind: ErrInvalidSettings, words: []string{"tag"}},
		"tag with space":   {settings: with(func(s *experiment.Settings) { s.Tag = "a b" }), kind: ErrInvalidSettings, words: []string{"tag", `"a b"`}},
		"negative budget":  {settings: with(func(s *experiment.Settings) { s.Budget = -1 }), kind: ErrInvalidSettings, words: []string{"budget"}},
		"unknown target":   {settings: with(func(s *experiment.Settings) { s.Target = "nope" }), kind: ErrInvalidSettings, words: []string{"target", "nope"}},
		"unknown proposer": {settings: with(func(s *experiment.Settings) { s.Proposer = "nope" }), kind: ErrInvalidSettings, words: []string{"proposer", "nope"}},
		"unknown in a mix": {settings: with(func(s *experiment.Settings) { s.Proposer = "script:3,nope" }), kind: ErrInvalidSettings, words: []string{`proposer is "script:3,nope"`, "no such proposer"}},
		"mix without end":  {settings: with(func(s *experiment.Settings) { s.Proposer = "script," }), kind: ErrInvalidSettings, words: []string{`proposer is "script,"`}},
		"unknown policy":   {settings: with(func(s *experiment.Settings) { s.Policy = "nope/1" }), kind: ErrInvalidSettings, words: []string{"policy", "nope/1"}},
		"no repository": {harm: func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, ".git")); err != nil {
				t.Fatal(err)
			}
		}, kind: ErrRepository, words: []string{"not a git repository", "git init"}},
		"no commit": {harm: func(t *testing.T, dir string) {
			git(t, dir, "update-ref", "-d", "HEAD")
		}, kind: ErrRepository, words: []string{"git commit"}},
		"uncommitted change": {harm: func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, "noop/train.go"), "package other\n")
		}, kind: ErrRepository, words: []string{"uncommitted", "noop/train.go", "git stash"}},
		"no edited file": {harm: func(t *testing.T, dir string) {
			git(t, dir, "mv", "noop/train.go", "noop/other.go")
			git(t, dir, "commit", "-qm", "moved")
		}, kind: ErrMissingFile, words: []string{"noop/train.go", "target noop"}},
		"linked edited file": {harm: func(t *testing.T, dir string) {
			git(t, dir, "mv", "noop/train.go", "noop/other.go")
			if err := os.Symlink("other.go", filepath.Join(dir, "noop/train.go")); err != nil {
				t.Fatal(err)
			}
			git(t, dir, "add", "-A")
			git(t, dir, "commit", "-qm", "linked")
		}, kind: ErrMissingFile, words: []string{"noop/train.go", "symbolic link"}},
		"base that does not build": {harm: func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, "noop/train.go"), "package noop\n")
			git(t, dir, "commit", "-qam", "broken")
		}, kind: ErrTarget, words: []string{"evaluator", "noop"}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := newCheckout(t)
			r := newResearch(t, dir, setLR("0.02"))
			if c.settings.Target == "" {
				c.settings = testSettings()
			}
			if c.harm != nil {
				c.harm(t, dir)
			}
			_, err := do(t, r, r.Prepare, PrepareInput{c.settings})
			wantRefusal(t, err, c.kind, false, c.words...)
			if keys, err := r.Store.List(t.Context(), "mar5/campaign"); err != nil || len(keys) > 0 {
				t.Errorf("a refused campaign is recorded: %q, %v", keys, err)
			}
		})
	}
}

func TestPrepareConflict(t *testing.T) {
	r := newResearch(t, newCheckout(t), setLR("0.02"))
	prepared(t, r)
	s := testSettings()
	s.Budget = experiment.Duration(5 * time.Second)
	_, err := do(t, r, r.Prepare, PrepareInput{s})
	wantRefusal(t, err, ErrSettingsConflict, false, "campaign mar5 exists with other settings", "budget is 2s there, not 5s", "another tag")
}

// Charged time is CPU time by core, so the cores are part of what a campaign is.
func TestPrepareRecordsTheCores(t *testing.T) {
	dir := newCheckout(t)
	r := newResearch(t, dir, setLR("0.02"))
	r.Cores = 3
	of := func(tag string, cores int) experiment.Settings {
		s := testSettings()
		s.Tag, s.Cores = tag, cores
		return s
	}
	cores := func(tag string, given int) int {
		return must(t, r, r.Prepare, PrepareInput{of(tag, given)}).Campaign.Settings.Cores
	}
	if got := cores("ours", 0); got != 3 {
		t.Errorf("a campaign without cores has %d", got)
	}
	if got := cores("theirs", 2); got != 2 {
		t.Errorf("a campaign with 2 cores has %d", got)
	}
	r.Cores = 8 // another machine
	for tag, want := range map[string]int{"ours": 3, "theirs": 2} {
		if got := cores(tag, 0); got != want {
			t.Errorf("%s goes on with %d cores, not %d", tag, got, want)
		}
	}
	_, err := do(t, r, r.Prepare, PrepareInput{of("ours", 8)})
	wantRefusal(t, err, ErrSettingsConflict, false, "cores is 3 there, not 8")

	// Campaigns of earlier versions did not record it.
	var old experiment.Campaign
	key := experiment.CampaignKey("ours", campaignFile)
	if _, err := readJSON(t.Context(), r.Store, key, &old); err != nil {
		t.Fatal(err)
	}
	old.Settings.Cores = 0
	if err := putText(t.Context(), r.Store, key, []byte(asJSON(t, old))); err != nil {
		t.Fatal(err)
	}
	for _, given := range []int{0, 8} {
		if got := cores("ours", given); got != 0 {
			t.Errorf("an old campaign goes on with %d cores", got)
		}
	}
}

// Who proposes is recorded; how many train at once, and whether somebody is
// asked, hold as given at each start.
func TestPrepareAgainWithOtherLimits(t *testing.T) {
	r := newResearch(t, newCheckout(t), nil)
	known := map[string]bool{}
	r.Proposers = func(name string) (proposer.Proposer, error) {
		known[name] = true
		return setLR("0.02"), nil
	}
	s := testSettings()
	s.Proposer = "llm:3,hpo"
	s.Approval = experiment.Approval{Approve: experiment.ApproveReject}
	s.Limits = experiment.Limits{Parallel: 4, Experiments: 9}
	if got := must(t, r, r.Prepare, PrepareInput{s}).Campaign.Settings; got.Approval != s.Approval || got.Limits != s.Limits || got.Proposer != "llm:3,hpo" {
		t.Errorf("settings are %s", asJSON(t, got))
	}
	if !known["llm"] || !known["hpo"] || len(known) != 2 {
		t.Errorf("the proposers %v were looked up", known)
	}
	later := experiment.Settings{Tag: s.Tag, Limits: experiment.Limits{Parallel: 2}}
	if got := must(t, r, r.Prepare, PrepareInput{later}).Campaign.Settings; got.Approval.On() || got.Limits != later.Limits || got.Proposer != "llm:3,hpo" {
		t.Errorf("at the second start the settings are %s", asJSON(t, got))
	}
	later.Proposer = "llm"
	_, err := do(t, r, r.Prepare, PrepareInput{later})
	wantRefusal(t, err, ErrSettingsConflict, false, "proposer is llm:3,hpo there, not llm")
}

func TestPrepareInABadHome(t *testing.T) {
	dir := newCheckout(t)
	r := newResearch(t, dir, setLR("0.02"))
	r.free = func(string) (uint64, error) { return 100 << 20, nil }
	_, err := do(t, r, r.Prepare, PrepareInput{testSettings()})
	wantRefusal(t, err, ErrDiskFull, false, "100 MiB", string(r.Home), "free some disk space")

	r.free = nil
	file := filepath.Join(dir, "file")
	writeFile(t, file, "")
	for _, home := range []string{file, file + "/below", "/proc/autoresearch"} {
		r.Home = experiment.Home(home)
		_, err := do(t, r, r.Prepare, PrepareInput{testSettings()})
		wantRefusal(t, err, ErrHome, false, home, "--home")
	}
}

func TestOpenResearchInABadHome(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, "")
	if _, err := OpenResearch(t.Context(), experiment.Home(file), ""); err == nil || !strings.Contains(err.Error(), "--home") {
		t.Errorf("OpenResearch = %v", err)
	}
}

func TestDamagedLedgerStopsPrepare(t *testing.T) {
	dir := newCheckout(t)
	r := newResearch(t, dir, setLR("0.02"))
	c := prepared(t, r)
	baseline(t, r, c)
	writeFile(t, filepath.Join(r.Home.Artifacts(), "mar5/0002/result.json"), `{"experiment":2,"sequence":2}`)
	_, err := do(t, newResearch(t, dir, nil), newResearch(t, dir, nil).Prepare, PrepareInput{testSettings()})
	wantRefusal(t, err, ErrLedger, false, "mar5/0001/result.json")
}

func TestFetchData(t *testing.T) {
	r := newResearch(t, newCheckout(t), setLR("0.02"))
	c := prepared(t, r)
	want, err := os.ReadFile(r.Home.Data(c.Data) + "/val/val.bin")
	if err != nil {
		t.Fatal(err)
	}
	other := experiment.Home(t.TempDir()) // another host
	dir, err := fetchData(t.Context(), other, r.Store, c.Data)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "val/val.bin")); err != nil || string(got) != string(want) {
		t.Errorf("fetched %q, %v", got, err)
	}
	writeFile(t, filepath.Join(r.Home.Artifacts(), "_data", c.Data, "val/val.bin"), "damaged")
	if _, err := fetchData(t.Context(), experiment.Home(t.TempDir()), r.Store, c.Data); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged data set was taken: %v", err)
	}
	for _, bad := range []string{"", "..", "a/b", "unknown"} {
		if _, err := fetchData(t.Context(), other, r.Store, bad); err == nil {
			t.Errorf("data set %q was found", bad)
		}
	}
}
