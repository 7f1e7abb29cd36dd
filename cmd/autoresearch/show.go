package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// newShow makes "show".
func newShow(a *app) *cobra.Command {
	var tag string
	c := &cobra.Command{
		Use: "show N", Short: "one experiment: proposal, diff, curve, verdict and why", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := experimentNumber(cmd, args[0])
			if err != nil {
				return err
			}
			e, err := a.exhibit(cmd.Context(), tag, n)
			if err != nil {
				return err
			}
			if a.json {
				return a.object(e)
			}
			a.printExhibit(e)
			return nil
		},
	}
	tagFlag(c, &tag)
	return c
}

// exhibit is all that the ledger keeps of an experiment, but for the model.
type exhibit struct {
	experiment.Result
	Revision     int             `json:"revision"`           // how often it was given another parent before it was trained
	ParentNumber *int            `json:"parent_experiment"`  // null for the baseline
	Standing     ledger.Standing `json:"standing,omitempty"` // what has become of it, where the policy confirms
	ProposalText string          `json:"proposal"`           // Markdown
	Patch        string          `json:"patch"`
	Curve        []point         `json:"curve"`
}

// exhibit collects an experiment. What a crash has not left behind is empty.
func (a *app) exhibit(ctx context.Context, tag string, n int) (exhibit, error) {
	tag, err := a.readTag(ctx, tag)
	if err != nil {
		return exhibit{}, err
	}
	r, err := a.ledgerOf().Decided(ctx, tag, n)
	if err != nil {
		return exhibit{}, err
	}
	if r == nil {
		return exhibit{}, a.noExperiment(ctx, tag, n)
	}
	e := exhibit{Result: *r}
	if e.Revision, err = a.revision(ctx, tag, n); err != nil {
		return exhibit{}, err
	}
	if e.ParentNumber, err = a.parent(ctx, tag, r.Parent); err != nil {
		return exhibit{}, err
	}
	results, err := a.ledgerOf().Results(ctx, tag)
	if err != nil {
		return exhibit{}, err
	}
	e.Standing = ledger.Standings(results)[n]
	for _, part := range []struct {
		name string
		into *string
	}{{"proposal.md", &e.ProposalText}, {"candidate.patch", &e.Patch}} {
		b, _, err := a.read(ctx, experiment.Key(tag, n, part.name))
		if err != nil {
			return exhibit{}, err
		}
		*part.into = string(b)
	}
	e.Curve, err = a.metrics(ctx, tag, n, e.Revision)
	return e, err
}

// proposalFile is the name of a proposal's artifact, which begins with its
// revision.
var proposalFile = regexp.MustCompile(`/proposal-(\d+)-\d+\.json$`)

// revision is that of the newest proposal.
func (a *app) revision(ctx context.Context, tag string, n int) (int, error) {
	keys, err := a.ledgerOf().Store.List(ctx, experiment.Key(tag, n, ""))
	if err != nil {
		return 0, fmt.Errorf("list the artifacts of experiment %d: %w", n, err)
	}
	newest := 0
	for _, key := range keys {
		if m := proposalFile.FindStringSubmatch(key); m != nil {
			v, _ := strconv.Atoi(m[1])
			newest = max(newest, v)
		}
	}
	return newest, nil
}

// parent is the number of the experiment whose candidate is the commit.
func (a *app) parent(ctx context.Context, tag, commit string) (*int, error) {
	results, err := a.ledgerOf().Results(ctx, tag)
	for _, r := range results {
		// A duplicate has the commit of another experiment, which is not its own.
		if commit != "" && r.Commit == commit && r.Reason != experiment.Duplicate {
			return &r.Experiment, err
		}
	}
	return nil, err
}

// noExperiment tells an unknown campaign, an unknown number and an experiment
// that is not decided yet apart.
func (a *app) noExperiment(ctx context.Context, tag string, n int) error {
	tag, results, err := a.results(ctx, tag)
	if err != nil {
		return err
	}
	if len(results) == 0 {
		return notFound("it appears when the baseline is measured", "campaign %s has no decided experiment yet", tag)
	}
	return notFound(decided(results), "campaign %s has no decided experiment %d", tag, n)
}

// decided names the experiments that there are. Those that begin side by side
// end in any order, so there may be gaps.
func decided(results []experiment.Result) string {
	last := 0
	for _, r := range results {
		last = max(last, r.Experiment)
	}
	if last+1 == len(results) {
		return fmt.Sprintf("experiments 0 to %d are decided", last)
	}
	return fmt.Sprintf("%s up to #%d are decided; the others go on: autoresearch status", plural(len(results), "experiment"), last)
}

// metrics reads the curve of the experiment's first run, which is that of its
// last revision.
func (a *app) metrics(ctx context.Context, tag string, n, revision int) ([]point, error) {
	name := "metrics.jsonl"
	if revision > 0 {
		name = fmt.Sprintf("metrics-rev-%d.jsonl", revision)
	}
	b, ok, err := a.read(ctx, experiment.Key(tag, n, name))
	if err != nil || !ok {
		return nil, err
	}
	var out []point
	for line := range bytes.Lines(b) {
		var p point
		if json.Unmarshal(line, &p) == nil {
			out = append(out, p)
		}
	}
	return out, nil
}

