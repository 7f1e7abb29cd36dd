package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/activities/probe"
	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/experiment"
)

const probeHelp = `Probe attacks this machine's defences with planted cheats: candidates that would
win if they were believed. They go through the same guard, build, smoke run,
training and evaluation as any candidate, and each defence is tried by itself,
as if the one before had let the cheat pass. The honest twin of each must pass.

  autoresearch probe                 everything, in a few minutes
  autoresearch probe --quick         what 'up' does before the first campaign
  autoresearch probe reads-keys      one of them
  autoresearch probe --list          what there is

It needs no Temporal and changes nothing but the home's cache.`

// newProbe makes "probe".
func newProbe(a *app) *cobra.Command {
	var o probe.Options
	list := false
	c := &cobra.Command{
		Use: "probe [NAME...]", Short: "attack this machine's defences with planted cheats", Long: probeHelp,
		RunE: func(cmd *cobra.Command, names []string) error {
			if list {
				return a.listCheats()
			}
			o.Names = names
			if err := a.checkSandbox(); err != nil {
				return err
			}
			return a.probe(cmd.Context(), o)
		},
	}
	c.Flags().BoolVar(&o.Quick, "quick", false, "leave out what takes long, or wears the machine out")
	c.Flags().BoolVar(&list, "list", false, "list the cheats and run none")
	a.sandboxFlag(c.Flags())
	return c
}

