package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Options say what is probed.
type Options struct {
	Source  string          // a checkout: its trainer is what the cheats edit
	Dir     string          // an existing directory for all that the probe needs; the caller removes it
	GoCache string          // Go build cache of candidates
	Sandbox sandbox.Sandbox // what is to hold the cheats
	Names   []string        // of cheats; none is all
	Quick   bool            // leave out what takes long, or wears the machine out
	Report  func(Finding)   // told as things are found; nil is nobody
}

// Finding is what became of one cheat, or of its twin.
type Finding struct {
	Name    string  `json:"name"`
	Title   string  `json:"title,omitempty"`
	Twin    bool    `json:"twin,omitempty"` // it is about the honest twin
	Null    bool    `json:"null,omitempty"` // it is about an edit without effect
	Verdict Verdict `json:"verdict"`
	// Caught lists the layers that caught it, each by itself, such as "guard"
	// and "train: timeout". Of what is not caught it says what went wrong.
	Caught  []string `json:"caught,omitempty"`
	Wrong   []string `json:"wrong,omitempty"`
	Seconds float64  `json:"seconds"`
}

// Verdict of the probe on a cheat or twin.
type Verdict string

// Verdicts. The last three fail the probe.
const (
	Caught     Verdict = "caught"
	Passed     Verdict = "passed"       // an honest one
	Unenforced Verdict = "not-enforced" // the machine cannot confine it; the guard alone stands before it
	Believed   Verdict = "believed"     // a cheat got what it wanted
	Otherwise  Verdict = "otherwise"    // caught, but not where, or not as, the corpus says
	FalseAlarm Verdict = "false-alarm"  // an honest one was refused
)

// Bad says whether a verdict fails the probe.
func (v Verdict) Bad() bool { return v == Believed || v == Otherwise || v == FalseAlarm }

// Report is what a probe has found.
type Report struct {
	Findings  []Finding `json:"findings"`
	Isolation string    `json:"isolation"` // sandbox.Outcome.Isolation of the runs
	Seconds   float64   `json:"seconds"`

	// Neighbour is nil where no honest run was under way beside the cheats.
	Neighbour *Neighbour `json:"neighbour,omitempty"`
}

// OK says whether everything was caught, everything honest passed, and nobody
// was disturbed.
func (r Report) OK() bool {
	return len(r.Bad()) == 0 && (r.Neighbour == nil || r.Neighbour.Wrong == "")
}

// Count counts the findings with a verdict: of cheats, or of what is honest.
func (r Report) Count(v Verdict, honest bool) (n int) {
	return r.count(func(f Finding) bool { return f.Verdict == v && honest == (f.Twin || f.Null) })
}

// Planted is the number of cheats.
func (r Report) Planted() int {
	return r.count(func(f Finding) bool { return !f.Twin && !f.Null })
}

// Twins is the number of honest twins.
func (r Report) Twins() int { return r.count(func(f Finding) bool { return f.Twin }) }

// Nulls is the number of edits without effect.
func (r Report) Nulls() int { return r.count(func(f Finding) bool { return f.Null }) }

func (r Report) count(is func(Finding) bool) (n int) {
	for _, f := range r.Findings {
		if is(f) {
			n++
		}
	}
	return n
}

// Bad returns the findings that fail the probe.
func (r Report) Bad() (list []Finding) {
	for _, f := range r.Findings {
		if f.Verdict.Bad() {
			list = append(list, f)
		}
	}
	return list
}

// Sizes of the probe's runs: as small as train.go allows.
const (
	budget = 200 * time.Millisecond
	memory = 512 << 20
	// patience with a run that does not step, or sleeps.
	patience = 5 * time.Second
)

var small = map[string]string{
	"Depth": "1", "Aspect": "32", "HeadDim": "16", "Context": "64", "BatchSize": "4", "MLPRatio": "2", "GateDim": "8", "ShortSpan": "4",
}

