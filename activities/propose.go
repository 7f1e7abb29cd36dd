package activities

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/target"
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

// Propose returns the proposal of a round, making it only if none is stored: an
// answer that was paid for is never asked for again.
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
	found, err := readJSON(ctx, r.Store, proposalKey(in.Campaign.Tag(), in.Number, in.Revision, in.Round), &p)
	if err == nil && !found {
		p, err = r.newProposal(ctx, in)
	}
	if err != nil {
		return p, err
	}
	// Written on every attempt: an earlier one may have ended in between.
	return p, putText(ctx, r.Store, experiment.Key(in.Campaign.Tag(), in.Number, "proposal.md"), []byte(p.Markdown()))
}

// question is a proposal that is being made.
type question struct {
	*Research
	in       ProposeInput
	t        target.Target
	program  string // digest of the text
	text     string
	previous storedProposal      // in a repair round: the answer that failed
	broken   *experiment.Failure // in a repair round: how
}

func (r *Research) newProposal(ctx context.Context, in ProposeInput) (storedProposal, error) {
	q := &question{Research: r, in: in}
	var err error
	if q.t, err = r.target(in.Campaign); err != nil {
		return storedProposal{}, err
	}
	if q.program, q.text, err = r.freshProgram(ctx, in.Campaign); err != nil {
		return storedProposal{}, err
	}
	if in.Round > 0 {
		return q.repair(ctx)
	}
	carried, first, err := q.carry(ctx)
	if err != nil {
		return storedProposal{}, err
	}
	if carried != nil {
		return q.store(ctx, *carried)
	}
	return q.ask(ctx, first)
}

// store keeps a proposal, unless the round has one, and returns the one it has.
func (q *question) store(ctx context.Context, p storedProposal) (storedProposal, error) {
	err := putOnceJSON(ctx, q.Store, proposalKey(q.in.Campaign.Tag(), q.in.Number, q.in.Revision, q.in.Round), &p)
	return p, err
}

// repair sends an answer that failed back to its proposer. A person is not
// there to be asked: the answer and its failure stand.
func (q *question) repair(ctx context.Context) (storedProposal, error) {
	q.broken = new(experiment.Failure)
	tag, n, revision, round := q.in.Campaign.Tag(), q.in.Number, q.in.Revision, q.in.Round-1
	for key, v := range map[string]any{proposalKey(tag, n, revision, round): &q.previous, failureKey(tag, n, revision, round): q.broken} {
		if found, err := readJSON(ctx, q.Store, key, v); err != nil {
			return storedProposal{}, err
		} else if !found {
			return storedProposal{}, refuse(ErrInvalidInput, "round %d repairs an earlier answer, but there is no %s", q.in.Round, key)
		}
	}
	if q.previous.Proposer == experiment.Person {
		p := q.previous
		p.Failure, p.Spent = q.broken, experiment.Spent{}
		return q.store(ctx, p)
	}
	return q.ask(ctx, q.previous.Proposer)
}

// ask asks whoever's turn it is, the proposer named first if there is one. When
// it has nothing left to propose the others stand in for it.
func (q *question) ask(ctx context.Context, first string) (storedProposal, error) {
	names, err := inTurn(q.in, first)
	if err != nil {
		return storedProposal{}, err
	}
	var nothing []string
	for _, name := range names {
		p, err := q.askOne(ctx, name)
		if !errors.Is(err, proposer.ErrNothingLeft) {
			return p, err
		}
		nothing = append(nothing, err.Error())
	}
	return storedProposal{}, refuse(ErrNothingLeft, "%s", strings.Join(nothing, "; "))
}

// inTurn lists the campaign's proposers in the order in which they are asked.
func inTurn(in ProposeInput, first string) ([]string, error) {
	shares, err := experiment.ParseProposers(in.Campaign.Settings.Proposer)
	if err != nil {
		return nil, refuse(ErrInvalidSettings, "%w", err)
	}
	if first == "" {
		first = experiment.ProposerOf(shares, in.Number)
	}
	names := []string{first}
	for _, s := range shares {
		if s.Proposer != first {
			names = append(names, s.Proposer)
		}
	}
	return names, nil
}

