package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/target"
)

// group is a program of many cheats; the seed chooses.
type group struct {
	*probe
	program string
	cheats  []Cheat
	names   []string // by seed, from firstSeed on
}

// together builds cheats into one program and tries each: those that only
// attempt something in one run, those that are models in another, and the rest
// in a run of their own.
func (p *probe) together(ctx context.Context, cheats []Cheat) error {
	if len(cheats) == 0 {
		return nil
	}
	g := &group{probe: p, cheats: cheats, names: []string{everyAttempt, everyModel}}
	if err := g.make(ctx); err != nil {
		return err
	}
	done, err := g.attempts(ctx)
	if err != nil {
		return err
	}
	more, err := g.models(ctx)
	if err != nil {
		return err
	}
	for _, c := range cheats {
		if slices.Contains(done, c.Name) || slices.Contains(more, c.Name) {
			continue
		}
		began := time.Now()
		wrong, err := g.before(ctx, c)
		if err != nil {
			return fmt.Errorf("running %s: %w", c.Name, err)
		}
		o, err := p.trainAndScore(ctx, g.program, c.Name, g.seed(c.Name))
		if err != nil {
			return fmt.Errorf("running %s: %w", c.Name, err)
		}
		p.judge(c, wrong, &o, time.Since(began))
	}
	return nil
}

func (g *group) seed(name string) uint64 { return uint64(firstSeed + slices.Index(g.names, name)) }

// before asks guard and smoke run about a cheat. A quick probe leaves the smoke
// run out: the evaluation makes the same check.
func (g *group) before(ctx context.Context, c Cheat) (wrong []string, err error) {
	wrong = g.guard(c)
	if len(c.Smoke) == 0 || g.Quick {
		return wrong, nil
	}
	more, err := g.smoked(ctx, c, g.program)
	return append(wrong, more...), err
}

// make builds the program. Its smoke run chooses no cheat.
func (g *group) make(ctx context.Context) error {
	for _, c := range g.cheats {
		g.names = append(g.names, c.Name)
	}
	parts := []part{{piece: prelude(g.names, g.ground)}}
	exports := "os.Rename(\"model.safetensors\", \".honest\")\n"
	for i, c := range g.cheats {
		pt := part{c.cheat, fmt.Sprintf("cheat == %q", c.Name)}
		if c.attempt() {
			pt.when += fmt.Sprintf(" || cheat == %q", everyAttempt)
			pt.train = fmt.Sprintf("attempt = %q\n%s", c.Name, pt.train)
		}
		exports += g.export(c, i+1)
		parts = append(parts, pt)
	}
	exports += "os.Rename(\".honest\", \"model.safetensors\")\n"
	parts = append(parts, part{piece{exported: exports}, fmt.Sprintf("cheat == %q", everyModel)})
	program, f, err := g.build(ctx, g.graft.with(parts, small), nil)
	if f == nil && err == nil {
		f, err = g.smoke(ctx, program, "")
	}
	if f != nil || err != nil {
		return errors.Join(errors.New("the program of all cheats, none of them chosen"), asError(f), err)
	}
	g.program = program
	return nil
}

// export is the code that makes the model of a cheat in a directory of its own:
// by an export, or from a copy of the honest one.
func (g *group) export(c Cheat, i int) string {
	in := fmt.Sprintf("attempt = %q\nos.Mkdir(\".\"+attempt, 0o755)\n", c.Name)
	switch {
	case c.model():
		return in + fmt.Sprintf("if err := run.Export(%s, forward%d(run, %s)); err == nil {\nos.Rename(\"model.safetensors\", \".\"+attempt+\"/model.safetensors\")\n}\n",
			g.graft.exportArgs[0], i, g.graft.exportArgs[1])
	case c.crafted():
		return in + fmt.Sprintf("if text, err := os.ReadFile(\".honest\"); err == nil {\nos.WriteFile(\".\"+attempt+\"/model.safetensors\", text, 0o644)\n}\nos.Chdir(\".\"+attempt)\n{\n%s\n}\nos.Chdir(\"..\")\n", c.cheat.exported)
	}
	return ""
}

// attempts runs all that only try to get at something. If that run fails, or
// does harm that is not told whose it is, none is done.
func (g *group) attempts(ctx context.Context) (done []string, err error) {
	cheats := slices.DeleteFunc(slices.Clone(g.cheats), func(c Cheat) bool { return !c.attempt() })
	if len(cheats) == 0 {
		return nil, nil
	}
	began := time.Now()
	return done, g.trained(ctx, g.program, g.seed(everyAttempt), budget, func(dir string, r target.Record) error {
		if r.Failure != nil || g.ground.harm() != "" {
			return nil
		}
		var all outcome
		if err := g.score(ctx, &all, r.Model); err != nil {
			return err
		}
		took := time.Since(began) / time.Duration(len(cheats))
		for _, c := range cheats {
			o := g.outcomeOf(c.Name, dir, r)
			o.bpb, o.scored = all.bpb, all.scored
			g.judge(c, g.guard(c), &o, took)
			done = append(done, c.Name)
		}
		return nil
	})
}

// models has one run export all models, and measures each.
func (g *group) models(ctx context.Context) (done []string, err error) {
	cheats := slices.DeleteFunc(slices.Clone(g.cheats), func(c Cheat) bool { return !c.model() && !c.crafted() })
	if len(cheats) == 0 {
		return nil, nil
	}
	longer := budget + time.Duration(len(cheats))*budget/2 // an export takes a while
	return done, g.trained(ctx, g.program, g.seed(everyModel), longer, func(dir string, r target.Record) error {
		if r.Failure != nil {
			return nil
		}
		honest := g.outcomeOf("", dir, r)
		if err := g.score(ctx, &honest, r.Model); err != nil || honest.scored != nil {
			return err
		}
		for _, c := range cheats {
			began := time.Now()
			model := filepath.Join(dir, "."+c.Name, "model.safetensors")
			if _, err := os.Stat(model); err != nil {
				continue // by itself it will tell why
			}
			o := g.outcomeOf(c.Name, dir, r)
			o.honest = honest.bpb // it has trained for longer than others
			if err := g.score(ctx, &o, model); err != nil {
				return fmt.Errorf("measuring %s: %w", c.Name, err)
			}
			wrong, err := g.before(ctx, c)
			if err != nil {
				return fmt.Errorf("running %s: %w", c.Name, err)
			}
			g.judge(c, wrong, &o, time.Since(began))
			done = append(done, c.Name)
		}
		return nil
	})
}