// probe is one run of Run.
type probe struct {
	Options
	t         *target.GoGPT
	graft     *graft
	ground    *ground
	evaluator string
	train     string  // training split
	honest    float64 // score of the program as it is, made small
	seconds   float64 // that it took
	plain     string  // that program
	report    Report
	built     int
}

// Run plants the cheats and says what became of them.
func Run(ctx context.Context, o Options) (report Report, err error) {
	began := time.Now()
	p := &probe{Options: o}
	cheats, err := choose(o)
	if err != nil {
		return Report{}, err
	}
	if err := p.prepare(ctx); err != nil {
		return Report{}, fmt.Errorf("preparing the probe: %w", err)
	}
	defer func() { err = errors.Join(err, p.ground.close()) }()
	err = p.all(ctx, cheats)
	p.report.Seconds = time.Since(began).Seconds()
	return p.report, err
}

// choose picks the cheats that are wanted.
func choose(o Options) (list []Cheat, err error) {
	all, err := Corpus()
	if err != nil {
		return nil, err
	}
	for _, name := range o.Names {
		if !slices.ContainsFunc(all, func(c Cheat) bool { return c.Name == name }) {
			return nil, fmt.Errorf("there is no cheat %q in the corpus", name)
		}
	}
	for _, c := range all {
		if slices.Contains(o.Names, c.Name) || len(o.Names) == 0 && !(o.Quick && (c.Brute || c.Alone)) {
			list = append(list, c)
		}
	}
	return list, nil
}

// prepare lays out the ground, builds the evaluator and makes the data.
func (p *probe) prepare(ctx context.Context) (err error) {
	if p.Dir, err = filepath.Abs(p.Dir); err != nil {
		return err
	}
	src, err := os.ReadFile(filepath.Join(p.Source, trainFile))
	if err != nil {
		return err
	}
	if p.graft, err = parseTrainer(src); err != nil {
		return err
	}
	if p.ground, err = newGround(ctx, filepath.Join(p.Dir, "ground")); err != nil {
		return err
	}
	if p.ground.Cache, err = filepath.Abs(p.GoCache); err != nil {
		return err
	}
	p.t = target.NewGoGPT(target.Options{GoCache: p.GoCache, Sandbox: tight{p.Sandbox}, Patience: patience})
	out := filepath.Join(p.Dir, "evaluator")
	tree, err := p.tree("evaluator-src", nil)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	if f, err := p.t.Build(ctx, target.Evaluator, tree, out, discard); f != nil || err != nil {
		return errors.Join(err, asError(f))
	}
	p.evaluator = filepath.Join(out, string(target.Evaluator))
	return p.data(ctx)
}

// data makes the corpus that the cheats are after.
func (p *probe) data(ctx context.Context) error {
	text, root := filepath.Join(p.Dir, "text"), filepath.Join(p.Dir, "data")
	if err := writeText(text, uint64(time.Now().UnixNano())); err != nil {
		return err
	}
	c, err := p.t.Data(ctx, target.DataSpec{
		Evaluator: p.evaluator, Dir: root, Downloads: filepath.Join(p.Dir, "downloads"),
		Dataset: experiment.Dataset{Path: text}, Log: discard,
	})
	if err != nil {
		return err
	}
	at := filepath.Join(root, c.Fingerprint)
	p.train = filepath.Join(at, "train")
	p.ground.Val = filepath.Join(at, "val", "val.bin")
	p.ground.Audit = filepath.Join(at, "audit", "audit.bin")
	if _, err := os.Stat(p.ground.Audit); err != nil { // an evaluator that makes none
		if err := os.MkdirAll(filepath.Dir(p.ground.Audit), 0o755); err != nil {
			return err
		}
		return os.WriteFile(p.ground.Audit, []byte(p.ground.secret), 0o644)
	}
	return nil
}

// found records a finding.
func (p *probe) found(f Finding) {
	p.report.Findings = append(p.report.Findings, f)
	if p.Options.Report != nil {
		p.Options.Report(f)
	}
}
