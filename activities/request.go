package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// request gathers all that a proposal may depend on.
func (q *question) request(ctx context.Context) (proposer.Request, error) {
	in := q.in
	out := proposer.Request{
		Campaign: in.Campaign, Number: in.Number, Parent: in.Parent, Hints: in.Hints, Program: q.text,
		Revision: in.Revision, Round: in.Round, Complaint: q.broken,
		Source: func(commit string) (map[string][]byte, error) { return q.files(ctx, commit) },
		Curve:  func(number int) ([]proposer.Point, error) { return q.curve(ctx, number) },
		Notes:  notes{q.Store, in},
	}
	if q.broken != nil {
		out.Previous = &q.previous.Proposal
	}
	var err error
	if out.Files, err = q.files(ctx, in.Parent.Commit); err != nil {
		return out, fmt.Errorf("reading the parent's files: %w", err)
	}
	if out.History, err = q.Ledger.Results(ctx, in.Campaign.Tag()); err != nil {
		return out, err
	}
	out.Running, err = q.running(ctx, out.History)
	out.History = believed(out.History)
	return out, err
}

// files reads the editable files of a candidate; the error wraps
// proposer.ErrLost when the home no longer has it.
func (q *question) files(ctx context.Context, commit string) (map[string][]byte, error) {
	files, err := q.Repo.ReadFiles(ctx, commit, q.t.Editable())
	if err != nil && ctx.Err() == nil && !q.Repo.Has(ctx, commit) {
		err = fmt.Errorf("%w: %w", proposer.ErrLost, err)
	}
	return files, err
}

// running finds the experiments that are not decided and have a proposal. They
// were begun in the order of their numbers, so the search ends after as many
// numbers without a proposal as there may be experiments that wait for theirs:
// those that train, those that are prepared, and one on a candidate; and checks,
// which have none.
func (q *question) running(ctx context.Context, history []experiment.Result) ([]proposer.Ongoing, error) {
	decided, last := map[int]bool{}, q.in.Number
	for _, result := range history {
		decided[result.Experiment] = true
		last = max(last, result.Experiment)
	}
	gap := 3*max(1, q.in.Campaign.Settings.Parallel) + 1
	var all []proposer.Ongoing
	for n, misses := 1, 0; n <= last || misses < gap; n++ {
		if decided[n] || n == q.in.Number {
			continue
		}
		o, err := q.ongoing(ctx, n)
		if err != nil {
			return nil, err
		}
		if misses++; o != nil {
			all, misses = append(all, *o), 0
		}
	}
	return all, nil
}

// ongoing reads the newest proposal of an experiment, if there is one.
func (q *question) ongoing(ctx context.Context, n int) (*proposer.Ongoing, error) {
	tag := q.in.Campaign.Tag()
	revision, round, err := q.newest(ctx, tag, n)
	if err != nil || revision < 0 {
		return nil, err
	}
	var p storedProposal
	var applied ApplyResult
	if _, err := readJSON(ctx, q.Store, proposalKey(tag, n, revision, round), &p); err != nil || p.Failure != nil {
		return nil, err
	}
	if _, err := readJSON(ctx, q.Store, applyKey(tag, n, revision, round), &applied); err != nil {
		return nil, err
	}
	return &proposer.Ongoing{Number: n, Title: p.Title, Proposer: p.Proposer, Parent: p.Parent, Commit: applied.Commit}, nil
}

// newest finds the newest proposal of an experiment; revision is -1 when there
// is none.
func (r *Research) newest(ctx context.Context, tag string, n int) (revision, round int, err error) {
	dir := experiment.Key(tag, n, "")
	keys, err := r.Store.List(ctx, dir)
	if err != nil {
		return -1, 0, err
	}
	var names []string
	for _, key := range keys {
		names = append(names, strings.TrimPrefix(key, dir))
	}
	name := newestRound(proposalKind, names)
	if name == "" {
		return -1, 0, nil
	}
	revision, round, _ = parseRound(proposalKind, name)
	return revision, round, nil
}

// maxPoints is how much of a curve is shown: more says nothing to a proposer.
const maxPoints = 64

// curveName is the curve of an experiment's first run, by revision.
var curveName = regexp.MustCompile(`^metrics(?:-rev-(\d+))?\.jsonl$`)

// curve reads the training curve of an experiment's first run, of its newest
// revision that was trained.
func (q *question) curve(ctx context.Context, number int) ([]proposer.Point, error) {
	dir := experiment.Key(q.in.Campaign.Tag(), number, "")
	keys, err := q.Store.List(ctx, dir)
	if err != nil {
		return nil, err
	}
	newest, at := "", -1
	for _, key := range keys {
		if m := curveName.FindStringSubmatch(strings.TrimPrefix(key, dir)); m != nil {
			if revision, _ := strconv.Atoi(m[1]); revision > at { // revision 0 has no number
				newest, at = key, revision
			}
		}
	}
	if newest == "" {
		return nil, nil
	}
	text, err := readArtifact(ctx, q.Store, newest)
	if errors.Is(err, artifact.ErrNotFound) {
		return nil, nil
	}
	return thinned(points(text), maxPoints), err
}

// points reads metrics.jsonl. A line that is none was cut short.
func points(text []byte) []proposer.Point {
	var all []proposer.Point
	for line := range bytes.Lines(text) {
		var m struct {
			Step           int64   `json:"step"`
			ChargedSeconds float64 `json:"charged_seconds"`
			Loss           float64 `json:"loss"`
		}
		if json.Unmarshal(line, &m) == nil {
			all = append(all, proposer.Point{Step: m.Step, ChargedSeconds: m.ChargedSeconds, Loss: m.Loss})
		}
	}
	return all
}

// thinned keeps at most n points, evenly, the first and the last among them.
func thinned(all []proposer.Point, n int) []proposer.Point {
	if len(all) <= n {
		return all
	}
	out := make([]proposer.Point, n)
	for i := range out {
		out[i] = all[i*(len(all)-1)/(n-1)]
	}
	return out
}
