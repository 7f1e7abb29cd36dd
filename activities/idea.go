package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// maxIdea bounds a patch: it changes files of at most 64 KiB.
const maxIdea = 512 << 10

// TakeIdea checks a person's patch against the parent's files, as Apply would,
// and stores it as a proposal. What is wrong with it is refused at once, in
// words for the person who waits for the answer.
func (r *Research) TakeIdea(ctx context.Context, in TakeIdeaInput) (TakeIdeaResult, error) {
	defer keepAlive(ctx)()
	result, err := r.takeIdea(ctx, in)
	return result, edge(err)
}

func (r *Research) takeIdea(ctx context.Context, in TakeIdeaInput) (TakeIdeaResult, error) {
	if err := checkNumbers(in.Campaign, 0); err != nil {
		return TakeIdeaResult{}, err
	}
	p, err := r.patched(ctx, in)
	if err != nil {
		return TakeIdeaResult{}, err
	}
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return TakeIdeaResult{}, fmt.Errorf("encoding the idea: %w", err)
	}
	text = append(text, '\n')
	digest := digestOf(text)
	if _, err := r.Store.PutOnce(ctx, ideaKey(in.Campaign.Tag(), digest), text); err != nil {
		return TakeIdeaResult{}, fmt.Errorf("storing the idea: %w", err)
	}
	return TakeIdeaResult{Idea: digest, Title: p.Title}, nil
}

// patched makes a proposal of a patch.
func (r *Research) patched(ctx context.Context, in TakeIdeaInput) (p experiment.Proposal, err error) {
	t, err := r.target(in.Campaign)
	if err != nil {
		return p, err
	}
	if len(in.Patch) > maxIdea {
		return p, refuse(ErrInvalidInput, "the patch has %d bytes; at most %d are allowed", len(in.Patch), maxIdea)
	}
	files, err := r.Repo.ReadFiles(ctx, in.Parent, t.Editable())
	if err != nil {
		if ctx.Err() == nil && !r.Repo.Has(ctx, in.Parent) {
			err = refuse(ErrInvalidInput, "the home has no commit %s: %w", in.Parent, err)
		}
		return p, fmt.Errorf("reading the files to patch: %w", err)
	}
	subject, after, err := proposer.ApplyPatch(in.Patch, files)
	if err != nil {
		return p, refuse(ErrInvalidInput, "the patch does not fit commit %s, the head of branch %s: %w", experiment.ShortCommit(in.Parent), experiment.Branch(in.Campaign.Tag()), err)
	}
	p = experiment.Proposal{
		Title: ideaTitle(in.Title, subject), Hypothesis: strings.TrimSpace(in.Hypothesis),
		Proposer: experiment.Person, Parent: in.Parent, Edits: proposer.EditsBetween(files, after),
	}
	if len(p.Edits) == 0 {
		return p, refuse(ErrInvalidInput, "the patch changes nothing: its lines with - and + are the same")
	}
	if p.Title == "" {
		p.Title = personTitle(p.Edits)
	}
	words := []string{p.Title, p.Hypothesis}
	for _, e := range p.Edits {
		words = append(words, e.Replace)
	}
	if name := secretIn(strings.Join(words, "\n"), files); name != "" {
		return p, refuse(ErrInvalidInput, "the idea has the value of the environment variable %s in it; leave it out", name)
	}
	if _, f := editFiles(t, files, p.Edits); f != nil {
		return p, refuse(ErrInvalidInput, "the patch applies, and cannot be tried (%s): %s", f.Reason, f.Message)
	}
	return p, nil
}

// ideaTitle is what the person calls the idea.
func ideaTitle(given, subject string) string {
	if title := oneLine(given); title != "" {
		return title
	}
	return oneLine(subject)
}

// personTitle names an idea that nobody has named.
func personTitle(edits []experiment.Edit) string {
	var names []string
	for _, e := range edits {
		if name := path.Base(e.Path); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return oneLine("person: edit " + strings.Join(names, ", "))
}

// idea reads a stored idea.
func (r *Research) idea(ctx context.Context, tag, digest string) (p experiment.Proposal, err error) {
	if err := checkDigest(digest); err != nil {
		return p, refuse(ErrInvalidInput, "idea %w", err)
	}
	found, err := readJSON(ctx, r.Store, ideaKey(tag, digest), &p)
	if err == nil && !found {
		err = refuse(ErrInvalidInput, "there is no idea %s", ideaKey(tag, digest))
	}
	return p, err
}
