package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

var discard = io.Discard

// asError is a failure of what must not fail.
func asError(f *experiment.Failure) error {
	if f == nil {
		return nil
	}
	return fmt.Errorf("%s: %s", f.Reason, f.Message)
}

// tight is a sandbox with small allowances, so that what goes beyond them costs
// the machine little.
type tight struct{ sandbox.Sandbox }

// Allowances of a run: far above what an honest one of our size needs.
const (
	maxDisk      = 64 << 20
	maxProcesses = 256
	maxLog       = 1<<20 + 1<<10 // what the sandbox keeps, and a note
)

func (s tight) Run(ctx context.Context, spec sandbox.Spec) (sandbox.Outcome, error) {
	if filepath.Base(spec.Path) == string(target.Candidate) {
		spec.Disk, spec.Processes = maxDisk, maxProcesses
	}
	return s.Sandbox.Run(ctx, spec)
}

// all is the order of things.
func (p *probe) all(ctx context.Context, cheats []Cheat) error {
	if err := p.twins(ctx, cheats); err != nil {
		return err
	}
	var together, alone []Cheat
	for _, c := range cheats {
		switch {
		case c.guardOnly():
			began := time.Now()
			p.judge(c, p.guard(c), nil, time.Since(began))
		case c.Alone || len(c.cheat.files) > 0:
			alone = append(alone, c)
		default:
			together = append(together, c)
		}
	}
	if !p.Quick && len(p.Names) == 0 {
		if err := p.nullEdits(ctx, p.plain); err != nil {
			return err
		}
		n, err := p.beside(ctx, p.plain)
		if err != nil {
			return err
		}
		defer n.stop()
	}
	if err := p.together(ctx, together); err != nil {
		return err
	}
	for _, c := range alone {
		if err := p.single(ctx, c); err != nil {
			return fmt.Errorf("running %s: %w", c.Name, err)
		}
	}
	return nil
}

// guard asks the guard about a cheat as a proposer would write it. It returns
// what is wrong with the answer.
func (p *probe) guard(c Cheat) (wrong []string) {
	var f *experiment.Failure
	for path, text := range c.cheat.files {
		if f = p.t.Guard(path, []byte(text)); f == nil {
			wrong = append(wrong, "the guard lets a candidate edit "+path)
		}
	}
	if c.cheat.runs() && f == nil {
		f = p.t.Guard(trainFile, p.graft.with([]part{{piece: c.cheat}}, nil))
	}
	switch {
	case c.Guard == "" && f != nil:
		wrong = append(wrong, "the guard refuses it, and should not: "+f.Message)
	case c.Guard != "" && f == nil:
		wrong = append(wrong, "the guard lets it pass")
	case c.Guard != "" && (f.Reason != experiment.InvalidEdit || !strings.Contains(f.Message, c.Guard)):
		wrong = append(wrong, fmt.Sprintf("the guard says %q, and should say %q", f.Message, c.Guard))
	}
	return wrong
}

