package activities

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// begun is what the names of an experiment's artifacts tell about it.
type begun struct {
	names    []string
	revision int    // of the newest proposal
	proposal string // its artifact; empty when none is stored
	trained  bool   // a run of that revision is over
	check    bool   // it measures something again
}

// open finds the experiments that were begun and never decided, checks among
// them, and the number above all that were begun. The baseline is none of them: it has no proposal
// and is simply run again.
func (r *Research) open(ctx context.Context, c experiment.Campaign, state ledger.State) (open []OpenExperiment, next int, err error) {
	keys, err := r.Store.List(ctx, c.Tag()+"/")
	if err != nil {
		return nil, 0, err
	}
	results, err := r.Ledger.Results(ctx, c.Tag())
	if err != nil {
		return nil, 0, err
	}
	all := begunOf(c.Tag(), keys)
	delete(all, 0)
	next = state.Next
	for n := range all {
		next = max(next, n+1)
	}
	for _, result := range results {
		delete(all, result.Experiment)
	}
	maps.DeleteFunc(all, func(_ int, b begun) bool { return b.foreign() })
	titles := map[int]string{}
	for _, n := range slices.Sorted(maps.Keys(all)) {
		o, title, err := r.openOne(ctx, c, n, all[n])
		if err != nil {
			return nil, 0, err
		}
		open, titles[n] = append(open, o), title
	}
	known := candidates(c, results)
	for i := range open {
		p := &open[i].Parent
		if p.Commit == "" { // it was never proposed
			p.Commit = c.Base
			if state.Incumbent != nil {
				p.Commit = state.Incumbent.Commit
			}
		}
		if candidate, ok := known[p.Commit]; ok {
			*p = candidate
		} else {
			p.Title = titles[p.Experiment]
		}
	}
	return open, next, nil
}

// openOne reads the newest proposal of an experiment, if there is one.
func (r *Research) openOne(ctx context.Context, c experiment.Campaign, n int, b begun) (OpenExperiment, string, error) {
	o := OpenExperiment{Number: n, Revision: b.revision, Trained: b.trained}
	if b.check {
		o.Check = &experiment.Check{}
		_, err := readJSON(ctx, r.Store, experiment.Key(c.Tag(), n, checkFile), o.Check)
		o.Parent = experiment.Incumbent{Experiment: o.Check.Of, Commit: o.Check.Commit}
		return o, o.Check.Title(), err
	}
	if b.proposal == "" {
		return o, "", nil
	}
	var p storedProposal
	_, err := readJSON(ctx, r.Store, experiment.Key(c.Tag(), n, b.proposal), &p)
	o.Parent = experiment.Incumbent{Experiment: p.Of, Commit: p.Parent}
	return o, p.Title, err
}

// foreign says whether an experiment was begun by a version whose proposals had
// other names. What that has trained must not be taken for a run of what would
// now be proposed, so such an experiment is given up.
func (b begun) foreign() bool {
	return b.proposal == "" && !b.check && slices.ContainsFunc(b.names, func(name string) bool {
		_, isRun := runRecordRevision(name)
		return isRun || strings.HasPrefix(name, string(proposalKind)+"-")
	})
}

// begunOf sorts the keys of a campaign by experiment.
func begunOf(tag string, keys []string) map[int]begun {
	all := map[int]begun{}
	for _, key := range keys {
		if n, name, ok := experimentOf(tag, key); ok {
			b := all[n]
			b.names = append(b.names, name)
			all[n] = b
		}
	}
	for n, b := range all {
		b.proposal = newestRound(proposalKind, b.names)
		b.revision, _, _ = parseRound(proposalKind, b.proposal)
		b.check = slices.Contains(b.names, checkFile)
		b.trained = slices.ContainsFunc(b.names, func(name string) bool {
			revision, ok := runRecordRevision(name)
			return ok && revision == b.revision
		})
		all[n] = b
	}
	return all
}

// experimentOf takes the key of an experiment's artifact apart. The files of
// the whole campaign have other keys.
func experimentOf(tag, key string) (n int, name string, ok bool) {
	number, name, ok := strings.Cut(strings.TrimPrefix(key, tag+"/"), "/")
	n, err := strconv.Atoi(number)
	return n, name, ok && err == nil && n >= 0 && key == experiment.Key(tag, n, name)
}

// candidates are the decided ones by commit, as parents of other experiments;
// and the base, which is the baseline's whether it is decided or not.
func candidates(c experiment.Campaign, results []experiment.Result) map[string]experiment.Incumbent {
	known := map[string]experiment.Incumbent{}
	for _, r := range results {
		if _, again := known[r.Commit]; again || r.Commit == "" {
			continue
		}
		known[r.Commit] = candidate(r)
	}
	if _, decided := known[c.Base]; !decided {
		known[c.Base] = experiment.Incumbent{Commit: c.Base, Title: "baseline"}
	}
	return known
}

func candidate(r experiment.Result) experiment.Incumbent {
	if r.Verdict == experiment.Keep {
		return r.Incumbent
	}
	in := experiment.Incumbent{Experiment: r.Experiment, Commit: r.Commit, SyntaxTokens: r.SyntaxTokens, Title: r.Title}
	if r.ValBpb != nil {
		in.ValBpb, in.Runs = *r.ValBpb, len(r.Measurements)
	}
	return in
}
