package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// policies lists every policy that a campaign may name. Old versions stay: a
// campaign keeps the one it started with.
var policies = []Policy{Threshold{}, Confirm{}}

// Names lists the known policies.
func Names() []string {
	var names []string
	for _, p := range policies {
		names = append(names, p.Name())
	}
	return names
}

// ByName finds a policy; the error lists those there are.
func ByName(name string) (Policy, error) {
	for _, p := range policies {
		if p.Name() == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("policy %q is unknown: there is %s", name, strings.Join(Names(), ", "))
}

// Replay decides the experiments of a past campaign again, from their
// measurements alone, in the order in which they were decided; its answers have
// that order too. Under another policy the incumbents differ from those that the
// candidates were made from, so a replay says what a policy would have claimed,
// not which candidates would then have been proposed. It stops after a baseline
// that crashes.
func Replay(p Policy, priorStdDev float64, results []experiment.Result) []Decision {
	var out []Decision
	var incumbent *experiment.Incumbent
	var last Decision
	results = slices.Clone(results)
	slices.SortStableFunc(results, func(a, b experiment.Result) int { return cmp.Compare(a.Sequence, b.Sequence) })
	for i, r := range results {
		parent := r.Parent
		if parent == "" && incumbent != nil { // not recorded: a change to the incumbent
			parent = incumbent.Commit
		}
		d := p.Decide(Input{
			Experiment: r.Experiment, Commit: r.Commit, Parent: parent, Title: r.Title, SyntaxTokens: r.SyntaxTokens,
			PriorStdDev: priorStdDev, Failure: failureOf(r), Measurements: r.Measurements,
			Incumbent: incumbent, Noise: last.Noise, Check: r.Check, Line: last.Line, Past: results[:i],
		})
		out = append(out, d)
		if incumbent == nil && d.Verdict != experiment.Keep {
			break
		}
		results[i] = d.recorded(r, incumbent, p.Name(), last.Noise)
		incumbent, last = &d.Incumbent, d
	}
	return out
}

// recorded is a result as the ledger would have it under this decision: what
// comes after sees this policy's past, not that of the campaign's own.
func (d Decision) recorded(r experiment.Result, against *experiment.Incumbent, name string, noise experiment.Noise) experiment.Result {
	r.Verdict, r.Reason, r.Message, r.ValBpb, r.Policy = d.Verdict, d.Reason, d.Message, d.ValBpb, name
	r.Against, r.Noise, r.Threshold, r.Incumbent, r.NoiseAfter = against, noise, d.Threshold, d.Incumbent, d.Noise
	r.Line, r.Checks, r.Voids, r.FalseKeepRate = d.Line, d.Checks, d.Voids, d.FalseKeepRate
	return r
}

// failureOf restores the failure of an experiment that got no candidate: its
// result has no runs, and its reason and message are the failure's.
func failureOf(r experiment.Result) *experiment.Failure {
	if len(r.Measurements) > 0 {
		return nil
	}
	return &experiment.Failure{Reason: r.Reason, Message: r.Message}
}
