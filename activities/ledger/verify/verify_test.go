package verify_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/ledger/sshsig"
	"github.com/autoresearch-go/autoresearch/activities/ledger/verify"
	"github.com/autoresearch-go/autoresearch/activities/ledger/verify/verifytest"
	"github.com/autoresearch-go/autoresearch/activities/policy"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

const tag = "mar5"

// The campaign that most tests start from: finished, signed by madeBy.
var (
	madeOnce sync.Once
	made     experiment.Home
	madeBy   *sshsig.Key
	madeErr  error
)

// finished is a copy of the campaign that most tests start from, with its
// signatures.
func finished(t *testing.T) experiment.Home {
	t.Helper()
	madeOnce.Do(func() {
		madeBy = newKey(t)
		made, madeErr = verifytest.Make(context.Background(), workDir, verifytest.Options{Tag: tag, Policy: "threshold/1", Signer: madeBy})
	})
	if madeErr != nil {
		t.Fatal(madeErr)
	}
	return copyHome(t, made)
}

var workDir string

func TestMain(m *testing.M) {
	var err error
	if workDir, err = os.MkdirTemp("", "verify"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(workDir)
	os.Exit(code)
}

// copyHome copies a home without its caches. The repository is the original's
// until somebody wants to change it: see vandal.git.
func copyHome(t *testing.T, home experiment.Home) experiment.Home {
	t.Helper()
	to := filepath.Join(t.TempDir(), "home")
	for _, part := range []string{"artifacts", "results"} {
		if err := os.CopyFS(filepath.Join(to, part), os.DirFS(filepath.Join(string(home), part))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(home.Repo(), filepath.Join(to, "repo.git")); err != nil {
		t.Fatal(err)
	}
	return experiment.Home(to)
}

func options(home experiment.Home) verify.Options {
	return verify.Options{
		Home: home, Store: artifact.NewFile(home.Artifacts()), Deep: true,
		Targets: target.Builtin(target.Options{}).ByName, Policies: policy.ByName,
	}
}

func run(t *testing.T, o verify.Options) verify.Report {
	t.Helper()
	r, err := verify.Run(t.Context(), tag, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestUntouched(t *testing.T) {
	r := run(t, options(finished(t)))
	for _, f := range r.Findings {
		t.Error(f)
	}
	t.Logf("%+v", r)
}

// A campaign that confirms its keeps verifies too, with every policy that there
// is.
func TestUntouchedWithChecks(t *testing.T) {
	for _, name := range policy.Names() {
		home, err := verifytest.Make(t.Context(), t.TempDir(), verifytest.Options{Tag: tag, Policy: name, Checks: 3})
		if err != nil {
			t.Fatal(err)
		}
		r := run(t, options(home))
		for _, f := range r.Findings {
			t.Errorf("%s: %v", name, f)
		}
		t.Logf("%s: %d decisions", name, r.Decisions)
	}
}
