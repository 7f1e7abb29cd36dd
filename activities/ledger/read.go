package ledger

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// window is how far above the highest known number a new result is looked for.
// Besides the experiments that train there are as many prepared ones, and one
// more; any of them may be decided next.
const window = 4 * experiment.MaxParallel

// view is what is known of a campaign. It only grows, by appending, so a copy
// of it stays as it is.
type view struct {
	results []experiment.Result // by sequence, without a gap
	tally   experiment.Tally    // of results
	table   []byte              // of results
	top     int                 // one above the highest number with a result
	head    string              // digest of the last of results as stored (chain.go)
	broken  string              // key of the first one that does not follow the one before it; "" is none
}

// campaign is a view and what it takes to bring it up to date.
type campaign struct {
	view
	// Numbers below top without a result, in order: the experiments that still
	// run, and those that were given up, which are few.
	missing []int
	ahead   map[int]stored // by sequence, those above a gap
}

// read brings what is known of a campaign up to date and returns a view of it.
// It looks into the files that may be new, and lists all of them only the first
// time, or when a decision seems to be missing.
func (l *Ledger) read(ctx context.Context, tag string) (view, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.seen[tag]
	var err error
	if c == nil {
		c = &campaign{view: view{table: header()}, ahead: map[int]stored{}}
		_, err = l.list(ctx, tag, c)
	} else {
		err = l.probe(ctx, tag, c)
	}
	if err == nil && len(c.ahead) > 0 {
		err = l.closeGap(ctx, tag, c)
	}
	if err != nil {
		delete(l.seen, tag) // somebody may repair it by taking a file away
		return view{}, err
	}
	if l.seen == nil {
		l.seen = map[string]*campaign{}
	}
	l.seen[tag] = c
	return c.view, nil
}

// closeGap looks again for decisions that come before one that was seen. All of
// them were there before it was written, but this look may have passed their
// places earlier. Later ones may have appeared meanwhile, with gaps of the same
// kind: those are for the next call.
func (l *Ledger) closeGap(ctx context.Context, tag string, c *campaign) error {
	seen := 0
	for sequence := range c.ahead {
		seen = max(seen, sequence)
	}
	keys, err := l.list(ctx, tag, c)
	if err == nil && len(c.results) <= seen {
		err = c.gap(tag, keys)
	}
	return err
}

// probe reads the results that may have been written since the last look.
func (l *Ledger) probe(ctx context.Context, tag string, c *campaign) error {
	for _, n := range slices.Clone(c.missing) {
		if err := l.load(ctx, tag, c, n); err != nil {
			return err
		}
	}
	for n := c.top; n < c.top+window; n++ {
		if err := l.load(ctx, tag, c, n); err != nil {
			return err
		}
	}
	return nil
}

// list reads all results that are not known yet, and returns the keys of the
// campaign.
func (l *Ledger) list(ctx context.Context, tag string, c *campaign) ([]string, error) {
	keys, err := l.Store.List(ctx, tag+"/")
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if n, name, ok := splitKey(tag, key); ok && name == resultFile && !c.has(n) {
			if err := l.load(ctx, tag, c, n); err != nil {
				return nil, err
			}
		}
	}
	return keys, nil
}

// splitKey takes the key of a file of an experiment apart.
func splitKey(tag, key string) (n int, name string, ok bool) {
	number, name, ok := strings.Cut(strings.TrimPrefix(key, tag+"/"), "/")
	n, err := strconv.Atoi(number)
	return n, name, ok && err == nil && n >= 0 && key == experiment.Key(tag, n, name)
}

func (l *Ledger) load(ctx context.Context, tag string, c *campaign, n int) error {
	d, err := l.fetch(ctx, tag, n)
	if err != nil || d == nil {
		return err
	}
	return c.add(*d)
}

func (c *campaign) has(n int) bool {
	_, missing := slices.BinarySearch(c.missing, n)
	return n < c.top && !missing
}

// add takes in the result of an experiment, unless it is known.
func (c *campaign) add(r stored) error {
	n := r.Experiment
	if c.has(n) {
		return nil
	}
	if other, taken := c.at(r.Sequence); taken {
		return fmt.Errorf("%w: %s and %s are both decision %d", ErrDamaged,
			experiment.Key(r.Campaign, other.Experiment, resultFile), experiment.Key(r.Campaign, n, resultFile), r.Sequence)
	}
	if i, missing := slices.BinarySearch(c.missing, n); missing {
		c.missing = slices.Delete(c.missing, i, i+1)
	}
	for ; c.top <= n; c.top++ {
		if c.top < n {
			c.missing = append(c.missing, c.top)
		}
	}
	c.ahead[r.Sequence] = r
	for {
		next, ok := c.ahead[len(c.results)]
		if !ok {
			return nil
		}
		delete(c.ahead, len(c.results))
		c.append(next)
	}
}

// at finds the result with this sequence.
func (c *campaign) at(sequence int) (experiment.Result, bool) {
	if sequence >= 0 && sequence < len(c.results) {
		return c.results[sequence], true
	}
	r, ok := c.ahead[sequence]
	return r.Result, ok
}

func (c *campaign) append(r stored) {
	if n := len(c.results); n > 0 {
		c.tally.Count(r.Brief())
		if c.broken == "" && !follows(r.Result, c.results[n-1], c.head) {
			c.broken = experiment.Key(r.Campaign, r.Experiment, resultFile)
		}
	}
	c.head = r.digest
	c.results = append(c.results, r.Result)
	c.table = appendRow(c.table, r.Result)
}

// gap says which decision is missing, and which files are not there: it was in
// one of those.
func (c *campaign) gap(tag string, keys []string) error {
	next, above := len(c.results), -1
	for sequence := range c.ahead {
		if above < 0 || sequence < above {
			above = sequence
		}
	}
	return fmt.Errorf("%w: decision %d of campaign %s is missing, while %s is decision %d; %s", ErrDamaged,
		next, tag, experiment.Key(tag, c.ahead[above].Experiment, resultFile), above, c.absent(tag, keys))
}

// absent names the results that are not there, up to the last experiment that
// left anything.
func (c *campaign) absent(tag string, keys []string) string {
	const most = 8
	numbers := slices.Clone(c.missing)
	for _, key := range keys {
		if n, _, ok := splitKey(tag, key); ok && n >= c.top && !slices.Contains(numbers, n) {
			numbers = append(numbers, n)
		}
	}
	if len(c.results) == 0 {
		numbers = []int{0} // nothing is decided before the baseline
	}
	var names []string
	for _, n := range numbers[:min(most, len(numbers))] {
		names = append(names, experiment.Key(tag, n, resultFile))
	}
	if len(numbers) > most {
		names = append(names, fmt.Sprintf("%d more", len(numbers)-most))
	}
	if len(names) == 0 {
		return "nothing is left of its experiment"
	}
	return "there is no " + strings.Join(names, ", ")
}
