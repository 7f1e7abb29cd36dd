package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// app is one run of the command line: the world and the persistent flags.
type app struct {
	env
	homeFlag string
	json     bool
	noColor  bool

	screen   region
	progress progressLine
	ledger   *ledger.Ledger
	model    string // the language model and its server, once it has answered
	away     bool   // the work is done by workers elsewhere
	began    bool   // the command line was understood
	provided string // the data that were made already, as flags
	signing  signing
	sandbox  sandbox.Mode // --sandbox, of commands that have it
}

const rootHelp = `autoresearch improves a program while you sleep: it proposes a change, trains
the candidate within a fixed budget, measures it, and keeps it only if the gain
is larger than the noise. Temporal makes the loop durable: stop it, kill it, or
pull the plug; the same command goes on where it was.

  autoresearch up                 start or resume a campaign, and watch it
  autoresearch best               the best candidate so far
  autoresearch show 7             one experiment: proposal, diff, curve, verdict`

// newRoot makes the command tree.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use: "autoresearch", Short: "durable research campaigns on your own code", Long: rootHelp,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRun: func(*cobra.Command, []string) { a.began = true },
	}
	cobra.EnableCommandSorting = false // the order below is that of use
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagFailure(err) })
	f := root.PersistentFlags()
	f.StringVar(&a.homeFlag, "home", "", "home `DIR` (default $AUTORESEARCH_HOME, or .autoresearch here)")
	f.BoolVar(&a.json, "json", false, "print data and errors as JSON")
	f.BoolVar(&a.noColor, "no-color", false, "no color and no redrawn lines (also NO_COLOR=1)")
	groups(root,
		group{"run", "Run:", []*cobra.Command{newUp(a), newDoctor(a), newProbe(a), newPrepare(a), newWorker(a), newStart(a), newEngine(a)}},
		group{"read", "Read:", []*cobra.Command{newStatus(a), newBest(a), newHistory(a), newShow(a), newPlot(a), newReplay(a), newVerify(a)}},
		group{"steer", "Steer a running campaign:", []*cobra.Command{
			newPause(a), newResume(a), newStop(a), newHint(a), newPropose(a), newApprove(a), newReject(a), newApproval(a),
			newBudget(a), newProgram(a)}},
	)
	root.AddCommand(newVersion(a), newGPU(a), &cobra.Command{
		Use: "exit-codes", Short: "exit status of every command", Long: exitCodesHelp,
	})
	return root
}

// flagFailure says what a flag's value must be. Cobra's own words name the Go
// function that could not parse it.
func flagFailure(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	what := map[string]string{"int": "a whole number", "uint64": "a whole number that is not negative", "bool": "true or false"}[invalid.GetFlag().Value.Type()]
	switch cause := invalid.Unwrap(); {
	case errors.Is(cause, strconv.ErrRange):
		what = "too large or too small"
	case what == "":
		return fmt.Errorf("--%s: %w", invalid.GetFlag().Name, cause)
	default:
		what = "not " + what
	}
	return fmt.Errorf("--%s is %q: %s", invalid.GetFlag().Name, invalid.GetValue(), what)
}

type group struct {
	id, title string
	commands  []*cobra.Command
}

// groups adds commands under headings of the help text.
func groups(root *cobra.Command, all ...group) {
	for _, g := range all {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
			root.AddCommand(c)
		}
	}
}

// home is the home directory, as an absolute path.
func (a *app) home() experiment.Home {
	dir := a.homeFlag
	if dir == "" {
		dir = a.getenv("AUTORESEARCH_HOME")
	}
	if dir == "" {
		dir = experiment.HomeDir
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(a.dir, dir)
	}
	return experiment.Home(filepath.Clean(dir))
}

// near is a path as one would type it here.
func (a *app) near(path string) string {
	if rel, err := filepath.Rel(a.dir, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}
