package proposer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"

	"github.com/autoresearch-go/autoresearch/activities/search"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// HPO changes the tunable constants of the incumbent, one at a time and now and
// then two, led by what the campaign has measured (see [search.Suggest]). It
// needs no network and no key. A proposal is a pure function of the request: of
// the parent's files, the history, what is running, the campaign's seed, the
// number and the round. It never proposes a point that was tried, or is being
// tried, with the same code. What is running has no score yet and teaches
// nothing else; neither does a parent that is not measured.
//
// Its proposals cost nothing, so it is asked anew when the incumbent moves.
//
// Hints and program.md are for proposers that can read: HPO ignores both.
//
// Experiments of other proposers teach it too, as far as they changed constants
// alone. Our own failures (infra) teach nothing and may be proposed again.
type HPO struct {
	mu    sync.Mutex
	known map[string]record // by commit, which never changes
}

var (
	_ Proposer = (*HPO)(nil)
	_ Renewer  = (*HPO)(nil)
)

// record is what is needed of a past candidate.
type record struct {
	point    search.Point // nil when it has no tunable constants
	skeleton string
}

// NewHPO makes the proposer.
func NewHPO() *HPO { return &HPO{known: map[string]record{}} }

// Name is "hpo".
func (*HPO) Name() string { return "hpo" }

// Renews implements [Renewer].
func (*HPO) Renews() {}

// Propose suggests a change of constants. Malformed constants are an error
// while the incumbent is the baseline, where its author can mend them; later,
// the others are enough. When all is tried the error wraps [ErrNothingLeft].
func (h *HPO) Propose(ctx context.Context, r Request) (Answer, error) {
	parent, err := loadEditable(r.Files)
	if err == nil && r.Parent.Experiment == 0 {
		err = parent.malformed
	}
	if err != nil {
		return Answer{}, fmt.Errorf("proposer hpo: %w", err)
	}
	trials, err := h.trials(ctx, r, parent)
	if err != nil {
		return Answer{}, fmt.Errorf("proposer hpo: experiment %d: %w", r.Number, err)
	}
	point, err := suggest(r, parent, trials)
	if errors.Is(err, search.ErrExhausted) {
		err = fmt.Errorf("%w: %w", ErrNothingLeft, err)
	}
	if err != nil {
		return Answer{}, fmt.Errorf("proposer hpo: experiment %d: %w", r.Number, err)
	}
	edits, err := parent.edits(point)
	if err != nil {
		return Answer{}, fmt.Errorf("proposer hpo: experiment %d: %w", r.Number, err)
	}
	changes := parent.changes(point)
	return Answer{Proposal: experiment.Proposal{
		Title:      title(changes),
		Hypothesis: hypothesis(changes, trials),
		Expected:   expected(changes, trials, r.Parent),
		Proposer:   h.Name(),
		Parent:     r.Parent.Commit,
		Edits:      edits,
	}}, nil
}

// suggest makes the suggestion of the request's round. The earlier rounds of
// the same experiment are made again, as failed trials, so that no repair
// repeats any of them. The answer complained about is one of these, unless the
// history has grown in between.
func suggest(r Request, parent *editable, trials []search.Trial) (search.Point, error) {
	const salt = 0x68706f // apart from the seeds of training runs
	for round := 0; ; round++ {
		if round > 0 && round == r.Round {
			trials = append(trials, previous(r, parent, trials[len(trials)-round:])...)
		}
		seed := experiment.Seed(r.Campaign.Settings.Seed^salt, r.Number, round)
		point, err := search.Suggest(parent.space(), parent.point(), trials, seed)
		if err != nil || round >= r.Round {
			return point, err
		}
		trials = append(trials, search.Trial{Point: point, From: parent.point(), Failed: true})
	}
}

// previous is the answer that a complaint is about, where it can be read and is
// not among the earlier rounds.
func previous(r Request, parent *editable, rounds []search.Trial) []search.Trial {
	if r.Previous == nil || r.Complaint == nil {
		return nil
	}
	files, failure := ApplyEdits(r.Files, r.Previous.Edits)
	if failure != nil {
		return nil
	}
	e, err := loadEditable(files)
	if err != nil || slices.ContainsFunc(rounds, func(t search.Trial) bool { return maps.Equal(t.Point, e.point()) }) {
		return nil
	}
	return []search.Trial{{Point: e.point(), From: parent.point(), Failed: true}}
}

