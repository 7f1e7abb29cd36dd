package probe

import (
	"context"
	"fmt"
	"go/ast"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/policy"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// null is an edit without effect: what remains of a proposer's ideas when none
// of them does anything. It must not be called an improvement.
type null struct {
	name, title string
	duplicate   bool // the same program by its syntax, so that it is never run
	source      []byte
}

// nulls makes them from train.go.
func (g *graft) nulls() []null {
	list := []null{{
		name: "null-comments", title: "changes comments and blank lines", duplicate: true,
		source: append([]byte("// A better model.\n\n"), append(g.src, "\n\n// The end.\n"...)...),
	}, {
		name: "null-unused", title: "adds what nothing uses, and moves the last function to the front",
		source: g.moved(),
	}}
	if renamed := g.renamed(); renamed != nil {
		list = append(list, null{name: "null-rename", title: "gives a function another name", source: renamed})
	}
	return list
}

// moved has the last function before the first one, and a function that nobody
// calls.
func (g *graft) moved() []byte {
	var first, last *ast.FuncDecl
	for _, d := range g.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			if first == nil {
				first = f
			}
			last = f
		}
	}
	start := func(f *ast.FuncDecl) int {
		if f.Doc != nil {
			return g.at(f.Doc.Pos())
		}
		return g.at(f.Pos())
	}
	from, to := start(last), g.at(last.End())
	return apply(g.src, []edit{
		{start(first), start(first), string(g.src[from:to]) + "\n\nfunc nobodyCallsThis() float64 { return 1 }\n\n"},
		{from, to, ""},
	})
}

// renamed gives a new name to a function that is only ever called by its name.
func (g *graft) renamed() []byte {
	for _, d := range g.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv != nil || f.Name.Name == "main" || ast.IsExported(f.Name.Name) {
			continue
		}
		calls := map[*ast.Ident]bool{f.Name: true}
		ast.Inspect(g.file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if id, ok := call.Fun.(*ast.Ident); ok && id.Name == f.Name.Name {
					calls[id] = true
				}
			}
			return true
		})
		var edits []edit
		plain := len(calls) > 1
		ast.Inspect(g.file, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && id.Name == f.Name.Name {
				plain = plain && calls[id]
				edits = append(edits, edit{g.at(id.Pos()), g.at(id.End()), id.Name + "Renamed"})
			}
			return true
		})
		if plain {
			return apply(g.src, edits)
		}
	}
	return nil
}

// nullEdits takes the edits without effect through the pipeline. Syntax tells
// some; the others must give the same bits for the same seed and steps; and with
// fresh seeds the policy must not take noise for a gain, three times in a row.
func (p *probe) nullEdits(ctx context.Context, program string) error {
	want, err := p.stepsRun(ctx, program, 7, neighbourSteps)
	if err != nil {
		return err
	}
	baseline, err := p.measure(ctx, program, 11, 12, 13)
	if err != nil {
		return err
	}
	decide, err := policy.ByName("threshold/1")
	if err != nil {
		return err
	}
	base := decide.Decide(policy.Input{Commit: "base", PriorStdDev: p.t.PriorStdDev(experiment.DefaultBudget), Measurements: baseline})
	for _, n := range p.graft.nulls() {
		began := time.Now()
		wrong, err := p.null(ctx, n, want, func(m experiment.Measurement) policy.Decision {
			return decide.Decide(policy.Input{
				Experiment: 1, Commit: "null", Parent: "base", PriorStdDev: p.t.PriorStdDev(experiment.DefaultBudget), SyntaxTokens: 1,
				Measurements: []experiment.Measurement{m}, Incumbent: &base.Incumbent, Noise: base.Noise,
			})
		})
		if err != nil {
			return fmt.Errorf("trying %s: %w", n.name, err)
		}
		f := Finding{Name: n.name, Title: n.title, Null: true, Verdict: Passed, Seconds: time.Since(began).Seconds()}
		if wrong != "" {
			f.Verdict, f.Wrong = Believed, []string{wrong}
		}
		p.found(f)
	}
	return nil
}

// null tries one. What it returns is wrong.
func (p *probe) null(ctx context.Context, n null, want string, decide func(experiment.Measurement) policy.Decision) (wrong string, err error) {
	before, _, err := p.t.Syntax(map[string][]byte{trainFile: p.graft.src})
	if err != nil {
		return "", err
	}
	after, _, err := p.t.Syntax(map[string][]byte{trainFile: n.source})
	switch {
	case err != nil:
		return "", err
	case n.duplicate && after != before:
		return "it counts as another program", nil
	case n.duplicate:
		return "", nil
	case after == before:
		return "it counts as the same program, and is not", nil
	}
	edited, err := parseTrainer(n.source)
	if err != nil {
		return "", err
	}
	program, f, err := p.build(ctx, edited.with(nil, small), nil)
	if f != nil || err != nil {
		return "", firstError(err, asError(f))
	}
	got, err := p.stepsRun(ctx, program, 7, neighbourSteps)
	if err != nil {
		return "", err
	}
	if got != want {
		return "the same seed and steps gave another model", nil
	}
	for seed := range uint64(3) {
		m, err := p.measure(ctx, program, 21+seed)
		if err != nil {
			return "", err
		}
		if d := decide(m[0]); d.Reason != experiment.Improved {
			return "", nil
		}
	}
	return "three fresh seeds in a row were called an improvement", nil
}

// measure trains and scores with some seeds.
func (p *probe) measure(ctx context.Context, program string, seeds ...uint64) (list []experiment.Measurement, err error) {
	for _, seed := range seeds {
		o, err := p.trainAndScore(ctx, program, "", seed)
		if err == nil {
			err = firstError(asError(o.failed), asError(o.scored))
		}
		if err != nil {
			return nil, err
		}
		list = append(list, experiment.Measurement{Seed: seed, ValBpb: o.bpb})
	}
	return list, nil
}