// tree copies the target's sources with some files replaced.
func (p *probe) tree(name string, files map[string][]byte) (string, error) {
	dir := filepath.Join(p.Dir, name)
	for _, path := range p.t.Sources() {
		from, to := filepath.Join(p.Source, path), filepath.Join(dir, path)
		info, err := os.Stat(from)
		if err != nil {
			return "", err
		}
		if info.IsDir() {
			err = os.CopyFS(to, os.DirFS(from))
		} else {
			var text []byte
			if text, err = os.ReadFile(from); err == nil {
				err = errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, text, 0o644))
			}
		}
		if err != nil {
			return "", err
		}
	}
	for path, text := range files {
		if err := os.WriteFile(filepath.Join(dir, path), text, 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// build compiles train.go, and other files, into a program.
func (p *probe) build(ctx context.Context, train []byte, files map[string]string) (program string, f *experiment.Failure, err error) {
	p.built++
	formatted, f := p.t.Format(trainFile, train)
	if f != nil {
		return "", f, nil
	}
	all := map[string][]byte{trainFile: formatted}
	for path, text := range files {
		all[path] = []byte(text)
	}
	tree, err := p.tree(fmt.Sprintf("src-%d", p.built), all)
	if err != nil {
		return "", nil, err
	}
	defer os.RemoveAll(tree)
	out := filepath.Join(p.Dir, fmt.Sprintf("program-%d", p.built))
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", nil, err
	}
	f, err = p.t.Build(ctx, target.Candidate, tree, out, discard)
	return filepath.Join(out, string(target.Candidate)), f, err
}

// smoke is the smoke run of a program, with a cheat of several or none.
func (p *probe) smoke(ctx context.Context, program, chosen string) (*experiment.Failure, error) {
	dir, err := os.MkdirTemp(p.Dir, "smoke-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, chosenFile), []byte(chosen), 0o644); err != nil {
		return nil, err
	}
	_, f, err := p.t.Smoke(ctx, target.SmokeSpec{Program: program, Evaluator: p.evaluator, Dir: dir, Train: p.train, Cores: 1, Memory: memory})
	return f, err
}

// outcome is what became of a program that was trained and measured.
type outcome struct {
	failed  *experiment.Failure // by the training run
	scored  *experiment.Failure // by the evaluation
	bpb     float64             // NaN if it was not measured
	honest  float64             // what an honest program gets
	record  target.Record
	loot    string  // what it got
	refused string  // what it was told
	seconds float64 // that its evaluation took
}

// trainAndScore runs a program of one cheat as the activities do.
func (p *probe) trainAndScore(ctx context.Context, program, name string, seed uint64) (o outcome, err error) {
	err = p.trained(ctx, program, seed, budget, func(dir string, r target.Record) error {
		o = p.outcomeOf(name, dir, r)
		if o.failed != nil {
			return nil
		}
		return p.score(ctx, &o, r.Model)
	})
	return o, err
}

// trained trains with a seed and hands over the run's directory while it is there.
func (p *probe) trained(ctx context.Context, program string, seed uint64, budget time.Duration, look func(dir string, r target.Record) error) error {
	dir, err := os.MkdirTemp(filepath.Dir(p.ground.Neighbour), "run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var log bytes.Buffer
	r, err := p.t.Train(ctx, target.TrainSpec{
		Program: program, Dir: dir, Train: p.train, Seed: seed, Budget: experiment.Duration(budget), Cores: 1, Memory: memory, Log: &log,
	}, nil)
	if err != nil {
		return err
	}
	p.report.Isolation = r.Sandbox
	if log.Len() > maxLog {
		return fmt.Errorf("the log of a run has %d bytes, and should be cut at %d", log.Len(), maxLog)
	}
	return look(dir, r)
}

// outcomeOf says what a cheat has got out of a run.
func (p *probe) outcomeOf(name, dir string, r target.Record) outcome {
	o := outcome{failed: r.Failure, record: r, bpb: math.NaN(), honest: p.honest}
	o.loot, o.refused = told(dir, lootFile+name), told(dir, refusedFile+name)
	for _, more := range []string{stillThere(dir, name), o.unpaid(dir, name), p.ground.harm()} {
		if more != "" {
			o.loot += "[" + more + "]"
		}
	}
	return o
}

// score measures a model.
func (p *probe) score(ctx context.Context, o *outcome, model string) error {
	dir, err := os.MkdirTemp(p.Dir, "score-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := p.t.Evaluate(ctx, target.EvaluateSpec{
		Evaluator: p.evaluator, Model: model, Val: filepath.Dir(p.ground.Val), Reference: p.seconds, Cores: 1, Memory: memory, Dir: dir,
	})
	if err != nil {
		return err
	}
	if o.scored = s.Failure; s.Failure == nil {
		o.bpb = s.ValBpb
	}
	o.seconds = s.Seconds
	return nil
}

// told reads what a cheat has written.
func told(dir, name string) string {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return string(text[:min(len(text), 200)])
}

// stillThere looks whether a child of the cheat outlived its run.
func stillThere(dir, name string) string {
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, aliveFile+name))
		if err != nil {
			return -1
		}
		return info.Size()
	}
	before := size()
	if before < 0 {
		return ""
	}
	time.Sleep(100 * time.Millisecond) // a child writes every 10 ms
	if size() != before {
		return "a process outlived its run"
	}
	return ""
}

// unpaid compares the CPU time that a cheat says it has burnt with the charge.
func (o outcome) unpaid(dir, name string) string {
	burnt, err := strconv.ParseFloat(strings.TrimSpace(told(dir, spentFile+name)), 64)
	if err == nil && o.failed == nil && burnt > o.record.ChargedSeconds+1 { // less the allowance for the start
		return fmt.Sprintf("%.1f s of CPU time were burnt, %.1f s charged", burnt, o.record.ChargedSeconds)
	}
	return ""
}

// single runs a cheat in a program of its own, as a proposer would write it,
// but for the size of the model.
func (p *probe) single(ctx context.Context, c Cheat) error {
	began := time.Now()
	wrong := p.guard(c)
	parts := []part{{piece: c.cheat}}
	if len(c.cheat.imports) > 0 {
		parts = []part{{piece: prelude([]string{c.Name}, p.ground)}, {piece: c.cheat}}
	}
	program, f, err := p.build(ctx, p.graft.with(parts, small), c.cheat.files)
	if f != nil || err != nil {
		return errors.Join(errors.New("it should build"), asError(f), err)
	}
	more, err := p.smoked(ctx, c, program)
	if err != nil {
		return err
	}
	wrong = append(wrong, more...)
	o, err := p.trainAndScore(ctx, program, c.Name, firstSeed)
	if err != nil {
		return err
	}
	p.judge(c, wrong, &o, time.Since(began))
	return nil
}

// smoked has the smoke run judge a cheat. It returns what is wrong with that.
func (p *probe) smoked(ctx context.Context, c Cheat, program string) (wrong []string, err error) {
	f, err := p.smoke(ctx, program, c.Name)
	if err == nil && !expected(c.Smoke, f) {
		wrong = []string{fmt.Sprintf("the smoke run should have said %v, not %s", c.Smoke, saying(f))}
	}
	return wrong, err
}

// expected says whether a layer ended as the corpus says.
func expected(reasons []string, f *experiment.Failure) bool {
	if f == nil {
		return len(reasons) == 0
	}
	return slices.Contains(reasons, string(f.Reason))
}

func saying(f *experiment.Failure) string {
	if f == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s (%s)", f.Reason, f.Message)
}
