package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// maxTitle is the length of a title, in characters: it has to fit in one line
// of every table.
const maxTitle = 100

// storedProposal is proposal-<revision>-<round>.json: all that is known of a
// proposal before it is applied. What it embeds is exported by its JSON alone.
type storedProposal struct {
	experiment.Proposal
	Failure *experiment.Failure `json:"failure,omitempty"` // the answer is no usable edit: why
	Spent   experiment.Spent    `json:"spent,omitzero"`
	Program string              `json:"program,omitempty"` // digest of the program.md that it was made under
	Rebased bool                `json:"rebased,omitempty"` // the change of the revision before, on this parent
	Of      int                 `json:"parent_experiment"` // whose candidate Parent is
}

// Propose returns the proposal of a round, asking the proposer only if none is
// stored: an answer that was paid for is never asked for again.
func (r *Research) Propose(ctx context.Context, in ProposeInput) (ProposeResult, error) {
	defer keepAlive(ctx)()
	p, err := r.propose(ctx, in)
	if err != nil {
		return ProposeResult{}, edge(err)
	}
	return ProposeResult{Title: p.Title, Proposer: p.Proposer, Program: p.Program, Spent: p.Spent, Rebased: p.Rebased}, nil
}

func (r *Research) propose(ctx context.Context, in ProposeInput) (storedProposal, error) {
	var p storedProposal
	if err := checkNumbers(in.Campaign, in.Number, in.Revision, in.Round); err != nil {
		return p, err
	}
	key := proposalKey(in.Campaign.Tag(), in.Number, in.Revision, in.Round)
	found, err := readJSON(ctx, r.Store, key, &p)
	if err == nil && !found {
		p, err = r.ask(ctx, in)
		if err == nil {
			err = putOnceJSON(ctx, r.Store, key, &p)
		}
	}
	if err != nil {
		return p, err
	}
	// Written on every attempt: an earlier one may have ended in between.
	return p, putText(ctx, r.Store, experiment.Key(in.Campaign.Tag(), in.Number, "proposal.md"), []byte(p.Markdown()))
}

func (r *Research) ask(ctx context.Context, in ProposeInput) (storedProposal, error) {
	var p storedProposal
	who, err := r.Proposers(in.Campaign.Settings.Proposer)
	if err != nil {
		return p, refuse(ErrInvalidSettings, "proposer is %q: %w", in.Campaign.Settings.Proposer, err)
	}
	request, err := r.request(ctx, in)
	if err != nil {
		return p, err
	}
	answer, err := who.Propose(ctx, request)
	if errors.Is(err, proposer.ErrNothingLeft) {
		return p, refuse(ErrNothingLeft, "asking proposer %s: %w", who.Name(), err)
	}
	if err != nil {
		return p, fmt.Errorf("asking proposer %s: %w", who.Name(), err)
	}
	p = storedProposal{Proposal: answer.Proposal, Failure: answer.Failure, Spent: answer.Spent, Program: in.Campaign.Program, Of: in.Parent.Experiment}
	p.Title, p.Proposer = oneLine(p.Title), who.Name()
	if p.Parent == "" {
		p.Parent = in.Parent.Commit
	}
	if p.Title == "" || p.Parent != in.Parent.Commit {
		return p, fmt.Errorf("proposer %s answered with title %q and parent %q; it needs a title, and parent %s", who.Name(), p.Title, p.Parent, in.Parent.Commit)
	}
	return p, nil
}

// oneLine makes a title of what a proposer, a language model even, calls one.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " ")
	if r := []rune(s); len(r) > maxTitle {
		s = strings.TrimSpace(string(r[:maxTitle-1])) + "…"
	}
	return s
}

// request gathers all that a proposal may depend on.
func (r *Research) request(ctx context.Context, in ProposeInput) (proposer.Request, error) {
	q := proposer.Request{Campaign: in.Campaign, Number: in.Number, Parent: in.Parent, Hints: in.Hints, Revision: in.Revision, Round: in.Round}
	t, err := r.target(in.Campaign)
	if err != nil {
		return q, err
	}
	q.Source = func(commit string) (map[string][]byte, error) {
		files, err := r.Repo.ReadFiles(ctx, commit, t.Editable())
		if err != nil && ctx.Err() == nil && !r.Repo.Has(ctx, commit) {
			err = fmt.Errorf("%w: %w", proposer.ErrLost, err)
		}
		return files, err
	}
	if q.Files, err = q.Source(in.Parent.Commit); err != nil {
		return q, fmt.Errorf("reading the incumbent's files: %w", err)
	}
	if q.History, err = r.Ledger.Results(ctx, in.Campaign.Tag()); err != nil {
		return q, err
	}
	if q.Program, err = r.programText(ctx, in.Campaign.Tag(), in.Campaign.Program); err != nil {
		return q, err
	}
	if in.Round > 0 {
		err = r.complaint(ctx, in, &q)
	}
	return q, err
}

// complaint adds the answer that failed, and how.
func (r *Research) complaint(ctx context.Context, in ProposeInput, q *proposer.Request) error {
	var previous storedProposal
	q.Complaint = new(experiment.Failure)
	for key, v := range map[string]any{
		proposalKey(in.Campaign.Tag(), in.Number, in.Revision, in.Round-1): &previous,
		failureKey(in.Campaign.Tag(), in.Number, in.Revision, in.Round-1):  q.Complaint,
	} {
		if found, err := readJSON(ctx, r.Store, key, v); err != nil {
			return err
		} else if !found {
			return refuse(ErrInvalidInput, "round %d repairs an earlier answer, but there is no %s", in.Round, key)
		}
	}
	q.Previous = &previous.Proposal
	return nil
}