// printExhibit writes an experiment for a person, the verdict first.
func (a *app) printExhibit(e exhibit) {
	s := a.styleOf(a.stdout)
	a.line(eventLine(e.Result, s))
	if e.Message != "" {
		a.line("why       " + s.printable(e.Message))
	}
	if text := standing(e.Standing); text != "" {
		a.line("now       " + text)
	}
	if e.Check != nil {
		a.line(fmt.Sprintf("check     trains the candidate of #%d again, with a fresh seed (%s)", e.Check.Of, e.Check.Purpose))
	}
	if e.Commit != "" {
		a.line(fmt.Sprintf("commit    %s  (git --git-dir %s show %s)", e.Commit, a.near(a.home().Repo()), experiment.ShortCommit(e.Commit)))
	}
	if e.Parent != "" {
		a.line("parent    " + e.Parent + parentAside(e))
	}
	if e.Against != nil {
		a.line(fmt.Sprintf("against   #%d, val_bpb %.4f: the best at the time", e.Against.Experiment, e.Against.ValBpb))
	}
	if e.Proposer != "" {
		a.line("proposer  " + e.Proposer + spentAside(e.Spent))
	}
	if e.Program != "" {
		a.line(fmt.Sprintf("program   %s  (%s)", e.Program[:min(12, len(e.Program))], a.near(a.home().Artifacts()+"/"+experiment.CampaignKey(e.Campaign, "program-"+e.Program+".md"))))
	}
	a.line(fmt.Sprintf("decided   as number %d in order, by %s at %s, threshold %.4f, noise %.4f", e.Sequence, e.Policy, e.DecidedAt.Local().Format("2006-01-02 15:04:05"), e.Threshold, e.Noise.StdDev))
	if len(e.Voids) > 0 {
		a.line("voids    " + hashes(e.Voids) + ": what they measured counts no more")
	}
	a.line("files     " + a.near(a.home().Artifacts()+"/"+experiment.Key(e.Campaign, e.Experiment, "")))
	for i, m := range e.Measurements {
		a.line(fmt.Sprintf("run %-5d %s", i, measurement(m, s)))
		if text := circumstances(m); text != "" {
			a.line("          " + s.printable(text))
		}
	}
	a.block(s, "proposal", e.ProposalText)
	a.printPatch(s, e.Patch)
	a.printCurve(s, e.Curve)
	a.block(s, "last lines of the log", strings.Join(e.LogTail, "\n"))
}

// parentAside names the parent, and how often it changed.
func parentAside(e exhibit) string {
	text := ""
	if e.ParentNumber != nil {
		text = fmt.Sprintf("#%d", *e.ParentNumber)
	}
	if e.Revision > 0 {
		text = strings.TrimPrefix(fmt.Sprintf("%s, revision %d: the incumbent had moved", text, e.Revision), ", ")
	}
	if text == "" {
		return ""
	}
	return "  (" + text + ")"
}

func spentAside(s experiment.Spent) string {
	if s == (experiment.Spent{}) {
		return ""
	}
	return "  (" + spentLine(s) + ")"
}

// measurement is one run in one line.
func measurement(m experiment.Measurement, s style) string {
	score := fmt.Sprintf("val_bpb %.4f", m.ValBpb)
	if m.Failure != nil {
		score = string(m.Failure.Reason) + ": " + s.printable(m.Failure.Message)
	}
	return fmt.Sprintf("%s  seed %d  charged %s  wall %s  %d steps  %s tokens  %s parameters  peak %.0f MB  attempts %d",
		score, m.Seed, seconds(m.ChargedSeconds), seconds(m.WallSeconds), m.Steps, count(float64(m.Tokens)),
		count(float64(m.Parameters)), float64(m.PeakBytes)/1e6, max(m.Attempts, 1))
}

// circumstances are where and how a run was confined, and what the hidden split
// says.
func circumstances(m experiment.Measurement) string {
	var parts []string
	for _, p := range []struct{ name, value string }{{"slot", m.Slot}, {"class", m.Class}, {"sandbox", m.Sandbox}} {
		if p.value != "" {
			parts = append(parts, p.name+" "+p.value)
		}
	}
	if m.AuditBpb > 0 {
		parts = append(parts, fmt.Sprintf("audit_bpb %.4f", m.AuditBpb))
	}
	return strings.Join(parts, "  ")
}

// hashes is " #3 #4".
func hashes(numbers []int) string {
	text := ""
	for _, n := range numbers {
		text += fmt.Sprintf(" #%d", n)
	}
	return text
}

// block writes a part with a heading, made safe for a terminal line by line.
func (a *app) block(s style, heading, text string) {
	text = strings.TrimSpace(text)
	if text == "" {
		return
	}
	a.line("")
	a.line(s.paint(loud, heading))
	for _, line := range strings.Split(text, "\n") {
		a.line(strings.TrimRight("  "+s.printable(strings.ReplaceAll(line, "\t", "    ")), " "))
	}
}

// printPatch writes the diff, in color where there is some.
func (a *app) printPatch(s style, patch string) {
	patch = strings.TrimRight(patch, "\n")
	if patch == "" {
		return
	}
	a.line("")
	a.line(s.paint(loud, "diff"))
	for _, line := range strings.Split(patch, "\n") {
		color := ""
		switch {
		case strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "---"):
		case strings.HasPrefix(line, "+"):
			color = good
		case strings.HasPrefix(line, "-"):
			color = bad
		}
		line = s.printable(strings.ReplaceAll(line, "\t", "    "))
		if color != "" {
			line = s.paint(color, line)
		}
		a.line("  " + line)
	}
}

// printCurve draws the training curve.
func (a *app) printCurve(s style, points []point) {
	width, terminal := a.size(a.stdout)
	if !terminal {
		width = 80
	}
	lines := curve(points, min(max(width-12, 10), 100), 10, s)
	if len(lines) == 0 {
		return
	}
	a.line("")
	a.line(s.paint(loud, "curve"))
	for _, line := range lines {
		a.line(line)
	}
}