// proposer looks up a proposer that settings name.
func (r *Research) proposer(name string) (proposer.Proposer, error) {
	who, err := r.Proposers(name)
	if err != nil {
		return nil, refuse(ErrInvalidSettings, "proposer is %q: %w", name, err)
	}
	return who, nil
}

// renews says whether asking again costs nothing.
func renews(who proposer.Proposer) bool {
	_, ok := who.(proposer.Renewer)
	return ok
}

// askOne asks one proposer and stores its answer. Proposers that cost nothing
// take turns: each sees in the request what the ones before it have stored, so
// that no two propose the same. Others may take minutes and do not wait.
func (q *question) askOne(ctx context.Context, name string) (storedProposal, error) {
	who, err := q.proposer(name)
	if err != nil {
		return storedProposal{}, err
	}
	if renews(who) {
		q.renewing.Lock()
		defer q.renewing.Unlock()
	}
	request, err := q.request(ctx)
	if err != nil {
		return storedProposal{}, err
	}
	answer, err := who.Propose(ctx, request)
	if err != nil {
		if self := "proposer " + who.Name(); !strings.HasPrefix(err.Error(), self) {
			err = fmt.Errorf("%s: %w", self, err)
		}
		return storedProposal{}, err
	}
	p, err := q.taken(who.Name(), answer, request.Files)
	if err != nil {
		return p, err
	}
	return q.store(ctx, p)
}

// taken checks an answer for what a proposer, a language model even, may have
// left out or should not have put in.
func (q *question) taken(name string, a proposer.Answer, parent map[string][]byte) (storedProposal, error) {
	p := storedProposal{Proposal: a.Proposal, Failure: a.Failure, Spent: a.Spent, Program: q.program, Of: q.in.Parent.Experiment}
	if p.Parent != "" && p.Parent != q.in.Parent.Commit {
		return p, fmt.Errorf("proposer %s answered with parent %q; it was asked about %s", name, p.Parent, q.in.Parent.Commit)
	}
	p.Proposer, p.Parent = name, q.in.Parent.Commit
	p.withoutSecrets(parent)
	if p.Title = oneLine(p.Title); p.Title == "" {
		p.Title = titleOf(p)
	}
	return p, nil
}

// withoutSecrets keeps the secrets of this process, which a server may repeat,
// out of artifacts and candidates. Replacing them within an edit could change a
// program that only happens to have such a word, so such edits go back.
func (p *storedProposal) withoutSecrets(parent map[string][]byte) {
	for _, e := range p.Edits {
		if name := secretIn(e.Replace, parent); name != "" {
			p.Failure = invalidEdit("the answer has the value of the environment variable %s in it; leave it out", name)
			p.Edits = nil
			break
		}
	}
	p.Title, p.Hypothesis, p.Expected = redact(p.Title), redact(p.Hypothesis), redact(p.Expected)
	if p.Failure != nil {
		p.Failure = &experiment.Failure{Reason: p.Failure.Reason, Message: redact(p.Failure.Message)}
	}
}

// titleOf names a proposal that came without a title.
func titleOf(p storedProposal) string {
	var names []string
	for _, e := range p.Edits {
		if name := path.Base(e.Path); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch {
	case len(names) > 0:
		return oneLine("edit " + strings.Join(names, ", "))
	case p.Failure != nil:
		return "an answer that could not be read"
	}
	return "an answer without edits"
}

// oneLine makes a title of what a proposer, a language model even, calls one.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " ")
	if r := []rune(s); len(r) > maxTitle {
		s = strings.TrimSpace(string(r[:maxTitle-1])) + "…"
	}
	return s
}