// trials turns the history, and what is running, into what the search learns from.
func (h *HPO) trials(ctx context.Context, r Request, parent *editable) ([]search.Trial, error) {
	out, err := h.running(ctx, r, parent)
	if err != nil {
		return nil, err
	}
	scores := known(r)
	for _, past := range r.History {
		if past.Reason == experiment.Infra {
			continue
		}
		from, to, err := h.move(ctx, r, parent, Ongoing{Title: past.Title, Proposer: past.Proposer, Parent: past.Parent, Commit: past.Commit})
		if err != nil {
			return nil, err
		}
		if to.point == nil {
			continue
		}
		trial := search.Trial{Point: to.point, Elsewhere: to.skeleton != parent.skeleton, Failed: past.Verdict == experiment.Crash}
		score, known := scores[past.Parent]
		if past.ValBpb != nil {
			trial.Gain = score - *past.ValBpb
		}
		if from.skeleton == to.skeleton && past.Experiment > 0 && (trial.Failed || known && past.ValBpb != nil) {
			trial.From = from.point
		}
		out = append(out, trial)
	}
	return out, nil
}

// running makes trials of the experiments that are not decided: points that are
// taken, and that nothing is known of yet.
func (h *HPO) running(ctx context.Context, r Request, parent *editable) (out []search.Trial, err error) {
	for _, o := range r.Running {
		_, to, err := h.move(ctx, r, parent, o)
		if err != nil {
			return nil, err
		}
		if to.point != nil {
			out = append(out, search.Trial{Point: to.point, Elsewhere: to.skeleton != parent.skeleton, Pending: true})
		}
	}
	return out, nil
}

// known is the scores of the candidates that have one.
func known(r Request) map[string]float64 {
	scores := map[string]float64{}
	if r.Parent.Runs > 0 {
		scores[r.Parent.Commit] = r.Parent.ValBpb
	}
	for _, past := range r.History {
		if past.Against != nil {
			scores[past.Against.Commit] = past.Against.ValBpb
		}
		if past.ValBpb != nil && past.Commit != "" {
			scores[past.Commit] = *past.ValBpb
		}
	}
	return scores
}

// move reads where an experiment started and where it went; a record without a
// point is not known.
func (h *HPO) move(ctx context.Context, r Request, parent *editable, o Ongoing) (from, to record, err error) {
	if from, err = h.recall(ctx, r, o.Parent); err != nil {
		return from, to, err
	}
	if to, err = h.recall(ctx, r, o.Commit); err == nil && to.point == nil {
		to = fromTitle(o, from, parent)
	}
	return from, to, err
}

// recall reads the constants of a past candidate, once.
func (h *HPO) recall(ctx context.Context, r Request, commit string) (record, error) {
	if err := ctx.Err(); err != nil || commit == "" {
		return record{}, err
	}
	h.mu.Lock()
	rec, ok := h.known[commit]
	h.mu.Unlock()
	if ok {
		return rec, nil
	}
	files, err := r.Source(commit)
	if errors.Is(err, ErrLost) {
		return record{}, nil // not remembered: it may be restored
	}
	if err != nil {
		return record{}, fmt.Errorf("read candidate %s: %w", experiment.ShortCommit(commit), err)
	}
	if e, err := loadEditable(files); err == nil {
		rec = record{e.point(), e.skeleton}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.known[commit] = rec
	return rec, nil
}

// titled is how HPO's own titles name a change.
var titled = regexp.MustCompile(`(\w+) from \S+ to (\S+)`)

// fromTitle finds the point of an experiment that has no commit, because it did
// not build or run, was lost, or is not applied yet: its title says what it changed.
func fromTitle(o Ongoing, from record, parent *editable) record {
	if o.Proposer != "hpo" || from.point == nil {
		return record{}
	}
	to := record{maps.Clone(from.point), from.skeleton}
	for _, m := range titled.FindAllStringSubmatch(o.Title, -1) {
		if c, ok := parent.constant(m[1]); ok {
			if literal, err := c.Canonical(m[2]); err == nil {
				to.point[m[1]] = literal
			}
		}
	}
	if maps.Equal(to.point, from.point) {
		return record{}
	}
	return to
}
