// Package ledger keeps the decisions of a campaign.
//
// One file is the decision on an experiment: <tag>/<n>/result.json in the
// artifact store, written once and exclusively. Everything else is derived from
// those files and made again whenever it differs:
//
//	results/<tag>.tsv               one row per experiment (tsv.go)
//	refs/experiments/<tag>/<n>      the candidate, in the home's repository
//	autoresearch/<tag>              the incumbent, there and in the user's checkout
//	<tag>/<n>/result.json.sig       a signature of the decision, where there is a key (sign.go)
//
// The decisions are a hash chain (chain.go): each names the digest of the one
// before it as it is stored. Package verify checks it, and all that is derived.
//
// So a Decide that is killed at any line and tried again gives the same ledger,
// and a campaign can be continued from its home alone ([Ledger.State]).
//
// # Order
//
// Experiments are numbered as they begin, and side by side they end in another
// order. What counts here is the order of decision, [experiment.Result].Sequence:
// each decision is made on top of the one before. It has no gap, while numbers
// may have some: of experiments that still run, and of those that were given up.
// The files are written one at a time, in that order, so whoever sees one can
// see all before it (read.go).
//
// # Errors
//
// A missing or doubled decision, or one that cannot be read, is [ErrDamaged],
// with the names of the files. The user's checkout may be gone, or its branch in use: that is no
// error, and what was left undone is returned as a notice.
package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/repo"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// resultFile is the decision, below <tag>/<n>/.
const resultFile = "result.json"

// Ledger is safe for concurrent use.
type Ledger struct {
	Home  experiment.Home
	Store artifact.Store
	// Repo is the home's repository. Without one (a program that only reads)
	// refs and branches are left alone.
	Repo *repo.Repo
	// Checkout is the directory of the user's checkout, where the incumbent's
	// branch is shown; empty when there is none on this machine.
	Checkout string
	// Signer signs each decision once it is recorded; nil is nobody.
	Signer Signer

	mu sync.Mutex
	// seen holds what was read so far, by campaign. Results never change, so
	// that a decision costs the same at experiment 10 and 10,000.
	seen map[string]*campaign
}

// Decided returns the recorded decision on experiment n, or nil.
func (l *Ledger) Decided(ctx context.Context, tag string, n int) (*experiment.Result, error) {
	d, err := l.fetch(ctx, tag, n)
	if err != nil || d == nil {
		return nil, err
	}
	return &d.Result, nil
}

// stored is a decision and the digest of the bytes that it is stored as.
type stored struct {
	experiment.Result
	digest string
}

// fetch reads the decision on experiment n; nil is none.
func (l *Ledger) fetch(ctx context.Context, tag string, n int) (*stored, error) {
	key := experiment.Key(tag, n, resultFile)
	b, err := l.value(ctx, key)
	if err != nil || b == nil {
		return nil, err
	}
	result, err := decode(key, n, b)
	return &stored{result, Digest(b)}, err
}

// value reads an artifact; nil is none.
func (l *Ledger) value(ctx context.Context, key string) ([]byte, error) {
	r, err := l.Store.Open(ctx, key)
	if errors.Is(err, artifact.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading artifact %s: %w", key, err)
	}
	return b, nil
}

// decode reads the decision on experiment n. Before experiments ran side by
// side a decision had no sequence: it was the number.
func decode(key string, n int, b []byte) (experiment.Result, error) {
	var result experiment.Result
	if err := json.Unmarshal(b, &result); err != nil {
		return result, fmt.Errorf("%w: %s: %w", ErrDamaged, key, err)
	}
	if result.Experiment != n {
		return result, fmt.Errorf("%w: %s is the decision on experiment %d", ErrDamaged, key, result.Experiment)
	}
	if result.Sequence < 0 {
		return result, fmt.Errorf("%w: %s is decision %d", ErrDamaged, key, result.Sequence)
	}
	if result.Sequence == 0 {
		result.Sequence = n
	}
	return result, nil
}

// Record stores a decision, unless there is one already, and returns the one
// that holds.
func (l *Ledger) Record(ctx context.Context, result experiment.Result) (experiment.Result, error) {
	key := experiment.Key(result.Campaign, result.Experiment, resultFile)
	b, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return result, fmt.Errorf("encoding %s: %w", key, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	held, err := l.Store.PutOnce(ctx, key, append(b, '\n'))
	if err == nil {
		result, err = decode(key, result.Experiment, held)
	}
	if c := l.seen[result.Campaign]; err == nil && c != nil {
		err = c.add(stored{result, Digest(held)})
	}
	if err != nil {
		// It may be stored all the same. The next decision comes after it then,
		// so nothing that was read before is good enough.
		delete(l.seen, result.Campaign)
		return result, fmt.Errorf("recording the decision on experiment %d: %w", result.Experiment, err)
	}
	return result, nil
}

// Results returns all decisions of a campaign in their order, the baseline
// first. The slice is the caller's; what it points to is shared and must not be
// changed. Result i is not the one of experiment i: [Ledger.Decided] finds that.
func (l *Ledger) Results(ctx context.Context, tag string) ([]experiment.Result, error) {
	c, err := l.read(ctx, tag)
	return slices.Clone(c.results), err
}

// recentResults is how many decisions a State lists.
const recentResults = 10

// State sums up the results of a campaign: all that is needed to go on.
type State struct {
	Next      int                   // one above the highest number with a result
	Decided   int                   // results: the sequence of the next
	Incumbent *experiment.Incumbent // nil before a baseline
	Baseline  *experiment.Incumbent // nil before a baseline
	Noise     experiment.Noise
	Tally     experiment.Tally
	Recent    []experiment.Brief // the last ten to be decided, newest last
	Program   string             // digest of the program.md of the newest experiment

	// Of policies that confirm what they keep: see experiment.Result.
	Line          []experiment.Incumbent
	Checks        []experiment.Check
	FalseKeepRate float64
	RawMinimum    *float64 // the lowest score of any result; nil before the first
}

// State reads the ledger of a campaign.
func (l *Ledger) State(ctx context.Context, tag string) (State, error) {
	c, err := l.read(ctx, tag)
	results := c.results
	if err != nil || len(results) == 0 {
		return State{}, err
	}
	last := results[len(results)-1]
	s := State{
		Next: c.top, Decided: len(results), Incumbent: incumbent(last), Baseline: incumbent(results[0]),
		Noise: last.NoiseAfter, Tally: c.tally, Program: last.Program,
		Line: last.Line, Checks: last.Checks, FalseKeepRate: last.FalseKeepRate,
	}
	for _, r := range results {
		if r.ValBpb != nil && (s.RawMinimum == nil || *r.ValBpb < *s.RawMinimum) {
			s.RawMinimum = r.ValBpb
		}
	}
	for _, r := range results[max(0, len(results)-recentResults):] {
		s.Recent = append(s.Recent, r.Brief())
	}
	return s, nil
}

// incumbent is what a result left, or nil when its baseline had crashed.
func incumbent(r experiment.Result) *experiment.Incumbent {
	if r.Incumbent.Commit == "" {
		return nil
	}
	return &r.Incumbent
}
