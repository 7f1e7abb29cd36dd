// Package ledger keeps the decisions of a campaign.
//
// One file is the decision on an experiment: <tag>/<n>/result.json in the
// artifact store, written once and exclusively. Everything else is derived from
// those files and made again whenever it differs:
//
//	results/<tag>.tsv               one row per experiment (tsv.go)
//	refs/experiments/<tag>/<n>      the candidate, in the home's repository
//	autoresearch/<tag>              the incumbent, there and in the user's checkout
//
// So a Decide that is killed at any line and tried again gives the same ledger,
// and a campaign can be continued from its home alone ([Ledger.State]).
//
// # Errors
//
// A gap, or a result that cannot be read, is [ErrDamaged], with the name of the
// file. The user's checkout may be gone, or its branch in use: that is no
// error, and what was left undone is returned as a notice.
package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
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

	mu sync.Mutex
	// results holds what was read so far, by campaign, 0 to len-1. Results
	// never change, so that a decision costs the same at experiment 10 and 10,000.
	results map[string][]experiment.Result
}

// Decided returns the recorded decision on experiment n, or nil.
func (l *Ledger) Decided(ctx context.Context, tag string, n int) (*experiment.Result, error) {
	key := experiment.Key(tag, n, resultFile)
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
	result, err := decode(key, b)
	return &result, err
}

func decode(key string, b []byte) (experiment.Result, error) {
	var result experiment.Result
	if err := json.Unmarshal(b, &result); err != nil {
		return result, fmt.Errorf("%w: %s: %w", ErrDamaged, key, err)
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
	stored, err := l.Store.PutOnce(ctx, key, append(b, '\n'))
	if err != nil {
		return result, fmt.Errorf("recording the decision on experiment %d: %w", result.Experiment, err)
	}
	return decode(key, stored)
}

// Results returns all decisions of a campaign, the baseline first. The slice
// is the caller's; what it points to is shared and must not be changed.
func (l *Ledger) Results(ctx context.Context, tag string) ([]experiment.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, fresh := l.results[tag], l.results[tag] == nil
	for {
		result, err := l.Decided(ctx, tag, len(known))
		if err != nil {
			return nil, err
		}
		if result == nil {
			break
		}
		known = append(known, *result)
	}
	if fresh { // later ones follow one another, because this process writes them
		if err := l.checkGap(ctx, tag, len(known)); err != nil {
			return nil, err
		}
	}
	if l.results == nil {
		l.results = map[string][]experiment.Result{}
	}
	l.results[tag] = known
	return slices.Clone(known), nil
}

// checkGap looks for results beyond the first missing one.
func (l *Ledger) checkGap(ctx context.Context, tag string, next int) error {
	keys, err := l.Store.List(ctx, tag+"/")
	if err != nil {
		return err
	}
	for _, key := range keys {
		number, isResult := strings.CutSuffix(strings.TrimPrefix(key, tag+"/"), "/"+resultFile)
		if n, err := strconv.Atoi(number); isResult && err == nil && n > next {
			return fmt.Errorf("%w: %s is missing, while %s is there", ErrDamaged, experiment.Key(tag, next, resultFile), key)
		}
	}
	return nil
}

// recentResults is how many decisions a State lists.
const recentResults = 10

// State sums up the results of a campaign: all that is needed to go on.
type State struct {
	Next      int                   // number of the first experiment without a result
	Incumbent *experiment.Incumbent // nil before a baseline
	Baseline  *experiment.Incumbent // nil before a baseline
	Noise     experiment.Noise
	Tally     experiment.Tally
	Recent    []experiment.Brief // the last ten, newest last
	Program   string             // digest of the program.md of the newest experiment
}

// State reads the ledger of a campaign.
func (l *Ledger) State(ctx context.Context, tag string) (State, error) {
	results, err := l.Results(ctx, tag)
	if err != nil || len(results) == 0 {
		return State{}, err
	}
	last := results[len(results)-1]
	s := State{Next: len(results), Incumbent: incumbent(last), Baseline: incumbent(results[0]), Noise: last.NoiseAfter, Program: last.Program}
	for _, r := range results[1:] {
		s.Tally.Add(r.Verdict)
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