// listCheats prints the corpus.
func (a *app) listCheats() error {
	cheats, err := probe.Corpus()
	if err != nil {
		return err
	}
	for _, c := range cheats {
		if a.json {
			err = a.object(map[string]any{"name": c.Name, "title": c.Title, "wins": c.Wins, "twin": c.Twin, "layers": c.Layers()})
		} else {
			a.line(fmt.Sprintf("%-30s %s", c.Name, c.Title))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// probe runs the command.
func (a *app) probe(ctx context.Context, o probe.Options) error {
	cheats, err := probe.Corpus()
	if err != nil {
		return err
	}
	for _, name := range o.Names {
		if !slices.ContainsFunc(cheats, func(c probe.Cheat) bool { return c.Name == name }) {
			return usage("autoresearch probe --list", "there is no cheat %q", name)
		}
	}
	t, err := defaultTarget()
	if err != nil {
		return err
	}
	top, err := checkCheckout(ctx, a.dir, t)
	if top == "" {
		return err
	}
	o.Report = func(f probe.Finding) {
		if a.json {
			_ = a.object(f)
		} else if !f.Twin || f.Verdict.Bad() {
			a.line(a.findingLine(f))
		}
	}
	r, err := a.runProbe(ctx, top, o)
	if err != nil {
		return err
	}
	if a.json {
		r.Findings = nil
		err = a.object(r)
	} else {
		a.line(probeSummary(r))
	}
	return errors.Join(err, probeFailure(r))
}

// runProbe gives the probe a directory in the home's cache.
func (a *app) runProbe(ctx context.Context, top string, o probe.Options) (probe.Report, error) {
	box, err := sandbox.Default(a.sandbox)
	if err != nil {
		return probe.Report{}, err
	}
	if err := os.MkdirAll(a.home().Cache(), 0o755); err != nil {
		return probe.Report{}, homeFailure(string(a.home()), err)
	}
	dir, err := os.MkdirTemp(a.home().Cache(), "probe-")
	if err != nil {
		return probe.Report{}, homeFailure(string(a.home()), err)
	}
	defer os.RemoveAll(dir)
	o.Source, o.Dir, o.GoCache, o.Sandbox = top, dir, a.home().GoCache(), box
	return probe.Run(ctx, o)
}

// findingLine is one line about one cheat.
func (a *app) findingLine(f probe.Finding) string {
	s := a.styleOf(a.stdout)
	word, color := "ok", good
	switch {
	case f.Verdict == probe.Unenforced:
		word, color = "warn", mild
	case f.Verdict.Bad():
		word, color = "FAIL", bad
	}
	what := strings.Join(f.Caught, "; ")
	switch f.Verdict {
	case probe.Passed:
		what = "no improvement"
	case probe.Unenforced:
		what = "guard only; not enforced on this machine: " + strings.Join(f.Wrong, "; ")
	case probe.FalseAlarm:
		what = "its honest twin was refused: " + strings.Join(f.Wrong, "; ")
	case probe.Believed, probe.Otherwise:
		what = string(f.Verdict) + ": " + strings.Join(f.Wrong, "; ")
	}
	return fmt.Sprintf("%s %-30s %6.2f s  %s", s.paint(color, fmt.Sprintf("%-4s", word)), f.Name, f.Seconds, cutText(s.printable(what), 200))
}

func cutText(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "..."
	}
	return s
}

// probeSummary is the last line.
func probeSummary(r probe.Report) string {
	cheats, twins, nulls := r.Planted(), r.Twins(), r.Nulls()
	text := fmt.Sprintf("%d of %d caught, %d of %d honest twins passed", r.Count(probe.Caught, false), cheats, twins-r.Count(probe.FalseAlarm, true), twins)
	if n := r.Count(probe.Unenforced, false); n > 0 {
		text += fmt.Sprintf(", %d held by the guard alone (not enforced on this machine)", n)
	}
	if nulls > 0 {
		text += fmt.Sprintf(", %d of %d edits without effect were no improvement", nulls-r.Count(probe.Believed, true), nulls)
	}
	if n := r.Neighbour; n != nil {
		text += fmt.Sprintf(", %s beside them undisturbed", plural(n.Runs, "run"))
	}
	return fmt.Sprintf("%s, in %.0f s; sandbox: %s", text, r.Seconds, r.Isolation)
}

// probeFailure is the error of a probe that found a hole.
func probeFailure(r probe.Report) error {
	if r.OK() {
		return nil
	}
	if n := r.Neighbour; n != nil && n.Wrong != "" {
		return failed("autoresearch doctor tells what the sandbox can enforce here", "a training run beside the cheats was disturbed: %s", n.Wrong)
	}
	var names []string
	for _, f := range r.Bad() {
		names = append(names, f.Name)
	}
	return failed("see each with: autoresearch probe "+names[0], "the defences of this machine do not hold: %s", strings.Join(names, ", "))
}

// probeModes are the values of up's --probe.
const probeModes = "quick, full or off"

func checkProbing(how string) error {
	if how != "quick" && how != "full" && how != "off" {
		return usage("leave it out for quick", "--probe is %q: it is %s", how, probeModes)
	}
	return nil
}

// probeFirst runs the probe before a new campaign, once for each program, target
// and strength of the sandbox in a home. A campaign whose defences do not hold
// would believe its cheats, so it does not begin.
func (a *app) probeFirst(ctx context.Context, top string, s experiment.Settings, how string) error {
	if how == "off" || s.Target != experiment.DefaultTarget {
		return nil
	}
	stamp, err := a.probeStamp(ctx, top, how)
	if err != nil {
		return err
	}
	if _, err := os.Stat(stamp); err == nil {
		return nil
	}
	a.note("probe     planting cheats, once for this program and machine (--probe=off leaves it out)")
	r, err := a.runProbe(ctx, top, probe.Options{Quick: how == "quick"})
	if errors.Is(err, probe.ErrForeign) {
		a.note("probe     left out: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	a.note("probe     %s", probeSummary(r))
	if err := probeFailure(r); err != nil {
		return err
	}
	return os.WriteFile(stamp, []byte(probeSummary(r)+"\n"), 0o644)
}

// probeStamp names the file that says that a probe has been passed.
func (a *app) probeStamp(ctx context.Context, top, how string) (string, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\x00%s\x00%s\x00", how, a.sandbox, sandbox.Probe())
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read this program: %w", err)
	}
	defer f.Close()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("read this program: %w", err)
	}
	tree, err := git(ctx, top, "rev-parse", "HEAD:trainer")
	if err != nil {
		return "", fmt.Errorf("name the trainer's tree: %w", err)
	}
	io.WriteString(sum, tree)
	if err := os.MkdirAll(a.home().Cache(), 0o755); err != nil {
		return "", homeFailure(string(a.home()), err)
	}
	return filepath.Join(a.home().Cache(), "probed-"+hex.EncodeToString(sum.Sum(nil))[:32]), nil
}
